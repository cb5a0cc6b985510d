//! Optimisers and learning-rate schedules, as expressions: new parameters and new state from old
//! ones and gradients. Nothing is updated in place; the planner fuses the update into the product
//! that makes the gradient where it can.

mod adam;
mod schedule;
mod sgd;

pub use adam::{Adam, AdamW};
pub use schedule::Schedule;
pub use sgd::Sgd;

use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// What an optimiser makes of one step.
pub struct Update {
    pub parameters: Vec<Tensor>,
    pub state: Vec<Tensor>,
}

/// A rule that turns gradients into better parameters.
pub trait Optimizer {
    /// The state before the first step.
    ///
    /// # Errors
    /// No memory on the device.
    fn start(&self, parameters: &[Tensor]) -> Result<Vec<Tensor>>;

    /// One step. `rate` is the learning rate, a scalar of the parameters' dtype.
    ///
    /// # Errors
    /// Lists of different lengths or shapes.
    fn update(&self, parameters: &[Tensor], gradients: &[Tensor], state: &[Tensor], rate: &Tensor) -> Result<Update>;
}

fn check(parameters: &[Tensor], gradients: &[Tensor], state: &[Tensor], states: usize) -> Result<()> {
    if parameters.len() != gradients.len() || state.len() != states {
        let reason = format!(
            "{} parameters, {} gradients and {} states, expected {} gradients and {states} states",
            parameters.len(),
            gradients.len(),
            state.len(),
            parameters.len()
        );
        return Err(Error::Invalid { op: "optimizer", reason });
    }
    for (p, g) in parameters.iter().zip(gradients) {
        if p.shape() != g.shape() {
            let shapes = vec![p.shape().to_vec(), g.shape().to_vec()];
            return Err(Error::Shape {
                op: "optimizer",
                shapes,
                expected: "a gradient of its parameter's shape".into(),
            });
        }
    }
    Ok(())
}

fn zeros(parameters: &[Tensor]) -> Result<Vec<Tensor>> {
    let zero = |p: &Tensor| Tensor::zeros(p.shape(), p.dtype(), p.device());
    let all = parameters.iter().map(zero).collect::<Result<Vec<_>>>()?;
    Tensor::realize_all(&all.iter().collect::<Vec<_>>())?;
    Ok(all)
}
