//! Reductions on the CPU.

use super::kernel::{CpuEntry, blocks_source};

mod blocks;
mod reference;
#[cfg(test)]
mod tests;

pub static KERNELS: &[CpuEntry] = &[
    CpuEntry { name: "reduce_blocks", run: blocks::run, source: concat!(include_str!("blocks.rs"), blocks_source!()) },
    CpuEntry {
        name: "reduce_reference",
        run: reference::run,
        source: concat!(include_str!("reference.rs"), include_str!("../operands.rs")),
    },
];
