//! Products of eight-bit floats: a reference.
//!
//! Idea: every number of both formats is one of f16, bf16 and f32. So A and B are decoded to the output's
//! dtype, layouts and all, and `blocked` multiplies them.
//!
//! Bound: that of `blocked`.
//!
//! `smith bench gemm --problem m=256,n=256,k=256,dtype=f32,inputs=e4m3 --candidate fp8`

use super::{args, blocked};
use crate::cpu::kernel::{CpuCall, CpuKernelError};
use kernelsmith_core::ops::gemm::Compute;
use kernelsmith_core::{DType, HostArray, Problem, fp8};

pub fn run(call: &mut CpuCall<'_>) -> Result<(), CpuKernelError> {
    let p = args::problem(call)?;
    let decode = |(codes, dtype): (&&[u8], DType)| {
        let format = match dtype {
            DType::E4M3 => fp8::E4M3,
            DType::E5M2 => fp8::E5M2,
            other => return Err(CpuKernelError(format!("an input of dtype {other}, expected e4m3 or e5m2"))),
        };
        Ok(HostArray::from_fn(p.dtype, codes.len(), |i| format.decode(codes[i])))
    };
    let decoded = call.inputs.iter().zip(p.inputs).map(decode).collect::<Result<Vec<_>, _>>()?;
    let others = call.inputs.iter().skip(decoded.len()).copied();
    let inputs: Vec<&[u8]> = decoded.iter().map(HostArray::as_bytes).chain(others).collect();
    let mut plain = p.clone();
    (plain.inputs, plain.compute) = ([p.dtype; 2], Compute::Default);
    let problem = Problem::new(plain);
    blocked::run(&mut CpuCall { problem: &problem, config: call.config, inputs: &inputs, output: call.output })
}
