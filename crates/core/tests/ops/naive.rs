//! The definitions, in the arithmetic that the problem says, with faults to plant.

use kernelsmith_core::expr::Number;
use kernelsmith_core::inputs::Inputs;
use kernelsmith_core::ops::attention::AttentionProblem;
use kernelsmith_core::ops::map::{MapProblem, unravel};
use kernelsmith_core::ops::reduce::{ReduceKind, ReduceProblem, step};
use kernelsmith_core::ops::row::{RowKind, RowProblem};
use kernelsmith_core::ops::{OpProblem, Operand};
use kernelsmith_core::{DType, Expr, HostArray};

/// What is done wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    None,
    /// The last element of the output keeps its poison.
    SkipsLast,
    /// Each output is that of its neighbour.
    WrongRow,
    /// The epilogue is left out.
    NoPost,
    /// Half of each sum, and half of each row's statistics, is left out.
    HalfSum,
    /// The last element of each sum is left out.
    ShortSum,
    /// Scores are not scaled.
    NoScale,
    /// Each query sees one key more than it should.
    SeesOneMore,
    /// A head reads the keys of the next.
    WrongHead,
}

pub fn arrays(operands: &[Operand], inputs: Inputs, seed: u64) -> Vec<HostArray> {
    let fill = |(i, o): (usize, &Operand)| o.fill(inputs, seed.wrapping_mul(97).wrapping_add(i as u64));
    operands[..operands.len() - 1].iter().enumerate().map(fill).collect()
}

/// An output full of a number that no result is.
fn poisoned(p: &dyn OpProblem) -> HostArray {
    let out = p.operands().pop().unwrap();
    HostArray::from_fn(out.dtype, out.layout.span(), |_| if out.dtype.is_float() { -3.25e4 } else { 77.0 })
}

trait Real: Number + Into<f64> {}
impl Real for f32 {}
impl Real for f64 {}

fn neighbour(fault: Fault, i: usize, n: usize) -> usize {
    if fault == Fault::WrongRow { (i + 1) % n } else { i }
}

pub fn map(p: &MapProblem, arrays: &[HostArray], fault: Fault) -> HostArray {
    if p.arithmetic() == DType::F64 { map_in::<f64>(p, arrays, fault) } else { map_in::<f32>(p, arrays, fault) }
}

fn map_in<N: Real>(p: &MapProblem, arrays: &[HostArray], fault: Fault) -> HostArray {
    let mut out = poisoned(p);
    let (n, rank) = (p.out.layout.len(), p.shape().len());
    for i in 0..n - usize::from(fault == Fault::SkipsLast) {
        let at = unravel(i, p.shape());
        let from = unravel(neighbour(fault, i, n), p.shape());
        let read = |j: usize| N::constant(arrays[j].get(p.inputs[j].layout.at(&from[..rank])));
        let x = p.expr.eval_at(N::constant(0.0), &read, &|d| from[d]);
        out.set(p.out.layout.at(&at[..rank]), x.into());
    }
    out
}

pub fn reduce(p: &ReduceProblem, arrays: &[HostArray], fault: Fault) -> HostArray {
    if p.arithmetic() == DType::F64 { reduce_in::<f64>(p, arrays, fault) } else { reduce_in::<f32>(p, arrays, fault) }
}

fn reduce_in<N: Real>(p: &ReduceProblem, arrays: &[HostArray], fault: Fault) -> HostArray {
    let mut out = poisoned(p);
    let (rank, n, outer) = (p.shape().len(), p.inner_len(), p.outer_len());
    for o in 0..outer - usize::from(fault == Fault::SkipsLast) {
        let at = unravel(o, &p.shape()[..p.outer]);
        let first = unravel(neighbour(fault, o, outer), &p.shape()[..p.outer]);
        let inner = |i: usize| {
            let mut index = first;
            index[p.outer..rank].copy_from_slice(&unravel(i, &p.shape()[p.outer..])[..rank - p.outer]);
            index
        };
        let x: Vec<N> = (0..n)
            .map(|i| {
                let index = inner(i);
                let read = |j: usize| N::constant(arrays[j].get(p.inputs[j].layout.at(&index[..rank])));
                p.expr.eval_at(N::constant(0.0), &read, &|d| index[d])
            })
            .collect();
        let kept = match fault {
            Fault::HalfSum => n.div_ceil(2),
            Fault::ShortSum => (n - 1).max(1),
            _ => n,
        };
        let post = if fault == Fault::NoPost { &Expr::Value } else { &p.post };
        let read = |j: usize| arrays[j].get(p.inputs[j].layout.at(&first[..rank]));
        let value = if p.kind.is_position() {
            post.eval_at(best(p.kind, &x[..kept]) as f64, &read, &|d| first[d])
        } else {
            let x = x[1..kept].iter().fold(x[0], |a, b| step(p.kind, a, *b));
            post.eval_at(x, &|j| N::constant(read(j)), &|d| first[d]).into()
        };
        out.set(p.out.layout.at(&at[..p.outer]), value);
    }
    out
}

fn best<N: Real>(kind: ReduceKind, x: &[N]) -> usize {
    let x: Vec<f64> = x.iter().map(|x| (*x).into()).collect();
    let better = |a: f64, b: f64| !b.is_nan() && (a.is_nan() || if kind == ReduceKind::ArgMax { a > b } else { a < b });
    (1..x.len()).fold(0, |b, i| if better(x[i], x[b]) { i } else { b })
}

