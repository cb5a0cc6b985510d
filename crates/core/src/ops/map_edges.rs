//! Neighbours of element-wise work that break kernels.

use super::Problem;
use super::leaf::Leaf;
use super::map::MapProblem;
use crate::{Expr, Layout};

/// One element, primes, vector ± 1; offsets, padded rows, transposed, flipped, broadcast and
/// strided arrays, with the problem's expression and dtypes.
pub fn edge_cases(base: &MapProblem) -> Vec<Problem> {
    let dims = base.shape().len().max(1);
    let mut out = Vec::new();
    let mut push = |shape: &[usize], view: &dyn Fn(usize, &[usize]) -> Option<Layout>| {
        let leaf = |(i, l): (usize, &Leaf)| view(i, shape).map(|layout| Leaf::new(l.dtype, layout));
        let inputs: Option<Vec<Leaf>> = base.inputs.iter().enumerate().map(leaf).collect();
        let last = view(base.inputs.len(), shape).filter(|l| !l.may_overlap());
        let target = last.or_else(|| Layout::contiguous(shape).ok()).map(|l| Leaf::new(base.out.dtype, l));
        if let (Some(inputs), Some(target)) = (inputs, target)
            && let Ok(problem) = MapProblem::new(base.expr.clone(), inputs, target)
        {
            out.push(Problem::new(problem));
        }
    };
    let plain = |_: usize, shape: &[usize]| Layout::contiguous(shape).ok();
    // Positions that the expression names must exist.
    let needs = (0..crate::layout::MAX_RANK).rev().find(|d| base.expr.any(&|x| *x == Expr::Index(*d)));
    let least = needs.map_or(1, |d| d + 1);
    let pad = |mut shape: Vec<usize>| {
        while shape.len() < least {
            shape.insert(0, 2);
        }
        shape
    };
    for n in [1, 2, 7, 31, 97, 1023, 1025, 4099] {
        push(&pad(vec![n]), &plain);
    }
    push(&pad(vec![13, 257]), &plain);
    if dims > 1 || least > 1 {
        push(&pad(vec![3, 5, 67]), &plain);
    }
    let two = pad(vec![45, 70]);
    let offset = |i: usize, shape: &[usize]| Layout::contiguous(shape).ok()?.shifted(1 + i % 3).ok();
    let padded = |i: usize, shape: &[usize]| {
        let mut wide = shape.to_vec();
        *wide.last_mut()? += 1 + i;
        let n = *shape.last()?;
        Layout::contiguous(&wide).ok()?.slice(shape.len() - 1, 0, n, 1).ok()
    };
    let transposed = |i: usize, shape: &[usize]| {
        let mut turned = shape.to_vec();
        let r = turned.len();
        if i % 2 == 1 || r < 2 {
            return Layout::contiguous(shape).ok();
        }
        turned.swap(r - 1, r - 2);
        Layout::contiguous(&turned).ok()?.transpose(r - 1, r - 2).ok()
    };
    let flipped = |i: usize, shape: &[usize]| Layout::contiguous(shape).ok()?.flip(i % shape.len()).ok();
    let strided = |_: usize, shape: &[usize]| {
        let wide: Vec<usize> = shape.iter().map(|n| n * 2).collect();
        (0..shape.len()).try_fold(Layout::contiguous(&wide).ok()?, |l, d| l.slice(d, 0, wide[d], 2).ok())
    };
    let broadcast = |i: usize, shape: &[usize]| {
        let mut thin = shape.to_vec();
        thin[i % shape.len()] = 1;
        Layout::contiguous(&thin).ok()?.broadcast(shape).ok()
    };
    let views: [&dyn Fn(usize, &[usize]) -> Option<Layout>; 6] =
        [&offset, &padded, &transposed, &flipped, &strided, &broadcast];
    for view in views {
        push(&two, view);
    }
    out
}
