//! The f64 oracle of attention, independent of every kernel and vendor.
//!
//! With scores sⱼ, their maximum m, weights pⱼ = exp(sⱼ − m) and l = Σ pⱼ, an output is o = Σ pⱼvⱼ / l.
//! Any other shift than m gives the same quotient, so that only errors of a weight relative to its
//! neighbours count:
//! - *by chance*: the score's, γ(head)·|scale|·Σ|qk| (Higham 2002, §3.1), and, where the dtype has 16 bits, one
//!   rounding of the weight to it on its way to V. Where errors are independent their sum over keys
//!   is within six times the root of its squares; else, and where that is less, within the sum of their sizes.
//! - *in one direction*: the scale's own rounding, exponentials, and those that follow a running maximum, which
//!   grows some ln(keys) times where keys come in no order.
//!
//! To both come the sums over keys in f32, weights below the smallest number, and one rounding to the dtype.
//!
//! NaN and infinities: a score that is NaN or +∞, or −∞ throughout, makes the row NaN; −∞ gives its key the
//! weight 0, and 0·∞ in V is NaN as everywhere. Keys behind the triangle never count: their scores are replaced,
//! not added to. But a kernel may multiply their V by a weight of 0, so where such a V is not finite the element
//! is not checked; neither is one where an infinite V has a weight so small that it may have become 0.

use super::OracleBudget;
use super::attention::AttentionProblem;
use super::gemm_oracle::dot;
use super::map::secret;
use crate::expr::Bounded;
use crate::inputs::{Inputs, hash};
use crate::reference::{Reference, stored};
use crate::{DType, HostArray, Layout};
use rayon::prelude::*;

/// Rows that are checked at least.
const LEAST_ROWS: usize = 64;

/// Computes the reference for q, k and v. Above the budget one row of each run of neighbours is checked, and
/// the first and last of all: no tile of rows is left out as long as it is no smaller than a run.
pub fn reference(p: &AttentionProblem, arrays: &[&HostArray], inputs: Inputs, budget: OracleBudget) -> Reference {
    use crate::ops::OpProblem;
    let rows = p.shape.batch * p.shape.heads * p.shape.queries;
    let share = budget.full_flops / p.flops();
    let picked: Vec<usize> = if share >= 1.0 {
        (0..rows).collect()
    } else {
        let count = ((rows as f64 * share) as usize).clamp(LEAST_ROWS.min(rows), rows);
        let seed = secret(arrays);
        let one = |i: usize| {
            let (from, to) = (i * rows / count, (i + 1) * rows / count);
            from + (hash(seed, i as u64) % (to - from) as u64) as usize
        };
        let mut picked: Vec<usize> = (0..count).map(one).chain([0, rows - 1]).collect();
        picked.sort_unstable();
        picked.dedup();
        picked
    };
    let oracle = Oracle { p, q: arrays[0], k: arrays[1], v: arrays[2], inputs };
    // Rows that read the same keys lie side by side.
    let of_keys = |row: &usize| row / (p.shape.queries * (p.shape.heads / p.shape.kv_heads));
    let groups: Vec<&[usize]> = picked.chunk_by(|a, b| of_keys(a) == of_keys(b)).collect();
    Reference::collect(groups.into_par_iter().flat_map_iter(|rows| oracle.group(of_keys(&rows[0]), rows)).collect())
}

struct Oracle<'a> {
    p: &'a AttentionProblem,
    q: &'a HostArray,
    k: &'a HostArray,
    v: &'a HostArray,
    inputs: Inputs,
}

/// What the arithmetic of a problem can lose.
struct Errors {
    unit: f64,
    /// Of a score, relative to Σ|qk|.
    score: f64,
    /// Of a sum over keys, relative to the sum of sizes.
    sum: f64,
    /// Of a weight where it meets V: relative, and absolute.
    weight: f64,
    vanishing: f64,
    /// Of a weight, in one direction, besides what depends on its score.
    exponentials: f64,
    independent: bool,
}

