//! An expression over a space, evaluated block by block.

use super::space::{Access, Place, Space};
use super::tape::convert::Stored;
use super::tape::lane::Values;
use super::tape::level::Level;
use super::tape::{Leaves, Registers, Tape};
use kernelsmith_core::Expr;
use kernelsmith_core::layout::MAX_RANK;
use kernelsmith_core::ops::leaf::{Leaf, MAX_INPUTS};

/// A compiled expression with the arrays that it reads.
#[derive(Debug)]
pub struct Evaluator {
    pub tape: Tape,
    pub space: Space,
    inputs: Vec<Access>,
}

/// Registers that need no allocation.
const FEW: usize = 32;

impl Evaluator {
    pub fn new(expr: &Expr, space: Space, inputs: &[Leaf]) -> Evaluator {
        let inputs = inputs.iter().map(|l| space.access(l.dtype, &l.layout)).collect();
        Evaluator { tape: Tape::new(expr), space, inputs }
    }

    /// The array of an input.
    pub fn input(&self, i: usize) -> &Access {
        &self.inputs[i]
    }

    /// Blocks of numbers that an evaluation works in.
    pub fn blocks(&self) -> usize {
        self.tape.registers + self.tape.inputs.len() + self.tape.indices.len()
    }

    /// Evaluates the expression at a place; `value` is the op's result there. The numbers are one
    /// for all, or a run in an input, in `value`, in `room` or at `out`, which the last step
    /// writes where it is given.
    ///
    /// # Safety
    /// `buffers` are the inputs', checked against their layouts and aligned. `room` has
    /// [`Evaluator::blocks`] blocks of `block` numbers, at least `place.n`; so many are at `out`.
    #[inline]
    pub unsafe fn evaluate<N: Stored>(
        &self,
        level: Level,
        buffers: &[*const u8],
        place: &Place,
        value: Values<N>,
        (room, block): (*mut N, usize),
        out: Option<*mut N>,
    ) -> Values<N> {
        let mut inputs = [Values::One(N::ZERO); MAX_INPUTS];
        let mut indices = [Values::One(N::ZERO); MAX_RANK];
        let mut free = room;
        // SAFETY: the caller's promise, here and below: `blocks` counts these in.
        let mut next = || unsafe {
            let this = free;
            free = free.add(block);
            this
        };
        for &i in &self.tape.inputs {
            // SAFETY: as above.
            inputs[i] = unsafe { self.space.read(level, &self.inputs[i], buffers[i], place, next()) };
        }
        for &d in &self.tape.indices {
            // SAFETY: as above.
            indices[d] = unsafe { self.space.positions(d, place, next()) };
        }
        let leaves = Leaves { value, inputs: &inputs, indices: &indices };
        let mut few = [Values::One(N::ZERO); FEW];
        let mut many = Vec::new();
        let values = match few.get_mut(..self.tape.registers) {
            Some(few) => few,
            None => {
                many.resize(self.tape.registers, Values::One(N::ZERO));
                &mut many[..]
            }
        };
        // SAFETY: as above.
        unsafe { self.tape.run(level, place.n, &leaves, &mut Registers { start: next(), block, values }, out) }
    }
}
