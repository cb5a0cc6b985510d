//! A Gaussian process for the first evaluations, when a forest has too few to cut (Rasmussen &
//! Williams 2006, chapters 2 and 5).
//!
//! The covariance is a Matérn 5/2 with a length for each coordinate, plus linear parts (section 2.7
//! there): one for each expectation, so that what is expected is believed as far as measurements let
//! it; or, where a prior takes the expectation's place, one for each coordinate, since devices differ
//! first of all in what a flag or a size does whatever the others are. Lengths, height and noise are not fitted: a few chains sample them and predictions are
//! averaged (Snoek, Larochelle & Adams 2012), for with ten points the likeliest are not to be relied
//! on.

use super::coordinates::Coordinates;
use super::expectation::Expectation;
use super::forest::Prediction;
use super::rng::Rng;

/// Chains, and steps of Metropolis that each goes at every fit.
const CHAINS: usize = 4;
const STEPS: usize = 6;
/// Points from which on there is something to sample by.
const ENOUGH: usize = 4;
/// Length along each coordinate, times the root of how many there are; the noise's variance beside
/// the data's. Both are where chains start, and the middle of their priors.
const LENGTH: f64 = 0.5;
const NOISE: f64 = 0.03;
/// Deviations of the priors of the logarithms of lengths, noise and height.
const PRIORS: [f64; 3] = [1.0, 1.0, 0.5];
/// Deviations of a step: all lengths a little, or few of them far; noise and height.
const STEP: [f64; 4] = [0.35, 1.0, 0.5, 0.2];
/// How far a prior may be wrong about what a coordinate does from its middle to its end, in
/// logarithms of times.
const DRIFT: f64 = 0.3;
/// Deviation of logarithms of times before two are known, and the least that is taken for one.
const DEVIATION: (f64, f64) = (0.3, 0.02);
/// Points predicted side by side.
const LANES: usize = 8;

/// Logarithms of what the covariance is made of.
#[derive(Clone, Debug)]
struct Shape {
    lengths: Vec<f64>,
    noise: f64,
    height: f64,
}

/// One chain, solved.
#[derive(Clone, Debug)]
struct Chain {
    shape: Shape,
    inverse_lengths: Vec<f32>,
    /// Cholesky's factor of the covariance, row after row.
    factor: Vec<f64>,
    weights: Vec<f64>,
    /// Logarithm of the posterior density, up to a constant.
    density: f64,
}

#[derive(Clone, Debug)]
pub struct Gaussian {
    coordinates: Coordinates,
    /// None where a prior takes its place.
    expectation: Option<Expectation>,
    chains: Vec<Chain>,
    /// Coordinates, and deviations of the linear parts, of the points that were fitted.
    rows: Vec<f32>,
    parts: Vec<f64>,
    mean: f64,
    deviation: f64,
    points: usize,
}

impl Gaussian {
    pub fn new(coordinates: Coordinates, expectation: Option<Expectation>) -> Self {
        Gaussian {
            coordinates,
            expectation,
            chains: Vec::new(),
            rows: Vec::new(),
            parts: Vec::new(),
            mean: 0.0,
            deviation: DEVIATION.0,
            points: 0,
        }
    }

    /// Fits logarithms, one for each of `points`; there may be none.
    pub fn fit(&mut self, points: &[usize], targets: &[f64], rng: &mut Rng) {
        let n = points.len();
        self.points = n;
        self.rows.clear();
        points.iter().for_each(|p| self.coordinates.append(*p, &mut self.rows));
        let mut parts = Vec::new();
        let expected: Vec<f64> = points.iter().map(|p| self.expect(*p, &mut parts)).collect();
        self.parts = parts;
        let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len().max(1) as f64;
        let centre = mean(targets);
        let spread = mean(&targets.iter().map(|t| (t - centre).powi(2)).collect::<Vec<_>>()).sqrt();
        self.deviation = spread.max(if n < 3 { DEVIATION.0 } else { DEVIATION.1 });
        let mut left: Vec<f64> = targets.iter().zip(&expected).map(|(t, e)| t - e).collect();
        self.mean = mean(&left);
        left.iter_mut().for_each(|x| *x = (*x - self.mean) / self.deviation);
        let linear = self.linear();
        let steps = if n < ENOUGH { 0 } else { STEPS };
        let width = self.coordinates.width();
        let old: Vec<Shape> = self.chains.drain(..).map(|c| c.shape).collect();
        for chain in 0..CHAINS {
            let start = old.get(chain).cloned().unwrap_or_else(|| Shape::middle(width));
            let mut at = Chain::solve(&self.rows, &linear, &left, start);
            for step in 0..steps {
                let next = Chain::solve(&self.rows, &linear, &left, at.shape.step(step % 2 == 0, rng));
                if rng.unit().ln() < next.density - at.density {
                    at = next;
                }
            }
            self.chains.push(at);
        }
    }

