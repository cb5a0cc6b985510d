use super::{Mode, Module, join};
use crate::device::Device;
use crate::error::Result;
use crate::tensor::Tensor;
use kernelsmith_core::DType;

/// y = x · Wᵀ + b, one launch with whatever activation follows.
pub struct Linear {
    /// `[out, in]`.
    pub weight: Tensor,
    /// `[out]`.
    pub bias: Option<Tensor>,
}

impl Linear {
    /// Uniform weights within ±1/√in, and biases likewise (what PyTorch starts with; LeCun et al. 1998).
    ///
    /// # Errors
    /// A dtype that is not floating-point, sizes beyond the address range.
    pub fn new(inputs: usize, outputs: usize, dtype: DType, seed: u64, device: &Device) -> Result<Self> {
        let reach = 1.0 / (inputs.max(1) as f64).sqrt();
        let draw = |shape: &[usize], seed| Tensor::rand(shape, dtype, seed, device)?.mul(2.0 * reach)?.sub(reach);
        let weight = draw(&[outputs, inputs], seed)?;
        let bias = draw(&[outputs], seed.wrapping_add(0x6269_6173))?;
        Tensor::realize_all(&[&weight, &bias])?;
        Ok(Linear { weight, bias: Some(bias) })
    }
}

impl Module for Linear {
    fn forward(&self, x: &Tensor, _mode: Mode<'_>) -> Result<Tensor> {
        x.linear(&self.weight, self.bias.as_ref())
    }

    fn visit(&mut self, prefix: &str, f: &mut dyn FnMut(&str, &mut Tensor) -> Result<()>) -> Result<()> {
        f(&join(prefix, "weight"), &mut self.weight)?;
        self.bias.as_mut().map_or(Ok(()), |b| f(&join(prefix, "bias"), b))
    }
}
