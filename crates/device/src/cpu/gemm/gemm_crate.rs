//! The `gemm` crate (of faer and candle): packed panels, hand-written microkernels for AVX-512, AVX2, NEON.
//!
//! Idea: hand the strides over as they are; it packs what it must. f32 and f64 go straight to D.
//! f16 goes straight to D where the crate rounds each result once; elsewhere, and always for
//! bf16, panels of B are widened to f32 scratch, multiplied there and rounded at the end.
//!
//! Bound: the cores' fused multiply-adds for large products, the bytes of B for few rows.
//!
//! `smith bench gemm --problem m=512,n=512,k=512,dtype=f32 --candidate gemm_crate[THREADS=0]`

use super::args::{Args, for_element, gather};
use super::element::{Accumulator, Element};
use crate::cpu::kernel::{CpuCall, CpuKernelError};
use gemm::Parallelism;
use half::f16;
use kernelsmith_core::DType;
use kernelsmith_core::ops::OpProblem;
use rayon::prelude::*;

pub fn run(call: &mut CpuCall<'_>) -> Result<(), CpuKernelError> {
    for_element!(call, product)
}

fn product<T: Element>(mut args: Args<'_, T>) -> Result<(), CpuKernelError> {
    let parallelism = match args.param("THREADS", 0) {
        1 => Parallelism::None,
        n => Parallelism::Rayon(n),
    };
    match T::DTYPE {
        DType::F32 | DType::F64 => direct(&mut args, parallelism),
        DType::F16 if rounds_once(&args) => half_direct(&mut args, parallelism),
        _ => widened(&mut args, parallelism),
    }
    Ok(())
}

/// One matrix under the crate's conventions.
#[derive(Clone, Copy)]
struct Matrix<P> {
    start: P,
    row_stride: isize,
    column_stride: isize,
}

