//! Expressions as tapes: a list of steps over blocks of numbers that stay in the first-level cache.
//!
//! A tree is compiled once: equal parts become one step, and a register (a block of numbers) is
//! given back after its last use. Running it is a call a step; each step is a loop that the
//! compiler turns into vector instructions. A part that is the same over the block (a constant, a
//! broadcast input) is one number and is computed once.

pub mod convert;
mod functions;
pub mod lane;
pub mod level;
#[cfg(test)]
mod tests;

use convert::Stored;
use kernelsmith_core::DType;
use kernelsmith_core::expr::{Binary, Expr, Stream, Unary};
use lane::Values;
use level::Level;

/// Where a step reads from.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Argument {
    Value,
    Input(usize),
    Index(usize),
    Const(f64),
    /// The result of a step.
    Register(usize),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Operation {
    Unary(Unary),
    Binary(Binary),
    Select,
    Round(DType),
    Random(Stream),
}

#[derive(Clone, Copy, Debug)]
struct Step {
    operation: Operation,
    arguments: [Argument; 3],
    register: usize,
}

/// A compiled expression.
#[derive(Clone, Debug)]
pub struct Tape {
    steps: Vec<Step>,
    result: Argument,
    /// Registers that it needs.
    pub registers: usize,
    /// Which inputs it reads, ascending.
    pub inputs: Vec<usize>,
    /// Which positions it reads, ascending.
    pub indices: Vec<usize>,
}

/// What the leaves of a tape are, over one block.
pub struct Leaves<'a, N> {
    pub value: Values<N>,
    /// By the input's number.
    pub inputs: &'a [Values<N>],
    /// By the dimension's number.
    pub indices: &'a [Values<N>],
}

/// Memory that a tape works in.
pub struct Registers<'a, N> {
    /// `registers` blocks of `block` numbers.
    pub start: *mut N,
    pub block: usize,
    /// What each register holds.
    pub values: &'a mut [Values<N>],
}

/// A step before registers are given out: its number is its place.
type Flat = (Operation, [Argument; 3]);

impl Tape {
    pub fn new(expr: &Expr) -> Tape {
        let mut flat: Vec<Flat> = Vec::new();
        let result = flatten(expr, &mut flat);
        let mut last_use = vec![0; flat.len()];
        for (at, (_, arguments)) in flat.iter().enumerate() {
            for argument in arguments {
                if let Argument::Register(step) = argument {
                    last_use[*step] = at;
                }
            }
        }
        if let Argument::Register(step) = result {
            last_use[step] = flat.len();
        }
        // A register is free again only after the step that reads it last: no step writes what it reads.
        let (mut free, mut registers) = (Vec::new(), 0);
        let mut register_of = vec![0; flat.len()];
        let mut steps = Vec::with_capacity(flat.len());
        let place = |argument: Argument, register_of: &[usize]| match argument {
            Argument::Register(step) => Argument::Register(register_of[step]),
            other => other,
        };
        for (at, (operation, arguments)) in flat.iter().enumerate() {
            let register = free.pop().unwrap_or_else(|| {
                registers += 1;
                registers - 1
            });
            register_of[at] = register;
            steps.push(Step { operation: *operation, arguments: arguments.map(|a| place(a, &register_of)), register });
            for (i, argument) in arguments.iter().enumerate() {
                if let Argument::Register(step) = argument
                    && last_use[*step] == at
                    && !arguments[..i].contains(argument)
                {
                    free.push(register_of[*step]);
                }
            }
        }
        let numbers = |pick: &dyn Fn(&Expr) -> Option<usize>| {
            (0..64).filter(|i| expr.any(&|x| pick(x) == Some(*i))).collect::<Vec<usize>>()
        };
        Tape {
            steps,
            result: place(result, &register_of),
            registers,
            inputs: numbers(&|x| if let Expr::Input(i) = x { Some(*i) } else { None }),
            indices: numbers(&|x| if let Expr::Index(d) = x { Some(*d) } else { None }),
        }
    }

    /// The input that the expression is, where it is one.
    pub fn is_input(&self) -> Option<usize> {
        if let Argument::Input(i) = self.result { Some(i) } else { None }
    }

    /// Whether the expression is the op's result itself.
    pub fn is_identity(&self) -> bool {
        self.result == Argument::Value
    }

