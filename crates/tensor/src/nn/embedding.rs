use super::{Mode, Module, join};
use crate::device::Device;
use crate::error::Result;
use crate::tensor::Tensor;
use kernelsmith_core::DType;

/// Rows of a table, picked by i32 indices of any shape.
pub struct Embedding {
    /// `[entries, width]`.
    pub weight: Tensor,
}

impl Embedding {
    /// Normal weights.
    ///
    /// # Errors
    /// A dtype that is not floating-point, sizes beyond the address range.
    pub fn new(entries: usize, width: usize, dtype: DType, seed: u64, device: &Device) -> Result<Self> {
        let weight = Tensor::randn(&[entries, width], dtype, seed, device)?;
        weight.realize()?;
        Ok(Embedding { weight })
    }
}

impl Module for Embedding {
    fn forward(&self, x: &Tensor, _mode: Mode<'_>) -> Result<Tensor> {
        self.weight.embedding(x)
    }

    fn visit(&mut self, prefix: &str, f: &mut dyn FnMut(&str, &mut Tensor) -> Result<()>) -> Result<()> {
        f(&join(prefix, "weight"), &mut self.weight)
    }
}
