//! Products with few rows: the linear layers of decoding, where reading the weights B is all the work.
//!
//! Idea: read B once, straight through, with vector loads that widen to the accumulator's type,
//! and keep everything else in registers and the nearest cache. Where B is contiguous along k,
//! ROWS columns of D are dot products side by side (UNROLL accumulators each). These columns are
//! far apart, so that each is a stream that runs on through memory from tile to tile: several long
//! streams keep more lines in flight than one, because hardware prefetch stops at every page; a
//! software prefetch PREFETCH bytes ahead bridges that. A thread's share is cut into PIECES, so that
//! one that falls behind leaves less than a piece to wait for.
//! Where B is contiguous along n, ROWS rows of B are added to a block of D at a time. Any other B
//! is gathered column by column. A is widened and packed once. THREADS shares pieces of n through
//! a team of helpers that stay awake between calls.
//!
//! Bound: the bytes of B over the bandwidth of the memory that holds it; from m ≈ 8 on the cores'
//! fused multiply-adds.
//!
//! `smith bench gemm --problem m=1,n=9728,k=896,dtype=f32,layout=nt --candidate small_m[PIECES=16,PREFETCH=3072,ROWS=4,THREADS=0,UNROLL=1]`

use super::args::{Args, for_element};
use super::element::{Accumulator, Element};
#[cfg(target_arch = "x86_64")]
use super::lanes::{Avx2, Avx512};
use super::lanes::{InstructionSet, Portable, Widen};
use super::team;
use crate::cpu::kernel::{CpuCall, CpuKernelError};
use kernelsmith_core::Layout;

pub fn run(call: &mut CpuCall<'_>) -> Result<(), CpuKernelError> {
    for_element!(call, product)
}

/// An element type with an instance of the kernels for every instruction set.
trait Streamed: Element {
    fn kernels(set: InstructionSet, rows: usize, unroll: usize) -> Kernels<Self>;
}

/// The kernels of one config.
struct Kernels<T: Element> {
    /// By rows of A at once: one, two, four.
    dot: [Dot<T>; 3],
    /// The same for one column of B.
    dot_one: [Dot<T>; 3],
    axpy: [Axpy<T>; 3],
    axpy_one: [Axpy<T>; 3],
    /// Columns of B at once for `dot`.
    rows: usize,
    /// Rows of B at once for `axpy`.
    axpy_rows: usize,
    /// Most rows of A at once that fit the registers.
    most: usize,
}

/// Σ over k of rows of packed A with columns of B that are contiguous along k. Column r of the
/// tile is `r·b_step` elements after `b`; its sum with row i goes to `i·out_stride + r·out_step`.
struct DotTile<T: Element> {
    k: usize,
    a: *const T::Acc,
    a_stride: usize,
    b: *const T,
    b_step: isize,
    /// How far ahead of its loads a column is prefetched, in bytes; 0 for not at all.
    ahead: usize,
    out: *mut T::Acc,
    out_stride: usize,
    out_step: usize,
}
type Dot<T> = unsafe fn(&DotTile<T>);

/// `out` += packed A (element i, p at `i·a_stride + p`) · rows of B that are contiguous along n.
struct AxpyTile<T: Element> {
    width: usize,
    a: *const T::Acc,
    a_stride: usize,
    b: *const T,
    b_stride: isize,
    out: *mut T::Acc,
    out_stride: usize,
}
type Axpy<T> = unsafe fn(&AxpyTile<T>);

