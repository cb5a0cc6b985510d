use super::{Mode, Module, join};
use crate::device::Device;
use crate::error::Result;
use crate::tensor::Tensor;
use kernelsmith_core::DType;

/// Layer normalisation over the last axis (Ba, Kiros, Hinton 2016).
pub struct LayerNorm {
    /// `[width]`.
    pub weight: Tensor,
    /// `[width]`.
    pub bias: Tensor,
    pub eps: f64,
}

impl LayerNorm {
    /// Weights of 1, biases of 0, eps 1e-5.
    ///
    /// # Errors
    /// A dtype that is not floating-point.
    pub fn new(width: usize, dtype: DType, device: &Device) -> Result<Self> {
        let (weight, bias) = (Tensor::ones(&[width], dtype, device)?, Tensor::zeros(&[width], dtype, device)?);
        Tensor::realize_all(&[&weight, &bias])?;
        Ok(LayerNorm { weight, bias, eps: 1e-5 })
    }
}

impl Module for LayerNorm {
    fn forward(&self, x: &Tensor, _mode: Mode<'_>) -> Result<Tensor> {
        x.layer_norm(Some(&self.weight), Some(&self.bias), self.eps)
    }

    fn visit(&mut self, prefix: &str, f: &mut dyn FnMut(&str, &mut Tensor) -> Result<()>) -> Result<()> {
        f(&join(prefix, "weight"), &mut self.weight)?;
        f(&join(prefix, "bias"), &mut self.bias)
    }
}

/// Root-mean-square normalisation over the last axis (Zhang, Sennrich 2019).
pub struct RmsNorm {
    /// `[width]`.
    pub weight: Tensor,
    pub eps: f64,
}

impl RmsNorm {
    /// Weights of 1, eps 1e-6.
    ///
    /// # Errors
    /// A dtype that is not floating-point.
    pub fn new(width: usize, dtype: DType, device: &Device) -> Result<Self> {
        let weight = Tensor::ones(&[width], dtype, device)?;
        weight.realize()?;
        Ok(RmsNorm { weight, eps: 1e-6 })
    }
}

impl Module for RmsNorm {
    fn forward(&self, x: &Tensor, _mode: Mode<'_>) -> Result<Tensor> {
        x.rms_norm(Some(&self.weight), self.eps)
    }

    fn visit(&mut self, prefix: &str, f: &mut dyn FnMut(&str, &mut Tensor) -> Result<()>) -> Result<()> {
        f(&join(prefix, "weight"), &mut self.weight)
    }
}