    /// The logarithm expected of a point before anything is measured. Appends the deviations of the
    /// linear parts there.
    fn expect(&self, point: usize, parts: &mut Vec<f64>) -> f64 {
        if let Some(expectation) = &self.expectation {
            return expectation.append(point, parts);
        }
        let mut at = Vec::with_capacity(self.coordinates.width());
        self.coordinates.append(point, &mut at);
        parts.extend(at.iter().map(|x| DRIFT * (2.0 * f64::from(*x) - 1.0)));
        0.0
    }

    /// Covariances of the linear parts of the points fitted.
    fn linear(&self) -> Vec<f64> {
        let (n, width) = (self.points, self.parts.len() / self.points.max(1));
        let part = |i: usize| &self.parts[i * width..(i + 1) * width];
        let scale = self.deviation.powi(-2);
        let mut out = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..=i {
                out[i * n + j] = scale * dot(part(i), part(j));
            }
        }
        out
    }

    /// The logarithm expected at each of `points`, and how unsure that is.
    pub fn predict(&self, points: &[usize]) -> Vec<Prediction> {
        points.chunks(LANES).flat_map(|chunk| self.predict_lanes(chunk)).take(points.len()).collect()
    }

    /// What [`Self::predict`] says of up to [`LANES`] points.
    fn predict_lanes(&self, points: &[usize]) -> Vec<Prediction> {
        let (n, width) = (self.points, self.coordinates.width());
        let mut rows = Vec::with_capacity(LANES * width);
        points.iter().for_each(|p| self.coordinates.append(*p, &mut rows));
        let mut parts = Vec::new();
        let expected: Vec<f64> = points.iter().map(|p| self.expect(*p, &mut parts)).collect();
        let part_width = parts.len() / points.len().max(1);
        let scale = self.deviation.powi(-2);
        let of_lane = |lane: usize| &parts[lane * part_width..(lane + 1) * part_width];
        let mut linear = vec![[0f64; LANES]; n];
        for (i, linear) in linear.iter_mut().enumerate() {
            let known = &self.parts[i * part_width..(i + 1) * part_width];
            (0..points.len()).for_each(|lane| linear[lane] = scale * dot(of_lane(lane), known));
        }
        let (mut sum, mut squares, mut variance) = ([0f64; LANES], [0f64; LANES], [0f64; LANES]);
        let mut solved = vec![[0f64; LANES]; n];
        for chain in &self.chains {
            let height = chain.shape.height.exp();
            let mut mean = [0f64; LANES];
            for i in 0..n {
                let known = &self.rows[i * width..(i + 1) * width];
                for lane in 0..points.len() {
                    let row = &rows[lane * width..(lane + 1) * width];
                    let k = height * matern(&chain.inverse_lengths, row, known) + linear[i][lane];
                    mean[lane] += k * chain.weights[i];
                    solved[i][lane] = k;
                }
            }
            let mut left: [f64; LANES] = [height; LANES];
            (0..points.len()).for_each(|lane| left[lane] += scale * dot(of_lane(lane), of_lane(lane)));
            // Forward substitution, all lanes at once.
            for i in 0..n {
                let factor = &chain.factor[i * n..=i * n + i];
                let mut at = solved[i];
                for (f, other) in factor[..i].iter().zip(&solved) {
                    (0..LANES).for_each(|lane| at[lane] -= f * other[lane]);
                }
                for lane in 0..LANES {
                    at[lane] /= factor[i];
                    left[lane] -= at[lane] * at[lane];
                }
                solved[i] = at;
            }
            for lane in 0..LANES {
                sum[lane] += mean[lane];
                squares[lane] += mean[lane] * mean[lane];
                variance[lane] += left[lane].max(1e-6);
            }
        }
        let chains = self.chains.len().max(1) as f64;
        let prediction = |lane: usize| {
            let mean = sum[lane] / chains;
            // Within chains, and between them.
            let variance = variance[lane] / chains + (squares[lane] / chains - mean * mean).max(0.0);
            let mean = expected[lane] + self.mean + self.deviation * mean;
            Prediction { mean, spread: self.deviation * variance.sqrt() }
        };
        (0..points.len()).map(prediction).collect()
    }
}

