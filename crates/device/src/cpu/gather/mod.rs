//! Gather and scatter-add on the CPU.

use super::kernel::{CpuEntry, blocks_source};

mod reference;
mod runs;
#[cfg(test)]
mod tests;
mod walk;

const REFERENCE: &str = concat!(include_str!("reference.rs"), include_str!("../operands.rs"));

const RUNS: &str = concat!(include_str!("runs.rs"), include_str!("walk.rs"), blocks_source!());

pub static KERNELS: &[CpuEntry] = &[
    CpuEntry { name: "gather_runs", run: runs::gather, source: RUNS },
    CpuEntry { name: "scatter_add_runs", run: runs::scatter_add, source: RUNS },
    CpuEntry { name: "gather_reference", run: reference::gather, source: REFERENCE },
    CpuEntry { name: "scatter_add_reference", run: reference::scatter_add, source: REFERENCE },
];
