//! Faults in the text of CUDA and WGSL kernels: a piece of a source that ships, and what stands there instead.

mod attention;
mod gemm;
mod map;
mod movement;
mod reduce;
mod row;
mod simt_ring;
mod skinny;
mod split;
mod tensor_cores;
mod wgsl;

use super::{Class, Fault, FaultError, How, replaced};
use kernelsmith_kernels::{Catalogue, Target};

/// One change of one file.
#[derive(Debug)]
pub struct Mutation {
    pub op: &'static str,
    /// The variant that is checked with it.
    pub kernel: &'static str,
    /// Below `kernels/`.
    pub file: &'static str,
    pub name: &'static str,
    pub class: Class,
    /// Where the fault shows, on the problem itself or on an edge case of it.
    pub problem: &'static str,
    /// Parameters other than the default's, where the fault needs them.
    pub config: Option<&'static [(&'static str, i64)]>,
    /// Must be in the file exactly once.
    pub find: &'static str,
    pub replace: &'static str,
}

/// Every mutation.
pub fn mutations() -> impl Iterator<Item = &'static Mutation> {
    let products =
        [gemm::MUTATIONS, simt_ring::MUTATIONS, skinny::MUTATIONS, split::MUTATIONS, tensor_cores::MUTATIONS];
    let rest = [map::MUTATIONS, reduce::MUTATIONS, row::MUTATIONS, movement::MUTATIONS, attention::MUTATIONS];
    products.into_iter().chain(rest).flatten().chain(wgsl::mutations())
}

/// The faults of one kind of kernels.
pub fn faults(target: Target) -> Vec<Fault> {
    let fault = |m: &'static Mutation| Fault {
        op: m.op,
        kernel: m.kernel.to_string(),
        name: m.name,
        class: m.class,
        problem: m.problem,
        how: How::Text(m),
    };
    mutations().filter(|m| m.target() == target).map(fault).collect()
}

impl Mutation {
    /// The kind of kernels that have it: sources and headers of each are its own.
    pub fn target(&self) -> Target {
        if self.file.ends_with(".wgsl") { Target::Wgsl } else { Target::Cuda }
    }

    /// The built-in catalogue with the change in it.
    pub(super) fn catalogue(&self, fault: &str) -> Result<Catalogue, FaultError> {
        let text = replaced(self.file, self.find, self.replace).map_err(|found| FaultError::Text {
            fault: fault.to_string(),
            file: self.file.to_string(),
            found,
        })?;
        Ok(Catalogue::builtin_with(self.file, &text)?)
    }
}
