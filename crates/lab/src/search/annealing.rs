//! Simulated annealing (Kirkpatrick, Gelatt & Vecchi 1983): a walk over neighbours that takes a
//! worse one with a probability that falls as the budget is spent.

use super::descent::unasked;
use super::measured::{Measured, Outcome};
use super::rng::Rng;
use super::{Setting, Space, Strategy};
use std::sync::Arc;

/// Temperatures at the start and at the end, in logarithms of time: a neighbour that is e^0.5
/// times slower is taken with 37 % at first.
const HOT: f64 = 0.5;
const COLD: f64 = 0.005;
/// Steps over known points in a row before the walk starts elsewhere.
const STUCK: usize = 100;

pub struct Annealing {
    space: Arc<Space>,
    measured: Measured,
    rng: Rng,
    at: Option<usize>,
    /// Asked for and not walked on yet.
    pending: Option<usize>,
}

impl Annealing {
    pub fn new(setting: Setting) -> Self {
        let measured = Measured::new(setting.space.len());
        Annealing { space: setting.space, measured, rng: Rng::new(setting.seed), at: None, pending: None }
    }

    /// Whether the walk goes from the cost it has to another.
    fn accepts(&mut self, from: f64, to: f64, spent: f64) -> bool {
        if to <= from {
            return true;
        }
        let temperature = HOT * (COLD / HOT).powf(spent.clamp(0.0, 1.0));
        to.is_finite() && self.rng.chance((-(to / from).ln() / temperature).exp())
    }

    /// Goes to `to` if the walk may.
    fn step(&mut self, to: usize, spent: f64) {
        let Some(cost) = self.measured.cost(to) else { return };
        let from = self.at.and_then(|p| self.measured.cost(p)).unwrap_or(f64::INFINITY);
        if self.accepts(from, cost, spent) {
            self.at = Some(to);
        }
    }

    fn next(&mut self, spent: f64) -> Option<usize> {
        for _ in 0..STUCK {
            let Some(at) = self.at else { break };
            let around = self.space.neighbours(at);
            if around.is_empty() {
                break;
            }
            let to = around[self.rng.below(around.len())];
            if self.measured.ask(to) {
                return Some(to);
            }
            self.step(to, spent);
        }
        // Where the walk knows all around it, it goes on from the best it knows or from anywhere.
        self.at = if self.rng.chance(0.5) { self.measured.best() } else { None };
        let point = unasked(&self.space, &self.measured, &mut self.rng)?;
        self.measured.ask(point);
        Some(point)
    }
}

impl Strategy for Annealing {
    fn ask(&mut self, count: usize, spent: f64) -> Vec<usize> {
        if let Some(last) = self.pending.take() {
            self.step(last, spent);
        }
        let mut out = Vec::new();
        while out.len() < count
            && let Some(point) = self.next(spent)
        {
            self.pending = Some(point);
            out.push(point);
        }
        out
    }

    fn tell(&mut self, point: usize, outcome: Outcome) {
        self.measured.tell(point, outcome);
    }
}
