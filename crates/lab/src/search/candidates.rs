//! Which candidate to screen next: everything where that is affordable, else seeded random
//! sampling and then the neighbourhood of the best.

use kernelsmith_core::Problem;
use kernelsmith_core::inputs::hash;
use kernelsmith_kernels::{Candidate, CatalogueError, DeviceFacts, Variant};
use std::sync::Arc;

/// How many of the fastest candidates have their neighbours tried.
const CENTERS: usize = 3;
/// Steps of parameter values within which a config is a neighbour.
const NEAR: usize = 2;

/// Vendors' candidates this much slower than the vendors' best are not raced.
const CLOSE: f64 = 1.2;

/// One candidate of the space.
#[derive(Clone, Debug)]
struct Point {
    candidate: Candidate,
    /// Index of each parameter's value, for distances.
    place: Vec<usize>,
    vendor: bool,
    tried: bool,
    us: Option<f64>,
}

/// The candidates of one problem and what is known of them.
#[derive(Debug)]
pub struct Search {
    points: Vec<Point>,
    /// The order of the first pass: defaults, vendors, then the rest shuffled.
    order: Vec<usize>,
    next: usize,
    /// Variants whose list has ended.
    closed: Vec<String>,
    /// How many of the order are defaults and vendors: screened whatever the budget.
    musts: usize,
}

impl Search {
    /// Every candidate of the capable variants.
    pub fn new(
        variants: &[Arc<Variant>],
        problem: &Problem,
        facts: &DeviceFacts,
        seed: u64,
    ) -> Result<Self, CatalogueError> {
        let mut points = Vec::new();
        let mut first = Vec::new();
        for variant in variants {
            let fallback = variant.fallback(problem, facts)?;
            for config in variant.space(problem, facts)? {
                let place = variant
                    .params
                    .iter()
                    .map(|(name, values)| values.iter().position(|v| config.get(name) == Some(*v)).unwrap_or(0))
                    .collect();
                if fallback.as_ref() == Some(&config) {
                    first.push(points.len());
                }
                let candidate = Candidate { variant: variant.name.clone(), config };
                points.push(Point { candidate, place, vendor: variant.vendor.is_some(), tried: false, us: None });
            }
        }
        let vendors: Vec<usize> = (0..points.len()).filter(|i| points[*i].vendor && !first.contains(i)).collect();
        let mut rest: Vec<usize> = (0..points.len()).filter(|i| !points[*i].vendor && !first.contains(i)).collect();
        for i in (1..rest.len()).rev() {
            rest.swap(i, (hash(seed, i as u64) % (i as u64 + 1)) as usize);
        }
        // Baselines come early: they are raced whatever the budget.
        let musts = first.len() + vendors.len();
        let order = first.into_iter().chain(vendors).chain(rest).collect();
        Ok(Search { points, order, next: 0, musts, closed: Vec::new() })
    }

    pub fn len(&self) -> usize {
        self.points.len()
    }

    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// The next candidates of the first pass, at most `count`.
    pub fn next_random(&mut self, count: usize) -> Vec<Candidate> {
        let mut out = Vec::new();
        while out.len() < count && self.next < self.order.len() {
            let i = self.order[self.next];
            self.next += 1;
            self.take(i, &mut out);
        }
        out
    }

    /// Untried candidates next to the best few, nearest first; where there are none, the first
    /// pass goes on.
    pub fn next_near_best(&mut self, count: usize) -> Vec<Candidate> {
        let time = |p: &Point| p.us.unwrap_or(f64::INFINITY);
        let mut best: Vec<usize> =
            (0..self.points.len()).filter(|i| self.points[*i].us.is_some() && !self.points[*i].vendor).collect();
        best.sort_by(|a, b| time(&self.points[*a]).total_cmp(&time(&self.points[*b])));
        best.truncate(CENTERS);
        // By distance, then by how fast the centre is.
        let nearest = |i: usize| best.iter().enumerate().map(|(rank, c)| (self.distance(*c, i), rank)).min();
        let mut near: Vec<((usize, usize), usize)> = (0..self.points.len())
            .filter(|i| !self.points[*i].tried)
            .filter_map(|i| nearest(i).map(|place| (place, i)))
            .filter(|((distance, _), _)| *distance <= NEAR)
            .collect();
        near.sort_unstable();
        let mut out = Vec::new();
        for (_, i) in near.into_iter().take(count) {
            self.take(i, &mut out);
        }
        if out.is_empty() { self.next_random(count) } else { out }
    }

    fn take(&mut self, i: usize, out: &mut Vec<Candidate>) {
        let point = &mut self.points[i];
        if !point.tried {
            point.tried = true;
            out.push(point.candidate.clone());
        }
    }

    /// Steps through value lists between two configs; configs of two variants are far apart.
    fn distance(&self, a: usize, b: usize) -> usize {
        let (a, b) = (&self.points[a], &self.points[b]);
        if a.candidate.variant != b.candidate.variant {
            return usize::MAX;
        }
        a.place.iter().zip(&b.place).map(|(x, y)| x.abs_diff(*y)).sum()
    }

    /// Records an outcome; `us` is the median time of a candidate that passed.
    pub fn learn(&mut self, candidate: &Candidate, us: Option<f64>) {
        if let Some(point) = self.points.iter_mut().find(|p| p.candidate == *candidate) {
            point.tried = true;
            point.us = us;
        }
    }

    /// Skips the rest of a variant's configs: its vendor's list has ended.
    pub fn close(&mut self, variant: &str) {
        self.closed.push(variant.to_string());
        self.points.iter_mut().filter(|p| p.candidate.variant == variant).for_each(|p| p.tried = true);
    }

