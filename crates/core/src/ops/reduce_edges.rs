//! Neighbours of reductions that break kernels.

use super::Problem;
use super::leaf::Leaf;
use super::reduce::ReduceProblem;
use crate::layout::MAX_RANK;
use crate::{Expr, Layout};

/// One element, primes, block ± 1, long and short inner dimensions; padded, transposed, flipped and
/// strided inputs, with the problem's expressions and dtypes.
pub fn edge_cases(base: &ReduceProblem) -> Vec<Problem> {
    let mut out = Vec::new();
    let inner_of = |shape: &[usize], o: usize, i: usize| {
        // An input that the problem broadcasts over the inner dimensions stays so.
        let fixed = (base.outer..base.shape().len()).all(|d| base.inputs[i].layout.strides()[d] == 0);
        (fixed && base.outer < base.shape().len())
            .then(|| shape[..o].iter().copied().chain(shape[o..].iter().map(|_| 1)).collect::<Vec<_>>())
    };
    let mut push = |shape: &[usize], o: usize, apart: isize, view: &dyn Fn(&[usize]) -> Option<Layout>| {
        let leaf = |(i, l): (usize, &Leaf)| {
            let layout = match inner_of(shape, o, i) {
                Some(thin) => view(&thin)?.broadcast(shape).ok()?,
                None => view(shape)?,
            };
            Some(Leaf::new(l.dtype, layout))
        };
        let inputs: Option<Vec<Leaf>> = base.inputs.iter().enumerate().map(leaf).collect();
        let target = spaced(&shape[..o], apart).map(|l| Leaf::new(base.out.dtype, l));
        if let (Some(inputs), Some(target)) = (inputs, target)
            && let Ok(problem) =
                ReduceProblem::new(base.kind, shape, o, (base.expr.clone(), base.post.clone()), inputs, target)
        {
            out.push(Problem::new(problem));
        }
    };
    // Positions that the expressions name must exist on their side.
    let names = |d: usize| base.expr.any(&|x| *x == Expr::Index(d)) || base.post.any(&|x| *x == Expr::Index(d));
    if (0..MAX_RANK).any(names) {
        return out;
    }
    let plain = |shape: &[usize]| Layout::contiguous(shape).ok();
    for (shape, o) in [
        (vec![1, 1], 1),
        (vec![1, 97], 1),
        (vec![97, 1], 1),
        (vec![7, 31], 1),
        (vec![3, 1025], 1),
        (vec![257, 33], 1),
        (vec![5, 4099], 1),
        (vec![70_001], 0),
        (vec![2, 3, 5, 7], 2),
        (vec![1023, 129], 1),
        // whole cache lines: these can end at a page
        (vec![32, 48], 1),
    ] {
        push(&shape, o, 1, &plain);
    }
    let shape = [45, 70];
    let padded = |s: &[usize]| {
        let wide: Vec<usize> = s.iter().map(|n| n + 3).collect();
        (0..s.len()).try_fold(Layout::contiguous(&wide).ok()?, |l, d| l.slice(d, 1, 1 + s[d], 1).ok())
    };
    let transposed = |s: &[usize]| Layout::contiguous(&[s[1], s[0]]).ok()?.transpose(0, 1).ok();
    let flipped = |s: &[usize]| Layout::contiguous(s).ok()?.flip(1).ok();
    let strided = |s: &[usize]| {
        let wide: Vec<usize> = s.iter().map(|n| n * 2).collect();
        (0..s.len()).try_fold(Layout::contiguous(&wide).ok()?, |l, d| l.slice(d, 0, wide[d], 2).ok())
    };
    let views: [&dyn Fn(&[usize]) -> Option<Layout>; 4] = [&padded, &transposed, &flipped, &strided];
    for view in views {
        push(&shape, 1, 1, view);
    }
    push(&[130, 515], 1, 1, &transposed);
    // results that do not lie side by side
    push(&shape, 1, 2, &plain);
    push(&shape, 1, 3, &transposed);
    out
}

/// An array whose elements lie `apart`, the last dimension's neighbours nearest.
fn spaced(shape: &[usize], apart: isize) -> Option<Layout> {
    let plain = Layout::contiguous(shape).ok()?;
    let strides: Vec<isize> = plain.strides().iter().map(|s| s * apart).collect();
    Layout::strided(shape, &strides, 0).ok()
}