/// # Safety
/// The CPU has the instruction set; M rows of A and ROWS columns of B with k elements can be
/// read, M × ROWS results written.
// Indices name rows of A, columns of B and steps of k alike in every array.
#[allow(clippy::needless_range_loop)]
#[inline(always)]
unsafe fn dot<T: Element, L: Widen<T>, const M: usize, const ROWS: usize, const UNROLL: usize>(t: &DotTile<T>) {
    let width = L::WIDTH;
    let columns: [*const T; ROWS] = std::array::from_fn(|r| t.b.wrapping_offset(r as isize * t.b_step));
    // SAFETY: every position is below k in its row or column.
    unsafe {
        let zero = L::splat(T::Acc::ZERO);
        let mut sums = [[[zero; UNROLL]; ROWS]; M];
        let mut p = 0;
        while p + width * UNROLL <= t.k {
            for u in 0..UNROLL {
                let at = p + u * width;
                let a: [L::Vector; M] = std::array::from_fn(|i| L::load(t.a.add(i * t.a_stride + at)));
                for r in 0..ROWS {
                    if t.ahead != 0 {
                        L::prefetch(columns[r].add(at).wrapping_byte_add(t.ahead));
                    }
                    let b = L::widen(columns[r].add(at));
                    for i in 0..M {
                        sums[i][r][u] = L::multiply_add(a[i], b, sums[i][r][u]);
                    }
                }
            }
            p += width * UNROLL;
        }
        while p + width <= t.k {
            for r in 0..ROWS {
                let b = L::widen(columns[r].add(p));
                for i in 0..M {
                    sums[i][r][0] = L::multiply_add(L::load(t.a.add(i * t.a_stride + p)), b, sums[i][r][0]);
                }
            }
            p += width;
        }
        if p < t.k {
            // Packed rows of A end in zeros up to a whole vector.
            for r in 0..ROWS {
                let b = L::widen_first(columns[r].add(p), t.k - p);
                for i in 0..M {
                    sums[i][r][0] = L::multiply_add(L::load(t.a.add(i * t.a_stride + p)), b, sums[i][r][0]);
                }
            }
        }
        for i in 0..M {
            for r in 0..ROWS {
                let mut sum = sums[i][r][0];
                for u in 1..UNROLL {
                    sum = L::add(sum, sums[i][r][u]);
                }
                t.out.add(i * t.out_stride + r * t.out_step).write(L::sum(sum));
            }
        }
    }
}

/// # Safety
/// The CPU has the instruction set; M × ROWS elements of A, ROWS rows of B and M rows of the
/// result with `width` elements can be read, the latter written. Rows of the result have space
/// up to a whole vector.
// Indices name rows of A, columns of B and steps of k alike in every array.
#[allow(clippy::needless_range_loop)]
#[inline(always)]
unsafe fn axpy<T: Element, L: Widen<T>, const M: usize, const ROWS: usize>(t: &AxpyTile<T>) {
    let width = L::WIDTH;
    let rows: [*const T; ROWS] = std::array::from_fn(|r| t.b.wrapping_offset(r as isize * t.b_stride));
    // SAFETY: every position is below the width in its row; stores may pass it up to a whole vector.
    unsafe {
        let a: [[L::Vector; ROWS]; M] =
            std::array::from_fn(|i| std::array::from_fn(|r| L::splat(t.a.add(i * t.a_stride + r).read())));
        let mut j = 0;
        while j + width <= t.width {
            let mut sums: [L::Vector; M] = std::array::from_fn(|i| L::load(t.out.add(i * t.out_stride + j)));
            for r in 0..ROWS {
                let b = L::widen(rows[r].add(j));
                for i in 0..M {
                    sums[i] = L::multiply_add(a[i][r], b, sums[i]);
                }
            }
            for i in 0..M {
                L::store(t.out.add(i * t.out_stride + j), sums[i]);
            }
            j += width;
        }
        if j < t.width {
            let mut sums: [L::Vector; M] = std::array::from_fn(|i| L::load(t.out.add(i * t.out_stride + j)));
            for r in 0..ROWS {
                let b = L::widen_first(rows[r].add(j), t.width - j);
                for i in 0..M {
                    sums[i] = L::multiply_add(a[i][r], b, sums[i]);
                }
            }
            for i in 0..M {
                L::store(t.out.add(i * t.out_stride + j), sums[i]);
            }
        }
    }
}