    pub fn is_closed(&self, variant: &str) -> bool {
        self.closed.iter().any(|c| c == variant)
    }

    /// Whether a candidate is a default or a vendor's: screened whatever the budget.
    pub fn is_must(&self, candidate: &Candidate) -> bool {
        self.order[..self.musts].iter().any(|i| self.points[*i].candidate == *candidate)
    }

    /// Whether such a candidate has not been handed out yet.
    pub fn owes(&self) -> bool {
        self.order[..self.musts].iter().any(|i| !self.points[*i].tried)
    }

    /// Time of the best candidate so far, µs.
    pub fn best_us(&self) -> Option<f64> {
        self.points.iter().filter_map(|p| p.us).min_by(f64::total_cmp)
    }

    /// The fastest candidates: up to `own` of ours, and up to `vendor` of each vendor variant
    /// that comes near the vendors' best.
    pub fn finalists(&self, own: usize, vendor: usize) -> (Vec<Candidate>, Vec<Candidate>) {
        let mut ranked: Vec<&Point> = self.points.iter().filter(|p| p.us.is_some()).collect();
        ranked.sort_by(|a, b| a.us.unwrap_or(f64::INFINITY).total_cmp(&b.us.unwrap_or(f64::INFINITY)));
        let ours = ranked.iter().filter(|p| !p.vendor).take(own).map(|p| p.candidate.clone()).collect();
        let best_vendor = ranked.iter().find(|p| p.vendor).and_then(|p| p.us).unwrap_or(f64::INFINITY);
        let close = |p: &&&Point| p.vendor && p.us.is_some_and(|us| us <= CLOSE * best_vendor);
        let mut vendors: Vec<Candidate> = Vec::new();
        for point in ranked.iter().filter(close) {
            if vendors.iter().filter(|c| c.variant == point.candidate.variant).count() < vendor {
                vendors.push(point.candidate.clone());
            }
        }
        (ours, vendors)
    }

    /// Whether a candidate takes more than `times` the time of another, as screened.
    pub fn is_slower(&self, candidate: &Candidate, times: f64, other: &Candidate) -> bool {
        matches!((self.us(candidate), self.us(other)), (Some(c), Some(o)) if c > times * o)
    }

    /// What a candidate took when it was screened.
    pub fn us(&self, candidate: &Candidate) -> Option<f64> {
        self.points.iter().find(|p| p.candidate == *candidate).and_then(|p| p.us)
    }

    /// Candidates handed out or closed.
    pub fn tried(&self) -> usize {
        self.points.iter().filter(|p| p.tried).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernelsmith_kernels::manifest;

    fn search(seed: u64) -> Search {
        let text = "[[variant]]\nname=\"a\"\nabout=\"x\"\ntarget=\"cpu\"\nsource=\"a\"\nparams={P=[1,2,3,4,5,6,7,8],Q=[1,2,3,4]}\ndefault={P=4,Q=2}\n[[variant]]\nname=\"v\"\nabout=\"x\"\ntarget=\"cpu\"\nsource=\"v\"\nvendor=\"V\"\nparams={ALGO=[0,1]}\ndefault={ALGO=0}\n";
        let variants: Vec<Arc<Variant>> =
            manifest::parse("gemm", "m", text, &|_| None).unwrap().into_iter().map(Arc::new).collect();
        let problem = Problem::parse("gemm", "m=1,n=1,k=1,dtype=f32").unwrap();
        Search::new(&variants, &problem, &DeviceFacts::h200(), seed).unwrap()
    }

    #[test]
    fn the_first_pass_covers_everything_once() {
        let mut s = search(1);
        let mut seen: Vec<String> = std::iter::from_fn(|| Some(s.next_random(5)).filter(|v| !v.is_empty()))
            .flatten()
            .map(|c| c.to_string())
            .collect();
        assert_eq!(seen[..2], ["a[P=4,Q=2]", "v[ALGO=0]"], "defaults first");
        assert_eq!((seen.len(), s.len(), s.tried()), (34, 34, 34));
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 34);
        assert_ne!(search(1).order, search(2).order, "the seed decides the order");
    }

    #[test]
    fn polish_stays_near_the_best_and_finds_the_valley() {
        let cost = |c: &Candidate| {
            let (p, q) = (c.config.get("P")? as f64, c.config.get("Q")? as f64);
            Some(10.0 + (p - 7.0).abs() + (q - 4.0).abs())
        };
        let mut s = search(3);
        let mut best = f64::INFINITY;
        for i in 0..10 {
            let batch = if i < 2 { s.next_random(2) } else { s.next_near_best(2) };
            for c in batch {
                let us = cost(&c);
                best = best.min(us.unwrap_or(f64::INFINITY));
                s.learn(&c, us);
            }
        }
        assert_eq!(best, 10.0);
        assert_eq!(s.finalists(1, 1).0[0].to_string(), "a[P=7,Q=4]");
    }

    #[test]
    fn slowness_is_judged_by_what_was_screened() {
        let mut s = search(1);
        let three = s.next_random(3);
        three.iter().zip([Some(10.0), Some(20.1), None]).for_each(|(c, us)| s.learn(c, us));
        let slow: Vec<bool> = three.iter().map(|c| s.is_slower(c, 2.0, &three[0])).collect();
        assert_eq!(slow, [false, true, false]);
    }

    #[test]
    fn a_vendor_list_that_ended_is_closed() {
        let mut s = search(1);
        s.close("v");
        assert!(s.next_random(100).iter().all(|c| c.variant == "a"));
    }
}
