//! Row operations over rows that stay in the caches.
//!
//! Idea: the prologue's results of a row (or of several short rows: BLOCK points) go to a block of
//! numbers, or are read where they are. Each pass over it is one vector loop: the extreme, the
//! exponentials and their sum in 64 chains, the scaled result. The epilogue is a tape over the
//! same block, and its last step writes to the output. Rows are independent: THREADS share them.
//!
//! Bound: memory, each array once, while a row fits the second-level cache; a softmax of short
//! rows is bound by its exponentials.
//!
//! `smith bench row --problem kind=softmax,rows=4096,columns=1024,x0=f32,out=f32 --candidate blocks`

use super::passes::{self, Statistics};
use super::short;
use crate::cpu::evaluator::Evaluator;
use crate::cpu::kernel::{CpuCall, CpuKernelError};
use crate::cpu::launch::{self, Buffers, Checks};
use crate::cpu::space::{Access, Place, Space};
use crate::cpu::tape::convert::Stored;
use crate::cpu::tape::lane::Values;
use crate::cpu::tape::level::Level;
use crate::cpu::{operands, prepared, scratch};
use kernelsmith_core::ops::OpProblem;
use kernelsmith_core::ops::leaf::Leaf;
use kernelsmith_core::ops::row::{RowKind, RowProblem};
use kernelsmith_core::{DType, Layout};

/// Points that are worth another thread.
const GRAIN: usize = 1 << 14;

struct Plan {
    checks: Checks,
    kind: RowKind,
    eps: f64,
    /// Over rows and columns.
    prologue: Evaluator,
    /// Over rows and columns, or over rows for a kind that reduces.
    epilogue: Evaluator,
    out: Access,
    /// The labels' input, over rows.
    label: Option<(usize, Space, Access)>,
    rows: usize,
    columns: usize,
    double: bool,
    level: Level,
}

impl Plan {
    fn new(problem: &RowProblem, level: Level) -> Result<Plan, CpuKernelError> {
        let checks = Checks::new(problem.operands())?;
        let p = problem.clone().canonical();
        let shape = p.shape();
        let rows = &shape[..shape.len() - 1];
        // An array over the rows alone, at the first column.
        let over_rows = |l: &Leaf| {
            let layout = Layout::strided(rows, &l.layout.strides()[..rows.len()], l.layout.offset());
            layout.map(|layout| Leaf::new(l.dtype, layout)).map_err(|e| CpuKernelError(e.to_string()))
        };
        let thin = p.inputs.iter().map(over_rows).collect::<Result<Vec<_>, _>>()?;
        let target = if p.kind.reduces() { rows } else { shape };
        let inputs = if p.kind.reduces() { &thin } else { &p.inputs };
        let label = p.label.map(|i| {
            let space = Space::new(rows);
            let access = space.access(thin[i].dtype, &thin[i].layout);
            (i, space, access)
        });
        Ok(Plan {
            checks,
            kind: p.kind,
            eps: p.eps,
            prologue: Evaluator::new(&p.expr, Space::new(shape), &p.inputs),
            out: Space::new(target).access(p.out.dtype, &p.out.layout),
            epilogue: Evaluator::new(&p.post, Space::new(target), inputs),
            label,
            rows: p.rows(),
            columns: p.columns(),
            double: problem.arithmetic() == DType::F64,
            level,
        })
    }
}

pub fn run(call: &mut CpuCall<'_>) -> Result<(), CpuKernelError> {
    let problem: &RowProblem = operands::problem(call, "row")?;
    let plan = prepared::plan(call.problem, || Plan::new(problem, Level::best()))?;
    let buffers = plan.checks.buffers(call)?;
    let (threads, block) = (launch::threads(call), launch::parameter(call, "BLOCK", 2048));
    if plan.double {
        plan.run::<f64>(&buffers, threads, block)
    } else {
        plan.run::<f32>(&buffers, threads, block)
    }
    Ok(())
}

impl Plan {
    fn run<N: Stored>(&self, buffers: &Buffers, threads: usize, block: usize) {
        let group = (block / self.columns).max(1);
        let each = GRAIN / (group * self.columns);
        launch::share(threads, self.rows.div_ceil(group), each, &|from, to| {
            let size = group * self.columns;
            // Prologue, results, what the output is converted from, and the evaluators' own.
            let parts = block.max(16).next_multiple_of(16);
            let own = self.prologue.blocks().max(self.epilogue.blocks());
            let whole = size.next_multiple_of(16);
            scratch::with::<N, ()>(2 * whole + (own + 1) * parts.max(group), |room| {
                let (x, rest) = room.split_at_mut(whole);
                let (y, rest) = rest.split_at_mut(whole);
                for unit in from..to {
                    let rows = unit * group..self.rows.min((unit + 1) * group);
                    self.rows(buffers, rows, x, y, (rest, parts.max(group)));
                }
            });
        });
    }

    /// A group of rows: `x` and `y` have room for them, `rest` for the evaluators and one block more.
    fn rows<N: Stored>(
        &self,
        buffers: &Buffers,
        rows: std::ops::Range<usize>,
        x: &mut [N],
        y: &mut [N],
        (rest, block): (&mut [N], usize),
    ) {
        let columns = self.columns;
        let points = rows.len() * columns;
        let from = self.prologue(buffers, rows.start * columns, points, x, (rest, block));
        // SAFETY: `points` numbers in an input or in `x`, which nobody writes now.
        let x = unsafe { std::slice::from_raw_parts(from, points) };
        let results = if self.kind.reduces() { rows.len() } else { points };
        let column = |row: usize| self.label.as_ref().map(|l| self.read_label(l, buffers, row));
        if self.kind.reduces() {
            if columns <= short::COLUMNS {
                let label = |i: usize| column(rows.start + i);
                short::cross_entropy(self.level, x, &mut y[..rows.len()], columns, &label);
            } else {
                for (i, row) in rows.clone().enumerate() {
                    y[i] = passes::cross_entropy(self.level, &x[i * columns..][..columns], column(row));
                }
            }
        } else if self.epilogue.tape.is_identity()
            && let Some(to) = self.direct::<N>(buffers, rows.start * columns, points)
        {
            // SAFETY: `points` elements of the output that are this thread's.
            let to = unsafe { std::slice::from_raw_parts_mut(to, points) };
            return self.pass(x, to, rows, &column);
        } else {
            self.pass(x, &mut y[..points], rows.clone(), &column);
        }
        let start = if self.kind.reduces() { rows.start } else { rows.start * columns };
        self.finish(buffers, start, &y[..results], (rest, block));
    }