impl Errors {
    fn new(p: &AttentionProblem, inputs: Inputs) -> Self {
        let unit = DType::F32.unit_roundoff();
        let epsilon = 2.0 * unit;
        // Integers repeat few values, whose roundings are the same each time.
        let repeats = matches!(inputs, Inputs::Integer | Inputs::OneHot);
        let independent = inputs.errors_are_independent() && !repeats;
        let gamma = |n: usize| {
            let (n, worst) = (n as f64, (n as f64 + 2.0) * epsilon);
            if independent { worst.min((6.0 * n.sqrt() + 4.0) * epsilon) } else { worst }
        };
        let narrow = p.dtype.bytes() == 2;
        Errors {
            unit,
            score: if inputs.sums_are_exact() { 0.0 } else { gamma(p.shape.head) },
            sum: gamma(p.shape.keys),
            weight: if narrow { p.dtype.unit_roundoff() } else { 0.0 },
            vanishing: if narrow { p.dtype.underflow_error() } else { 0.0 } + f64::from(f32::MIN_POSITIVE),
            exponentials: (8.0 + 6.0 * (2.0 + (p.shape.keys as f64).ln())) * unit,
            independent,
        }
    }
}

/// Sums over the keys for each number of a head.
#[derive(Default)]
struct Sums {
    /// Σ pv, Σ p|v|, Σ|v|.
    value: Vec<f64>,
    size: Vec<f64>,
    magnitude: Vec<f64>,
    /// Σ (arv)² and Σ a|v| of the weights' errors by chance, Σ b|v| of those in one direction.
    squares: Vec<f64>,
    chance: Vec<f64>,
    direction: Vec<f64>,
}

/// A key's weight with its errors.
#[derive(Clone, Copy)]
struct Weight {
    value: f64,
    chance: f64,
    direction: f64,
}

