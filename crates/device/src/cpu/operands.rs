//! The operands of a call, checked: positions that come from their layouts are inside their bytes.

use super::kernel::{CpuCall, CpuKernelError};
use half::{bf16, f16};
use kernelsmith_core::dtype::{bf16_of, f16_of};
use kernelsmith_core::ops::{OpProblem, Operand};
use kernelsmith_core::{DType, Layout, fp8};

/// An input's buffer, read one element at a time.
pub struct Source<'a> {
    pub dtype: DType,
    pub layout: Layout,
    bytes: &'a [u8],
}

/// The output's buffer, written one element at a time.
pub struct Target<'a> {
    pub dtype: DType,
    pub layout: Layout,
    bytes: &'a mut [u8],
}

/// The problem of a call as a `P`, or why it is none.
pub fn problem<'a, P: OpProblem>(call: &CpuCall<'a>, what: &str) -> Result<&'a P, CpuKernelError> {
    call.problem.downcast::<P>().ok_or_else(|| CpuKernelError(format!("problem `{}` is not a {what}", call.problem)))
}

/// Checks the number of inputs and the size of every buffer.
pub fn check<'a>(
    operands: &[Operand],
    inputs: &[&'a [u8]],
    output: &'a mut [u8],
) -> Result<(Vec<Source<'a>>, Target<'a>), CpuKernelError> {
    let (target, sources) = operands.split_last().ok_or_else(|| CpuKernelError("there is no output".to_string()))?;
    if sources.len() != inputs.len() {
        let (found, expected) = (inputs.len(), sources.len());
        return Err(CpuKernelError(format!("{found} inputs were given, expected {expected}")));
    }
    let source = |(operand, bytes): (&Operand, &&'a [u8])| {
        check_size(&operand.name, operand.dtype, &operand.layout, bytes.len())?;
        Ok(Source { dtype: operand.dtype, layout: operand.layout, bytes })
    };
    let sources = sources.iter().zip(inputs).map(source).collect::<Result<_, CpuKernelError>>()?;
    check_size(&target.name, target.dtype, &target.layout, output.len())?;
    if target.layout.may_overlap() {
        return Err(CpuKernelError("the output's elements overlap".to_string()));
    }
    Ok((sources, Target { dtype: target.dtype, layout: target.layout, bytes: output }))
}

/// Whether `have` bytes hold what a layout reaches.
pub fn check_size(name: &str, dtype: DType, layout: &Layout, have: usize) -> Result<(), CpuKernelError> {
    if !have.is_multiple_of(dtype.bytes()) {
        return Err(CpuKernelError(format!("operand {name}: {have} bytes cannot be viewed as {dtype}")));
    }
    let (have, need) = (have / dtype.bytes(), layout.span());
    if have < need {
        return Err(CpuKernelError(format!("operand {name} has {have} elements, its layout reaches {need}")));
    }
    Ok(())
}

macro_rules! at {
    ($bytes:expr, $position:expr, $t:ty) => {{
        let start = $position * size_of::<$t>();
        bytemuck::pod_read_unaligned::<$t>(&$bytes[start..start + size_of::<$t>()])
    }};
}

impl Source<'_> {
    /// The element at a position of the buffer; exact.
    pub fn get(&self, position: usize) -> f64 {
        match self.dtype {
            DType::F32 => f64::from(at!(self.bytes, position, f32)),
            DType::F64 => at!(self.bytes, position, f64),
            DType::F16 => at!(self.bytes, position, f16).to_f64(),
            DType::BF16 => at!(self.bytes, position, bf16).to_f64(),
            DType::I32 => f64::from(at!(self.bytes, position, i32)),
            DType::U8 | DType::Bool => f64::from(self.bytes[position]),
            DType::E4M3 => fp8::E4M3.decode(self.bytes[position]),
            DType::E5M2 => fp8::E5M2.decode(self.bytes[position]),
        }
    }

    /// The element's bytes.
    pub fn element(&self, position: usize) -> &[u8] {
        &self.bytes[position * self.dtype.bytes()..][..self.dtype.bytes()]
    }
}

impl Target<'_> {
    /// Rounds `x` to the position, as [`DType::round`] says.
    pub fn set(&mut self, position: usize, x: f64) {
        match self.dtype {
            DType::F32 => self.copy(position, &(x as f32).to_ne_bytes()),
            DType::F64 => self.copy(position, &x.to_ne_bytes()),
            DType::F16 => self.copy(position, &f16_of(x).to_ne_bytes()),
            DType::BF16 => self.copy(position, &bf16_of(x).to_ne_bytes()),
            DType::I32 => self.copy(position, &(x as i32).to_ne_bytes()),
            DType::U8 => self.bytes[position] = x as u8,
            DType::Bool => self.bytes[position] = u8::from(x != 0.0),
            DType::E4M3 => self.bytes[position] = fp8::E4M3.encode(x),
            DType::E5M2 => self.bytes[position] = fp8::E5M2.encode(x),
        }
    }

    /// Copies one element's bytes to the position.
    pub fn copy(&mut self, position: usize, element: &[u8]) {
        self.bytes[position * element.len()..][..element.len()].copy_from_slice(element);
    }
}

/// The arithmetic of expressions: f32 or f64.
pub trait Arithmetic: kernelsmith_core::expr::Number + Into<f64> + Send + Sync {}
impl Arithmetic for f32 {}
impl Arithmetic for f64 {}