    fn pass<N: Stored>(
        &self,
        x: &[N],
        y: &mut [N],
        rows: std::ops::Range<usize>,
        column: &impl Fn(usize) -> Option<i32>,
    ) {
        let how = Statistics { kind: self.kind, eps: self.eps, level: self.level };
        let few = self.columns <= short::COLUMNS;
        if few {
            short::rows(&how, x, y, self.columns);
        }
        if few && self.label.is_none() {
            return;
        }
        for ((x, y), row) in x.chunks_exact(self.columns).zip(y.chunks_exact_mut(self.columns)).zip(rows) {
            if !few {
                how.row(x, y);
            }
            if let Some(label) = column(row).and_then(|l| usize::try_from(l).ok()).and_then(|l| y.get_mut(l)) {
                *label = *label - N::of(1.0);
            }
        }
    }

    fn read_label(&self, (input, space, access): &(usize, Space, Access), buffers: &Buffers, row: usize) -> i32 {
        let mut label = 0.0;
        // SAFETY: the buffers were checked; one number is read. An i32 is exact in f64.
        let found =
            unsafe { space.read(self.level, access, buffers.inputs[*input], &space.place(row, 1), &raw mut label) };
        match found {
            Values::One(x) => x as i32,
            Values::Run(_) => label as i32,
        }
    }

    /// Where the results of `n` points go if the output holds them as they are.
    fn direct<N: Stored>(&self, buffers: &Buffers, start: usize, n: usize) -> Option<*mut N> {
        let space = &self.epilogue.space;
        // SAFETY: the output was checked against its layout.
        unsafe { space.direct(&self.out, buffers.output, &space.place(start, n)) }
    }

    /// The prologue's results of `n` points from `start` on: in an input, or in `x`.
    fn prologue<N: Stored>(
        &self,
        buffers: &Buffers,
        start: usize,
        n: usize,
        x: &mut [N],
        (rest, block): (&mut [N], usize),
    ) -> *const N {
        let evaluator = &self.prologue;
        let space = &evaluator.space;
        if let Some(i) = evaluator.tape.is_input() {
            let place = space.place(start, n);
            // SAFETY: the buffers were checked; `x` has `n` numbers.
            let found =
                unsafe { space.read(self.level, evaluator.input(i), buffers.inputs[i], &place, x.as_mut_ptr()) };
            return match found {
                Values::Run(from) => from,
                Values::One(value) => {
                    x[..n].fill(value);
                    x.as_ptr()
                }
            };
        }
        self.parts(space, start, n, block, &mut |place, at| {
            // SAFETY: `at + place.n` is at most `n`, and `rest` is room for the evaluator.
            unsafe {
                let (to, room) = (x.as_mut_ptr().add(at), (rest.as_mut_ptr(), block));
                let value = Values::One(N::ZERO);
                match evaluator.evaluate(self.level, &buffers.inputs, place, value, room, Some(to)) {
                    Values::One(value) => std::slice::from_raw_parts_mut(to, place.n).fill(value),
                    Values::Run(from) if from == to.cast_const() => {}
                    Values::Run(from) => std::ptr::copy_nonoverlapping(from, to, place.n),
                }
            }
        });
        x.as_ptr()
    }

    /// Cuts points into places of at most `block` points.
    fn parts(&self, space: &Space, start: usize, n: usize, block: usize, f: &mut dyn FnMut(&Place, usize)) {
        let mut at = 0;
        while at < n {
            let count = space.cut(start + at, start + n, block);
            f(&space.place(start + at, count), at);
            at += count;
        }
    }

    /// The epilogue of results from point `start` on, and their stores.
    fn finish<N: Stored>(&self, buffers: &Buffers, start: usize, y: &[N], (rest, block): (&mut [N], usize)) {
        let (evaluator, level) = (&self.epilogue, self.level);
        let space = &evaluator.space;
        let (spare, rest) = rest.split_at_mut(block);
        self.parts(space, start, y.len(), block, &mut |place, at| {
            // SAFETY: the buffers were checked; the rooms hold a block each; rows are disjoint, so
            // nobody else writes this place.
            unsafe {
                let direct = space.direct::<N>(&self.out, buffers.output, place);
                let target = direct.unwrap_or(spare.as_mut_ptr());
                let (value, room) = (Values::Run(y.as_ptr().add(at)), (rest.as_mut_ptr(), block));
                let from = match evaluator.evaluate(level, &buffers.inputs, place, value, room, Some(target)) {
                    Values::Run(x) => x,
                    Values::One(x) => {
                        std::slice::from_raw_parts_mut(target, place.n).fill(x);
                        target.cast_const()
                    }
                };
                match direct {
                    Some(to) if from == to.cast_const() => {}
                    Some(to) => std::ptr::copy_nonoverlapping(from, to, place.n),
                    None => space.write(level, &self.out, from, place, buffers.output),
                }
            }
        });
    }
}
