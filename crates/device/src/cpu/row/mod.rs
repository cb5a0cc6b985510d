//! Row operations on the CPU.

use super::kernel::CpuEntry;

mod reference;
#[cfg(test)]
mod tests;

pub static KERNELS: &[CpuEntry] = &[CpuEntry {
    name: "row_reference",
    run: reference::run,
    source: concat!(include_str!("reference.rs"), include_str!("../operands.rs")),
}];
