//! Every view against a naive model: a list of buffer positions in logical order.

use kernelsmith_core::{Layout, LayoutError};
use proptest::prelude::*;

/// A shape and, for each logical index in row-major order, the buffer position.
#[derive(Clone, Debug, PartialEq)]
struct Model {
    shape: Vec<usize>,
    positions: Vec<usize>,
}

fn indices(shape: &[usize]) -> Vec<Vec<usize>> {
    shape.iter().fold(vec![vec![]], |all, &size| {
        all.iter().flat_map(|i| (0..size).map(move |x| [i.as_slice(), &[x]].concat())).collect()
    })
}

impl Model {
    fn of(layout: &Layout) -> Self {
        let shape = layout.shape().to_vec();
        let positions = indices(&shape).iter().map(|i| layout.at(i)).collect();
        Model { shape, positions }
    }

    fn get(&self, index: &[usize]) -> usize {
        let flat = index.iter().zip(&self.shape).fold(0, |f, (i, s)| f * s + i);
        self.positions[flat]
    }

    /// A new shape whose element `i` is this model's element `from(i)`.
    fn remap(&self, shape: Vec<usize>, from: impl Fn(&[usize]) -> Vec<usize>) -> Self {
        let positions = indices(&shape).iter().map(|i| self.get(&from(i))).collect();
        Model { shape, positions }
    }
}

fn layouts() -> impl Strategy<Value = Layout> {
    let shape = prop::collection::vec(1usize..5, 1..5);
    (shape, any::<u64>(), 0usize..7).prop_map(|(shape, bits, offset)| {
        // Start contiguous, then permute, flip and thin out at random: a reachable layout.
        let mut layout = Layout::contiguous(&shape).unwrap().shifted(offset).unwrap();
        for d in 0..shape.len() {
            if bits >> d & 1 == 1 {
                layout = layout.flip(d).unwrap();
            }
            if bits >> (8 + d) & 1 == 1 {
                layout = layout.transpose(d, (bits >> 16) as usize % shape.len()).unwrap();
            }
            if bits >> (24 + d) & 3 == 3 {
                let size = layout.shape()[d];
                layout = layout.slice(d, 0, size, 2).unwrap();
            }
        }
        layout
    })
}

