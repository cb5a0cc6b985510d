use super::{Mode, Module};
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// Zeroes a share of the elements while training and scales the rest up (Srivastava et al. 2014).
pub struct Dropout {
    rate: f64,
    seed: u64,
}

impl Dropout {
    /// # Errors
    /// A rate that is not in 0 ≤ rate < 1.
    pub fn new(rate: f64, seed: u64) -> Result<Self> {
        if !(0.0..1.0).contains(&rate) {
            let reason = format!("rate is {rate}, expected a number from 0 to below 1");
            return Err(Error::Invalid { op: "dropout", reason });
        }
        Ok(Dropout { rate, seed })
    }
}

impl Module for Dropout {
    fn forward(&self, x: &Tensor, mode: Mode<'_>) -> Result<Tensor> {
        let Mode::Train { step } = mode else { return Ok(x.clone()) };
        if self.rate == 0.0 {
            return Ok(x.clone());
        }
        let kept = Tensor::rand_step(x.shape(), x.dtype(), self.seed, step)?.ge(self.rate)?;
        kept.where_(&x.mul(1.0 / (1.0 - self.rate))?, 0.0)
    }

    fn visit(&mut self, _prefix: &str, _f: &mut dyn FnMut(&str, &mut Tensor) -> Result<()>) -> Result<()> {
        Ok(())
    }
}
