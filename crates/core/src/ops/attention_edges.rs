//! Neighbours of an attention that break kernels.

use super::Problem;
use super::attention::{AttentionProblem, AttentionShape, Order};
use crate::Layout;

/// Sizes as batch, heads, kv_heads, queries, keys: single ones, primes, tile ± 1, one query on many keys, more
/// queries than keys (which no causal one has), groups of heads.
const SIZES: [[usize; 5]; 12] = [
    [1, 1, 1, 1, 1],
    [1, 1, 1, 1, 2],
    [2, 3, 3, 5, 7],
    [1, 2, 1, 16, 16],
    [1, 2, 2, 17, 33],
    [2, 4, 2, 63, 65],
    [1, 1, 1, 64, 64],
    [1, 3, 1, 129, 131],
    [3, 2, 1, 1, 300],
    [1, 8, 2, 2, 257],
    [1, 1, 1, 70, 31],
    [1, 8, 1, 1, 2049],
];

/// Numbers of a head, besides the problem's own.
const HEADS: [usize; 9] = [1, 3, 8, 16, 20, 80, 100, 128, 256];

/// The sizes above with the problem's head, others with other heads; layouts that are padded, shifted, in the
/// other order, slices of one packed array, reversed, broadcast; scales that are large or negative.
pub fn edge_cases(base: &AttentionProblem) -> Vec<Problem> {
    let mut out = Vec::new();
    let make = |[batch, heads, kv_heads, queries, keys]: [usize; 5], head: usize, causal: bool, order: Order| {
        let shape = AttentionShape { batch, heads, kv_heads, queries, keys, head };
        let problem = AttentionProblem::new(shape, base.dtype, order).ok()?;
        if causal { problem.with_causal().ok() } else { Some(problem) }
    };
    let own = base.shape.head;
    for sizes in SIZES {
        for causal in [false, true] {
            out.extend(make(sizes, own, causal, Order::Bhsd));
        }
    }
    for (i, head) in HEADS.into_iter().filter(|h| *h != own).enumerate() {
        out.extend(make([1, 2, 1, 9 + i, 41], head, i % 2 == 0, Order::Bhsd));
    }
    // What one query reads is worth a kernel of its own, and enough keys to be split.
    let [batch, heads, kv_heads, queries, keys] =
        if base.shape.queries == 1 { [2, 8, 2, 1, 600] } else { [2, 4, 2, 37, 70] };
    let sizes = [batch, heads, kv_heads, queries, keys];
    let views: [&dyn Fn(&[usize]) -> Option<Layout>; 5] = [&padded, &shifted, &packed, &reversed, &turned];
    for (i, view) in views.into_iter().enumerate() {
        let viewed = |p: AttentionProblem| {
            let [q, k] = [view(p.q.shape())?, view(p.k.shape())?];
            p.with_layouts([q, k, k, q]).ok()
        };
        out.extend(make(sizes, own, i % 2 == 0, Order::Bhsd).and_then(viewed));
    }
    out.extend(make(sizes, own, true, Order::Bshd));
    out.extend(make(sizes, own, false, Order::Bhsd).and_then(|p| {
        // One array of keys for the whole batch, and queries that are all the same.
        let shared = Layout::contiguous(&[1, kv_heads, keys, own]).ok()?.broadcast(p.k.shape()).ok()?;
        let same = Layout::contiguous(&[batch, heads, 1, own]).ok()?.broadcast(p.q.shape()).ok()?;
        let (v, to) = (p.v, p.out);
        p.with_layouts([same, shared, v, to]).ok()
    }));
    for scale in [2.0, -0.25, 0.0] {
        out.extend(make([1, 2, 2, 40, 150], own, true, Order::Bhsd).and_then(|p| p.with_scale(scale).ok()));
    }
    // Queries that see one key, whose score is far from 0: without its maximum taken off, its weight is 0 or infinite.
    out.extend(make([3, 6, 3, 2, 2], own, true, Order::Bhsd).and_then(|p| p.with_scale(20.0).ok()));
    out.into_iter().map(Problem::new).collect()
}

/// Rows of a head that are longer than the head, by what is no multiple of 16 bytes.
fn padded(shape: &[usize]) -> Option<Layout> {
    let wide = [shape[0], shape[1] + 1, shape[2] + 2, shape[3] + 3];
    (0..4).try_fold(Layout::contiguous(&wide).ok()?, |l, d| l.slice(d, 0, shape[d], 1).ok())
}

/// Not at the start of the buffer.
fn shifted(shape: &[usize]) -> Option<Layout> {
    Layout::contiguous(shape).ok()?.shifted(1).ok()
}

/// The second of three that were projected together: \[batch, sequence, 3, heads, head\].
fn packed(shape: &[usize]) -> Option<Layout> {
    let (batch, heads, sequence, head) = (shape[0], shape[1], shape[2], shape[3]);
    let whole = Layout::contiguous(&[batch, sequence, 3, heads, head]).ok()?;
    whole.slice(2, 1, 2, 1).ok()?.squeeze(2).ok()?.transpose(1, 2).ok()
}

/// The sequence backwards.
fn reversed(shape: &[usize]) -> Option<Layout> {
    Layout::contiguous(shape).ok()?.flip(2).ok()
}

/// The sequence contiguous, heads' numbers apart.
fn turned(shape: &[usize]) -> Option<Layout> {
    Layout::contiguous(&[shape[0], shape[1], shape[3], shape[2]]).ok()?.transpose(2, 3).ok()
}
