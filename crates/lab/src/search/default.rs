//! The default strategy.
//!
//! Where there is a prior, generation 0 is its best. Then, and from the first point on where there is
//! none, children of the fastest points (evolution), their neighbours, the prior's next best and
//! random points make a pool, of which a model picks: a forest, with a Gaussian process beside it
//! while little is known, which starts from what an engineer expects by the parameters' names. A
//! share of the picks is random, another is made by a model that has never heard of the prior, and
//! that share grows as the prior turns out wrong: so no prior can trap the search. What is left of the
//! budget at the end polishes: neighbours of the best.

use super::descent::unasked;
use super::forest::Prediction;
use super::genetic::{cross, pick};
use super::measured::{Measured, Outcome};
use super::model::{FEW, Model};
use super::prior::{Prior, PriorCheck, rank_correlation};
use super::rng::Rng;
use super::surrogate::{CENTRES, bound, propose};
use super::{Setting, Space, Strategy};
use std::sync::Arc;

/// Points of generation 0 where there is a prior.
const SEEDED: usize = 5;
/// Outcomes from which on a model has something to say beyond what it expected.
const ENOUGH: usize = 6;
/// Share of the picks that are random.
const EXPLORE: f64 = 0.05;
/// Share of the picks without the prior when it is trusted, and how much more when it is not.
const APART: f64 = 0.25;
const APART_MORE: f64 = 0.5;
/// A prior starts with the trust that as many points in its favour would give it.
const FAVOUR: f64 = 10.0;
/// Share of the budget from which on the best is polished.
const POLISH: f64 = 0.92;
/// The fastest points, which have children; how many children a pool gets, and how they mutate.
const PARENTS: usize = 20;
const CHILDREN: usize = 100;
const MUTATION: f64 = 0.15;
/// Random points of a pool, and points that the prior holds for the best of those left.
const RANDOM: usize = 200;
const ADVISED: usize = 200;
/// Points of which the prior's best is taken for one of the random points: where a device's best is
/// not among another's very best, it is still among its better ones.
const TOURNAMENT: usize = 10;

pub struct Default {
    space: Arc<Space>,
    prior: Prior,
    measured: Measured,
    /// With the prior, where there is one.
    model: Model,
    /// Without it.
    apart: Model,
    rng: Rng,
    /// Points by the prior, best first; empty without one.
    advised: Vec<usize>,
    /// Points asked for and not told yet.
    pending: Vec<usize>,
    asked: usize,
}

impl Default {
    pub fn new(setting: Setting) -> Self {
        let Setting { space, prior, seed } = setting;
        let (model, apart) = (Model::with_process(&space, &prior), Model::with_process(&space, &Prior::default()));
        let mut rng = Rng::new(seed);
        let mut advised = Vec::new();
        if let Some(expected) = model.prior() {
            advised = (0..space.len()).collect();
            // Of points that are alike, any may come first.
            rng.shuffle(&mut advised);
            advised.sort_by(|a, b| expected[*a].total_cmp(&expected[*b]));
        }
        let measured = Measured::new(space.len());
        Default { space, prior, measured, model, apart, rng, advised, pending: Vec::new(), asked: 0 }
    }

    fn next(&mut self, spent: f64) -> Option<usize> {
        if self.measured.left() == 0 {
            return None;
        }
        self.asked += 1;
        let seeded = !self.advised.is_empty();
        if self.asked <= SEEDED
            && let Some(advised) = self.advised.iter().copied().find(|p| !self.measured.is_asked(*p))
        {
            return Some(advised);
        }
        let told = self.measured.told().len();
        // Asked for a great many at once, a model without outcomes has nothing more to say.
        if told < ENOUGH && self.pending.len() > FEW {
            return unasked(&self.space, &self.measured, &mut self.rng);
        }
        if self.rng.chance(EXPLORE) {
            return unasked(&self.space, &self.measured, &mut self.rng);
        }
        let apart = !seeded || self.rng.chance(APART + APART_MORE * (1.0 - self.trust()));
        let pool = self.pool(spent);
        let model = if apart { &mut self.apart } else { &mut self.model };
        model.refit(&self.measured, &self.pending, &mut self.rng);
        let found = if seeded && self.asked <= FEW {
            propose(model, &self.measured, pool, |e| -improvement(e))
        } else {
            propose(model, &self.measured, pool, bound(self.asked))
        };
        found.or_else(|| unasked(&self.space, &self.measured, &mut self.rng))
    }

