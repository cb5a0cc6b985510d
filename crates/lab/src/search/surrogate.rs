//! default
use super::descent::unasked;
use super::genetic::{cross, pick};
use super::measured::{Measured, Outcome};
use super::model::Model;
use super::prior::{Prior, PriorCheck, rank_correlation};
use super::rng::Rng;
use super::{Setting, Space, Strategy};
use std::sync::Arc;

pub struct Surrogate {
    space: Arc<Space>,
    prior: Prior,
    measured: Measured,
    model: Model,
    rng: Rng,
    /// Points by prior, best first.
    ranked: Vec<usize>,
    asked: usize,
}

fn env(name: &str, default: f64) -> f64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

impl Surrogate {
    pub fn new(setting: Setting) -> Self {
        let Setting { space, prior, seed } = setting;
        let model = Model::new(&space, &prior);
        let mut rng = Rng::new(seed);
        let mut ranked = Vec::new();
        if let Some(mean) = model.prior() {
            ranked = (0..space.len()).collect();
            rng.shuffle(&mut ranked);
            ranked.sort_by(|a, b| mean[*a].total_cmp(&mean[*b]));
        }
        let measured = Measured::new(space.len());
        Surrogate { space, prior, measured, model, rng, ranked, asked: 0 }
    }

    fn pool(&mut self) -> Vec<usize> {
        let mut pool: Vec<usize> = Vec::new();
        let best = self.measured.fastest(20);
        for b in best.iter().take(4) {
            pool.extend(self.space.neighbours(*b));
        }
        if best.len() >= 2 {
            for _ in 0..100 {
                let (a, b) = (pick(&best, &mut self.rng), pick(&best, &mut self.rng));
                pool.extend(cross(&self.space, a, b, 0.15, &mut self.rng));
            }
        }
        for _ in 0..env("RAND", 200.0) as usize {
            pool.push(self.space.any(&mut self.rng));
        }
        pool.extend(self.ranked.iter().filter(|p| !self.measured.is_asked(**p)).take(200));
        pool.retain(|p| !self.measured.is_asked(*p));
        pool.sort_unstable();
        pool.dedup();
        pool
    }

    fn next(&mut self, spent: f64) -> Option<usize> {
        let n = self.asked;
        self.asked += 1;
        let start = env("START", 10.0) as usize;
        if self.ranked.is_empty() && n < start {
            return unasked(&self.space, &self.measured, &mut self.rng);
        }
        if !self.ranked.is_empty() && n < env("GEN0", 5.0) as usize {
            return self.ranked.iter().copied().find(|p| !self.measured.is_asked(*p));
        }
        if self.rng.chance(env("EXPLORE", 0.05)) {
            return unasked(&self.space, &self.measured, &mut self.rng);
        }
        self.model.refit(&self.measured, &mut self.rng);
        let kappa = env("K0", 1.0) * (1.0 - spent) + env("K1", 0.3) * spent;
        let pool = self.pool();
        let score = |p: usize| {
            let x = self.model.predict(p);
            x.mean - kappa * x.spread
        };
        let best = pool.into_iter().map(|p| (score(p), p)).min_by(|a, b| a.0.total_cmp(&b.0));
        best.map(|b| b.1).or_else(|| unasked(&self.space, &self.measured, &mut self.rng))
    }
}

impl Strategy for Surrogate {
    fn ask(&mut self, count: usize, spent: f64) -> Vec<usize> {
        let mut out = Vec::new();
        while out.len() < count
            && self.measured.left() > 0
            && let Some(point) = self.next(spent)
        {
            self.measured.ask(point);
            out.push(point);
        }
        out
    }

    fn tell(&mut self, point: usize, outcome: Outcome) {
        self.measured.tell(point, outcome);
    }

    fn prior_check(&self) -> Option<PriorCheck> {
        if self.prior.is_empty() { return None; }
        let pairs: Vec<(f64, f64)> = vec![];
        Some(PriorCheck { points: 0, correlation: rank_correlation(&pairs), trust: 1.0, sources: vec![] })
    }
}