impl Shape {
    fn middle(width: usize) -> Self {
        Shape { lengths: vec![(LENGTH * (width as f64).sqrt()).ln(); width], noise: NOISE.ln(), height: 0.0 }
    }

    /// Logarithm of the prior density.
    fn density(&self) -> f64 {
        let middle = Shape::middle(self.lengths.len());
        let normal = |x: f64, mean: f64, deviation: f64| -0.5 * ((x - mean) / deviation).powi(2);
        let lengths: f64 = self.lengths.iter().zip(&middle.lengths).map(|(x, m)| normal(*x, *m, PRIORS[0])).sum();
        lengths + normal(self.noise, middle.noise, PRIORS[1]) + normal(self.height, middle.height, PRIORS[2])
    }

    /// A shape near this one: `all` lengths a little, or two of them, on average, far.
    fn step(&self, all: bool, rng: &mut Rng) -> Self {
        let mut next = self.clone();
        let few = 2.0 / self.lengths.len().max(1) as f64;
        for length in &mut next.lengths {
            if all {
                *length += STEP[0] * rng.normal();
            } else if rng.chance(few) {
                *length += STEP[1] * rng.normal();
            }
        }
        next.noise += STEP[2] * rng.normal();
        next.height += STEP[3] * rng.normal();
        next
    }
}

impl Chain {
    fn solve(rows: &[f32], linear: &[f64], targets: &[f64], shape: Shape) -> Self {
        let (n, width) = (targets.len(), shape.lengths.len());
        let inverse_lengths: Vec<f32> = shape.lengths.iter().map(|l| (-l).exp() as f32).collect();
        let (height, noise) = (shape.height.exp(), shape.noise.exp());
        let row = |i: usize| &rows[i * width..(i + 1) * width];
        let mut factor = vec![0.0; n * n];
        let mut density = shape.density();
        for i in 0..n {
            for j in 0..=i {
                let mut k = height * matern(&inverse_lengths, row(i), row(j)) + linear[i * n + j];
                if i == j {
                    k += noise;
                }
                let left = k - dot(&factor[i * n..i * n + j], &factor[j * n..j * n + j]);
                factor[i * n + j] = if i == j { left.max(1e-9).sqrt() } else { left / factor[j * n + j] };
            }
            density -= factor[i * n + i].ln();
        }
        let mut weights = vec![0.0; n];
        for i in 0..n {
            weights[i] = (targets[i] - dot(&factor[i * n..i * n + i], &weights[..i])) / factor[i * n + i];
        }
        density -= 0.5 * dot(&weights, &weights);
        for i in (0..n).rev() {
            let below: f64 = (i + 1..n).map(|k| factor[k * n + i] * weights[k]).sum();
            weights[i] = (weights[i] - below) / factor[i * n + i];
        }
        Chain { shape, inverse_lengths, factor, weights, density }
    }
}

