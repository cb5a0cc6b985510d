use crate::error::{Error, Result};
use crate::tensor::Tensor;
use kernelsmith_core::DType;

/// The learning rate by step, as an expression of the step: a replayed step follows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Schedule {
    Constant {
        rate: f64,
    },
    /// Half a cosine from `rate` down to 0 at step `steps` (Loshchilov, Hutter 2017), and 0 after it.
    Cosine {
        rate: f64,
        steps: usize,
    },
    /// `rate` times `factor` for every `every` steps that are over.
    Step {
        rate: f64,
        every: usize,
        factor: f64,
    },
}

impl Schedule {
    /// The rate at `step`, an i32 scalar, as a scalar of `dtype`.
    ///
    /// # Errors
    /// A period of 0 steps, a step that is no scalar.
    pub fn at(&self, step: &Tensor, dtype: DType) -> Result<Tensor> {
        if step.len() != 1 {
            let shapes = vec![step.shape().to_vec()];
            return Err(Error::Shape { op: "schedule", shapes, expected: "a scalar step".to_string() });
        }
        let empty = || Error::Invalid { op: "schedule", reason: "a period of 0 steps".to_string() };
        match *self {
            Schedule::Constant { rate } => Tensor::full(rate, &[], dtype, step.device()),
            Schedule::Cosine { rate, steps } => {
                if steps == 0 {
                    return Err(empty());
                }
                let share =
                    step.cast(dtype)?.mul(std::f64::consts::PI / steps as f64)?.clamp(0.0, std::f64::consts::PI)?;
                share.cos()?.add(1.0)?.mul(0.5 * rate)
            }
            Schedule::Step { rate, every, factor } => {
                if every == 0 {
                    return Err(empty());
                }
                let periods = step.div(i32::try_from(every).unwrap_or(i32::MAX))?.cast(dtype)?;
                Tensor::full(factor, &[], dtype, step.device())?.pow(&periods)?.mul(rate)
            }
        }
    }

    /// The rate at a step that is a number.
    pub fn rate(&self, step: usize) -> f64 {
        match *self {
            Schedule::Constant { rate } => rate,
            Schedule::Cosine { rate, steps } => {
                let share = (step as f64 / steps.max(1) as f64).min(1.0);
                0.5 * rate * (1.0 + (std::f64::consts::PI * share).cos())
            }
            Schedule::Step { rate, every, factor } => rate * factor.powi((step / every.max(1)) as i32),
        }
    }
}
