//! A cache-blocked product to read first: any layout, any dtype, safe Rust.
//!
//! Idea: B is widened in blocks of KC × NC that stay in the second-level cache, A in blocks of
//! MC × KC, and the sums of a block of D live in tiles of registers that the compiler makes from
//! small arrays. THREADS shares blocks of rows of D. One sum is always taken in the same order.
//!
//! Bound: the cores' multiply-adds; this file reaches a fraction of it and says how the others work.
//!
//! `smith bench gemm --problem m=256,n=256,k=256,dtype=f32 --candidate blocked[MC=64,NC=256,KC=256]`

use super::args::{Args, for_element, gather};
use super::element::{Accumulator, Element};
use crate::cpu::kernel::{CpuCall, CpuKernelError};
use rayon::prelude::*;

/// Rows and columns of a tile of sums in registers.
const TILE_ROWS: usize = 4;
const TILE_COLUMNS: usize = 16;

pub fn run(call: &mut CpuCall<'_>) -> Result<(), CpuKernelError> {
    for_element!(call, product)
}

fn product<T: Element>(mut args: Args<'_, T>) -> Result<(), CpuKernelError> {
    let p = args.problem;
    let rows = args.param("MC", 64).max(1);
    let blocks: Vec<(usize, usize)> =
        (0..p.batch).flat_map(|batch| (0..p.m).step_by(rows).map(move |row| (batch, row))).collect();
    let sums = |&(batch, first): &(usize, usize)| block(&args, batch, first, rows.min(p.m - first));
    let done: Vec<Vec<T::Acc>> =
        if args.threads() == 1 { blocks.iter().map(sums).collect() } else { blocks.par_iter().map(sums).collect() };
    for ((batch, first), mut sums) in blocks.into_iter().zip(done) {
        for (i, row) in sums.chunks_exact_mut(p.n).enumerate() {
            args.finish_row(batch, first + i, 0, row);
        }
    }
    Ok(())
}

/// Σ a·b of `rows` rows of D from `first` on, row-major.
fn block<T: Element>(args: &Args<'_, T>, batch: usize, first: usize, rows: usize) -> Vec<T::Acc> {
    let p = args.problem;
    let depth = args.param("KC", 256).max(1);
    let width = args.param("NC", 256).max(1);
    let zero = T::Acc::ZERO;
    let mut sums = vec![zero; rows * p.n];
    let mut line = vec![zero; depth.max(width)];
    for k in (0..p.k).step_by(depth) {
        let depth = depth.min(p.k - k);
        // A: strips of TILE_ROWS rows, the rows of one k side by side, zeros below the last row.
        let mut a = vec![[zero; TILE_ROWS]; rows.div_ceil(TILE_ROWS) * depth];
        for i in 0..rows {
            gather(args.a, p.a.at(&[batch, first + i, k]), p.a.strides()[2], &mut line[..depth]);
            for (kk, &x) in line[..depth].iter().enumerate() {
                a[i / TILE_ROWS * depth + kk][i % TILE_ROWS] = x;
            }
        }
        for n in (0..p.n).step_by(width) {
            let width = width.min(p.n - n);
            let b = pack_b(args, [batch, k, n], depth, width, &mut line);
            for (i, a) in a.chunks_exact(depth).enumerate() {
                for (j, b) in b.chunks_exact(depth).enumerate() {
                    let tile = tile(a, b);
                    let column = n + j * TILE_COLUMNS;
                    let count = TILE_COLUMNS.min(n + width - column);
                    for (tile, row) in tile.iter().zip(i * TILE_ROWS..rows) {
                        let to = &mut sums[row * p.n + column..][..count];
                        to.iter_mut().zip(tile).for_each(|(x, &y)| *x += y);
                    }
                }
            }
        }
    }
    sums
}

/// B: strips of TILE_COLUMNS columns, the columns of one k side by side, zeros after the last one.
fn pack_b<T: Element>(
    args: &Args<'_, T>,
    [batch, k, n]: [usize; 3],
    depth: usize,
    width: usize,
    line: &mut [T::Acc],
) -> Vec<[T::Acc; TILE_COLUMNS]> {
    let layout = &args.problem.b;
    let strides = layout.strides();
    let mut b = vec![[T::Acc::ZERO; TILE_COLUMNS]; width.div_ceil(TILE_COLUMNS) * depth];
    // Read along whichever dimension lies closer together.
    if strides[1].unsigned_abs() < strides[2].unsigned_abs() {
        for j in 0..width {
            gather(args.b, layout.at(&[batch, k, n + j]), strides[1], &mut line[..depth]);
            for (kk, &x) in line[..depth].iter().enumerate() {
                b[j / TILE_COLUMNS * depth + kk][j % TILE_COLUMNS] = x;
            }
        }
    } else {
        for kk in 0..depth {
            gather(args.b, layout.at(&[batch, k + kk, n]), strides[2], &mut line[..width]);
            for (j, from) in line[..width].chunks(TILE_COLUMNS).enumerate() {
                b[j * depth + kk][..from.len()].copy_from_slice(from);
            }
        }
    }
    b
}

/// Sums over one block of k of a strip of A with a strip of B.
fn tile<A: Accumulator>(a: &[[A; TILE_ROWS]], b: &[[A; TILE_COLUMNS]]) -> [[A; TILE_COLUMNS]; TILE_ROWS] {
    let mut sums = [[<A as Accumulator>::ZERO; TILE_COLUMNS]; TILE_ROWS];
    for (a, b) in a.iter().zip(b) {
        for (sums, &x) in sums.iter_mut().zip(a) {
            for (sum, &y) in sums.iter_mut().zip(b) {
                *sum = x.multiply_add(y, *sum);
            }
        }
    }
    sums
}
