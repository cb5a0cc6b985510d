//! Matrix products on the CPU: one file a kernel, and what they share.

use super::kernel::CpuEntry;

mod args;
mod blocked;
mod element;
mod gemm_crate;
mod lanes;
pub mod openblas;
mod small_m;
mod team;
#[cfg(test)]
mod tests;

pub static KERNELS: &[CpuEntry] = &[
    CpuEntry { name: "blocked", run: blocked::run, source: include_str!("blocked.rs") },
    CpuEntry { name: "gemm_crate", run: gemm_crate::run, source: include_str!("gemm_crate.rs") },
    CpuEntry { name: "openblas", run: openblas::run, source: include_str!("openblas.rs") },
    CpuEntry { name: "small_m", run: small_m::run, source: include_str!("small_m.rs") },
];
