//! Movements along an axis to read first: one element after the other, any layout and dtype.
//!
//! Idea: the definition. Walk the space, look the index up, replace the axis' position by it, and
//! copy the element's bytes, or add it to an f64 sum. Sums are taken in the order of the space.
//!
//! Bound: some 10 ns an element.
//!
//! `smith bench gather --problem shape=256x784,axis=0,size=60000,x=f32,index=i32@0:1:0,out=f32 --candidate reference`

use crate::cpu::kernel::{CpuCall, CpuKernelError};
use crate::cpu::operands::{self, Source};
use kernelsmith_core::inputs::for_each_position;
use kernelsmith_core::ops::OpProblem;
use kernelsmith_core::ops::gather::GatherProblem;
use kernelsmith_core::ops::map::unravel;
use kernelsmith_core::reference::ExactSum;

/// The point that the index sends `point` to, if there is one.
fn moved(p: &GatherProblem, index: &Source, point: &[usize]) -> Option<Vec<usize>> {
    let at = index.get(index.layout.at(point));
    (at >= 0.0 && at < p.size() as f64).then(|| {
        let mut point = point.to_vec();
        point[p.axis] = at as usize;
        point
    })
}

pub fn gather(call: &mut CpuCall<'_>) -> Result<(), CpuKernelError> {
    let p: &GatherProblem = operands::problem(call, "gather")?;
    let (sources, mut target) = operands::check(&p.operands(), call.inputs, call.output)?;
    let missing = if target.dtype.is_float() { f64::NAN } else { 0.0 };
    for i in 0..p.index.layout.len() {
        let point = &unravel(i, p.shape())[..p.shape().len()];
        let at = target.layout.at(point);
        match moved(p, &sources[1], point) {
            Some(from) => target.copy(at, sources[0].element(sources[0].layout.at(&from))),
            None => target.set(at, missing),
        }
    }
    Ok(())
}

pub fn scatter_add(call: &mut CpuCall<'_>) -> Result<(), CpuKernelError> {
    let p: &GatherProblem = operands::problem(call, "scatter_add")?;
    let (sources, mut target) = operands::check(&p.operands(), call.inputs, call.output)?;
    let mut sums = vec![ExactSum::default(); target.layout.span()];
    for i in 0..p.index.layout.len() {
        let point = &unravel(i, p.shape())[..p.shape().len()];
        if let Some(to) = moved(p, &sources[1], point) {
            sums[target.layout.at(&to)].add(sources[0].get(sources[0].layout.at(point)));
        }
    }
    let layout = target.layout;
    for_each_position(&layout, |_, at| target.set(at, sums[at].value()));
    Ok(())
}
