//! Reductions to read first: any layout and dtype, safe Rust.
//!
//! Idea: the definition. For each output walk the reduced dimensions in order, evaluate the
//! prologue, take it into one f64 sum or the best so far, then the epilogue.
//!
//! Bound: one walk of the tree an element, some 10 ns a node.
//!
//! `smith bench reduce --problem kind=sum,outer=64,inner=1024,x0=f32,out=f32 --candidate reference`

use crate::cpu::kernel::{CpuCall, CpuKernelError};
use crate::cpu::operands::{self, Arithmetic};
use kernelsmith_core::DType;
use kernelsmith_core::ops::OpProblem;
use kernelsmith_core::ops::map::unravel;
use kernelsmith_core::ops::reduce::{ReduceKind, ReduceProblem};
use kernelsmith_core::reference::ExactSum;

pub fn run(call: &mut CpuCall<'_>) -> Result<(), CpuKernelError> {
    let problem: &ReduceProblem = operands::problem(call, "reduce")?;
    match problem.arithmetic() {
        DType::F64 => evaluate::<f64>(problem, call),
        _ => evaluate::<f32>(problem, call),
    }
}

fn evaluate<N: Arithmetic>(p: &ReduceProblem, call: &mut CpuCall<'_>) -> Result<(), CpuKernelError> {
    let (sources, mut target) = operands::check(&p.operands(), call.inputs, call.output)?;
    let (rank, inner) = (p.shape().len(), &p.shape()[p.outer..]);
    for o in 0..p.outer_len() {
        let start = unravel(o, &p.shape()[..p.outer]);
        let mut index = start;
        let mut result = Running::new(p.kind);
        for i in 0..p.inner_len() {
            index[p.outer..rank].copy_from_slice(&unravel(i, inner)[..inner.len()]);
            let read = |j: usize| N::constant(sources[j].get(sources[j].layout.at(&index[..rank])));
            result.take(i, p.expr.eval_at(N::constant(0.0), &read, &|d| index[d]).into());
        }
        let read = |j: usize| sources[j].get(sources[j].layout.at(&start[..rank]));
        let value = if p.kind.is_position() {
            // A position may be beyond what f32 holds exactly.
            p.post.eval_at(result.finish(), &read, &|d| start[d])
        } else {
            let read = |j: usize| N::constant(read(j));
            p.post.eval_at(N::constant(result.finish()), &read, &|d| start[d]).into()
        };
        target.set(target.layout.at(&start[..p.outer]), value);
    }
    Ok(())
}

/// What has been reduced so far.
struct Running {
    kind: ReduceKind,
    sum: ExactSum,
    best: Option<(usize, f64)>,
}

impl Running {
    fn new(kind: ReduceKind) -> Self {
        Running { kind, sum: ExactSum::default(), best: None }
    }

    fn take(&mut self, at: usize, x: f64) {
        self.sum.add(x);
        let better = |best: f64| match self.kind {
            _ if best.is_nan() => false,
            _ if x.is_nan() => true,
            ReduceKind::Max | ReduceKind::ArgMax => x > best,
            _ => x < best,
        };
        if self.best.is_none_or(|(_, best)| better(best)) {
            self.best = Some((at, x));
        }
    }

    fn finish(&self) -> f64 {
        let (at, best) = self.best.unwrap_or_default();
        match self.kind {
            ReduceKind::Sum => self.sum.value(),
            ReduceKind::Max | ReduceKind::Min => best,
            ReduceKind::ArgMax | ReduceKind::ArgMin => at as f64,
        }
    }
}
