//! Packing: the elements of one step of k side by side.

use super::super::element::{Accumulator, Element};
use super::super::lanes::Widen;

/// Columns of B (or rows of A) that are contiguous along k, side by side: WIDTH of them, `b_column`
/// apart, by whole squares of WIDTH steps of k.
pub struct Turn<T: Element> {
    pub b: *const T,
    pub b_column: isize,
    pub squares: usize,
    pub to: *mut T::Acc,
    pub to_step: usize,
}

/// # Safety
/// The CPU has the instruction set; WIDTH columns of `squares`·WIDTH elements can be read, as many
/// steps of WIDTH numbers, `to_step` apart, written.
#[inline(always)]
pub unsafe fn turn<T: Element, L: Widen<T>>(t: &Turn<T>) {
    const MOST: usize = 16;
    let mut square = [T::Acc::ZERO; MOST * MOST];
    let width = L::WIDTH;
    // SAFETY: the caller's contract; a square of the widest vectors fits.
    unsafe {
        for s in 0..t.squares {
            for column in 0..width {
                let from = t.b.wrapping_offset(column as isize * t.b_column).add(s * width);
                L::store(square.as_mut_ptr().add(column * width), L::widen(from));
            }
            L::transpose(square.as_ptr(), t.to.add(s * width * t.to_step), t.to_step);
        }
    }
}

/// Rows of B that are contiguous along n (or columns of A along m), `b_step` apart, to the steps of a
/// panel: whole vectors.
pub struct Straight<T: Element> {
    pub b: *const T,
    pub b_step: isize,
    pub steps: usize,
    pub vectors: usize,
    pub to: *mut T::Acc,
    pub to_step: usize,
}

/// # Safety
/// The CPU has the instruction set; `vectors` vectors can be read from each row and written to each step.
#[inline(always)]
pub unsafe fn straight<T: Element, L: Widen<T>>(t: &Straight<T>) {
    let (mut from, mut to) = (t.b, t.to);
    for _ in 0..t.steps {
        for v in 0..t.vectors {
            // SAFETY: the caller's contract.
            unsafe { L::store(to.add(v * L::WIDTH), L::widen(from.add(v * L::WIDTH))) };
        }
        from = from.wrapping_offset(t.b_step);
        to = to.wrapping_add(t.to_step);
    }
}
