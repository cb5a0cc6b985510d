//! Every point once, in random order.

use super::measured::{Measured, Outcome};
use super::rng::Rng;
use super::{Setting, Strategy};

pub struct Random {
    measured: Measured,
    order: Vec<usize>,
}

impl Random {
    pub fn new(setting: Setting) -> Self {
        let mut order: Vec<usize> = (0..setting.space.len()).collect();
        Rng::new(setting.seed).shuffle(&mut order);
        Random { measured: Measured::new(order.len()), order }
    }
}

impl Strategy for Random {
    fn ask(&mut self, count: usize, _spent: f64) -> Vec<usize> {
        let mut out = Vec::new();
        while out.len() < count
            && let Some(point) = self.order.pop()
        {
            if self.measured.ask(point) {
                out.push(point);
            }
        }
        out
    }

    fn tell(&mut self, point: usize, outcome: Outcome) {
        self.measured.tell(point, outcome);
    }
}
