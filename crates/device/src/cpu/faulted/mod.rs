//! Faulted executions: the real kernels of the CPU, each called in a way that makes the result wrong
//! as a bug in the kernel would. A kernel here is compiled Rust, so a fault cannot be put into its
//! text when the program runs; instead the kernel gets another problem (one step of k fewer, a stride
//! off by one, no epilogue), other operands, or its output is meddled with on the way out.
//!
//! No manifest that ships names them. The gate's own test does, through two parameters: `KERNEL` is a
//! place in [`kernels`], `FAULT` one in [`faults`].

mod anywhere;
mod attention;
mod gemm;
mod index_space;
mod movement;

use super::kernel::{CpuCall, CpuEntry, CpuKernelError};
use kernelsmith_core::inputs::for_each_position;
use kernelsmith_core::{HostArray, Layout, Operand, Problem};

type Outcome = Result<(), CpuKernelError>;

/// A registered kernel that is called wrongly.
pub type Kernel = &'static CpuEntry;

/// One way of calling a kernel wrongly.
pub struct Fault {
    pub name: &'static str,
    run: fn(Kernel, &mut CpuCall) -> Outcome,
}

/// Every fault, those of any op first. The order is what `FAULT` counts.
pub fn faults() -> impl Iterator<Item = &'static Fault> {
    let rest = [index_space::FAULTS, movement::FAULTS, attention::FAULTS];
    [anywhere::FAULTS, gemm::FAULTS].into_iter().chain(rest).flatten()
}

/// Every kernel that computes something. The order is what `KERNEL` counts.
pub fn kernels() -> impl Iterator<Item = Kernel> {
    let ops = [super::gemm::KERNELS, super::map::KERNELS, super::reduce::KERNELS, super::row::KERNELS];
    ops.into_iter().chain([super::gather::KERNELS, super::attention::KERNELS]).flatten()
}

pub static KERNELS: &[CpuEntry] = &[CpuEntry { name: "faulted", run, source: include_str!("mod.rs") }];

fn run(call: &mut CpuCall) -> Outcome {
    let at = |name: &str| call.config.get(name).and_then(|i| usize::try_from(i).ok()).unwrap_or(usize::MAX);
    let (kernel, fault) = (kernels().nth(at("KERNEL")), faults().nth(at("FAULT")));
    match (kernel, fault) {
        (Some(kernel), Some(fault)) => (fault.run)(kernel, call),
        _ => Err(CpuKernelError("KERNEL or FAULT is out of range".to_string())),
    }
}

/// The kernel as it is.
fn right(kernel: Kernel, call: &mut CpuCall) -> Outcome {
    (kernel.run)(call)
}

/// The kernel on another problem with the same buffers; as it is where `change` says that this
/// problem has no such neighbour.
fn on(kernel: Kernel, call: &mut CpuCall, change: impl FnOnce(&Problem) -> Option<Problem>) -> Outcome {
    let Some(problem) = change(call.problem) else { return right(kernel, call) };
    let (config, inputs, output) = (call.config, call.inputs, &mut *call.output);
    (kernel.run)(&mut CpuCall { problem: &problem, config, inputs, output })
}

/// A buffer's bytes as an array.
fn array(operand: &Operand, bytes: &[u8]) -> HostArray {
    let size = operand.dtype.bytes();
    let mut array = HostArray::zeros(operand.dtype, bytes.len() / size);
    array.as_bytes_mut().copy_from_slice(&bytes[..bytes.len() / size * size]);
    array
}

/// The kernel on copies of its inputs that `change` has seen.
fn on_inputs(kernel: Kernel, call: &mut CpuCall, mut change: impl FnMut(usize, &Operand, &mut HostArray)) -> Outcome {
    let operands = call.problem.inputs();
    let mut arrays: Vec<HostArray> = operands.iter().zip(call.inputs).map(|(o, b)| array(o, b)).collect();
    operands.iter().zip(&mut arrays).enumerate().for_each(|(i, (o, a))| change(i, o, a));
    let inputs: Vec<&[u8]> = arrays.iter().map(HostArray::as_bytes).collect();
    let (problem, config, output) = (call.problem, call.config, &mut *call.output);
    (kernel.run)(&mut CpuCall { problem, config, inputs: &inputs, output })
}

/// The kernel, then a change of what it left in the output.
fn afterwards(kernel: Kernel, call: &mut CpuCall, change: impl FnOnce(&mut HostArray, &Layout)) -> Outcome {
    right(kernel, call)?;
    let out = call.problem.output();
    let mut result = array(&out, call.output);
    change(&mut result, &out.layout);
    call.output[..result.as_bytes().len()].copy_from_slice(result.as_bytes());
    Ok(())
}

/// The kernel into an output of its own, of which `keep` says what gets into the real one: the logical
/// index of an element, and the position in the buffer that it goes to instead, if anywhere.
fn store_only(
    kernel: Kernel,
    call: &mut CpuCall,
    mut keep: impl FnMut(usize, usize, &[usize]) -> Option<usize>,
) -> Outcome {
    let out = call.problem.output();
    let mut own = HostArray::zeros(out.dtype, call.output.len() / out.dtype.bytes());
    let (problem, config, inputs) = (call.problem, call.config, call.inputs);
    (kernel.run)(&mut CpuCall { problem, config, inputs, output: own.as_bytes_mut() })?;
    let positions = positions(&out.layout);
    let size = out.dtype.bytes();
    for (i, &from) in positions.iter().enumerate() {
        if let Some(to) = keep(i, positions.len(), &positions) {
            call.output[to * size..(to + 1) * size].copy_from_slice(&own.as_bytes()[from * size..(from + 1) * size]);
        }
    }
    Ok(())
}

/// The buffer's position of each element, in logical order.
fn positions(layout: &Layout) -> Vec<usize> {
    let mut positions = vec![0; layout.len()];
    for_each_position(layout, |i, at| positions[i] = at);
    positions
}
