//! Looking through a view: where its elements lie in the index space of what it is a view of.

use kernelsmith_core::Layout;
use kernelsmith_core::expr::{Binary, Expr};
use kernelsmith_core::layout::MAX_RANK;
use kernelsmith_core::ops::leaf::affine;

/// A view of a contiguous space as steps along that space's own dimensions.
pub(crate) struct Composed {
    rank: usize,
    base_rank: usize,
    shape: [usize; MAX_RANK],
    /// For each dimension of the view, the dimension of the space it walks along and by how much;
    /// a step of 0 is a broadcast.
    steps: [(usize, isize); MAX_RANK],
    /// Index of the view's first element in the space.
    start: [usize; MAX_RANK],
}

/// The view `view` over the buffer of a contiguous array of shape `base`, or `None` where one of
/// its dimensions does not stay within single dimensions of the array.
pub(crate) fn compose(view: &Layout, base: &[usize]) -> Option<Composed> {
    let mut contiguous = [1isize; MAX_RANK];
    let mut step = 1isize;
    for d in (0..base.len()).rev() {
        contiguous[d] = step;
        step = step.checked_mul(base[d] as isize)?;
    }
    let mut out = Composed {
        rank: view.rank(),
        base_rank: base.len(),
        shape: [1; MAX_RANK],
        steps: [(0, 0); MAX_RANK],
        start: [0; MAX_RANK],
    };
    out.shape[..view.rank()].copy_from_slice(view.shape());
    // The range that is reached along each dimension of the space.
    let (mut low, mut high) = ([0isize; MAX_RANK], [0isize; MAX_RANK]);
    let mut rest = view.offset();
    for d in 0..base.len() {
        let c = contiguous[d] as usize;
        out.start[d] = rest / c;
        rest %= c;
        (low[d], high[d]) = (out.start[d] as isize, out.start[d] as isize);
    }
    for (i, (&size, &stride)) in view.shape().iter().zip(view.strides()).enumerate() {
        if size == 1 || stride == 0 {
            continue;
        }
        // The outermost dimension whose own stride divides this one.
        let d = (0..base.len()).find(|&d| {
            base[d] > 1 && stride.unsigned_abs() >= contiguous[d].unsigned_abs() && stride % contiguous[d] == 0
        })?;
        let step = stride / contiguous[d];
        out.steps[i] = (d, step);
        let reach = step * (size as isize - 1);
        if reach < 0 { low[d] += reach } else { high[d] += reach }
    }
    let inside = (0..base.len()).all(|d| low[d] >= 0 && high[d] < base[d] as isize);
    inside.then_some(out)
}

impl Composed {
    /// A layout over the space, seen through the view.
    pub fn layout(&self, leaf: &Layout) -> Option<Layout> {
        let mut strides = [0isize; MAX_RANK];
        for (stride, (d, step)) in strides.iter_mut().zip(self.steps) {
            *stride = if step == 0 { 0 } else { step * leaf.strides()[d] };
        }
        let shift: isize = (0..self.base_rank).map(|d| self.start[d] as isize * leaf.strides()[d]).sum();
        let offset = usize::try_from(leaf.offset() as isize + shift).ok()?;
        Layout::strided(&self.shape[..self.rank], &strides[..self.rank], offset).ok()
    }

    /// An expression over the space, seen through the view: positions become those of the view.
    pub fn expr(&self, expr: &Expr) -> Expr {
        expr.replace(&|leaf| match leaf {
            Expr::Index(d) => {
                let along = (0..self.rank).filter(|i| self.steps[*i].1 != 0 && self.steps[*i].0 == *d);
                let terms = along.map(|i| affine(Expr::Index(i), self.steps[i].1 as f64, 0.0));
                let sum = terms.reduce(|a, b| Expr::binary(Binary::Add, a, b));
                let start = self.start[*d] as f64;
                match sum {
                    Some(sum) => affine(sum, 1.0, start),
                    None => Expr::Const(start),
                }
            }
            other => other.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A leaf seen through a view reads what the view reads of the leaf's values.
        #[test]
        fn composition_reads_the_same_elements(
            base in prop::collection::vec(1usize..5, 1..4),
            permutation in any::<u64>(), cut in any::<u64>(), flip in any::<u8>(), broadcast in any::<bool>(),
        ) {
            let rank = base.len();
            let space = Layout::contiguous(&base).unwrap();
            let mut view = space;
            for d in 0..rank {
                let size = view.shape()[d];
                let start = (cut >> (4 * d)) as usize % size;
                let step = 1 + (cut >> (32 + 2 * d)) as usize % 2;
                view = view.slice(d, start, size, step).unwrap();
                if flip >> d & 1 == 1 {
                    view = view.flip(d).unwrap();
                }
            }
            if rank > 1 {
                view = view.transpose(permutation as usize % rank, (permutation >> 8) as usize % rank).unwrap();
            }
            if broadcast {
                view = view.unsqueeze(0).unwrap();
                let mut wide = view.shape().to_vec();
                wide[0] = 3;
                view = view.broadcast(&wide).unwrap();
            }
            let Some(composed) = compose(&view, &base) else {
                return Err(TestCaseError::fail("a view made of slices and permutations composes"));
            };
            // A leaf in reversed dimension order, so that its positions differ from the space's.
            let mut turned = base.clone();
            turned.reverse();
            let axes: Vec<usize> = (0..rank).rev().collect();
            let leaf = Layout::contiguous(&turned).unwrap().permute(&axes).unwrap();
            let seen = composed.layout(&leaf).unwrap();
            for i in 0..view.len() {
                let index = kernelsmith_core::ops::map::unravel(i, view.shape());
                let at = view.at(&index[..view.rank()]);
                let point = kernelsmith_core::ops::map::unravel(at, &base);
                prop_assert_eq!(seen.at(&index[..view.rank()]), leaf.at(&point[..rank]));
                for (d, want) in point[..rank].iter().enumerate() {
                    let position = composed.expr(&Expr::Index(d)).eval_at(0.0f64, &|_| 0.0, &|j| index[j]);
                    prop_assert_eq!(position as usize, *want);
                }
            }
        }
    }
}
