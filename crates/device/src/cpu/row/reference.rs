//! Row operations to read first: any layout and dtype, safe Rust.
//!
//! Idea: the definition. A row's prologue goes to a buffer, its statistics and results are taken
//! in f64, the epilogue follows element by element.
//!
//! Bound: one walk of the tree an element, some 10 ns a node, and one scalar exponential.
//!
//! `smith bench row --problem kind=softmax,rows=64,columns=1024,x0=f32,out=f32 --candidate reference`

use crate::cpu::kernel::{CpuCall, CpuKernelError};
use crate::cpu::operands::{self, Arithmetic};
use kernelsmith_core::DType;
use kernelsmith_core::ops::OpProblem;
use kernelsmith_core::ops::map::unravel;
use kernelsmith_core::ops::row::{RowKind, RowProblem};
use kernelsmith_core::reference::ExactSum;

pub fn run(call: &mut CpuCall<'_>) -> Result<(), CpuKernelError> {
    let problem: &RowProblem = operands::problem(call, "row")?;
    match problem.arithmetic() {
        DType::F64 => evaluate::<f64>(problem, call),
        _ => evaluate::<f32>(problem, call),
    }
}

fn evaluate<N: Arithmetic>(p: &RowProblem, call: &mut CpuCall<'_>) -> Result<(), CpuKernelError> {
    let (sources, mut target) = operands::check(&p.operands(), call.inputs, call.output)?;
    let last = p.shape().len() - 1;
    let mut row = vec![0.0; p.columns()];
    for r in 0..p.rows() {
        let mut index = unravel(r, &p.shape()[..last]);
        let read = |j: usize, index: &[usize]| sources[j].get(sources[j].layout.at(&index[..=last]));
        for (c, x) in row.iter_mut().enumerate() {
            index[last] = c;
            *x = p.expr.eval_at(N::constant(0.0), &|j| N::constant(read(j, &index)), &|d| index[d]).into();
        }
        index[last] = 0;
        let label = p.label.map(|j| read(j, &index));
        let count = finish(p.kind, p.eps, &mut row, label);
        for (c, x) in row[..count].iter().enumerate() {
            index[last] = c;
            let y = p.post.eval_at(N::constant(*x), &|j| N::constant(read(j, &index)), &|d| index[d]);
            let at = if p.kind.reduces() { &index[..last] } else { &index[..=last] };
            target.set(target.layout.at(at), y.into());
        }
    }
    Ok(())
}

fn sum(terms: impl Iterator<Item = f64>) -> f64 {
    let mut sum = ExactSum::default();
    terms.for_each(|x| sum.add(x));
    sum.value()
}

/// Replaces a row by its results; how many there are.
fn finish(kind: RowKind, eps: f64, x: &mut [f64], label: Option<f64>) -> usize {
    let n = x.len() as f64;
    let column = label.filter(|l| (0.0..n).contains(l)).map(|l| l as usize);
    let max = x.iter().fold(f64::NEG_INFINITY, |m, &x| if x > m || x.is_nan() { x } else { m });
    let exp_sum = |x: &[f64]| sum(x.iter().map(|x| (x - max).exp()));
    match kind {
        RowKind::Softmax => {
            let total = exp_sum(x);
            x.iter_mut().for_each(|x| *x = (*x - max).exp() / total);
            if let Some(c) = column {
                x[c] -= 1.0;
            }
        }
        RowKind::LogSoftmax => {
            let log = exp_sum(x).ln();
            x.iter_mut().for_each(|x| *x = *x - max - log);
        }
        RowKind::CrossEntropy => {
            let log = exp_sum(x).ln();
            x[0] = match (label, column) {
                (None, _) => max + log,
                (_, Some(c)) => max - x[c] + log,
                (_, None) => f64::NAN,
            };
            return 1;
        }
        RowKind::LayerNorm => {
            let mean = sum(x.iter().copied()) / n;
            let variance = sum(x.iter().map(|x| (x - mean).powi(2))) / n;
            let scale = 1.0 / (variance + eps).sqrt();
            x.iter_mut().for_each(|x| *x = (*x - mean) * scale);
        }
        RowKind::RmsNorm => {
            let scale = 1.0 / (sum(x.iter().map(|x| x * x)) / n + eps).sqrt();
            x.iter_mut().for_each(|x| *x *= scale);
        }
    }
    x.len()
}
