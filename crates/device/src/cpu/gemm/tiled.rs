//! Products of many rows: tiles of D in registers, B packed once for all threads, the epilogue on
//! sums that are still in a near cache.
//!
//! Idea: a tile is ROWS rows by two vectors of columns; its sums stay in registers while k runs, and
//! each step reads two vectors of B and one number of A for each row. B is packed so that the two
//! vectors of one k lie side by side (where it is contiguous along k that is a transposition, a
//! square of vectors at a time). A is read where it lies, or packed too (PACK_A: long rows whose
//! strides are round numbers fall into the same sets of the cache). THREADS shares first the
//! packing, then blocks of MC rows by NC columns; sums over more than KC of k are added up in a
//! block's scratch. One sum is always taken in the same order.
//!
//! Bound: the cores' fused multiply-adds: two vectors a clock and core. Packing touches each element
//! of B once.
//!
//! `smith bench gemm --problem m=256,n=128,k=784,dtype=f32,layout=nt,epilogue=bias+relu --candidate tiled`

use super::args::{Args, for_element, gather};
use super::element::{Accumulator, Element};
#[cfg(target_arch = "x86_64")]
use super::lanes::{Avx2, Avx512};
use super::lanes::{InstructionSet, Lanes, Portable, Widen};
use super::team;
use crate::cpu::kernel::{CpuCall, CpuKernelError};
use crate::cpu::scratch;
use std::any::TypeId;

pub fn run(call: &mut CpuCall<'_>) -> Result<(), CpuKernelError> {
    for_element!(call, product)
}

/// Vectors of columns of a tile.
const VECTORS: usize = 2;
/// Most rows of a tile of any instruction set.
const MOST_ROWS: usize = 12;
/// Bytes of B that are packed at a time: what the threads then read again and again.
const PACKED: usize = 8 << 20;
/// Steps of k that are packed as one piece of work.
const PACK_STEPS: usize = 256;

/// Σ over `k` of a tile's rows of A with a packed panel of B, to `sums` or added to what is there.
struct Tile<T: Element, A> {
    k: usize,
    a: *const A,
    a_row: isize,
    a_step: isize,
    /// `k` times two vectors.
    b: *const T::Acc,
    sums: *mut T::Acc,
    stride: usize,
    add: bool,
}

