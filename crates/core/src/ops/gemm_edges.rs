//! Neighbours of a product that break kernels.

use super::Problem;
use super::gemm::{GemmProblem, GemmShape, Storage, stored};
use crate::Layout;

/// Odd, prime, empty and tile ± 1 sizes; padded, offset, sliced, flipped, transposed and broadcast views.
pub fn edge_cases(base: &GemmProblem) -> Vec<Problem> {
    let mut out = Vec::new();
    let storage =
        Storage { a_transposed: GemmProblem::inner(&base.a) == 1, b_transposed: GemmProblem::inner(&base.b) == 1 };
    let plain = |batch, m, n, k| {
        let mut p = GemmProblem::new(GemmShape { batch, m, n, k, storage }, base.dtype).ok()?;
        (p.inputs, p.compute, p.alpha, p.beta) = (base.inputs, base.compute, base.alpha, base.beta);
        p.with_epilogue_of(base)
    };
    // A variant for few rows never sees the others: keep m small when the problem's is.
    let few = base.m <= 8;
    let rows = |m: usize| if few { m.min(base.m) } else { m };
    let sizes = [
        (1, 1, 1, 1),
        (1, 1, 17, 33),
        (1, 31, 7, 5),
        (1, 13, 257, 67),
        (1, 65, 63, 129),
        (1, 127, 129, 31),
        (1, 129, 127, 65),
        (1, 64, 64, 0),
        (1, 5, 96, 1),
        (3, 33, 35, 37),
        (2, 128, 64, 256),
        (1, 61, 131, 515),
        // aligned, for kernels that copy by 16 bytes: odd numbers of tiles, parts of tiles
        (1, 136, 264, 72),
        (1, 127, 129, 64),
        (1, 257, 8, 200),
        (2, 72, 200, 136),
    ];
    for (batch, m, n, k) in sizes {
        out.extend(plain(batch, rows(m), n, k));
    }
    let (batch, n, k) = (2, 75, 70);
    let views: [&dyn Fn(&Layout) -> Option<Layout>; 4] =
        [&|l| padded(l, 3, 1), &|l| padded(l, 8, 8), &|l| sliced(l, 2), &|l| padded(l, 1, 0)?.flip(1).ok()];
    // Few rows as well: variants that are for few, but not for the fewest, see no others.
    let heights = if few { vec![rows(45)] } else { vec![45, 7] };
    for (view, m) in views.iter().flat_map(|v| heights.iter().map(move |m| (v, *m))) {
        let viewed = || {
            let p = plain(batch, m, n, k)?;
            let (a, b, c, d) = (view(&p.a)?, view(&p.b)?, view(&p.c)?, view(&p.d)?);
            p.with_layouts(a, b, c, d).ok()
        };
        out.extend(viewed());
    }
    let m = rows(45);
    let column_major = || {
        let p = plain(batch, m, n, k)?;
        let d = stored(batch, m, n, true)?;
        let (a, b, c) = (p.a, p.b, p.c);
        p.with_layouts(a, b, c, d).ok()
    };
    out.extend(column_major());
    let broadcast = || {
        let p = plain(batch, m, n, k)?;
        let one = stored(1, k, n, storage.b_transposed)?.broadcast(&[batch, k, n]).ok()?;
        let (a, c, d) = (p.a, p.c, p.d);
        p.with_layouts(a, one, c, d).ok()
    };
    out.extend(broadcast());
    out.into_iter().map(Problem::new).collect()
}

/// The same view inside a larger buffer: `pad` elements after each outer step, `offset` before all.
fn padded(layout: &Layout, pad: isize, offset: usize) -> Option<Layout> {
    let (shape, strides) = (layout.shape(), layout.strides());
    let widen = |d: usize| {
        if strides[d] == 1 {
            return strides[d];
        }
        if d == 0 { strides[0] + pad * (shape[1].max(shape[2]) as isize + 1) } else { strides[d] + pad }
    };
    Layout::strided(shape, &[widen(0), widen(1), widen(2)], layout.offset() + offset).ok()
}

/// Every `step`-th element of both matrix dimensions of a larger array: nothing is contiguous.
fn sliced(layout: &Layout, step: isize) -> Option<Layout> {
    let s = layout.strides();
    let stretch = step * step;
    Layout::strided(layout.shape(), &[s[0] * stretch, s[1] * stretch, s[2] * step], 1).ok().filter(|l| !l.may_overlap())
}
