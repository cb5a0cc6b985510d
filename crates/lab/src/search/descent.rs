//! Neighbourhood descent: the best neighbour until none is better, then again from elsewhere.

use super::measured::{Measured, Outcome};
use super::rng::Rng;
use super::{Setting, Space, Strategy};
use std::sync::Arc;

pub struct Descent {
    space: Arc<Space>,
    measured: Measured,
    rng: Rng,
    /// Where the descent stands.
    centre: Option<usize>,
    /// Neighbours of the centre that wait to be asked for.
    waiting: Vec<usize>,
    /// Asked for, not told yet.
    open: usize,
}

impl Descent {
    pub fn new(setting: Setting) -> Self {
        let measured = Measured::new(setting.space.len());
        let rng = Rng::new(setting.seed);
        Descent { space: setting.space, measured, rng, centre: None, waiting: Vec::new(), open: 0 }
    }

    /// Moves the centre to its best neighbour, or elsewhere where none is better.
    fn advance(&mut self) {
        let cost = |p: usize| self.measured.cost(p).unwrap_or(f64::INFINITY);
        if let Some(centre) = self.centre {
            let around = self.space.adjacent(centre);
            let best = around.into_iter().min_by(|a, b| cost(*a).total_cmp(&cost(*b)));
            self.centre = best.filter(|b| cost(*b) < cost(centre));
        }
        let centre = match self.centre {
            Some(centre) => centre,
            None => {
                let Some(start) = unasked(&self.space, &self.measured, &mut self.rng) else { return };
                self.waiting.push(start);
                self.centre = Some(start);
                start
            }
        };
        self.waiting.extend(self.space.adjacent(centre));
        self.waiting.retain(|p| !self.measured.is_asked(*p));
        // The start of a descent is measured before what lies around it.
        let head = usize::from(self.waiting.first() == Some(&centre));
        self.rng.shuffle(&mut self.waiting[head..]);
        self.waiting.reverse();
    }
}

/// A random point that was not asked for; none where all were.
pub(super) fn unasked(space: &Space, measured: &Measured, rng: &mut Rng) -> Option<usize> {
    if measured.left() == 0 {
        return None;
    }
    for _ in 0..32 {
        let point = space.any(rng);
        if !measured.is_asked(point) {
            return Some(point);
        }
    }
    // Few are left: the first one after a random place.
    let start = space.any(rng);
    (0..space.len()).map(|i| (start + i) % space.len()).find(|p| !measured.is_asked(*p))
}

impl Strategy for Descent {
    fn ask(&mut self, count: usize, _spent: f64) -> Vec<usize> {
        let mut out = Vec::new();
        while out.len() < count && self.measured.left() > 0 {
            match self.waiting.pop() {
                Some(point) => {
                    if self.measured.ask(point) {
                        self.open += 1;
                        out.push(point);
                    }
                }
                // A step needs all of its neighbours' outcomes.
                None if self.open > 0 && !out.is_empty() => break,
                None => self.advance(),
            }
        }
        out
    }

    fn tell(&mut self, point: usize, outcome: Outcome) {
        self.open = self.open.saturating_sub(1);
        self.measured.tell(point, outcome);
    }
}