/// A module of instances for one instruction set: functions compiled with its features enabled.
macro_rules! instances {
    ($module:ident, $lanes:ident, $features:tt, $most:expr) => {
        mod $module {
            use super::*;

            instances!(@functions $lanes $features);

            /// The instances for ROWS and UNROLL; numbers that have none round down to one that does.
            pub fn kernels<T: Element>(rows: usize, unroll: usize) -> Kernels<T>
            where
                $lanes: Widen<T>,
            {
                macro_rules! pick {
                    ($r:literal, $u:literal) => {
                        pick!($r, $u, $r, $most)
                    };
                    ($r:literal, $u:literal, $axpy:literal, $fit:expr) => {
                        Kernels {
                            dot: [dot_instance::<T, 1, $r, $u>, dot_instance::<T, 2, $r, 1>, dot_instance::<T, 4, $r, 1>],
                            dot_one: [dot_instance::<T, 1, 1, 4>, dot_instance::<T, 2, 1, 2>, dot_instance::<T, 4, 1, 1>],
                            axpy: [axpy_instance::<T, 1, $axpy>, axpy_instance::<T, 2, $axpy>, axpy_instance::<T, 4, $axpy>],
                            axpy_one: [axpy_instance::<T, 1, 1>, axpy_instance::<T, 2, 1>, axpy_instance::<T, 4, 1>],
                            rows: $r,
                            axpy_rows: $axpy,
                            most: $fit,
                        }
                    };
                }
                match (rows, unroll) {
                    (16.., _) => pick!(8, 1, 16, 1),
                    (8.., _) => pick!(8, 1, 8, 2),
                    (4.., 2..) => pick!(4, 2),
                    (4.., _) => pick!(4, 1),
                    (2.., 4..) => pick!(2, 4),
                    (2.., _) => pick!(2, 2),
                    _ => pick!(1, 4),
                }
            }
        }
    };
    (@functions $lanes:ident ($($feature:literal),*)) => {
        /// # Safety
        /// As [`dot`].
        $(#[target_feature(enable = $feature)])*
        unsafe fn dot_instance<T: Element, const M: usize, const ROWS: usize, const UNROLL: usize>(t: &DotTile<T>)
        where
            $lanes: Widen<T>,
        {
            // SAFETY: the caller's contract is the same.
            unsafe { dot::<T, $lanes, M, ROWS, UNROLL>(t) }
        }

        /// # Safety
        /// As [`axpy`].
        $(#[target_feature(enable = $feature)])*
        unsafe fn axpy_instance<T: Element, const M: usize, const ROWS: usize>(t: &AxpyTile<T>)
        where
            $lanes: Widen<T>,
        {
            // SAFETY: the caller's contract is the same.
            unsafe { axpy::<T, $lanes, M, ROWS>(t) }
        }
    };
}
#[cfg(target_arch = "x86_64")]
instances!(avx512, Avx512, ("avx512f", "avx2", "fma"), 4);
#[cfg(target_arch = "x86_64")]
instances!(avx2, Avx2, ("avx2", "fma", "f16c"), 2);
instances!(portable, Portable, (), 2);

macro_rules! streamed {
    ($($t:ty),*) => {
        $(impl Streamed for $t {
            fn kernels(set: InstructionSet, rows: usize, unroll: usize) -> Kernels<$t> {
                match set {
                    #[cfg(target_arch = "x86_64")]
                    InstructionSet::Avx512 => avx512::kernels(rows, unroll),
                    #[cfg(target_arch = "x86_64")]
                    InstructionSet::Avx2 => avx2::kernels(rows, unroll),
                    _ => portable::kernels(rows, unroll),
                }
            }
        })*
    };
}
streamed!(f32, f64, half::f16, half::bf16);

/// Widest vector: packed rows and result rows are padded to a multiple of it.
const PADDING: usize = 16;
/// Sums that `axpy` keeps in a near cache.
const AXPY_BLOCK: usize = 8192;
/// Tiles of dot products that one thread finishes at a time.
const DOT_BLOCK: usize = 64;

fn product<T: Streamed>(args: Args<'_, T>) -> Result<(), CpuKernelError> {
    product_with(args, InstructionSet::best())
}

/// [`run`] with the kernels that this CPU's best set passes over, so that tests reach them.
#[cfg(test)]
pub fn run_portable(call: &mut CpuCall<'_>) -> Result<(), CpuKernelError> {
    fn product<T: Streamed>(args: Args<'_, T>) -> Result<(), CpuKernelError> {
        product_with(args, InstructionSet::Portable)
    }
    for_element!(call, product)
}

/// As [`run_portable`], with AVX2 where this CPU has it.
#[cfg(test)]
pub fn run_avx2(call: &mut CpuCall<'_>) -> Result<(), CpuKernelError> {
    fn product<T: Streamed>(args: Args<'_, T>) -> Result<(), CpuKernelError> {
        product_with(args, InstructionSet::best().without_avx512())
    }
    for_element!(call, product)
}

/// The product with the kernels of one instruction set, which this CPU must have.
fn product_with<T: Streamed>(args: Args<'_, T>, set: InstructionSet) -> Result<(), CpuKernelError> {
    let p = args.problem;
    let kernels = T::kernels(set, args.param("ROWS", 4), args.param("UNROLL", 1));
    let path = path(&p.b);
    let threads = args.threads();
    // Several pieces a thread even out late helpers.
    let share = p.n.div_ceil(if threads > 1 { threads * args.param("PIECES", 16) } else { 1 });
    let piece = match path {
        // Rows of B as long as the sums of all rows of A still fit beside them.
        Path::Axpy => p.n.div_ceil(threads).min((AXPY_BLOCK / p.m).max(512)).next_multiple_of(64),
        // The streams of a tile start an odd number of columns apart, so that columns of a round
        // size do not all fall into the same sets of the cache.
        _ => kernels.rows * (share.div_ceil(kernels.rows).min(DOT_BLOCK) | 1),
    };
    let pieces = p.n.div_ceil(piece);
    let a_stride = p.k.next_multiple_of(PADDING);
    let packed = pack(&args, a_stride);
    let work = Work { args: &args, kernels, path, packed, a_stride, ahead: args.param("PREFETCH", 0) };
    team::share(threads, p.batch * pieces, &|index| {
        let (batch, first) = (index / pieces, index % pieces * piece);
        // SAFETY: `set` fits this CPU; pieces are disjoint parts of the output.
        unsafe { work.columns(batch, first, piece.min(p.n - first)) }
    });
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    Dot,
    Axpy,
    Gather,
}

/// How B is read: by what its elements are contiguous along.
fn path(b: &Layout) -> Path {
    let (shape, strides) = (b.shape(), b.strides());
    if strides[1] == 1 || shape[1] <= 1 {
        Path::Dot
    } else if strides[2] == 1 {
        Path::Axpy
    } else {
        Path::Gather
    }
}

/// A of every batch, widened, each row padded with zeros.
fn pack<T: Element>(args: &Args<'_, T>, stride: usize) -> Vec<T::Acc> {
    let p = args.problem;
    let mut packed = vec![T::Acc::ZERO; p.batch * p.m * stride];
    for batch in 0..p.batch {
        for row in 0..p.m {
            let start = (batch * p.m + row) * stride;
            args.row_of_a(batch, row, &mut packed[start..start + p.k]);
        }
    }
    packed
}

struct Work<'a, 'b, T: Element> {
    args: &'a Args<'b, T>,
    kernels: Kernels<T>,
    path: Path,
    packed: Vec<T::Acc>,
    a_stride: usize,
    ahead: usize,
}

impl<T: Streamed> Work<'_, '_, T> {
    /// Computes and finishes columns `first..first + width` of one batch.
    ///
    /// # Safety
    /// The kernels fit the CPU; nobody else works on these columns.
    unsafe fn columns(&self, batch: usize, first: usize, width: usize) {
        let p = self.args.problem;
        let stride = width.next_multiple_of(PADDING);
        let mut sums = vec![T::Acc::ZERO; p.m * stride];
        // SAFETY: the caller's contract; `sums` has a padded row for each row of A.
        unsafe {
            match self.path {
                Path::Dot => {
                    let b = self.args.b.as_ptr().wrapping_add(p.b.at(&[batch, 0, first]));
                    self.dots(batch, b, p.b.strides()[2], width, &mut sums, stride);
                }
                Path::Axpy => self.axpys(batch, first, width, &mut sums, stride),
                Path::Gather => self.gathered(batch, first, width, &mut sums, stride),
            }
            for row in 0..p.m {
                self.args.finish_row_shared(batch, row, first, &mut sums[row * stride..][..width]);
            }
        }
    }

    /// Rows of A in groups of four, two, one: first row and index of the kernel.
    fn groups(&self) -> impl Iterator<Item = (usize, usize)> {
        let (m, most) = (self.args.problem.m, self.kernels.most);
        let mut row = 0;
        std::iter::from_fn(move || {
            let left = (m - row).min(most);
            let kernel = left.checked_ilog2()? as usize;
            let first = row;
            row += 1 << kernel;
            Some((first, kernel))
        })
    }

    fn packed_row(&self, batch: usize, row: usize) -> *const T::Acc {
        self.packed[(batch * self.args.problem.m + row) * self.a_stride..].as_ptr()
    }

    /// Dot products with `width` columns that start at `b`, `b_stride` apart, contiguous along k.
    ///
    /// # Safety
    /// The kernels fit the CPU; the columns can be read where k is not 0.
    unsafe fn dots(
        &self,
        batch: usize,
        b: *const T,
        b_stride: isize,
        width: usize,
        sums: &mut [T::Acc],
        stride: usize,
    ) {
        // The columns of a tile are far apart, so that each of its streams runs on from one tile
        // to the next and the CPU's prefetcher follows it.
        let apart = width / self.kernels.rows;
        for column in 0..apart {
            // SAFETY: the caller's contract; the last column of the tile is below `width`.
            unsafe { self.dot_tile(&self.kernels.dot, batch, b, b_stride, column, apart, sums, stride) };
        }
        for column in apart * self.kernels.rows..width {
            // SAFETY: the caller's contract; the tile is one column.
            unsafe { self.dot_tile(&self.kernels.dot_one, batch, b, b_stride, column, 0, sums, stride) };
        }
    }

    /// One tile of columns `column, column + apart, …` for all rows of A.
    ///
    /// # Safety
    /// The kernels fit the CPU; the columns can be read where k is not 0.
    #[allow(clippy::too_many_arguments)]
    unsafe fn dot_tile(
        &self,
        kernels: &[Dot<T>; 3],
        batch: usize,
        b: *const T,
        b_stride: isize,
        column: usize,
        apart: usize,
        sums: &mut [T::Acc],
        stride: usize,
    ) {
        for (row, kernel) in self.groups() {
            let tile = DotTile {
                k: self.args.problem.k,
                a: self.packed_row(batch, row),
                a_stride: self.a_stride,
                b: b.wrapping_offset(column as isize * b_stride),
                b_step: apart as isize * b_stride,
                // The first rows of A bring B into the cache, the others find it there.
                ahead: if row == 0 { self.ahead } else { 0 },
                out: sums[row * stride + column..].as_mut_ptr(),
                out_stride: stride,
                out_step: apart,
            };
            // SAFETY: the caller's contract; results lie in rows of `sums`.
            unsafe { kernels[kernel](&tile) };
        }
    }

    /// Sums over rows of B that are contiguous along n.
    ///
    /// # Safety
    /// The kernels fit the CPU.
    unsafe fn axpys(&self, batch: usize, first: usize, width: usize, sums: &mut [T::Acc], stride: usize) {
        let p = self.args.problem;
        let mut row_of_b = 0;
        while row_of_b < p.k {
            let (count, kernels) = if row_of_b + self.kernels.axpy_rows <= p.k {
                (self.kernels.axpy_rows, &self.kernels.axpy)
            } else {
                (1, &self.kernels.axpy_one)
            };
            for (row, kernel) in self.groups() {
                let tile = AxpyTile {
                    width,
                    a: self.packed_row(batch, row).wrapping_add(row_of_b),
                    a_stride: self.a_stride,
                    b: self.args.b.as_ptr().wrapping_add(p.b.at(&[batch, row_of_b, first])),
                    b_stride: p.b.strides()[1],
                    out: sums[row * stride..].as_mut_ptr(),
                    out_stride: stride,
                };
                // SAFETY: the caller's contract; the rows of B are inside its layout.
                unsafe { kernels[kernel](&tile) };
            }
            row_of_b += count;
        }
    }

    /// Any other B: columns are copied side by side, then taken as dot products.
    ///
    /// # Safety
    /// The kernels fit the CPU.
    unsafe fn gathered(&self, batch: usize, first: usize, width: usize, sums: &mut [T::Acc], stride: usize) {
        let p = self.args.problem;
        let mut columns = vec![T::ZERO; self.kernels.rows * p.k];
        let mut column = 0;
        while column < width {
            let count = self.kernels.rows.min(width - column);
            for (r, to) in columns.chunks_exact_mut(p.k).take(count).enumerate() {
                let start = p.b.at(&[batch, 0, first + column + r]) as isize;
                for (kk, x) in to.iter_mut().enumerate() {
                    *x = self.args.b[(start + kk as isize * p.b.strides()[1]) as usize];
                }
            }
            // SAFETY: the caller's contract; `columns` holds `count` columns of k elements.
            unsafe { self.dots(batch, columns.as_ptr(), p.k as isize, count, &mut sums[column..], stride) };
            column += count;
        }
    }
}
