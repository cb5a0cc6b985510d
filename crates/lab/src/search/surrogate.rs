//! Search guided by a surrogate: a forest fitted to what was told proposes, of a pool of points,
//! the one with the least lower bound of the time it expects (Hutter, Hoos & Leyton-Brown 2011).

use super::descent::unasked;
use super::forest::Prediction;
use super::measured::{Measured, Outcome};
use super::model::Model;
use super::prior::Prior;
use super::rng::Rng;
use super::{Setting, Space, Strategy};
use std::sync::Arc;

/// Random points before the forest proposes.
const START: usize = 8;
/// Spreads that are taken off the expected time, in turn: a careful pick, then a bold one.
const BOLD: [f64; 2] = [1.0, 3.0];
/// Random points of the pool.
const RANDOM: usize = 300;
/// Fastest points whose neighbours are in the pool.
pub(super) const CENTRES: usize = 4;

pub struct Surrogate {
    space: Arc<Space>,
    measured: Measured,
    model: Model,
    rng: Rng,
    asked: usize,
}

impl Surrogate {
    pub fn new(setting: Setting) -> Self {
        let Setting { space, seed, .. } = setting;
        let (measured, model) = (Measured::new(space.len()), Model::new(&space, &Prior::default()));
        Surrogate { space, measured, model, rng: Rng::new(seed), asked: 0 }
    }

    fn next(&mut self) -> Option<usize> {
        self.asked += 1;
        if self.asked <= START {
            return unasked(&self.space, &self.measured, &mut self.rng);
        }
        self.model.refit(&self.measured, &[], &mut self.rng);
        let mut pool: Vec<usize> = (0..RANDOM).map(|_| self.space.any(&mut self.rng)).collect();
        for centre in self.measured.fastest(CENTRES) {
            pool.extend(self.space.neighbours(centre));
        }
        let found = propose(&self.model, &self.measured, pool, bound(self.asked));
        found.or_else(|| unasked(&self.space, &self.measured, &mut self.rng))
    }
}

/// The point of a pool that a merit, the less the better, is best for; none where all were asked for.
pub(super) fn propose(
    model: &Model,
    measured: &Measured,
    mut pool: Vec<usize>,
    merit: impl Fn(&Prediction) -> f64,
) -> Option<usize> {
    pool.retain(|p| !measured.is_asked(*p));
    pool.sort_unstable();
    pool.dedup();
    let expected = model.predict(&pool);
    let merits = expected.iter().map(merit).zip(pool);
    merits.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, p)| p)
}

/// A bound of the time, in turn a careful and a bold one.
pub(super) fn bound(turn: usize) -> impl Fn(&Prediction) -> f64 {
    move |e| e.mean - BOLD[turn % BOLD.len()] * e.spread
}

impl Strategy for Surrogate {
    fn ask(&mut self, count: usize, _spent: f64) -> Vec<usize> {
        let mut out = Vec::new();
        while out.len() < count
            && let Some(point) = self.next()
        {
            self.measured.ask(point);
            out.push(point);
        }
        out
    }

    fn tell(&mut self, point: usize, outcome: Outcome) {
        self.measured.tell(point, outcome);
    }
}
