//! A planted slow-down: a product that is right and takes a known share longer. No manifest that
//! ships names it; the lab measures with it how surely it finds one.

use super::kernel::CpuEntry;
use std::time::Instant;

/// `tiled`, then busy for `PERCENT` of the time that it took.
pub static KERNELS: &[CpuEntry] = &[CpuEntry {
    name: "slowed_tiled",
    run: |call| {
        let percent = call.config.get("PERCENT").unwrap_or(0).clamp(0, 1000) as u32;
        let start = Instant::now();
        let tiled = super::gemm::KERNELS.iter().find(|e| e.name == "tiled");
        let tiled = tiled.ok_or_else(|| super::kernel::CpuKernelError("no kernel `tiled`".to_string()))?;
        (tiled.run)(call)?;
        let span = start.elapsed() * (100 + percent) / 100;
        while start.elapsed() < span {
            std::hint::spin_loop();
        }
        Ok(())
    },
    source: include_str!("slowed.rs"),
}];
