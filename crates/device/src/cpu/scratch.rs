//! Memory that a thread's kernels work in, kept between launches.

use std::cell::RefCell;

/// A cache line.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line(#[allow(dead_code, reason = "only its address is used")] [u8; 64]);

thread_local! {
    /// What is not in use; a kernel within a kernel takes another one.
    static SPARE: RefCell<Vec<Vec<Line>>> = const { RefCell::new(Vec::new()) };
}

/// Bytes that a thread keeps of one piece of memory.
const KEPT: usize = 16 << 20;

/// Calls `work` with room for `count` numbers at a multiple of 64 bytes. Their values are
/// whatever was there.
pub fn with<N: bytemuck::Pod, R>(count: usize, work: impl FnOnce(&mut [N]) -> R) -> R {
    let lines = (count * size_of::<N>()).div_ceil(size_of::<Line>()).max(1);
    let mut memory = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
    if memory.len() < lines {
        memory.resize(lines, Line([0; 64]));
    }
    // SAFETY: the lines are initialised, aligned to 64 and at least as long; any bytes are an `N`.
    let result = work(unsafe { std::slice::from_raw_parts_mut(memory.as_mut_ptr().cast::<N>(), count) });
    if memory.len() * size_of::<Line>() <= KEPT {
        SPARE.with_borrow_mut(|spare| spare.push(memory));
    }
    result
}