/// D = alpha·A·B, + beta·D where beta is given.
///
/// # Safety
/// The matrices can be read, and D written, at m × k, k × n and m × n positions; D's are distinct.
unsafe fn multiply<E: 'static>(
    size: (usize, usize, usize),
    d: Matrix<*mut E>,
    a: Matrix<*const E>,
    b: Matrix<*const E>,
    alpha: E,
    beta: (bool, E),
    parallelism: Parallelism,
) {
    let (m, n, k) = size;
    // The crate's names are the other way round: its `alpha` scales the old destination, its
    // `beta` the product.
    // SAFETY: the caller's contract.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            d.start,
            d.column_stride,
            d.row_stride,
            beta.0,
            a.start,
            a.column_stride,
            a.row_stride,
            b.start,
            b.column_stride,
            b.row_stride,
            beta.1,
            alpha,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// Products whose accumulator is the element type: into D, then the epilogue over D.
fn direct<T: Element>(args: &mut Args<'_, T>, parallelism: Parallelism) {
    let p = args.problem;
    args.copy_c();
    let (alpha, beta) = (T::narrow(args.alpha()), T::narrow(T::Acc::from_f64(p.beta)));
    for batch in 0..p.batch {
        let at =
            |layout: &kernelsmith_core::Layout| (layout.at(&[batch, 0, 0]), layout.strides()[1], layout.strides()[2]);
        let view = |slice: &[T], layout| {
            let (start, row_stride, column_stride) = at(layout);
            Matrix { start: slice.as_ptr().wrapping_add(start), row_stride, column_stride }
        };
        let (start, row_stride, column_stride) = at(&p.d);
        let d = Matrix { start: args.d.as_mut_ptr().wrapping_add(start), row_stride, column_stride };
        // SAFETY: `Args` checked every layout against its buffer and D's against overlaps; an
        // empty A or B (k = 0) is not read.
        unsafe {
            multiply(
                (p.m, p.n, p.k),
                d,
                view(args.a, &p.a),
                view(args.b, &p.b),
                alpha,
                (p.has_beta(), beta),
                parallelism,
            )
        };
    }
    args.epilogue_over_d();
}

/// Whether the crate's f16 product rounds each result once: one panel of k (it stores f16 between
/// panels, of at least 512), not the paths that add into f16 element by element, nothing after it.
fn rounds_once<T: Element>(args: &Args<'_, T>) -> bool {
    let p = args.problem;
    let (a, b, d) = (p.a.strides(), p.b.strides(), p.d.strides());
    let adds_in_place = p.k <= 2 || (p.m == 1 && b[2] == 1 && b[1] != 1) || (p.n == 1 && a[1] == 1 && a[2] != 1);
    let one_panel = p.k <= 512 || (p.m == 1 && b[1] == 1 && a[2] == 1 && d[2] == 1);
    p.alpha == 1.0 && !p.has_beta() && p.expr().is_identity() && one_panel && !adds_in_place
}

fn half_direct<T: Element>(args: &mut Args<'_, T>, parallelism: Parallelism) {
    let p = args.problem;
    for batch in 0..p.batch {
        let view = |slice: &[T], layout: &kernelsmith_core::Layout| Matrix {
            start: slice.as_ptr().wrapping_add(layout.at(&[batch, 0, 0])).cast::<f16>(),
            row_stride: layout.strides()[1],
            column_stride: layout.strides()[2],
        };
        let s = p.d.strides();
        let start = args.d.as_mut_ptr().wrapping_add(p.d.at(&[batch, 0, 0])).cast::<f16>();
        let d = Matrix { start, row_stride: s[1], column_stride: s[2] };
        // SAFETY: T is f16 (the caller checked its dtype); layouts were checked by `Args`.
        unsafe {
            multiply(
                (p.m, p.n, p.k),
                d,
                view(args.a, &p.a),
                view(args.b, &p.b),
                f16::ONE,
                (false, f16::ZERO),
                parallelism,
            )
        };
    }
}

/// Elements of a panel of widened B: about what the second-level cache holds.
const PANEL: usize = 1 << 18;

/// Products through f32 scratch: A once, B and D panel by panel along n.
fn widened<T: Element>(args: &mut Args<'_, T>, parallelism: Parallelism) {
    let p = args.problem;
    let (m, n, k) = (p.m, p.n, p.k);
    // Few, wide panels for many rows; panels that stay in cache for few.
    let width = (PANEL * m.div_ceil(64).min(16) / k.max(1)).next_multiple_of(64).clamp(64, 4096).min(n);
    let zero = T::Acc::ZERO;
    let (mut a, mut b, mut d) = (vec![zero; m * k], vec![zero; k * width], vec![zero; m * width]);
    // The panel keeps B's storage order, so that both reading and writing are sequential.
    let b_strides = p.b.strides();
    let along_k = b_strides[1].unsigned_abs() < b_strides[2].unsigned_abs();
    let serial = matches!(parallelism, Parallelism::None);
    for batch in 0..p.batch {
        for row in 0..m {
            args.row_of_a(batch, row, &mut a[row * k..][..k]);
        }
        for first in (0..n).step_by(width) {
            let count = width.min(n - first);
            let line = if along_k { k } else { count };
            let fill = |(i, to): (usize, &mut [T::Acc])| {
                let (index, stride) =
                    if along_k { ([batch, 0, first + i], b_strides[1]) } else { ([batch, i, first], b_strides[2]) };
                gather(args.b, p.b.at(&index), stride, to);
            };
            if k > 0 && serial {
                b[..k * count].chunks_exact_mut(line).enumerate().for_each(fill);
            } else if k > 0 {
                b[..k * count].par_chunks_exact_mut(line).enumerate().with_min_len(8).for_each(fill);
            }
            let (row_stride, column_stride) = if along_k { (1, k as isize) } else { (count as isize, 1) };
            let a = Matrix { start: a.as_ptr(), row_stride: k as isize, column_stride: 1 };
            let b = Matrix { start: b.as_ptr(), row_stride, column_stride };
            let panel = Matrix { start: d.as_mut_ptr(), row_stride: count as isize, column_stride: 1 };
            // SAFETY: the scratch arrays are m × k, k × width and m × width.
            unsafe { multiply((m, count, k), panel, a, b, T::Acc::ONE, (false, zero), parallelism) };
            for row in 0..m {
                args.finish_row(batch, row, first, &mut d[row * count..][..count]);
            }
        }
    }
}
