//! Matrix products on the CPU: one file a kernel, and what they share.

use super::kernel::{CpuEntry, blocks_source};

mod args;
mod blocked;
mod element;
mod fp8;
mod gemm_crate;
mod lanes;
pub mod openblas;
mod placement;
mod small_m;
pub(super) mod team;
#[cfg(test)]
mod tests;
mod tiled;

/// A kernel's source with what it shares: a change in either makes tuned entries stale.
macro_rules! source {
    ($file:literal) => {
        concat!(
            include_str!($file),
            include_str!("args.rs"),
            include_str!("element.rs"),
            include_str!("lanes.rs"),
            include_str!("placement.rs"),
            include_str!("team.rs"),
            blocks_source!()
        )
    };
}

const TILED: &str = concat!(
    source!("tiled/mod.rs"),
    include_str!("tiled/instances.rs"),
    include_str!("tiled/pack.rs"),
    include_str!("tiled/tile.rs")
);

const FP8: &str = concat!(source!("blocked.rs"), include_str!("fp8.rs"));

pub static KERNELS: &[CpuEntry] = &[
    CpuEntry { name: "blocked", run: blocked::run, source: source!("blocked.rs") },
    CpuEntry { name: "fp8", run: fp8::run, source: FP8 },
    CpuEntry { name: "gemm_crate", run: gemm_crate::run, source: source!("gemm_crate.rs") },
    CpuEntry { name: "openblas", run: openblas::run, source: source!("openblas.rs") },
    CpuEntry { name: "small_m", run: small_m::run, source: source!("small_m.rs") },
    CpuEntry { name: "tiled", run: tiled::run, source: TILED },
];
