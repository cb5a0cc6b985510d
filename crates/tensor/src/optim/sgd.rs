use super::{Optimizer, Update, check, zeros};
use crate::error::Result;
use crate::tensor::Tensor;
use kernelsmith_core::DType;

/// Stochastic gradient descent with heavy-ball momentum (Polyak 1964; with changing rates Sutskever
/// et al. 2013): p ← p − rate·g + momentum·(p − q), where q is what p was a step before. A momentum
/// of 0 keeps no state.
///
/// For f32 and f64 the state is q, so that a step is one expression with one result, which joins the
/// product or the sum that makes the gradient: no launch of its own. In f16 and bf16 p − q would lose
/// what rounding p lost; there the state is the step itself, s ← momentum·s + rate·g, p ← p − s.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sgd {
    pub momentum: f64,
    /// Added to the gradient: weight_decay · p.
    pub weight_decay: f64,
}

/// Whether a step can be told from two neighbouring values of a parameter.
fn keeps_position(p: &Tensor) -> bool {
    matches!(p.dtype(), DType::F32 | DType::F64)
}

impl Optimizer for Sgd {
    fn start(&self, parameters: &[Tensor]) -> Result<Vec<Tensor>> {
        if self.momentum == 0.0 {
            return Ok(Vec::new());
        }
        let zero = zeros(parameters)?;
        Ok(parameters.iter().zip(zero).map(|(p, zero)| if keeps_position(p) { p.clone() } else { zero }).collect())
    }

    fn update(&self, parameters: &[Tensor], gradients: &[Tensor], state: &[Tensor], rate: &Tensor) -> Result<Update> {
        let states = if self.momentum == 0.0 { 0 } else { parameters.len() };
        check(parameters, gradients, state, states)?;
        let mut out = Update { parameters: Vec::new(), state: Vec::new() };
        for (i, (p, g)) in parameters.iter().zip(gradients).enumerate() {
            let g = if self.weight_decay == 0.0 { g.clone() } else { g.add(&p.mul(self.weight_decay)?)? };
            let step = g.mul(rate)?;
            let Some(old) = state.get(i) else {
                out.parameters.push(p.sub(&step)?);
                continue;
            };
            let (moved, kept) = if keeps_position(p) {
                // What is as large as the parameter comes first: kernels fetch early inputs ahead.
                (p.add(&p.sub(old)?.mul(self.momentum)?)?.sub(&step)?, p.clone())
            } else {
                let step = step.add(&old.mul(self.momentum)?)?;
                (p.sub(&step)?, step)
            };
            out.parameters.push(moved);
            out.state.push(kept);
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;

    /// Both forms of the state are one iteration, also where the rate changes and is 0 for a step.
    #[test]
    fn sgd_keeps_its_momentum_whatever_its_state_is() {
        let device = Device::open("cpu").unwrap();
        let sgd = Sgd { momentum: 0.9, weight_decay: 0.01 };
        let (gradients, rates) = ([0.5, -0.25, 1.0, 0.125], [0.1, 0.0, 0.3, 0.05]);
        let (mut want, mut step) = (1.5f64, 0.0);
        for (g, rate) in gradients.iter().zip(rates) {
            step = 0.9 * step + rate * (g + 0.01 * want);
            want -= step;
        }
        for (dtype, tolerance) in [(DType::F64, 1e-15), (DType::F32, 1e-6), (DType::BF16, 2e-2)] {
            let scalar = |x: f64| Tensor::from_vec(vec![x], &[1], &device).unwrap().cast(dtype).unwrap();
            let mut p = vec![scalar(1.5)];
            let mut state = sgd.start(&p).unwrap();
            for (g, rate) in gradients.iter().zip(rates) {
                let update = sgd.update(&p, &[scalar(*g)], &state, &scalar(rate).select(0, 0).unwrap()).unwrap();
                (p, state) = (update.parameters, update.state);
            }
            let found: Vec<f64> = p[0].cast(DType::F64).unwrap().to_vec().unwrap();
            assert!((found[0] - want).abs() < tolerance, "{dtype:?}: {} instead of {want}", found[0]);
        }
    }
}