/// What a tile reads A from: the operand itself, or numbers that were packed.
trait Factor<A: Accumulator>: Copy {
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
struct Direct<T>(T);
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Packed<A>(A);

/// What lies side by side in the A of a tile: known when the loop is compiled, it costs no arithmetic
/// on addresses, which would take turns with the multiply-adds at the same ports.
const ROWS_TOUCH: u8 = 0;
const STEPS_TOUCH: u8 = 1;
const NOTHING_TOUCHES: u8 = 2;
/// Steps of k of one round of a tile's loop.
const UNROLL: usize = 4;

/// # Safety
/// The CPU has the instruction set; A can be read at ROWS × k places, lying as `LIES` says; `b` holds
/// k panels' rows, and ROWS rows of two vectors, `stride` apart, can be written to `sums`.
#[inline(always)]
unsafe fn tile<T: Element, L: Lanes<T::Acc>, A: Factor<T::Acc>, const ROWS: usize, const LIES: u8>(t: &Tile<T, A>) {
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

/// Columns of B (or rows of A) that are contiguous along k, side by side: WIDTH of them, `b_column`
/// apart, by whole squares of WIDTH steps of k.
struct Turn<T: Element> {
    b: *const T,
    b_column: isize,
    squares: usize,
    to: *mut T::Acc,
    to_step: usize,
}

/// # Safety
/// The CPU has the instruction set; WIDTH columns of `squares`·WIDTH elements can be read, as many
/// steps of WIDTH numbers, `to_step` apart, written.
#[inline(always)]
unsafe fn turn<T: Element, L: Widen<T>>(t: &Turn<T>) {
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
struct Straight<T: Element> {
    b: *const T,
    b_step: isize,
    steps: usize,
    vectors: usize,
    to: *mut T::Acc,
    to_step: usize,
}

/// # Safety
/// The CPU has the instruction set; `vectors` vectors can be read from each row and written to each step.
#[inline(always)]
unsafe fn straight<T: Element, L: Widen<T>>(t: &Straight<T>) {
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

type Kernel<W> = unsafe fn(&W);

/// The instances for one instruction set.
struct Kernels<T: Element> {
    /// Rows of a tile and its kernels, the largest first, one row last.
    tiles: &'static [usize],
    /// By what lies side by side in A.
    direct: [[Kernel<Tile<T, Direct<T>>>; 5]; 3],
    packed: [Kernel<Tile<T, Packed<T::Acc>>>; 5],
    turn: Kernel<Turn<T>>,
    straight: Kernel<Straight<T>>,
    /// Numbers of a vector.
    width: usize,
}

trait Tiled: Element {
    fn kernels(set: InstructionSet) -> Kernels<Self>;
}

/// A module of instances: functions compiled with the features of an instruction set.
macro_rules! instances {
    ($module:ident, $lanes:ident, ($($feature:literal),*), [$($rows:literal),*]) => {
        mod $module {
            use super::*;

            /// # Safety
            /// As [`tile`].
            $(#[target_feature(enable = $feature)])*
            unsafe fn tile_instance<T: Element, A: Factor<T::Acc>, const ROWS: usize, const LIES: u8>(t: &Tile<T, A>)
            where
                $lanes: Lanes<T::Acc>,
            {
                // SAFETY: the caller's contract is the same.
                unsafe { tile::<T, $lanes, A, ROWS, LIES>(t) }
            }

            /// # Safety
            /// As [`turn`].
            $(#[target_feature(enable = $feature)])*
            unsafe fn turn_instance<T: Element>(t: &Turn<T>)
            where
                $lanes: Widen<T>,
            {
                // SAFETY: the caller's contract is the same.
                unsafe { turn::<T, $lanes>(t) }
            }

            /// # Safety
            /// As [`straight`].
            $(#[target_feature(enable = $feature)])*
            unsafe fn straight_instance<T: Element>(t: &Straight<T>)
            where
                $lanes: Widen<T>,
            {
                // SAFETY: the caller's contract is the same.
                unsafe { straight::<T, $lanes>(t) }
            }

            pub fn kernels<T: Element>() -> Kernels<T>
            where
                $lanes: Widen<T>,
            {
                Kernels {
                    tiles: &[$($rows),*],
                    direct: [
                        [$(tile_instance::<T, Direct<T>, $rows, ROWS_TOUCH>),*],
                        [$(tile_instance::<T, Direct<T>, $rows, STEPS_TOUCH>),*],
                        [$(tile_instance::<T, Direct<T>, $rows, NOTHING_TOUCHES>),*],
                    ],
                    packed: [$(tile_instance::<T, Packed<T::Acc>, $rows, ROWS_TOUCH>),*],
                    turn: turn_instance::<T>,
                    straight: straight_instance::<T>,
                    width: <$lanes as Lanes<T::Acc>>::WIDTH,
                }
            }
        }
    };
}
#[cfg(target_arch = "x86_64")]
instances!(avx512, Avx512, ("avx512f", "avx2", "fma"), [12, 8, 4, 2, 1]);
#[cfg(target_arch = "x86_64")]
instances!(avx2, Avx2, ("avx2", "fma", "f16c"), [6, 4, 3, 2, 1]);
instances!(portable, Portable, (), [4, 4, 3, 2, 1]);

macro_rules! tiled {
    ($($t:ty),*) => {
        $(impl Tiled for $t {
            fn kernels(set: InstructionSet) -> Kernels<$t> {
                match set {
                    #[cfg(target_arch = "x86_64")]
                    InstructionSet::Avx512 => avx512::kernels(),
                    #[cfg(target_arch = "x86_64")]
                    InstructionSet::Avx2 => avx2::kernels(),
                    InstructionSet::Portable => portable::kernels(),
                }
            }
        })*
    };
}
tiled!(f32, f64, half::f16, half::bf16);

fn product<T: Tiled>(args: Args<'_, T>) -> Result<(), CpuKernelError> {
    product_with(args, InstructionSet::best())
}

/// [`run`] with the kernels that this CPU's best set passes over, so that tests reach them.
#[cfg(test)]
pub fn run_portable(call: &mut CpuCall<'_>) -> Result<(), CpuKernelError> {
    fn product<T: Tiled>(args: Args<'_, T>) -> Result<(), CpuKernelError> {
        product_with(args, InstructionSet::Portable)
    }
    for_element!(call, product)
}

/// As [`run_portable`], with AVX2 where this CPU has it.
#[cfg(test)]
pub fn run_avx2(call: &mut CpuCall<'_>) -> Result<(), CpuKernelError> {
    fn product<T: Tiled>(args: Args<'_, T>) -> Result<(), CpuKernelError> {
        product_with(args, InstructionSet::best().without_avx512())
    }
    for_element!(call, product)
}

/// A call with what does not change while it runs.
struct Work<'a, 'b, T: Element> {
    args: &'a Args<'b, T>,
    kernels: Kernels<T>,
    /// Columns of a panel of packed B.
    panel: usize,
    depth: usize,
    packs_a: bool,
}

/// The packed panels of some columns of B.
struct Panels<A> {
    start: *mut A,
    batch: usize,
    first: usize,
    columns: usize,
}

// SAFETY: threads write disjoint parts of it while it is packed and only read it afterwards.
unsafe impl<A: Sync> Sync for Panels<A> {}

/// The product with the kernels of one instruction set, which this CPU must have.
fn product_with<T: Tiled>(args: Args<'_, T>, set: InstructionSet) -> Result<(), CpuKernelError> {
    let p = args.problem;
    let kernels = T::kernels(set);
    let panel = VECTORS * kernels.width;
    let (rows, columns) = (args.param("MC", 24).max(1), args.param("NC", 256).max(1).next_multiple_of(panel));
    let threads = args.threads();
    // 16-bit numbers are widened once, not once for each panel.
    let same = TypeId::of::<T>() == TypeId::of::<T::Acc>();
    let packs_a = !same || args.param("PACK_A", 0) == 1;
    let work = Work { args: &args, kernels, panel, depth: args.param("KC", 1024).max(1), packs_a };
    let most = (PACKED / (p.k.max(1) * size_of::<T::Acc>())).max(columns) / columns * columns;
    for batch in 0..p.batch {
        for first in (0..p.n).step_by(most) {
            let count = most.min(p.n - first);
            scratch::with(count.next_multiple_of(panel) * p.k, |packed: &mut [T::Acc]| {
                let panels = Panels { start: packed.as_mut_ptr(), batch, first, columns: count };
                let steps = p.k.div_ceil(PACK_STEPS).max(1);
                team::share(threads, count.div_ceil(panel) * steps, &|i| {
                    // SAFETY: each piece is another part of the packed panels.
                    unsafe { work.pack_b(&panels, i / steps, i % steps * PACK_STEPS) }
                });
                let across = count.div_ceil(columns);
                team::share(threads, p.m.div_ceil(rows) * across, &|i| {
                    let (row, column) = (i / across * rows, i % across * columns);
                    // SAFETY: `set` fits this CPU, the panels are packed, and blocks of D are disjoint.
                    unsafe { work.block(&panels, row, rows.min(p.m - row), column, columns.min(count - column)) }
                });
            });
        }
    }
    Ok(())
}

impl<T: Tiled> Work<'_, '_, T> {
    /// Packs steps `from..from + PACK_STEPS` of a panel.
    ///
    /// # Safety
    /// The kernels fit the CPU; nobody else uses this part of the panels.
    unsafe fn pack_b(&self, panels: &Panels<T::Acc>, panel: usize, from: usize) {
        let (p, width) = (self.args.problem, self.panel);
        let steps = PACK_STEPS.min(p.k - from.min(p.k));
        let first = panel * width;
        let columns = width.min(panels.columns - first);
        // SAFETY: the scratch has a whole panel for every part of one, k steps each.
        let to = unsafe {
            let start = panels.start.add((first * p.k) + from * width);
            std::slice::from_raw_parts_mut(start, steps * width)
        };
        if steps > 0 {
            let start = p.b.at(&[panels.batch, from, panels.first + first]);
            // SAFETY: the columns and steps are inside B's layout.
            unsafe { self.pack(self.args.b, start, (p.b.strides()[1], p.b.strides()[2]), (steps, columns), to, width) };
        }
    }

    /// Widens `steps` by `columns` elements, `strides` apart from `start` on: those of one step side
    /// by side, zeros up to `width`.
    ///
    /// # Safety
    /// The kernels fit the CPU; the elements are inside `from`; `to` has `steps` times `width` numbers.
    unsafe fn pack(
        &self,
        from: &[T],
        start: usize,
        strides: (isize, isize),
        (steps, columns): (usize, usize),
        to: &mut [T::Acc],
        width: usize,
    ) {
        let at = |step: usize, column: usize| {
            (start as isize + step as isize * strides.0 + column as isize * strides.1) as usize
        };
        // Whole vectors of columns by kernels, as many steps as they take; what is left one by one.
        let vector = self.kernels.width;
        let whole = columns / vector * vector;
        let mut done = 0;
        if strides.1 == 1 && whole > 0 {
            let (b, vectors) = (from[start..].as_ptr(), whole / vector);
            let straight = Straight { b, b_step: strides.0, steps, vectors, to: to.as_mut_ptr(), to_step: width };
            // SAFETY: the caller's promise: the rows' vectors are inside.
            unsafe { (self.kernels.straight)(&straight) };
            done = steps;
        } else if strides.0 == 1 && whole > 0 && steps >= vector {
            let squares = steps / vector;
            for c in (0..whole).step_by(vector) {
                let b = from[at(0, c)..].as_ptr();
                let turn = Turn { b, b_column: strides.1, squares, to: to[c..].as_mut_ptr(), to_step: width };
                // SAFETY: the caller's promise: the columns are inside, and so are the squares.
                unsafe { (self.kernels.turn)(&turn) };
            }
            done = squares * vector;
        }
        for (i, row) in to.chunks_exact_mut(width).enumerate() {
            let first = if i < done { whole } else { 0 };
            if first < columns {
                gather(from, at(i, first), strides.1, &mut row[first..columns]);
            }
            row[columns..].fill(T::Acc::ZERO);
        }
    }

    /// Computes and finishes a block of D: `rows` rows from `row` on, `columns` columns from
    /// `column` of the packed ones on.
    ///
    /// # Safety
    /// The kernels fit the CPU, the panels are packed, nobody else works on this block.
    unsafe fn block(&self, panels: &Panels<T::Acc>, row: usize, rows: usize, column: usize, columns: usize) {
        let p = self.args.problem;
        let stride = columns.next_multiple_of(self.panel);
        let depth = self.depth.min(p.k.max(1));
        // Rows of a block side by side.
        let pitch = rows.next_multiple_of(self.kernels.width);
        let packed = if self.packs_a { pitch * depth } else { 0 };
        scratch::with(rows * stride + packed, |room: &mut [T::Acc]| {
            let (sums, packed) = room.split_at_mut(rows * stride);
            if p.k == 0 {
                sums.fill(T::Acc::ZERO);
            }
            for from in (0..p.k).step_by(depth) {
                let k = depth.min(p.k - from);
                if self.packs_a {
                    let start = p.a.at(&[panels.batch, row, from]);
                    let strides = (p.a.strides()[2], p.a.strides()[1]);
                    // SAFETY: the rows and steps are inside A's layout.
                    unsafe { self.pack(self.args.a, start, strides, (k, rows), &mut packed[..k * pitch], pitch) };
                }
                // A panel stays in the nearest cache while the rows pass by.
                for j in (0..stride).step_by(self.panel) {
                    for (i, kernel) in self.tiles(rows) {
                        let add = from > 0;
                        // SAFETY: the panel's steps are packed, the sums are rows of this scratch.
                        let (b, sums) = unsafe {
                            let b = panels.start.add((column + j) * p.k + from * self.panel).cast_const();
                            (b, sums.as_mut_ptr().add(i * stride + j))
                        };
                        // SAFETY: as above; A's rows are inside its layout, or packed.
                        unsafe {
                            if self.packs_a {
                                let a = packed[i..].as_ptr().cast::<Packed<T::Acc>>();
                                let (a_row, a_step) = (1, pitch as isize);
                                (self.kernels.packed[kernel])(&Tile { k, a, a_row, a_step, b, sums, stride, add });
                            } else {
                                let a = self.args.a[p.a.at(&[panels.batch, row + i, from])..].as_ptr().cast();
                                let (a_row, a_step) = (p.a.strides()[1], p.a.strides()[2]);
                                let lies = match (a_row, a_step) {
                                    (1, _) => ROWS_TOUCH,
                                    (_, 1) => STEPS_TOUCH,
                                    _ => NOTHING_TOUCHES,
                                };
                                (self.kernels.direct[usize::from(lies)][kernel])(&Tile {
                                    k,
                                    a,
                                    a_row,
                                    a_step,
                                    b,
                                    sums,
                                    stride,
                                    add,
                                });
                            }
                        }
                    }
                }
            }
            let (rows, columns) = ((row, rows), (panels.first + column, columns));
            // SAFETY: blocks of D are disjoint, and nobody reads it.
            unsafe { self.args.finish_block_shared(panels.batch, rows, columns, sums, stride) };
        });
    }

    /// Rows of a block in tiles: the first, and the kernel for as many as there are.
    fn tiles(&self, rows: usize) -> impl Iterator<Item = (usize, usize)> {
        let heights = self.kernels.tiles;
        let mut next = 0;
        std::iter::from_fn(move || {
            let kernel = heights.iter().position(|height| next + height <= rows)?;
            let first = next;
            next += heights[kernel];
            Some((first, kernel))
        })
    }
}
