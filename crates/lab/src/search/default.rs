//! default
use super::descent::unasked;
use super::genetic::{cross, pick};
use super::measured::{Measured, Outcome};
use super::model::Model;
use super::prior::{Prior, PriorCheck, rank_correlation};
use super::rng::Rng;
use super::{Setting, Space, Strategy};
use std::sync::Arc;

pub struct Default {
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

impl Default {
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
        Default { space, prior, measured, model, rng, ranked, asked: 0 }
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

    /// gen 0
    fn seed(&mut self) -> Option<usize> {
        let prior = self.model.prior()?;
        let told: Vec<(usize, f64)> = self.measured.told().iter().map(|p| (*p, self.measured.cost(*p).unwrap_or(f64::INFINITY))).collect();
        let best = self.measured.best().and_then(|b| self.measured.cost(b)).unwrap_or(1.0);
        let res: Vec<f64> = told.iter().map(|(p, c)| (c / best).ln().min(1.6) - prior[*p].min(3.0)).collect();
        let mean = res.iter().sum::<f64>() / res.len().max(1) as f64;
        let scale = env("LEN", 1.0);
        let similar = |a: usize, b: usize| {
            let d: f64 = self.space.parameters().iter().zip(self.space.places(a).iter().zip(self.space.places(b))).map(|(q, (x, y))| {
                if x == y { 0.0 } else if q.names || q.values.len() < 3 { 0.7 } else { 0.3 + 0.7 * f64::from(x.abs_diff(*y)) / (q.values.len() - 1) as f64 }
            }).sum();
            (-d / scale).exp()
        };
        let mut out: Option<(f64, usize)> = None;
        for p in self.ranked.iter().copied().filter(|p| !self.measured.is_asked(*p)).take(env("TOP", 1000.0) as usize) {
            let (mut near, mut sum, mut weight) = (0.0f64, 0.0, env("LAM", 0.3));
            for ((q, _), r) in told.iter().zip(&res) {
                let k = similar(p, *q);
                near = near.max(k);
                sum += k * (r - mean);
                weight += k;
            }
            let score = prior[p].min(3.0) + sum / weight - env("SIG", 0.25) * (1.0 - near * near).sqrt();
            if out.is_none_or(|(s, _)| score < s) { out = Some((score, p)); }
        }
        out.map(|o| o.1)
    }

    fn next(&mut self, spent: f64) -> Option<usize> {
        let n = self.asked;
        self.asked += 1;
        let start = env("START", 8.0) as usize;
        if self.ranked.is_empty() && n < start {
            return unasked(&self.space, &self.measured, &mut self.rng);
        }
        if !self.ranked.is_empty() && n < env("GEN0", 5.0) as usize {
            return self.seed();
        }
        if self.rng.chance(env("EXPLORE", 0.05)) {
            return unasked(&self.space, &self.measured, &mut self.rng);
        }
        self.model.refit(&self.measured, &mut self.rng);
        let mut kappa = env("K0", 2.0) * (1.0 - spent) + env("K1", 1.5) * spent;
        if env("KC", 0.0) > 0.0 { kappa = [env("KC", 0.0), env("KC2", 0.0)][n % 2]; }
        if env("KR", 0.0) > 0.0 { kappa *= -(1.0 - self.rng.unit()).ln(); }
        let pool = self.pool();
        let score = |p: usize| {
            let x = self.model.predict(p);
            x.mean - kappa * x.spread
        };
        let best = pool.into_iter().map(|p| (score(p), p)).min_by(|a, b| a.0.total_cmp(&b.0));
        best.map(|b| b.1).or_else(|| unasked(&self.space, &self.measured, &mut self.rng))
    }
}

impl Strategy for Default {
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
