use super::{Linear, Mode, Module, join};
use crate::device::Device;
use crate::error::Result;
use crate::tensor::Tensor;
use kernelsmith_core::DType;

/// An element-wise function as a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    Relu,
    Gelu,
    GeluTanh,
    Silu,
    Tanh,
    Sigmoid,
}

impl Module for Activation {
    fn forward(&self, x: &Tensor, _mode: Mode<'_>) -> Result<Tensor> {
        match self {
            Activation::Relu => x.relu(),
            Activation::Gelu => x.gelu(),
            Activation::GeluTanh => x.gelu_tanh(),
            Activation::Silu => x.silu(),
            Activation::Tanh => x.tanh(),
            Activation::Sigmoid => x.sigmoid(),
        }
    }

    fn visit(&mut self, _prefix: &str, _f: &mut dyn FnMut(&str, &mut Tensor) -> Result<()>) -> Result<()> {
        Ok(())
    }
}

/// Layers one after the other; their parameters are named by position: `0.weight`.
#[derive(Default)]
pub struct Sequential(Vec<Box<dyn Module>>);

impl Sequential {
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with a layer more.
    #[must_use]
    pub fn then(mut self, layer: impl Module + 'static) -> Self {
        self.0.push(Box::new(layer));
        self
    }
}

impl Module for Sequential {
    fn forward(&self, x: &Tensor, mode: Mode<'_>) -> Result<Tensor> {
        self.0.iter().try_fold(x.clone(), |x, layer| layer.forward(&x, mode))
    }

    fn visit(&mut self, prefix: &str, f: &mut dyn FnMut(&str, &mut Tensor) -> Result<()>) -> Result<()> {
        let mut named = self.0.iter_mut().enumerate();
        named.try_for_each(|(i, layer)| layer.visit(&join(prefix, &i.to_string()), f))
    }
}

/// Linear layers of these widths with an activation between them: `[784, 128, 10]` is a network
/// with one hidden layer.
///
/// # Errors
/// As [`Linear::new`].
pub fn mlp(widths: &[usize], activation: Activation, dtype: DType, seed: u64, device: &Device) -> Result<Sequential> {
    let mut out = Sequential::new();
    for (i, pair) in widths.windows(2).enumerate() {
        if i > 0 {
            out = out.then(activation);
        }
        out = out.then(Linear::new(pair[0], pair[1], dtype, seed.wrapping_add(i as u64), device)?);
    }
    Ok(out)
}
