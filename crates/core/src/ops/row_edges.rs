//! Neighbours of row operations that break kernels.

use super::Problem;
use super::leaf::Leaf;
use super::row::{RowProblem, RowSpec};
use crate::layout::MAX_RANK;
use crate::{Expr, Layout};

/// The length of rows whose results, one a row, lie apart.
const SPACED: usize = 71;

/// One column, primes, block ± 1, long rows; padded, transposed and strided arrays.
pub fn edge_cases(base: &RowProblem) -> Vec<Problem> {
    let mut out = Vec::new();
    let names = |d: usize| base.expr.any(&|x| *x == Expr::Index(d)) || base.post.any(&|x| *x == Expr::Index(d));
    if (0..MAX_RANK).any(names) {
        return out;
    }
    let rank = base.shape().len();
    let mut push = |shape: [usize; 2], view: &dyn Fn(&[usize; 2]) -> Option<Layout>| {
        let leaf = |l: &Leaf| {
            // What is the same along the row, or in every row, stays so.
            let s = l.layout.strides();
            let thin = [
                if rank > 1 && s[..rank - 1].iter().all(|s| *s == 0) { 1 } else { shape[0] },
                if s[rank - 1] == 0 { 1 } else { shape[1] },
            ];
            Some(Leaf::new(l.dtype, view(&thin)?.broadcast(&shape).ok()?))
        };
        let inputs: Option<Vec<Leaf>> = base.inputs.iter().map(leaf).collect();
        let apart = if shape[1] == SPACED { 2 } else { 1 };
        let target = if base.kind.reduces() { Layout::strided(&shape[..1], &[apart], 0).ok() } else { view(&shape) };
        let spec = RowSpec {
            kind: base.kind,
            eps: base.eps,
            expr: base.expr.clone(),
            post: base.post.clone(),
            label: base.label,
        };
        if let (Some(inputs), Some(target)) = (inputs, target)
            && let Ok(problem) = RowProblem::new(spec, &shape, inputs, Leaf::new(base.out.dtype, target))
        {
            out.push(Problem::new(problem));
        }
    };
    let plain = |s: &[usize; 2]| Layout::contiguous(s).ok();
    let sizes = [[1, 1], [5, 1], [1, 2], [7, 31], [33, 129], [3, 1023], [2, 4097], [1, 33_000], [300, 10]];
    // Whole cache lines can end at a page; the results of rows of that length do not lie side by side.
    for shape in sizes.into_iter().chain([[16, 64], [13, SPACED]]) {
        push(shape, &plain);
    }
    let padded = |s: &[usize; 2]| {
        let wide = [s[0] + 1, s[1] + 5];
        Layout::contiguous(&wide).ok()?.slice(0, 1, 1 + s[0], 1).ok()?.slice(1, 3, 3 + s[1], 1).ok()
    };
    let transposed = |s: &[usize; 2]| Layout::contiguous(&[s[1], s[0]]).ok()?.transpose(0, 1).ok();
    let strided = |s: &[usize; 2]| Layout::contiguous(&[s[0], s[1] * 2]).ok()?.slice(1, 0, s[1] * 2, 2).ok();
    let views: [&dyn Fn(&[usize; 2]) -> Option<Layout>; 3] = [&padded, &transposed, &strided];
    for view in views {
        push([45, 70], view);
    }
    out
}
