use super::{Optimizer, Update, check, zeros};
use crate::error::Result;
use crate::tensor::Tensor;

/// Adam (Kingma, Ba 2015).
#[derive(Clone, Copy, Debug)]
pub struct Adam {
    pub beta1: f64,
    pub beta2: f64,
    pub eps: f64,
}

impl Default for Adam {
    fn default() -> Self {
        Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8 }
    }
}

/// Adam with decoupled weight decay (Loshchilov, Hutter 2019).
#[derive(Clone, Copy, Debug)]
pub struct AdamW {
    pub adam: Adam,
    /// Each step also takes rate · weight_decay · p off a parameter.
    pub weight_decay: f64,
}

impl Default for AdamW {
    fn default() -> Self {
        AdamW { adam: Adam::default(), weight_decay: 0.01 }
    }
}

impl Adam {
    /// State: first moments, second moments, and the number of steps as a scalar.
    fn update_with(
        &self,
        parameters: &[Tensor],
        gradients: &[Tensor],
        state: &[Tensor],
        rate: &Tensor,
        weight_decay: f64,
    ) -> Result<Update> {
        let n = parameters.len();
        check(parameters, gradients, state, if n == 0 { 0 } else { 2 * n + 1 })?;
        let mut out = Update { parameters: Vec::new(), state: Vec::new() };
        let Some(step) = state.last() else { return Ok(out) };
        let step = step.add(1.0)?;
        // 1 − βᵗ, by exp(t·ln β): the step is on the device.
        let correction = |beta: f64| step.mul(beta.ln())?.exp()?.mul(-1.0)?.add(1.0);
        let scale = correction(self.beta2)?.sqrt()?.div(&correction(self.beta1)?)?.mul(rate)?;
        let root = correction(self.beta2)?.sqrt()?.mul(self.eps)?;
        let mut second = Vec::new();
        for (i, (p, g)) in parameters.iter().zip(gradients).enumerate() {
            let m = state[i].mul(self.beta1)?.add(&g.mul(1.0 - self.beta1)?)?;
            let v = state[n + i].mul(self.beta2)?.add(&g.mul(g)?.mul(1.0 - self.beta2)?)?;
            // rate·m̂ / (√v̂ + eps) with both corrections taken out of the elements.
            let moved = m.div(&v.sqrt()?.add(&root)?)?.mul(&scale)?;
            let kept = if weight_decay == 0.0 { p.clone() } else { p.sub(&p.mul(rate)?.mul(weight_decay)?)? };
            out.parameters.push(kept.sub(&moved)?);
            out.state.push(m);
            second.push(v);
        }
        out.state.extend(second);
        out.state.push(step);
        Ok(out)
    }

    fn start_state(parameters: &[Tensor]) -> Result<Vec<Tensor>> {
        let Some(first) = parameters.first() else { return Ok(Vec::new()) };
        let mut state = zeros(parameters)?;
        state.extend(zeros(parameters)?);
        let step = Tensor::zeros(&[], first.dtype(), first.device())?;
        step.realize()?;
        state.push(step);
        Ok(state)
    }
}

impl Optimizer for Adam {
    fn start(&self, parameters: &[Tensor]) -> Result<Vec<Tensor>> {
        Adam::start_state(parameters)
    }

    fn update(&self, parameters: &[Tensor], gradients: &[Tensor], state: &[Tensor], rate: &Tensor) -> Result<Update> {
        self.update_with(parameters, gradients, state, rate, 0.0)
    }
}

impl Optimizer for AdamW {
    fn start(&self, parameters: &[Tensor]) -> Result<Vec<Tensor>> {
        Adam::start_state(parameters)
    }

    fn update(&self, parameters: &[Tensor], gradients: &[Tensor], state: &[Tensor], rate: &Tensor) -> Result<Update> {
        self.adam.update_with(parameters, gradients, state, rate, self.weight_decay)
    }
}
