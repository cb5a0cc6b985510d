//! Gather and scatter-add on the CPU.

use super::kernel::CpuEntry;

mod reference;
#[cfg(test)]
mod tests;

const REFERENCE: &str = concat!(include_str!("reference.rs"), include_str!("../operands.rs"));

pub static KERNELS: &[CpuEntry] = &[
    CpuEntry { name: "gather_reference", run: reference::gather, source: REFERENCE },
    CpuEntry { name: "scatter_add_reference", run: reference::scatter_add, source: REFERENCE },
];