proptest! {
    #[test]
    fn transpose_and_permute(layout in layouts(), a in 0usize..4, b in 0usize..4, seed in any::<u64>()) {
        let (model, rank) = (Model::of(&layout), layout.rank());
        let (a, b) = (a % rank, b % rank);
        let mut shape = model.shape.clone();
        shape.swap(a, b);
        let want = model.remap(shape, |i| { let mut i = i.to_vec(); i.swap(a, b); i });
        prop_assert_eq!(Model::of(&layout.transpose(a, b).unwrap()), want);

        let mut axes: Vec<usize> = (0..rank).collect();
        axes.rotate_left(seed as usize % rank);
        let shape = axes.iter().map(|&x| model.shape[x]).collect();
        let want = model.remap(shape, |i| {
            let mut from = vec![0; rank];
            for (d, &x) in axes.iter().enumerate() { from[x] = i[d]; }
            from
        });
        prop_assert_eq!(Model::of(&layout.permute(&axes).unwrap()), want);
    }

    #[test]
    fn slice_flip_and_split(layout in layouts(), d in 0usize..4, s in 0usize..5, e in 0usize..6, step in 1usize..4) {
        let model = Model::of(&layout);
        let d = d % layout.rank();
        let size = model.shape[d];
        match layout.slice(d, s, e, step) {
            Ok(view) => {
                let mut shape = model.shape.clone();
                shape[d] = (e - s).div_ceil(step);
                let want = model.remap(shape, |i| { let mut i = i.to_vec(); i[d] = s + i[d] * step; i });
                prop_assert_eq!(Model::of(&view), want);
                prop_assert!(view.span() <= layout.span());
            }
            Err(error) => {
                prop_assert!(s > e || e > size);
                let is_slice = matches!(error, LayoutError::Slice { .. });
                prop_assert!(is_slice);
            }
        }
        let want = model.remap(model.shape.clone(), |i| { let mut i = i.to_vec(); i[d] = size - 1 - i[d]; i });
        prop_assert_eq!(Model::of(&layout.flip(d).unwrap()), want);

        let pieces: Vec<Layout> = layout.split(d, step).unwrap().collect();
        prop_assert_eq!(pieces.iter().map(|p| p.shape()[d]).sum::<usize>(), size);
        for (p, piece) in pieces.iter().enumerate() {
            let want = model.remap(piece.shape().to_vec(), |i| { let mut i = i.to_vec(); i[d] += p * step; i });
            prop_assert_eq!(Model::of(piece), want);
        }
    }

    #[test]
    fn squeeze_unsqueeze_and_broadcast(layout in layouts(), d in 0usize..5, times in 1usize..4) {
        let model = Model::of(&layout);
        let d = d % (layout.rank() + 1);
        let wide = layout.unsqueeze(d).unwrap();
        let mut shape = model.shape.clone();
        shape.insert(d, 1);
        let drop = |i: &[usize]| { let mut i = i.to_vec(); i.remove(d); i };
        prop_assert_eq!(Model::of(&wide), model.remap(shape.clone(), drop));
        prop_assert_eq!(Model::of(&wide.squeeze(d).unwrap()), model.clone());
        shape[d] = times;
        let repeated = wide.broadcast(&shape).unwrap();
        prop_assert_eq!(Model::of(&repeated), model.remap(shape, drop));
        prop_assert_eq!(repeated.may_overlap(), times > 1);
        for x in 0..layout.rank() {
            let result = layout.squeeze(x);
            prop_assert_eq!(result.is_ok(), model.shape[x] == 1);
        }
    }

    #[test]
    fn reshape_keeps_order_or_refuses(layout in layouts(), cut in 1usize..20) {
        let model = Model::of(&layout);
        let total = layout.len();
        let first = (1..=total).filter(|x| total % x == 0).nth(cut % 3).unwrap_or(1);
        for shape in [vec![total], vec![first, total / first], vec![total / first, 1, first]] {
            match layout.reshape(&shape) {
                Ok(view) => {
                    let got = Model::of(&view);
                    prop_assert_eq!(&got.positions, &model.positions);
                    prop_assert_eq!(&got.shape, &shape);
                }
                Err(error) => {
                    prop_assert!(!layout.is_contiguous());
                    let is_reshape = matches!(error, LayoutError::Reshape { .. });
                    prop_assert!(is_reshape);
                }
            }
        }
        prop_assert!(layout.reshape(&[total + 1]).is_err());
    }

    #[test]
    fn contiguity_and_overlap_follow_positions(layout in layouts()) {
        let model = Model::of(&layout);
        let in_order = model.positions.windows(2).all(|w| w[1] == w[0] + 1);
        prop_assert_eq!(layout.is_contiguous(), in_order);
        prop_assert_eq!(layout.span(), model.positions.iter().max().map_or(0, |m| m + 1));
        let mut sorted = model.positions.clone();
        sorted.sort_unstable();
        sorted.dedup();
        if sorted.len() < model.positions.len() {
            prop_assert!(layout.may_overlap());
        }
        let align = layout.alignment(2, None);
        prop_assert!(model.positions.iter().all(|p| p * 2 % align.min(2) == 0));
    }
}

#[test]
fn invalid_requests_are_errors() {
    let l = Layout::contiguous(&[2, 3, 4]).unwrap();
    assert!(l.transpose(0, 3).is_err());
    assert!(l.permute(&[0, 1]).is_err());
    assert!(l.permute(&[0, 1, 1]).is_err());
    assert!(l.slice(1, 0, 3, 0).is_err());
    assert!(l.squeeze(0).is_err());
    assert!(l.unsqueeze(4).is_err());
    assert!(l.broadcast(&[2, 3, 5]).is_err());
    assert!(l.broadcast(&[3, 4]).is_err());
    assert!(l.split(0, 0).is_err());
    assert!(l.flip(9).is_err());
    assert!(l.reshape(&[5, 5]).is_err());
    assert!(l.transpose(1, 2).unwrap().reshape(&[24]).is_err());
    assert!(Layout::contiguous(&[1; 9]).is_err());
    assert!(Layout::contiguous(&[usize::MAX, 2]).is_err());
    assert!(Layout::strided(&[2], &[-1], 0).is_err());
    assert!(Layout::strided(&[2], &[isize::MAX], 1).is_err());
    assert!(Layout::strided(&[2], &[1, 1], 0).is_err());
}

#[test]
fn a_transposed_matrix_is_told_from_a_row_major_one() {
    let l = Layout::contiguous(&[5, 3, 4]).unwrap();
    assert!(!l.is_transposed() && l.is_contiguous());
    let t = l.transpose(1, 2).unwrap();
    assert!(t.is_transposed() && !t.is_contiguous());
}