    /// Points worth a prediction.
    fn pool(&mut self, spent: f64) -> Vec<usize> {
        let mut pool = Vec::new();
        let parents = self.measured.fastest(PARENTS);
        for centre in parents.iter().take(CENTRES) {
            pool.extend(self.space.neighbours(*centre));
        }
        if spent > POLISH && pool.iter().any(|p| !self.measured.is_asked(*p)) {
            return pool;
        }
        if parents.len() > 1 {
            for _ in 0..CHILDREN {
                let (a, b) = (pick(&parents, &mut self.rng), pick(&parents, &mut self.rng));
                pool.extend(cross(&self.space, a, b, MUTATION, &mut self.rng));
            }
        }
        match self.model.prior() {
            Some(expected) => pool.extend((0..RANDOM).filter_map(|_| {
                let drawn = (0..TOURNAMENT).map(|_| self.space.any(&mut self.rng));
                drawn.min_by(|a, b| expected[*a].total_cmp(&expected[*b]))
            })),
            None => pool.extend((0..RANDOM).map(|_| self.space.any(&mut self.rng))),
        }
        pool.extend(self.advised.iter().filter(|p| !self.measured.is_asked(**p)).take(ADVISED));
        pool
    }

    /// The prior's expectations of the points told, beside their costs.
    fn pairs(&self, expected: &[f64]) -> Vec<(f64, f64)> {
        let cost = |p: usize| self.measured.cost(p).unwrap_or(f64::INFINITY);
        let told = self.measured.told().iter().filter(|p| !expected[**p].is_nan());
        told.map(|p| (expected[*p], cost(*p))).collect()
    }

    /// How far the prior is trusted, from 0 to 1.
    fn trust(&self) -> f64 {
        let Some(expected) = self.model.prior() else { return 0.0 };
        let pairs = self.pairs(expected);
        let n = pairs.len() as f64;
        ((rank_correlation(&pairs) * n + FAVOUR) / (n + FAVOUR)).max(0.0)
    }
}

/// By how much a point is expected to be faster than the best, in logarithms (expected improvement:
/// Jones, Schonlau & Welch 1998). What is unsure is taken for logistic and not for normal: that has
/// a closed form, and tails as long as surprises are.
fn improvement(expected: &Prediction) -> f64 {
    let scale = (expected.spread * 3f64.sqrt() / std::f64::consts::PI).max(1e-6);
    let x = -expected.mean / scale;
    // The logarithm of 1 + eˣ, also where eˣ is beyond all numbers.
    scale * (x.max(0.0) + (-x.abs()).exp().ln_1p())
}

impl Strategy for Default {
    fn ask(&mut self, count: usize, spent: f64) -> Vec<usize> {
        let mut out = Vec::new();
        while out.len() < count
            && let Some(point) = self.next(spent)
        {
            self.measured.ask(point);
            self.pending.push(point);
            out.push(point);
        }
        out
    }

    fn tell(&mut self, point: usize, outcome: Outcome) {
        self.pending.retain(|p| *p != point);
        self.measured.tell(point, outcome);
    }

    fn prior_check(&self) -> Option<PriorCheck> {
        let pairs = self.pairs(&self.prior.mean(self.space.len()));
        if pairs.len() < 2 {
            return None;
        }
        let of = |s: &super::prior::Source| (s.name.clone(), rank_correlation(&self.pairs(&s.slowdown)));
        Some(PriorCheck {
            points: pairs.len(),
            correlation: rank_correlation(&pairs),
            trust: self.trust(),
            sources: self.prior.sources().iter().map(of).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_faster_is_worth_more_than_what_is_surely_as_fast() {
        let of = |mean, spread| improvement(&Prediction { mean, spread });
        assert!(of(0.0, 0.3) > of(0.0, 0.1) && of(0.2, 0.3) > of(0.2, 0.1), "unsure");
        assert!(of(-0.2, 0.1) > of(0.0, 0.1) && of(0.0, 0.1) > of(0.2, 0.1), "fast");
        // Where nothing is unsure it is the difference itself, and nothing where that is a loss.
        assert!((of(-0.4, 0.0) - 0.4).abs() < 1e-9 && of(0.4, 0.0) == 0.0);
        assert!(of(-800.0, 1.0).is_finite() && of(2.0, 0.1) > 0.0, "hopeless points still have an order");
    }
}
