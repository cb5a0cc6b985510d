//! Registered Rust functions: what a `target = "cpu"` variant's `source` names.

use kernelsmith_core::Problem;
use kernelsmith_kernels::Config;

/// One call of a CPU kernel. Slices hold whole buffers: layouts (with their offsets) are in the
/// problem, and elements outside the layout must be neither used nor changed.
pub struct CpuCall<'a> {
    pub problem: &'a Problem,
    pub config: &'a Config,
    /// The input operands' buffers in the order of `problem.operands()`.
    pub inputs: &'a [&'a [u8]],
    /// The output operand's buffer.
    pub output: &'a mut [u8],
}

/// Why a kernel did not run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CpuKernelError(pub String);

pub type CpuKernel = fn(&mut CpuCall<'_>) -> Result<(), CpuKernelError>;

/// A registered function.
pub struct CpuEntry {
    pub name: &'static str,
    pub run: CpuKernel,
    /// Its source text: a change makes tuned entries stale.
    pub source: &'static str,
}

/// The sources that kernels over blocks share: a change in one makes their tuned entries stale.
macro_rules! blocks_source {
    () => {
        concat!(
            include_str!("../evaluator.rs"),
            include_str!("../fold.rs"),
            include_str!("../launch.rs"),
            include_str!("../space.rs"),
            include_str!("../tape/mod.rs"),
            include_str!("../tape/convert.rs"),
            include_str!("../tape/functions.rs"),
            include_str!("../tape/lane.rs"),
            include_str!("../tape/level.rs"),
            include_str!("../gemm/team.rs")
        )
    };
}
pub(super) use blocks_source;

/// The function registered under `name`.
pub fn find(name: &str) -> Option<&'static CpuEntry> {
    let ops = [super::gemm::KERNELS, super::map::KERNELS, super::reduce::KERNELS, super::row::KERNELS];
    let rest = [super::gather::KERNELS, super::attention::KERNELS, super::spin::KERNELS, super::slowed::KERNELS];
    let planted = [super::faults::KERNELS, super::faulted::KERNELS, super::attacks::KERNELS];
    ops.into_iter().chain(rest).chain(planted).flatten().find(|e| e.name == name)
}
