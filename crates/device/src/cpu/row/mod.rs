//! Row operations on the CPU.

use super::kernel::{CpuEntry, blocks_source};

mod blocks;
mod passes;
mod reference;
mod short;
#[cfg(test)]
mod tests;

pub static KERNELS: &[CpuEntry] = &[
    CpuEntry {
        name: "row_blocks",
        run: blocks::run,
        source: concat!(
            include_str!("blocks.rs"),
            include_str!("passes.rs"),
            include_str!("short.rs"),
            blocks_source!()
        ),
    },
    CpuEntry {
        name: "row_reference",
        run: reference::run,
        source: concat!(include_str!("reference.rs"), include_str!("../operands.rs")),
    },
];
