//! A kernel of known duration, for the timer's self-test.

use super::kernel::CpuEntry;
use std::time::{Duration, Instant};

/// Busy for `NANOSECONDS`, writes nothing.
pub static KERNELS: &[CpuEntry] = &[CpuEntry {
    name: "spin",
    run: |call| {
        let span = Duration::from_nanos(call.config.get("NANOSECONDS").unwrap_or(0) as u64);
        let start = Instant::now();
        while start.elapsed() < span {
            std::hint::spin_loop();
        }
        Ok(())
    },
    source: include_str!("spin.rs"),
}];