impl Oracle<'_> {
    /// The elements of rows that read the same keys.
    fn group(&self, of_keys: usize, rows: &[usize]) -> Vec<(usize, f64, f64)> {
        let s = self.p.shape;
        let (batch, kv_head) = (of_keys / s.kv_heads, of_keys % s.kv_heads);
        let wide = |array: &HostArray, layout: &Layout| {
            let mut out = vec![0.0; s.keys * s.head];
            for (j, row) in out.chunks_exact_mut(s.head).enumerate() {
                array.gather(layout.at(&[batch, kv_head, j, 0]), layout.strides()[3], row);
            }
            out
        };
        let (k, v) = (wide(self.k, &self.p.k), wide(self.v, &self.p.v));
        let errors = Errors::new(self.p, self.inputs);
        let finite = v.iter().all(|v| v.is_finite());
        rows.par_iter().flat_map_iter(|row| self.row(*row, &k, (&v, finite), &errors)).collect()
    }

    /// The elements of one row: positions, values, bounds. V comes with whether all of it is finite.
    fn row(&self, row: usize, k: &[f64], (v, finite): (&[f64], bool), errors: &Errors) -> Vec<(usize, f64, f64)> {
        let (p, s) = (self.p, self.p.shape);
        let (query, head, batch) = (row % s.queries, row / s.queries % s.heads, row / s.queries / s.heads);
        let n = p.visible(query);
        let mut q = vec![0.0; s.head];
        self.q.gather(p.q.at(&[batch, head, query, 0]), p.q.strides()[3], &mut q);
        let position = |d: usize| p.out.at(&[batch, head, query, d]);

        let underflow = (s.head as f64 + 4.0) * f64::from(f32::from_bits(1));
        // Scores with their errors by chance.
        let scores: Vec<(f64, f64)> = k[..n * s.head]
            .chunks_exact(s.head)
            .map(|k| {
                let sums = dot(&q, k);
                (p.scale * sums.product, p.scale.abs() * (errors.score * sums.magnitude + underflow))
            })
            .collect();
        let max = scores.iter().fold(f64::NEG_INFINITY, |m, (s, _)| if *s > m || s.is_nan() { *s } else { m });
        if !max.is_finite() {
            return (0..s.head).map(|d| (position(d), f64::NAN, 0.0)).collect();
        }
        let weight = |(score, error): &(f64, f64)| {
            let value = (score - max).exp();
            if value == 0.0 {
                return Weight { value, chance: 0.0, direction: 0.0 };
            }
            let own = 4.0 * score.abs() + 2.0 * (score - max).abs();
            Weight {
                value,
                chance: value * (error.exp_m1() + errors.weight),
                direction: value * (own * errors.unit + errors.exponentials),
            }
        };
        let weights: Vec<Weight> = scores.iter().map(weight).collect();
        let sums = Sums::over(&weights, v, s.head);
        let total = |of: fn(&Weight) -> f64| weights.iter().map(of).sum::<f64>();
        let l = total(|w| w.value);
        let by_chance = |squares: f64, sizes: f64| {
            if errors.independent { sizes.min(6.0 * squares.sqrt()) } else { sizes }
        };
        let weighed = by_chance(total(|w| w.chance * w.chance), total(|w| w.chance)) + total(|w| w.direction);
        // Of l itself, relative.
        let below = weighed / l + errors.sum;
        let one = |d: usize| {
            let value = sums.value[d] / l;
            if let Some((value, bound)) = if finite { None } else { self.special(&weights, v, d) } {
                return (position(d), value, bound);
            }
            let chance = by_chance(sums.squares[d], sums.chance[d]);
            let above = (chance + sums.direction[d] + errors.sum * sums.size[d]) / l;
            let smallest =
                errors.vanishing * sums.magnitude[d] / l + (2.0 * n as f64 + 8.0) * f64::from(f32::from_bits(1));
            let error = above + value.abs() * (below + 4.0 * errors.unit) + smallest;
            let error = if below < 0.5 { error / (1.0 - below) } else { f64::INFINITY };
            let error = if error.is_nan() { f64::INFINITY } else { error };
            let (value, bound) = stored(p.dtype, Bounded { value, error, unit: errors.unit });
            (position(d), value, bound)
        };
        (0..s.head).map(one).collect()
    }

    /// What a number of a row is where some V is not finite, with its bound; `None` where all that counts is.
    fn special(&self, weights: &[Weight], v: &[f64], d: usize) -> Option<(f64, f64)> {
        let head = self.p.shape.head;
        let column = || v.iter().skip(d).step_by(head);
        let unknown = Some((0.0, f64::INFINITY));
        let seen = || weights.iter().zip(column());
        if seen().any(|(_, v)| v.is_nan()) {
            return Some((f64::NAN, 0.0));
        }
        if column().skip(weights.len()).any(|v| !v.is_finite()) {
            return unknown;
        }
        if seen().all(|(_, v)| v.is_finite()) {
            return None;
        }
        let least = if self.p.dtype == DType::F16 { 2f64.powi(-23) } else { 2f64.powi(-124) };
        let may_vanish = |(w, v): (&Weight, &f64)| v.is_infinite() && w.value > 0.0 && w.value < least;
        if seen().any(may_vanish) {
            return unknown;
        }
        Some((seen().map(|(w, v)| w.value * v).sum(), 0.0))
    }
}

impl Sums {
    fn over(weights: &[Weight], v: &[f64], head: usize) -> Sums {
        struct Over<'a>(&'a [Weight], &'a [f64], usize);
        impl pulp::NullaryFnOnce for Over<'_> {
            type Output = Sums;
            #[inline(always)]
            fn call(self) -> Sums {
                let Over(weights, v, head) = self;
                let zeros = || vec![0.0; head];
                let (mut value, mut size, mut magnitude) = (zeros(), zeros(), zeros());
                let (mut squares, mut chance, mut direction) = (zeros(), zeros(), zeros());
                for (w, v) in weights.iter().zip(v.chunks_exact(head)) {
                    for (d, v) in v.iter().enumerate() {
                        let (a, c) = (v.abs(), w.chance * v);
                        value[d] += w.value * v;
                        size[d] += w.value * a;
                        magnitude[d] += a;
                        squares[d] += c * c;
                        chance[d] += w.chance * a;
                        direction[d] += w.direction * a;
                    }
                }
                Sums { value, size, magnitude, squares, chance, direction }
            }
        }
        pulp::Arch::new().dispatch(Over(weights, v, head))
    }
}
