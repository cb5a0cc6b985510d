//! Every point, in the order of the space.

use super::measured::{Measured, Outcome};
use super::{Setting, Strategy};

pub struct Exhaustive {
    measured: Measured,
    next: usize,
    len: usize,
}

impl Exhaustive {
    pub fn new(setting: Setting) -> Self {
        let len = setting.space.len();
        Exhaustive { measured: Measured::new(len), next: 0, len }
    }
}

impl Strategy for Exhaustive {
    fn ask(&mut self, count: usize, _spent: f64) -> Vec<usize> {
        let mut out = Vec::new();
        while out.len() < count && self.next < self.len {
            if self.measured.ask(self.next) {
                out.push(self.next);
            }
            self.next += 1;
        }
        out
    }

    fn tell(&mut self, point: usize, outcome: Outcome) {
        self.measured.tell(point, outcome);
    }
}
