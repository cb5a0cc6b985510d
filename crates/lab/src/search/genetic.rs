//! A genetic algorithm: the best of a population recombine parameter by parameter, some mutate.

use super::descent::unasked;
use super::measured::{Measured, Outcome};
use super::rng::Rng;
use super::{Setting, Space, Strategy};
use std::sync::Arc;

/// Points of a generation.
const POPULATION: usize = 20;
/// Chance that a parameter of a child takes a random value.
const MUTATION: f64 = 0.1;
/// Children that may be invalid or known before a random point is taken instead.
const TRIES: usize = 40;

pub struct Genetic {
    space: Arc<Space>,
    measured: Measured,
    rng: Rng,
}

impl Genetic {
    pub fn new(setting: Setting) -> Self {
        let measured = Measured::new(setting.space.len());
        Genetic { space: setting.space, measured, rng: Rng::new(setting.seed) }
    }

    /// A child of the fittest that was not asked for.
    fn child(&mut self) -> Option<usize> {
        let parents = self.measured.fastest(POPULATION);
        if self.measured.told().len() >= POPULATION && parents.len() >= 2 {
            for _ in 0..TRIES {
                let (a, b) = (pick(&parents, &mut self.rng), pick(&parents, &mut self.rng));
                let child = cross(&self.space, a, b, MUTATION, &mut self.rng);
                if let Some(child) = child.filter(|c| !self.measured.is_asked(*c)) {
                    return Some(child);
                }
            }
        }
        unasked(&self.space, &self.measured, &mut self.rng)
    }
}

/// One of a list whose first is twice as likely as its middle.
pub(super) fn pick(ranked: &[usize], rng: &mut Rng) -> usize {
    let place = rng.below(ranked.len()).min(rng.below(ranked.len()));
    ranked[place]
}

/// Each parameter from one of two parents, or with chance `mutation` any value; none where that
/// is no valid point.
pub(super) fn cross(space: &Space, a: usize, b: usize, mutation: f64, rng: &mut Rng) -> Option<usize> {
    let mut places = space.places(a).to_vec();
    for (d, other) in space.places(b).iter().enumerate() {
        if rng.chance(0.5) {
            places[d] = *other;
        }
        if rng.chance(mutation) {
            places[d] = rng.below(space.parameters()[d].values.len()) as u16;
        }
    }
    space.find(&places)
}

impl Strategy for Genetic {
    fn ask(&mut self, count: usize, _spent: f64) -> Vec<usize> {
        let mut out = Vec::new();
        while out.len() < count
            && let Some(point) = self.child()
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
