//! The tile: sums in registers while k runs.

use super::super::element::{Accumulator, Element};
use super::super::lanes::Lanes;

/// Vectors of columns of a tile.
pub const VECTORS: usize = 2;
/// Most rows of a tile of any instruction set.
const MOST_ROWS: usize = 12;

/// Σ over `k` of a tile's rows of A with a packed panel of B, to `sums` or added to what is there.
pub struct Tile<T: Element, A> {
    pub k: usize,
    pub a: *const A,
    pub a_row: isize,
    pub a_step: isize,
    /// `k` times two vectors.
    pub b: *const T::Acc,
    pub sums: *mut T::Acc,
    pub stride: usize,
    pub add: bool,
}

/// What a tile reads A from: the operand itself, or numbers that were packed.
pub trait Factor<A: Accumulator>: Copy {
    fn number(self) -> A;
}

impl<T: Element> Factor<T::Acc> for Direct<T> {
    #[inline(always)]
    fn number(self) -> T::Acc {
        self.0.widen()
    }
}

impl<A: Accumulator> Factor<A> for Packed<A> {
    #[inline(always)]
    fn number(self) -> A {
        self.0
    }
}

#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Direct<T>(T);
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Packed<A>(A);

/// What lies side by side in the A of a tile: known when the loop is compiled, it costs no arithmetic
/// on addresses, which would take turns with the multiply-adds at the same ports.
pub const ROWS_TOUCH: u8 = 0;
pub const STEPS_TOUCH: u8 = 1;
pub const NOTHING_TOUCHES: u8 = 2;
/// Steps of k of one round of a tile's loop.
const UNROLL: usize = 4;

/// # Safety
/// The CPU has the instruction set; A can be read at ROWS × k places, lying as `LIES` says; `b` holds
/// k panels' rows, and ROWS rows of two vectors, `stride` apart, can be written to `sums`.
#[inline(always)]
pub unsafe fn tile<T: Element, L: Lanes<T::Acc>, A: Factor<T::Acc>, const ROWS: usize, const LIES: u8>(t: &Tile<T, A>) {
    let a_row = if LIES == ROWS_TOUCH { 1 } else { t.a_row };
    let a_step = if LIES == STEPS_TOUCH { 1 } else { t.a_step };
    // Three rows' distance is a number of its own: an address is a register and once or twice another.
    let a_three = std::hint::black_box(3 * a_row);
    // SAFETY: the caller's contract.
    unsafe {
        let mut sums = [[L::splat(T::Acc::ZERO); VECTORS]; ROWS];
        // Four rows a pointer; one is enough where rows touch.
        let mut a: [*const A; MOST_ROWS / 4] = std::array::from_fn(|i| t.a.wrapping_offset(4 * i as isize * a_row));
        let mut b = t.b;
        let mut step = |a: &[*const A; MOST_ROWS / 4], b: *const T::Acc, u: isize| {
            let columns: [L::Vector; VECTORS] = std::array::from_fn(|v| L::load(b.add(v * L::WIDTH)));
            for (i, sums) in sums.iter_mut().enumerate() {
                let at = match i % 4 {
                    _ if LIES == ROWS_TOUCH => a[0].wrapping_add(i),
                    3 => a[i / 4].wrapping_offset(a_three),
                    r => a[i / 4].wrapping_offset(r as isize * a_row),
                };
                let x = L::splat(at.wrapping_offset(u * a_step).read().number());
                for (sum, column) in sums.iter_mut().zip(columns) {
                    *sum = L::multiply_add(x, column, *sum);
                }
            }
        };
        let pointers = if LIES == ROWS_TOUCH { 1 } else { ROWS.div_ceil(4) };
        let ahead = |a: &mut [*const A; MOST_ROWS / 4], steps: isize| {
            a[..pointers].iter_mut().for_each(|p| *p = p.wrapping_offset(steps * a_step));
        };
        for _ in 0..t.k / UNROLL {
            for u in 0..UNROLL {
                // Where steps touch, their distances are constants; else the pointers move with each.
                step(&a, b.add(u * VECTORS * L::WIDTH), if LIES == STEPS_TOUCH { u as isize } else { 0 });
                if LIES != STEPS_TOUCH {
                    ahead(&mut a, 1);
                }
            }
            if LIES == STEPS_TOUCH {
                ahead(&mut a, UNROLL as isize);
            }
            b = b.add(UNROLL * VECTORS * L::WIDTH);
        }
        for _ in 0..t.k % UNROLL {
            step(&a, b, 0);
            ahead(&mut a, 1);
            b = b.add(VECTORS * L::WIDTH);
        }
        for (i, sums) in sums.into_iter().enumerate() {
            for (v, sum) in sums.into_iter().enumerate() {
                let to = t.sums.add(i * t.stride + v * L::WIDTH);
                L::store(to, if t.add { L::add(L::load(to), sum) } else { sum });
            }
        }
    }
}
