//! What a search believes of points: the prior, as far as it has proved right, and for what is left
//! a forest, beside which a Gaussian process stands while little is known.

use super::Space;
use super::coordinates::Coordinates;
use super::expectation::Expectation;
use super::features::Features;
use super::forest::{Forest, Growth, Prediction};
use super::gaussian::Gaussian;
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
/// Outcomes up to which the process has a say, an equal one: it costs the square of their number,
/// and by then the forest knows as much.
pub(super) const FEW: usize = 40;
const GROWTH: Growth = Growth { trees: 40, smallest: 3 };

pub struct Model {
    features: Features,
    /// The prior's logarithm of the slowdown of each point.
    prior: Option<Arc<Vec<f64>>>,
    forest: Forest,
    /// None where the forest is alone.
    process: Option<Gaussian>,
    slope: f64,
    level: f64,
    /// Outcomes that have been seen, and points believed; none before the first fit.
    fitted: Option<usize>,
    /// Whether the process has a say.
    few: bool,
}

impl Model {
    /// A forest alone, from the sixth outcome on.
    pub fn new(space: &Space, prior: &Prior) -> Self {
        let known = prior.known(space.len()).map(Arc::new);
        let mut extra: Vec<Vec<f64>> = known.iter().map(|k| k.to_vec()).collect();
        if prior.sources().len() > 1 {
            extra.extend(prior.sources().iter().map(|s| s.slowdown.clone()));
        }
        let features = Features::new(space, &extra);
        Model {
            features,
            prior: known,
            forest: Forest::default(),
            process: None,
            slope: 1.0,
            level: 0.0,
            fitted: None,
            few: false,
        }
    }

    /// A forest and a process, which has a say from the first point on; without a prior it starts
    /// from what is expected by parameters' names.
    pub fn with_process(space: &Arc<Space>, prior: &Prior) -> Self {
        let expectation = prior.is_empty().then(|| Expectation::new(space));
        let process = Some(Gaussian::new(Coordinates::new(space), expectation));
        Model { process, ..Model::new(space, prior) }
    }

    /// Logarithms of slowdowns that the prior expects; none where there is no prior.
    pub fn prior(&self) -> Option<&Arc<Vec<f64>>> {
        self.prior.as_ref()
    }

    /// Fits again where enough was told since the last time: each time at first, then after every
    /// twelfth part, so that the cost of an evaluation stays bounded. Of points that are `pending`,
    /// asked for and not told, the process believes its own expectation, so that it does not ask for
    /// their like (kriging believer: Ginsbourger, Le Riche & Carraro 2010).
    pub fn refit(&mut self, measured: &Measured, pending: &[usize], rng: &mut Rng) {
        let told = measured.told();
        let known = told.len() + if self.process.is_some() { pending.len() } else { 0 };
        let least = if self.process.is_some() { 0 } else { ENOUGH };
        if told.len() < least || self.fitted.is_some_and(|f| known < f + 1 + f / 12) {
            return;
        }
        // Where all failed, all are alike.
        let best = measured.best().and_then(|b| measured.cost(b)).unwrap_or(1.0);
        let believed: Vec<f64> = match &self.process {
            Some(process) if self.fitted.is_some() && known <= FEW => {
                process.predict(pending).iter().map(|e| e.mean).collect()
            }
            _ => Vec::new(),
        };
        self.fitted = Some(known);
        let slowdown = |p: &usize| measured.cost(*p).map_or(FAR, |cost| (cost / best).ln().min(FAR));
        let mut targets: Vec<f64> = told.iter().map(slowdown).collect();
        if let Some(prior) = &self.prior {
            let expected: Vec<f64> = told.iter().map(|p| prior[*p]).collect();
            // Few outcomes, most of them where the prior is at its best, say nothing of its slope: the
            // process's linear parts make good what it is wrong about.
            let firm = if self.process.is_some() && known <= FEW { f64::INFINITY } else { FIRM };
            (self.slope, self.level) = line(&expected, &targets, firm);
            for (target, x) in targets.iter_mut().zip(&expected) {
                *target -= self.slope * x + self.level;
            }
        }
        self.forest = Forest::fit(&self.features, told, &targets, GROWTH, rng);
        self.few = known <= FEW;
        if let Some(process) = self.process.as_mut().filter(|_| self.few) {
            let points: Vec<usize> = told.iter().chain(pending.iter().take(believed.len())).copied().collect();
            targets.extend(believed);
            process.fit(&points, &targets, rng);
        }
    }

    /// The logarithm of each point's slowdown, as expected, and how unsure that is.
    pub fn predict(&self, points: &[usize]) -> Vec<Prediction> {
        let rows: Vec<&[u8]> = points.iter().map(|p| self.features.row(*p)).collect();
        let mut out = self.forest.predict(&rows);
        if let Some(process) = self.process.as_ref().filter(|_| self.few) {
            for (prediction, other) in out.iter_mut().zip(process.predict(points)) {
                prediction.mean = 0.5 * (prediction.mean + other.mean);
                prediction.spread = 0.5 * (prediction.spread + other.spread);
            }
        }
        if let Some(prior) = &self.prior {
            for (prediction, point) in out.iter_mut().zip(points) {
                prediction.mean += self.slope * prior[*point] + self.level;
            }
        }
        out
    }
}

/// Slope and level of y over x by least squares, the slope drawn towards 1 as if `firm` squares of
/// spread spoke for it; held there where that is infinite.
fn line(x: &[f64], y: &[f64], firm: f64) -> (f64, f64) {
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len().max(1) as f64;
    let (mx, my) = (mean(x), mean(y));
    let cross: f64 = x.iter().zip(y).map(|(x, y)| (x - mx) * (y - my)).sum();
    let spread: f64 = x.iter().map(|x| (x - mx).powi(2)).sum();
    let slope = if firm.is_finite() { (cross + firm) / (spread + firm) } else { 1.0 };
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
        let alike = line(&[0.1, 0.1, 0.1], &[0.3, 0.9, 0.2], FIRM);
        assert_eq!(alike.0, 1.0, "points that the prior holds for alike say nothing");
        let x: Vec<f64> = (0..20).map(|i| f64::from(i) * 0.1).collect();
        let inverted: Vec<f64> = x.iter().map(|x| 2.0 - x).collect();
        assert!(line(&x, &inverted, FIRM).0 < -0.7, "{:?}", line(&x, &inverted, FIRM));
        let (slope, level) = line(&x, &inverted, f64::INFINITY);
        assert!(slope == 1.0 && (level - 0.1).abs() < 1e-9, "{slope} {level}");
    }
}
