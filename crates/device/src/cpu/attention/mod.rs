//! Attention on the CPU.

use super::kernel::{CpuEntry, blocks_source};

mod online;
mod reference;
#[cfg(test)]
mod tests;

pub static KERNELS: &[CpuEntry] = &[
    CpuEntry {
        name: "attention_online",
        run: online::run,
        source: concat!(include_str!("online.rs"), blocks_source!()),
    },
    CpuEntry {
        name: "attention_reference",
        run: reference::run,
        source: concat!(include_str!("reference.rs"), include_str!("../operands.rs")),
    },
];