pub fn row(p: &RowProblem, arrays: &[HostArray], fault: Fault) -> HostArray {
    if p.arithmetic() == DType::F64 { row_in::<f64>(p, arrays, fault) } else { row_in::<f32>(p, arrays, fault) }
}

fn row_in<N: Real>(p: &RowProblem, arrays: &[HostArray], fault: Fault) -> HostArray {
    let mut out = poisoned(p);
    let (rank, columns, rows) = (p.shape().len(), p.columns(), p.rows());
    for r in 0..rows {
        let at = unravel(r, &p.shape()[..rank - 1]);
        let from = unravel(neighbour(fault, r, rows), &p.shape()[..rank - 1]);
        let read = |j: usize, c: usize| {
            let mut index = from;
            index[rank - 1] = c;
            N::constant(arrays[j].get(p.inputs[j].layout.at(&index[..rank])))
        };
        let position = |c: usize| move |d: usize| if d == rank - 1 { c } else { from[d] };
        let x: Vec<f64> =
            (0..columns).map(|c| p.expr.eval_at(N::constant(0.0), &|j| read(j, c), &position(c)).into()).collect();
        let label = p.label.map(|j| read(j, 0).into());
        let y = row_results(p.kind, p.eps, &x, label, fault == Fault::HalfSum);
        let post = if fault == Fault::NoPost { &Expr::Value } else { &p.post };
        let last = if fault == Fault::SkipsLast && r + 1 == rows { 1 } else { 0 };
        for (c, y) in y.iter().enumerate().take(y.len() - last) {
            let z = post.eval_at(N::constant(*y), &|j| read(j, c), &position(c));
            let mut at = at;
            at[rank - 1] = c;
            let at = if p.kind.reduces() { &at[..rank - 1] } else { &at[..rank] };
            out.set(p.out.layout.at(at), z.into());
        }
    }
    out
}

fn row_results(kind: RowKind, eps: f64, x: &[f64], label: Option<f64>, half: bool) -> Vec<f64> {
    let n = x.len() as f64;
    let counted = &x[..if half { x.len().div_ceil(2) } else { x.len() }];
    let max = x.iter().fold(f64::NEG_INFINITY, |m, x| f64::binary(kernelsmith_core::expr::Binary::Max, m, *x));
    let total: f64 = counted.iter().map(|x| (x - max).exp()).sum();
    let column = label.filter(|l| (0.0..n).contains(l)).map(|l| l as usize);
    match kind {
        RowKind::Softmax => {
            let one = |(c, x): (usize, &f64)| (x - max).exp() / total - f64::from(u8::from(Some(c) == column));
            x.iter().enumerate().map(one).collect()
        }
        RowKind::LogSoftmax => x.iter().map(|x| x - max - total.ln()).collect(),
        RowKind::CrossEntropy => vec![match (label, column) {
            (None, _) => max + total.ln(),
            (_, Some(c)) => max - x[c] + total.ln(),
            (_, None) => f64::NAN,
        }],
        RowKind::LayerNorm => {
            let mean = counted.iter().sum::<f64>() / n;
            let variance = counted.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
            x.iter().map(|x| (x - mean) / (variance + eps).sqrt()).collect()
        }
        RowKind::RmsNorm => {
            let scale = (counted.iter().map(|x| x * x).sum::<f64>() / n + eps).sqrt();
            x.iter().map(|x| x / scale).collect()
        }
    }
}

/// Attention as kernels of 16 bits do it: scores and sums in f32, weights rounded to the dtype before they meet V.
pub fn attention(p: &AttentionProblem, arrays: &[HostArray], fault: Fault) -> HostArray {
    let mut out = poisoned(p);
    let s = p.shape;
    let rows = s.batch * s.heads * s.queries;
    for row in 0..rows {
        let place = |row: usize| (row / s.queries / s.heads, row / s.queries % s.heads, row % s.queries);
        let (batch, head, query) = place(row);
        let (_, _, from) = place(neighbour(fault, row, rows));
        let shift = usize::from(fault == Fault::WrongHead);
        let kv_head = (p.kv_head(head) + shift) % s.kv_heads;
        let get = |i: usize, at: [usize; 4]| arrays[i].get(p.layouts()[i].1.at(&at)) as f32;
        let score = |j: usize| {
            let products = (0..s.head).map(|d| get(0, [batch, head, from, d]) * get(1, [batch, kv_head, j, d]));
            let sum = products.fold(0.0f32, |a, x| a + x);
            if fault == Fault::NoScale { sum } else { sum * p.scale as f32 }
        };
        let n = match fault {
            Fault::SeesOneMore => (p.visible(query) + 1).min(s.keys),
            Fault::HalfSum => p.visible(query).div_ceil(2),
            Fault::ShortSum => (p.visible(query) - 1).max(1),
            _ => p.visible(query),
        };
        let scores: Vec<f32> = (0..n).map(score).collect();
        let max = scores.iter().fold(f32::NEG_INFINITY, |m, x| if *x > m || x.is_nan() { *x } else { m });
        let weights: Vec<f32> = scores.iter().map(|s| (s - max).exp()).collect();
        let sum: f32 = weights.iter().sum();
        let last = usize::from(fault == Fault::SkipsLast && row + 1 == rows);
        for d in 0..s.head - last {
            let weighed = weights.iter().enumerate();
            let weighed = weighed.map(|(j, w)| p.dtype.round(f64::from(*w)) as f32 * get(2, [batch, kv_head, j, d]));
            out.set(p.out.at(&[batch, head, query, d]), f64::from(weighed.fold(0.0f32, |a, x| a + x) / sum));
        }
    }
    out
}
