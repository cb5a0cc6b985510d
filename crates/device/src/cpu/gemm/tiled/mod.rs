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

mod instances;
mod pack;
mod tile;

use super::args::{Args, for_element, gather};
use super::element::{Accumulator, Element};
use super::lanes::InstructionSet;
use super::team;
use crate::cpu::kernel::{CpuCall, CpuKernelError};
use crate::cpu::scratch;
use instances::{Kernels, Tiled};
use pack::{Straight, Turn};
use std::any::TypeId;
use tile::{NOTHING_TOUCHES, Packed, ROWS_TOUCH, STEPS_TOUCH, Tile, VECTORS};

pub fn run(call: &mut CpuCall<'_>) -> Result<(), CpuKernelError> {
    for_element!(call, product)
}

/// Bytes of B that are packed at a time: what the threads then read again and again.
const PACKED: usize = 8 << 20;
/// Steps of k that are packed as one piece of work.
const PACK_STEPS: usize = 256;

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
