//! Neighbours of movements along an axis that break kernels.

use super::Problem;
use super::gather::{GatherProblem, Movement};
use super::leaf::Leaf;
use crate::{DType, Layout};

/// Single elements, primes, tables of one row, a single index into many, every axis, whole rows and single
/// elements; padded and transposed arrays.
pub fn edge_cases(base: &GatherProblem) -> Vec<Problem> {
    let mut out = Vec::new();
    let (movement, dtype) = (base.movement, base.x.dtype);
    let mut push =
        |shape: &[usize], axis: usize, size: usize, rows: bool, view: &dyn Fn(&[usize]) -> Option<Layout>| {
            let mut sized = shape.to_vec();
            sized[axis] = size;
            let (from, to) = if movement == Movement::Gather { (&sized[..], shape) } else { (shape, &sized[..]) };
            let make = || {
                let thin: Vec<usize> = (0..shape.len()).map(|d| if rows && d != axis { 1 } else { shape[d] }).collect();
                let index = Layout::contiguous(&thin).ok()?.broadcast(shape).ok()?;
                let x = Leaf::new(dtype, view(from)?);
                let target = Leaf::new(dtype, view(to)?);
                GatherProblem::new(movement, axis, x, Leaf::new(DType::I32, index), target).ok().map(Problem::new)
            };
            out.extend(make());
        };
    let plain = |s: &[usize]| Layout::contiguous(s).ok();
    let padded = |s: &[usize]| {
        let wide: Vec<usize> = s.iter().map(|n| n + 3).collect();
        (0..s.len()).try_fold(Layout::contiguous(&wide).ok()?, |l, d| l.slice(d, 1, 1 + s[d], 1).ok())
    };
    let transposed = |s: &[usize]| {
        let mut turned = s.to_vec();
        turned.reverse();
        let axes: Vec<usize> = (0..s.len()).rev().collect();
        Layout::contiguous(&turned).ok()?.permute(&axes).ok()
    };
    for rows in [true, false] {
        push(&[1], 0, 1, rows, &plain);
        push(&[97], 0, 13, rows, &plain);
        push(&[5, 33], 0, 1, rows, &plain);
        push(&[64, 70], 0, 301, rows, &plain);
        push(&[1, 35], 0, 301, rows, &plain);
        push(&[4, 1, 35], 1, 40, rows, &plain);
        push(&[31, 129], 1, 17, rows, &plain);
        push(&[3, 11, 7], 1, 40, rows, &plain);
        push(&[1025, 4], 0, 9, rows, &plain);
        push(&[45, 70], 0, 23, rows, &padded);
        push(&[45, 70], 0, 23, rows, &transposed);
    }
    out
}