    /// Evaluates a block of `n` numbers. The result is one number, a run of a leaf or register, or
    /// `out` where it is given and a step had to write the result.
    ///
    /// # Safety
    /// The leaves' runs, `out` and the registers' blocks have `n` numbers, `values` is as long as
    /// there are registers; `out` and registers are nobody else's memory.
    pub unsafe fn run<N: Stored>(
        &self,
        level: Level,
        n: usize,
        leaves: &Leaves<'_, N>,
        registers: &mut Registers<'_, N>,
        out: Option<*mut N>,
    ) -> Values<N> {
        for (at, step) in self.steps.iter().enumerate() {
            let arguments = step.arguments.map(|a| read(a, leaves, registers.values));
            let count = match step.operation {
                Operation::Binary(_) => 2,
                Operation::Select => 3,
                _ => 1,
            };
            let mut single = N::ZERO;
            let constant = arguments[..count].iter().all(|v| matches!(v, Values::One(_)));
            let (to, n) = match out {
                _ if constant => (&raw mut single, 1),
                Some(out) if at + 1 == self.steps.len() => (out, n),
                // SAFETY: the caller gives as many blocks as the tape has registers.
                _ => (unsafe { registers.start.add(step.register * registers.block) }, n),
            };
            // SAFETY: `to` is no argument's memory, because registers are given back after a
            // step's use of them; the runs have `n` numbers, and of a constant one is made.
            unsafe { run_step(level, step.operation, arguments, to, n) };
            registers.values[step.register] = if constant { Values::One(single) } else { Values::Run(to) };
        }
        read(self.result, leaves, registers.values)
    }
}

#[inline]
fn read<N: Stored>(argument: Argument, leaves: &Leaves<'_, N>, registers: &[Values<N>]) -> Values<N> {
    match argument {
        Argument::Value => leaves.value,
        Argument::Input(i) => leaves.inputs[i],
        Argument::Index(d) => leaves.indices[d],
        Argument::Const(c) => Values::One(N::of(c)),
        Argument::Register(r) => registers[r],
    }
}

/// # Safety
/// As [`lane::Lane::unary_run`]; where an argument is one number, `n` is 1 or the operation takes two.
unsafe fn run_step<N: Stored>(level: Level, operation: Operation, [x, y, z]: [Values<N>; 3], out: *mut N, n: usize) {
    let first = match &x {
        Values::One(x) => x as *const N,
        Values::Run(x) => *x,
    };
    // SAFETY: the caller's promise.
    unsafe {
        match operation {
            Operation::Unary(op) => N::unary_run(level, op, first, out, n),
            Operation::Round(dtype) => N::round_run(level, dtype, first, out, n),
            Operation::Random(stream) => N::random_run(level, stream, first, out, n),
            Operation::Binary(op) => N::binary_run(level, op, x, y, out, n),
            Operation::Select => N::select_run(level, [x, y, z], out, n),
        }
    }
}

/// Appends the steps of `expr` that are not there yet; where its result is.
fn flatten(expr: &Expr, steps: &mut Vec<Flat>) -> Argument {
    let mut arguments = [Argument::Const(0.0); 3];
    for (argument, part) in arguments.iter_mut().zip(expr.parts()) {
        *argument = flatten(part, steps);
    }
    let operation = match expr {
        Expr::Value => return Argument::Value,
        Expr::Input(i) => return Argument::Input(*i),
        Expr::Index(d) => return Argument::Index(*d),
        Expr::Const(c) => return Argument::Const(*c),
        Expr::Unary(op, _) => Operation::Unary(*op),
        Expr::Binary(op, ..) => Operation::Binary(*op),
        Expr::Select(..) => Operation::Select,
        Expr::Round(dtype, _) => Operation::Round(*dtype),
        Expr::Random(stream, _) => Operation::Random(*stream),
    };
    // 0.0 and −0.0 are equal, but not the same constant.
    let bits = |a: &Argument| if let Argument::Const(c) = a { c.to_bits() } else { 0 };
    let same = |(o, a): &Flat| *o == operation && *a == arguments && a.iter().map(bits).eq(arguments.iter().map(bits));
    let at = steps.iter().position(same).unwrap_or_else(|| {
        steps.push((operation, arguments));
        steps.len() - 1
    });
    Argument::Register(at)
}
