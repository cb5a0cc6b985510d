use super::{Optimizer, Update, check, zeros};
use crate::error::Result;
use crate::tensor::Tensor;

/// Stochastic gradient descent with heavy-ball momentum (Polyak 1964): m ← momentum·m + g,
/// p ← p − rate·m. A momentum of 0 keeps no state.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sgd {
    pub momentum: f64,
    /// Added to the gradient: weight_decay · p.
    pub weight_decay: f64,
}

impl Optimizer for Sgd {
    fn start(&self, parameters: &[Tensor]) -> Result<Vec<Tensor>> {
        if self.momentum == 0.0 { Ok(Vec::new()) } else { zeros(parameters) }
    }

    fn update(&self, parameters: &[Tensor], gradients: &[Tensor], state: &[Tensor], rate: &Tensor) -> Result<Update> {
        let states = if self.momentum == 0.0 { 0 } else { parameters.len() };
        check(parameters, gradients, state, states)?;
        let mut out = Update { parameters: Vec::new(), state: Vec::new() };
        for (i, (p, g)) in parameters.iter().zip(gradients).enumerate() {
            let g = if self.weight_decay == 0.0 { g.clone() } else { g.add(&p.mul(self.weight_decay)?)? };
            let moved = match state.get(i) {
                None => g,
                Some(m) => {
                    let m = g.add(&m.mul(self.momentum)?)?;
                    out.state.push(m.clone());
                    m
                }
            };
            out.parameters.push(p.sub(&moved.mul(rate)?)?);
        }
        Ok(out)
    }
}
