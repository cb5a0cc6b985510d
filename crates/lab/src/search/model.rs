//! What a search believes of points: the prior as far as it is trusted, and a forest for the rest.

use super::features::Features;
use super::forest::{Forest, Growth, Prediction};
use super::measured::Measured;
use super::prior::{FAILED, Prior};
use super::rng::Rng;
use super::Space;

/// Logarithms of slowdowns beyond this are all the same: far from the best, how far is no matter.
const FAR: f64 = 1.6;
fn env(name: &str, default: f64) -> f64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}
/// How firmly the prior's slope is held at 1, in squared logarithms of spread.
const FIRM: f64 = 0.5;
/// Points measured from which on a forest is grown.
const ENOUGH: usize = 6;

pub struct Model {
    features: Features,
    /// The prior's logarithm of the slowdown of each point; none where there is no prior.
    prior: Option<Vec<f64>>,
    forest: Forest,
    slope: f64,
    level: f64,
    fitted: usize,
    growth: Growth,
}

impl Model {
    pub fn new(space: &Space, prior: &Prior) -> Self {
        let mean = (!prior.is_empty()).then(|| {
            let mut mean = prior.mean(space.len());
            // Where nothing is known, the middle of what is.
            let known: Vec<f64> = mean.iter().copied().filter(|m| !m.is_nan()).collect();
            let middle = crate::stats::median(&known);
            mean.iter_mut().filter(|m| m.is_nan()).for_each(|m| *m = middle);
            mean
        });
        let mut extra: Vec<Vec<f64>> = mean.iter().cloned().collect();
        if prior.sources().len() > 1 {
            extra.extend(prior.sources().iter().map(|s| s.slowdown.clone()));
        }
        let features = Features::new(space, &extra);
        let growth = Growth { trees: env("TREES", 40.0) as usize, smallest: env("SMALL", 4.0) as usize };
        Model { features, prior: mean, forest: Forest::default(), slope: 1.0, level: 0.0, fitted: 0, growth }
    }

    pub fn prior(&self) -> Option<&[f64]> {
        self.prior.as_deref()
    }

    /// Fits again where enough was measured since the last time.
    pub fn refit(&mut self, measured: &Measured, rng: &mut Rng) {
        let told = measured.told();
        if told.len() < ENOUGH || told.len() < self.fitted + 1 + self.fitted / 40 {
            return;
        }
        self.fitted = told.len();
        let Some(best) = measured.best().and_then(|b| measured.cost(b)) else { return };
        let y = |p: &usize| match measured.cost(*p) {
            Some(cost) if cost.is_finite() => (cost / best).ln().min(env("FAR", 1.6)),
            _ => env("FAR", 1.6),
        };
        let mut targets: Vec<f64> = told.iter().map(y).collect();
        if let Some(prior) = &self.prior {
            let x: Vec<f64> = told.iter().map(|p| prior[*p].min(FAILED)).collect();
            let n = x.len() as f64;
            let (mx, my) = (x.iter().sum::<f64>() / n, targets.iter().sum::<f64>() / n);
            let cross: f64 = x.iter().zip(&targets).map(|(x, y)| (x - mx) * (y - my)).sum();
            let spread: f64 = x.iter().map(|x| (x - mx).powi(2)).sum();
            self.slope = (cross + FIRM) / (spread + FIRM);
            self.level = my - self.slope * mx;
            for (target, x) in targets.iter_mut().zip(&x) {
                *target -= self.slope * x + self.level;
            }
        }
        self.forest = Forest::fit(&self.features, told, &targets, self.growth, rng);
    }

    /// The logarithm of a point's expected slowdown, and how sure that is.
    pub fn predict(&self, point: usize) -> Prediction {
        let mut out = self.forest.predict(self.features.row(point));
        if let Some(prior) = &self.prior {
            out.mean += self.slope * prior[point].min(FAILED) + self.level;
        }
        out
    }
}
