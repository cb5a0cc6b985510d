//! What a kernel works out once for a problem: kept by each thread, found again by the problem's
//! address, so that a launch of a few hundred nanoseconds does not compile its expression anew.

use super::kernel::CpuKernelError;
use kernelsmith_core::Problem;
use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::rc::Rc;

/// Problems that a thread remembers.
const SLOTS: usize = 512;

struct Slot {
    /// Keeps the problem alive, so that its address stays its own.
    problem: Problem,
    kind: TypeId,
    plan: Rc<dyn Any>,
}

thread_local! {
    static SLOTS_OF_THREAD: RefCell<Vec<Option<Slot>>> = const { RefCell::new(Vec::new()) };
}

fn address(problem: &Problem) -> usize {
    (&raw const **problem).cast::<()>() as usize
}

/// The `P` of a problem: the one that `make` gave when this thread asked last, or a new one.
pub fn plan<P: 'static>(
    problem: &Problem,
    make: impl FnOnce() -> Result<P, CpuKernelError>,
) -> Result<Rc<P>, CpuKernelError> {
    let (key, kind) = (address(problem), TypeId::of::<P>());
    let at = (key >> 4).wrapping_mul(0x9e37_79b1) >> 7 & (SLOTS - 1);
    let found = SLOTS_OF_THREAD.with_borrow(|slots| {
        let slot = slots.get(at)?.as_ref()?;
        (address(&slot.problem) == key && slot.kind == kind).then(|| slot.plan.clone())
    });
    if let Some(plan) = found.and_then(|p| p.downcast().ok()) {
        return Ok(plan);
    }
    let plan = Rc::new(make()?);
    let slot = Slot { problem: problem.clone(), kind, plan: plan.clone() };
    SLOTS_OF_THREAD.with_borrow_mut(|slots| {
        if slots.is_empty() {
            slots.resize_with(SLOTS, || None);
        }
        slots[at] = Some(slot);
    });
    Ok(plan)
}
