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
    let mut gone = vec![false; steps.len()];
    for at in 0..steps.len() {
        let Some((slot, offset)) = piece(&steps[at], slots) else { continue };
        let whole = steps[at].writes;
        let left = || steps.iter().enumerate().filter(|(i, _)| *i != at && !gone[*i]).map(|(_, step)| step);
        // Launches with the whole buffer as their output must not read a piece of it; one without
        // reads clears what no part covers, after the parts were computed.
        let clash = left()
            .filter(|step| within(slots, whole, step.writes))
            .any(|step| step.reads.is_empty() || step.reads.iter().any(|read| within(slots, read.slot, slot)));
        if !clash && !roots.contains(&slot) && !within(slots, whole, slot) {
            slots[slot].inside = Some(Inside { slot: whole, offset });
            gone[at] = true;
        }
    }
    let mut gone = gone.into_iter();
    steps.retain(|_| !gone.next().unwrap_or(false));
}

/// Whether a slot is a piece of another, or of what that one is a piece of.
fn within(slots: &[Slot], mut slot: usize, of: usize) -> bool {
    loop {
        if slot == of {
            return true;
        }
        let Some(inside) = slots[slot].inside else { return false };
        slot = inside.slot;
    }
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
