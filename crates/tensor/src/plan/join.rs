//! Parts of a joined buffer that are computed where they belong.
//!
//! A part with no other reader is written to its place by its own launch (`fuse.rs`). One that others
//! read too has a slot, and a launch copies it. Where the copy changes nothing but the place, the slot
//! becomes a piece of the joined buffer, and the copy goes.

use super::{Inside, Slot, Step};
use kernelsmith_core::Expr;
use kernelsmith_core::ops::map::MapProblem;

/// Bytes that a piece must begin at a multiple of: kernels count on it for a buffer of its own.
const ALIGNMENT: usize = 16;

/// Removes the copies. Nobody outside the plan sees the slots of `roots` as pieces.
pub(super) fn join(steps: &mut Vec<Step>, slots: &mut [Slot], roots: &[usize]) {
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); slots.len()];
    // One without reads clears what no part covers, after the parts were computed.
    let mut cleared = vec![false; slots.len()];
    for (at, step) in steps.iter().enumerate() {
        step.reads.iter().for_each(|read| readers[read.slot].push(at));
        cleared[step.writes] |= step.reads.is_empty();
    }
    let mut kept = vec![false; slots.len()];
    roots.iter().for_each(|root| kept[*root] = true);
    let mut pieces: Vec<Vec<usize>> = vec![Vec::new(); slots.len()];
    let mut gone = vec![false; steps.len()];
    for at in 0..steps.len() {
        let Some((slot, offset)) = piece(&steps[at], slots) else { continue };
        let whole = steps[at].writes;
        let around = around(slots, whole);
        // A launch with the whole buffer as its output must not read a piece of it.
        let reads_itself = |slot: usize| {
            let mut left = readers[slot].iter().filter(|step| **step != at && !gone[**step]);
            left.any(|step| around.contains(&steps[*step].writes))
        };
        let clash = around.iter().any(|slot| cleared[*slot])
            || around.contains(&slot)
            || within(&pieces, slot).into_iter().any(reads_itself);
        if !clash && !kept[slot] {
            slots[slot].inside = Some(Inside { slot: whole, offset });
            pieces[whole].push(slot);
            gone[at] = true;
        }
    }
    let mut gone = gone.into_iter();
    steps.retain(|_| !gone.next().unwrap_or(false));
}

/// A slot, and all that it is a piece of.
fn around(slots: &[Slot], slot: usize) -> Vec<usize> {
    std::iter::successors(Some(slot), |slot| slots[*slot].inside.map(|inside| inside.slot)).collect()
}

/// A slot, and all that are pieces of it.
fn within(pieces: &[Vec<usize>], slot: usize) -> Vec<usize> {
    let mut all = vec![slot];
    let mut next = 0;
    while let Some(slot) = all.get(next) {
        all.extend(&pieces[*slot]);
        next += 1;
    }
    all
}

/// The slot that a step copies as a whole to one stretch of another, and the byte it begins at there.
fn piece(step: &Step, slots: &[Slot]) -> Option<(usize, usize)> {
    let [read] = step.reads[..] else { return None };
    let problem = step.problem.downcast::<MapProblem>()?;
    let (from, to) = (problem.inputs.first()?, &problem.out);
    let slot = &slots[read.slot];
    let whole = problem.expr == Expr::Input(0)
        && from.dtype == to.dtype
        && from.layout.is_contiguous()
        && to.layout.is_contiguous()
        && from.layout.offset() == 0
        && from.layout.len() * read.element == slot.bytes
        && read.base == 0
        && read.edge.is_none();
    let offset = to.layout.offset() * read.element;
    let free = slot.source.is_none() && slot.inside.is_none() && read.slot != step.writes;
    (whole && free && offset.is_multiple_of(ALIGNMENT)).then_some((read.slot, offset))
}