/// Matérn's covariance of smoothness 5/2.
fn matern(inverse_lengths: &[f32], a: &[f32], b: &[f32]) -> f64 {
    let square = |((x, y), l): ((&f32, &f32), &f32)| ((x - y) * l).powi(2);
    let distance: f32 = a.iter().zip(b).zip(inverse_lengths).map(square).sum();
    let r = (5.0 * f64::from(distance)).sqrt();
    (1.0 + r + r * r / 3.0) * (-r).exp()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

#[cfg(test)]
mod tests {
    use super::super::{Parameter, Space};
    use super::*;
    use std::sync::Arc;

    /// 16 × 16 points, sizes that are powers of two, the first called `name`.
    fn space(name: &str) -> Arc<Space> {
        let values: Vec<f64> = (0..16).map(|i| f64::from(1 << i)).collect();
        let parameter = |name: &str| Parameter { name: name.into(), values: values.clone(), names: false };
        let points: Vec<Vec<u16>> = (0..256).map(|i| vec![i % 16, i / 16]).collect();
        Arc::new(Space::new(vec![parameter(name), parameter("b")], &points).unwrap())
    }

    #[test]
    fn few_points_tell_a_smooth_cost_and_where_it_is_not_known() {
        let space = space("a");
        // A valley along a·b = 2¹⁴.
        let target = |p: usize| ((f64::from(space.places(p)[0] + space.places(p)[1]) - 14.0) / 10.0).powi(2);
        let mut rng = Rng::new(1);
        let mut order: Vec<usize> = (0..256).collect();
        rng.shuffle(&mut order);
        let (known, unknown) = order.split_at(20);
        let targets: Vec<f64> = known.iter().map(|p| target(*p)).collect();
        let mut process = Gaussian::new(Coordinates::new(&space), None);
        process.fit(known, &targets, &mut rng);
        (0..10).for_each(|_| process.fit(known, &targets, &mut rng));
        let mean = |v: Vec<f64>| v.iter().sum::<f64>() / v.len() as f64;
        let error = |points: &[usize]| {
            mean(process.predict(points).iter().zip(points).map(|(e, p)| (e.mean - target(*p)).abs()).collect())
        };
        let spread = |points: &[usize]| mean(process.predict(points).iter().map(|e| e.spread).collect());
        assert!(error(known) < 0.05 && error(unknown) < 0.12, "{} {}", error(known), error(unknown));
        assert!(spread(known) < spread(unknown), "{} {}", spread(known), spread(unknown));
    }

    #[test]
    fn an_expectation_is_believed_until_measured() {
        let space = space("block_size_x");
        let expectation = Expectation::new(&space);
        let mut process = Gaussian::new(Coordinates::new(&space), Some(expectation));
        let mut rng = Rng::new(1);
        let at = |process: &Gaussian, threads: usize| process.predict(&[threads])[0].mean;
        process.fit(&[], &[], &mut rng);
        assert!(at(&process, 0) > at(&process, 7) + 2.0, "a thread a block is expected to be slow");
        // The contrary is told: every doubling costs half as much again.
        let told: Vec<usize> = (0..14).chain(32..46).collect();
        let targets: Vec<f64> = told.iter().map(|p| 0.4 * (p % 16) as f64).collect();
        process.fit(&told, &targets, &mut rng);
        assert!(at(&process, 16) < at(&process, 16 + 7) - 1.0);
    }

    #[test]
    fn beside_a_prior_what_one_flag_does_is_learned_for_all_sizes() {
        let size = Parameter { name: "a".into(), values: (0..16).map(|i| f64::from(1 << i)).collect(), names: false };
        let flag = Parameter { name: "flag".into(), values: vec![0.0, 1.0], names: false };
        let points: Vec<Vec<u16>> = (0..32).map(|i| vec![i % 16, i / 16]).collect();
        let space = Arc::new(Space::new(vec![size, flag], &points).unwrap());
        let mut process = Gaussian::new(Coordinates::new(&space), None);
        // At the smallest size the flag makes it faster than the prior says.
        process.fit(&[0, 16], &[0.0, -0.4], &mut Rng::new(1));
        let at = |size: usize| process.predict(&[size, 16 + size]);
        assert!(at(15)[1].mean < at(15)[0].mean - 0.1, "{:?}", at(15));
        assert!(at(15)[1].spread > at(0)[1].spread);
    }

    #[test]
    fn a_space_without_a_choice_is_no_panic() {
        let space = Arc::new(Space::new(Vec::new(), &[Vec::new()]).unwrap());
        let mut process = Gaussian::new(Coordinates::new(&space), Some(Expectation::new(&space)));
        process.fit(&[0], &[1.0], &mut Rng::new(1));
        let found = process.predict(&[0])[0];
        assert!((found.mean - 1.0).abs() < 1e-9 && found.spread.is_finite());
    }
}
