//! Element-wise work to read first: one element after the other, any layout and dtype, safe Rust.
//!
//! Idea: the definition. Walk the space, read each input, evaluate the tree, round once.
//!
//! Bound: one walk of the tree an element, some 10 ns a node; memory is not in it.
//!
//! `smith bench map --problem shape=65536,expr=add(x0,x1),x0=f32,x1=f32,out=f32 --candidate reference`

use crate::cpu::kernel::{CpuCall, CpuKernelError};
use crate::cpu::operands::{self, Arithmetic};
use kernelsmith_core::DType;
use kernelsmith_core::ops::OpProblem;
use kernelsmith_core::ops::map::{MapProblem, unravel};

pub fn run(call: &mut CpuCall<'_>) -> Result<(), CpuKernelError> {
    let problem: &MapProblem = operands::problem(call, "map")?;
    match problem.arithmetic() {
        DType::F64 => evaluate::<f64>(problem, call),
        _ => evaluate::<f32>(problem, call),
    }
}

fn evaluate<N: Arithmetic>(p: &MapProblem, call: &mut CpuCall<'_>) -> Result<(), CpuKernelError> {
    let (sources, mut target) = operands::check(&p.operands(), call.inputs, call.output)?;
    let rank = p.shape().len();
    for i in 0..p.out.layout.len() {
        let index = unravel(i, p.shape());
        let read = |j: usize| N::constant(sources[j].get(sources[j].layout.at(&index[..rank])));
        let value = p.expr.eval_at(N::constant(0.0), &read, &|d| index[d]);
        target.set(target.layout.at(&index[..rank]), value.into());
    }
    Ok(())
}
