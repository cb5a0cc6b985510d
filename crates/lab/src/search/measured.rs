//! What a strategy has asked for and been told.

/// How measuring a point went.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// It passed and took this long, in any unit.
    Time(f64),
    /// It did not compile, did not run, or was wrong.
    Failed,
}

impl Outcome {
    /// The time; infinite where it failed or is no time.
    pub fn cost(self) -> f64 {
        match self {
            Outcome::Time(t) if t.is_finite() && t > 0.0 => t,
            _ => f64::INFINITY,
        }
    }
}

/// The points asked for, and the costs told.
#[derive(Clone, Debug)]
pub struct Measured {
    asked: Vec<bool>,
    cost: Vec<f64>,
    /// Points told, in order.
    told: Vec<usize>,
    best: Option<usize>,
    left: usize,
}

impl Measured {
    pub fn new(points: usize) -> Self {
        let (asked, cost) = (vec![false; points], vec![f64::NAN; points]);
        Measured { asked, cost, told: Vec::new(), best: None, left: points }
    }

    /// Marks a point as asked for. False where it was before.
    pub fn ask(&mut self, point: usize) -> bool {
        let fresh = !std::mem::replace(&mut self.asked[point], true);
        self.left -= usize::from(fresh);
        fresh
    }

    pub fn tell(&mut self, point: usize, outcome: Outcome) {
        self.ask(point);
        let cost = outcome.cost();
        if self.cost[point].is_nan() {
            self.told.push(point);
        }
        self.cost[point] = cost;
        if cost.is_finite() && self.best.is_none_or(|b| cost < self.cost[b]) {
            self.best = Some(point);
        }
    }

    pub fn is_asked(&self, point: usize) -> bool {
        self.asked[point]
    }

    /// Points not asked for yet.
    pub fn left(&self) -> usize {
        self.left
    }

    /// A point's cost: infinite where it failed, none where it was not told.
    pub fn cost(&self, point: usize) -> Option<f64> {
        Some(self.cost[point]).filter(|c| !c.is_nan())
    }

    /// Points told, in order.
    pub fn told(&self) -> &[usize] {
        &self.told
    }

    pub fn best(&self) -> Option<usize> {
        self.best
    }

    /// The fastest points that passed, at most `count`, fastest first.
    pub fn fastest(&self, count: usize) -> Vec<usize> {
        let mut all: Vec<usize> = self.told.iter().copied().filter(|p| self.cost[*p].is_finite()).collect();
        all.sort_by(|a, b| self.cost[*a].total_cmp(&self.cost[*b]));
        all.truncate(count);
        all
    }
}
