//! What a search believes of points: the prior, as far as it has proved right, and a forest for
//! what is left.

use super::Space;
use super::features::Features;
use super::forest::{Forest, Growth, Prediction};
use super::measured::Measured;
use super::prior::{FAILED, Prior};
use super::rng::Rng;
use std::sync::Arc;

/// Logarithm of the slowdown from which on all is the same: far from the best, how far is no
/// matter. Failures are there too.
const FAR: f64 = 1.25;
/// How firmly the prior's slope is held at 1, in squared logarithms of spread: a few points that
/// the prior holds for alike say nothing of its slope.
const FIRM: f64 = 0.5;
/// Outcomes from which on a forest is grown.
const ENOUGH: usize = 6;
const GROWTH: Growth = Growth { trees: 40, smallest: 3 };

pub struct Model {
    features: Features,
    /// The prior's logarithm of the slowdown of each point.
    prior: Option<Arc<Vec<f64>>>,
    forest: Forest,
    slope: f64,
    level: f64,
    /// Outcomes that the forest has seen.
    fitted: usize,
}

impl Model {
    pub fn new(space: &Space, prior: &Prior) -> Self {
        let known = prior.known(space.len()).map(Arc::new);
        let mut extra: Vec<Vec<f64>> = known.iter().map(|k| k.to_vec()).collect();
        if prior.sources().len() > 1 {
            extra.extend(prior.sources().iter().map(|s| s.slowdown.clone()));
        }
        let features = Features::new(space, &extra);
        Model { features, prior: known, forest: Forest::default(), slope: 1.0, level: 0.0, fitted: 0 }
    }

    /// Logarithms of slowdowns that the prior expects; none where there is no prior.
    pub fn prior(&self) -> Option<&Arc<Vec<f64>>> {
        self.prior.as_ref()
    }

    /// Fits again where enough was told since the last time: each time at first, then after every
    /// twelfth part, so that the cost of an evaluation stays bounded.
    pub fn refit(&mut self, measured: &Measured, rng: &mut Rng) {
        let told = measured.told();
        if told.len() < ENOUGH || told.len() < self.fitted + 1 + self.fitted / 12 {
            return;
        }
        let Some(best) = measured.best().and_then(|b| measured.cost(b)) else { return };
        self.fitted = told.len();
        let slowdown = |p: &usize| measured.cost(*p).map_or(FAR, |cost| (cost / best).ln().min(FAR));
        let mut targets: Vec<f64> = told.iter().map(slowdown).collect();
        if let Some(prior) = &self.prior {
            let expected: Vec<f64> = told.iter().map(|p| prior[*p]).collect();
            (self.slope, self.level) = line(&expected, &targets);
            for (target, x) in targets.iter_mut().zip(&expected) {
                *target -= self.slope * x + self.level;
            }
        }
        self.forest = Forest::fit(&self.features, told, &targets, GROWTH, rng);
    }

    /// The logarithm of each point's slowdown, as expected, and how far the trees disagree.
    pub fn predict(&self, points: &[usize]) -> Vec<Prediction> {
        let rows: Vec<&[u8]> = points.iter().map(|p| self.features.row(*p)).collect();
        let mut out = self.forest.predict(&rows);
        if let Some(prior) = &self.prior {
            for (prediction, point) in out.iter_mut().zip(points) {
                prediction.mean += self.slope * prior[*point] + self.level;
            }
        }
        out
    }
}

/// Slope and level of y over x by least squares, the slope drawn towards 1.
fn line(x: &[f64], y: &[f64]) -> (f64, f64) {
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len().max(1) as f64;
    let (mx, my) = (mean(x), mean(y));
    let cross: f64 = x.iter().zip(y).map(|(x, y)| (x - mx) * (y - my)).sum();
    let spread: f64 = x.iter().map(|x| (x - mx).powi(2)).sum();
    let slope = (cross + FIRM) / (spread + FIRM);
    (slope, my - slope * mx)
}

impl Prior {
    /// The mean of the sources at each point, the middle of all where none knows it; none where
    /// there are no sources.
    fn known(&self, points: usize) -> Option<Vec<f64>> {
        if self.is_empty() {
            return None;
        }
        let mut mean = self.mean(points);
        let told: Vec<f64> = mean.iter().copied().filter(|m| !m.is_nan()).collect();
        let middle = crate::stats::median(&told);
        mean.iter_mut().filter(|m| m.is_nan()).for_each(|m| *m = middle);
        Some(mean.into_iter().map(|m| m.min(FAILED)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prior_is_believed_until_it_is_seen_to_be_wrong() {
        let alike = line(&[0.1, 0.1, 0.1], &[0.3, 0.9, 0.2]);
        assert_eq!(alike.0, 1.0, "points that the prior holds for alike say nothing");
        let x: Vec<f64> = (0..20).map(|i| f64::from(i) * 0.1).collect();
        let inverted: Vec<f64> = x.iter().map(|x| 2.0 - x).collect();
        assert!(line(&x, &inverted).0 < -0.7, "{:?}", line(&x, &inverted));
    }
}
