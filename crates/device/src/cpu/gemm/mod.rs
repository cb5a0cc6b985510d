//! Matrix products on the CPU.

use super::kernel::CpuEntry;

pub static KERNELS: &[CpuEntry] = &[];
