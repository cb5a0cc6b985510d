//! The candidates of one problem, handed out for screening: what must be screened first, then what
//! a strategy asks for.

use super::analytic::analytic;
use super::siblings::Siblings;
use super::tiles::Tiles;
use super::{Outcome, Parameter, Prior, PriorCheck, Setting, Space, Strategy, UnknownStrategy, strategy};
use kernelsmith_core::Problem;
use kernelsmith_kernels::{Candidate, CatalogueError, DeviceFacts, Variant};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Vendors' candidates this much slower than the vendors' best are not raced.
const CLOSE: f64 = 1.2;

/// One candidate of the space.
#[derive(Clone, Debug)]
struct Point {
    candidate: Candidate,
    vendor: bool,
    tried: bool,
    us: Option<f64>,
    /// Its place in the strategy's space; a vendor's has none.
    place: Option<usize>,
}

/// The candidates of one problem and what is known of them.
pub struct Search {
    points: Vec<Point>,
    index: HashMap<Candidate, usize>,
    /// Defaults and vendors: screened whatever the budget.
    musts: Vec<usize>,
    /// The candidate at each place of the strategy's space.
    ours: Vec<usize>,
    strategy: Box<dyn Strategy>,
    prior: Prior,
    /// Variants whose list has ended.
    closed: Vec<String>,
}

/// How to search.
pub struct Plan<'a> {
    pub strategy: &'a str,
    pub seed: u64,
    /// Records of other problems and devices; none leaves the prior out, the analytic one too.
    pub siblings: Option<&'a Siblings>,
    /// What a microbenchmark of tiles found; counts where there is a prior.
    pub tiles: Option<&'a Tiles>,
}

#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    #[error(transparent)]
    Strategy(#[from] UnknownStrategy),
    #[error("{problem}: its candidates make no space: {source}")]
    Space { problem: String, source: super::space::SpaceError },
}

impl Search {
    /// Every candidate of the capable variants.
    pub fn new(
        variants: &[Arc<Variant>],
        problem: &Problem,
        facts: &DeviceFacts,
        plan: &Plan,
    ) -> Result<Self, SearchError> {
        let mut points = Vec::new();
        let mut musts = Vec::new();
        let mut ours: Vec<(Arc<Variant>, usize)> = Vec::new();
        for variant in variants {
            let fallback = variant.fallback(problem, facts)?;
            let vendor = variant.vendor.is_some();
            for config in variant.space(problem, facts)? {
                if fallback.as_ref() == Some(&config) {
                    musts.push(points.len());
                }
                if !vendor {
                    ours.push((variant.clone(), points.len()));
                }
                let candidate = Candidate { variant: variant.name.clone(), config };
                let place = (!vendor).then(|| ours.len() - 1);
                points.push(Point { candidate, vendor, tried: false, us: None, place });
            }
        }
        // Baselines come early: they are raced whatever the budget.
        let vendors: Vec<usize> = (0..points.len()).filter(|i| points[*i].vendor && !musts.contains(i)).collect();
        musts.extend(vendors);
        let candidates: Vec<&Candidate> = ours.iter().map(|(_, i)| &points[*i].candidate).collect();
        let space = space(&candidates).map_err(|source| SearchError::Space { problem: problem.text(), source })?;
        let space = Arc::new(space);
        let mut prior = Prior::default();
        if let Some(siblings) = plan.siblings {
            let of_ours: Vec<(&Variant, &Candidate)> =
                ours.iter().zip(&candidates).map(|((v, _), c)| (v.as_ref(), *c)).collect();
            if let Some(source) = analytic(&of_ours, problem, facts) {
                prior.add(source);
            }
            siblings.sources(problem, facts, &candidates).into_iter().for_each(|s| prior.add(s));
            plan.tiles.into_iter().for_each(|t| prior.add(t.source(&candidates)));
        }
        let setting = Setting { space, prior: prior.clone(), seed: plan.seed };
        let strategy = strategy(plan.strategy, setting)?;
        let index = points.iter().enumerate().map(|(i, p)| (p.candidate.clone(), i)).collect();
        let ours = ours.into_iter().map(|(_, i)| i).collect();
        Ok(Search { points, index, musts, ours, strategy, prior, closed: Vec::new() })
    }

    pub fn len(&self) -> usize {
        self.points.len()
    }

    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// Candidates of ours: what the strategy chooses from.
    pub fn ours(&self) -> usize {
        self.ours.len()
    }

    /// The next candidates, at most `count`: defaults and vendors, then what the strategy asks for
    /// when `spent` of the budget is used, 0 to 1.
    pub fn next(&mut self, count: usize, spent: f64) -> Vec<Candidate> {
        let mut out = Vec::new();
        for i in 0..self.musts.len() {
            if out.len() == count {
                return out;
            }
            self.take(self.musts[i], &mut out);
        }
        if !out.is_empty() {
            return out;
        }
        while out.len() < count {
            let asked = self.strategy.ask(count - out.len(), spent);
            if asked.is_empty() {
                break;
            }
            for place in asked {
                self.take(self.ours[place], &mut out);
            }
        }
        out
    }

    fn take(&mut self, i: usize, out: &mut Vec<Candidate>) {
        let point = &mut self.points[i];
        if !point.tried {
            point.tried = true;
            out.push(point.candidate.clone());
        }
    }

    /// Records an outcome; `us` is the median time of a candidate that passed.
    pub fn learn(&mut self, candidate: &Candidate, us: Option<f64>) {
        let Some(point) = self.index.get(candidate).map(|i| &mut self.points[*i]) else { return };
        point.tried = true;
        point.us = us;
        if let Some(place) = point.place {
            self.strategy.tell(place, us.map_or(Outcome::Failed, Outcome::Time));
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
        self.index.get(candidate).is_some_and(|i| self.musts.contains(i))
    }

    /// Whether such a candidate has not been handed out yet.
    pub fn owes(&self) -> bool {
        self.musts.iter().any(|i| !self.points[*i].tried)
    }

    /// The sources of the prior.
    pub fn prior(&self) -> &Prior {
        &self.prior
    }

    /// How the prior fared.
    pub fn prior_check(&self) -> Option<PriorCheck> {
        self.strategy.prior_check()
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
        self.index.get(candidate).and_then(|i| self.points[*i].us)
    }

    /// Candidates handed out or closed.
    pub fn tried(&self) -> usize {
        self.points.iter().filter(|p| p.tried).count()
    }
}

/// Candidates of several variants as one space: the variant is a parameter, parameters of the same
/// name are one, and one that a variant does not have is at a place of its own.
fn space(candidates: &[&Candidate]) -> Result<Space, super::space::SpaceError> {
    let mut variants: Vec<&str> = Vec::new();
    let mut values: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for candidate in candidates {
        if !variants.contains(&candidate.variant.as_str()) {
            variants.push(&candidate.variant);
        }
        for (name, value) in candidate.config.iter() {
            values.entry(name).or_default().push(value);
        }
    }
    let mut parameters = vec![Parameter {
        name: "variant".into(),
        values: (0..variants.len()).map(|i| i as f64).collect(),
        names: true,
    }];
    for (name, list) in &mut values {
        let partial = list.len() < candidates.len();
        list.sort_unstable();
        list.dedup();
        let mut numbers: Vec<f64> = list.iter().map(|v| *v as f64).collect();
        if partial {
            // Below all values: they keep their order, and positive ones their products.
            numbers
                .insert(0, numbers.first().map_or(0.0, |least| if *least > 0.0 { least / 4.0 } else { least - 1.0 }));
        }
        parameters.push(Parameter { name: (*name).to_string(), values: numbers, names: false });
    }
    let place = |candidate: &Candidate| -> Vec<u16> {
        let variant = variants.iter().position(|v| *v == candidate.variant).unwrap_or(0);
        let at = |(parameter, list): (&Parameter, &Vec<i64>)| {
            let absent = parameter.values.len() - list.len();
            let found = candidate.config.get(&parameter.name).and_then(|v| list.binary_search(&v).ok());
            found.map_or(0, |i| (i + absent) as u16)
        };
        std::iter::once(variant as u16).chain(parameters[1..].iter().zip(values.values()).map(at)).collect()
    };
    let points: Vec<Vec<u16>> = candidates.iter().map(|c| place(c)).collect();
    Space::new(parameters, &points)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernelsmith_kernels::manifest;

    const TEXT: &str = "[[variant]]\nname=\"a\"\nabout=\"x\"\ntarget=\"cpu\"\nsource=\"a\"\nparams={P=[1,2,3,4,5,6,7,8],Q=[1,2,3,4]}\ndefault={P=4,Q=2}\n[[variant]]\nname=\"b\"\nabout=\"x\"\ntarget=\"cpu\"\nsource=\"b\"\nparams={Q=[2,8]}\ndefault={Q=8}\n[[variant]]\nname=\"v\"\nabout=\"x\"\ntarget=\"cpu\"\nsource=\"v\"\nvendor=\"V\"\nparams={ALGO=[0,1]}\ndefault={ALGO=0}\n";

    fn search(strategy: &str, seed: u64) -> Search {
        let variants: Vec<Arc<Variant>> =
            manifest::parse("gemm", "m", TEXT, &|_| None).unwrap().into_iter().map(Arc::new).collect();
        let problem = Problem::parse("gemm", "m=1,n=1,k=1,dtype=f32").unwrap();
        Search::new(&variants, &problem, &DeviceFacts::h200(), &Plan { strategy, seed, siblings: None, tiles: None })
            .unwrap()
    }

    #[test]
    fn musts_come_first_and_everything_comes_once() {
        for entry in super::super::STRATEGIES {
            let mut s = search(entry.name, 1);
            let mut seen: Vec<String> = Vec::new();
            loop {
                let batch = s.next(5, 0.5);
                if batch.is_empty() {
                    break;
                }
                for c in batch {
                    s.learn(&c, Some(1.0));
                    seen.push(c.to_string());
                }
            }
            assert_eq!(seen[..4], ["a[P=4,Q=2]", "b[Q=8]", "v[ALGO=0]", "v[ALGO=1]"], "{}", entry.name);
            assert_eq!((seen.len(), s.len(), s.tried(), s.ours()), (36, 36, 36, 34), "{}", entry.name);
            seen.sort();
            seen.dedup();
            assert_eq!(seen.len(), 36, "{}", entry.name);
        }
    }

    #[test]
    fn a_variant_without_a_parameter_has_a_place_of_its_own() {
        let s = search("default", 1);
        let all: Vec<&Candidate> = s.ours.iter().map(|i| &s.points[*i].candidate).collect();
        let space = space(&all).unwrap();
        let names: Vec<&str> = space.parameters().iter().map(|p| p.name.as_str()).collect();
        assert_eq!((names, space.len()), (vec!["variant", "P", "Q"], 34));
        assert_eq!(space.parameters()[1].values, [0.25, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        let at = all.iter().position(|c| c.to_string() == "b[Q=8]").unwrap();
        assert_eq!(space.places(at), [1, 0, 4]);
    }

    #[test]
    fn the_default_strategy_finds_the_valley() {
        let cost = |c: &Candidate| {
            let (p, q) = (c.config.get("P")? as f64, c.config.get("Q")? as f64);
            Some(10.0 + (p - 7.0).abs() + (q - 4.0).abs())
        };
        let mut s = search("default", 3);
        while s.tried() < 24 {
            for c in s.next(2, s.tried() as f64 / 24.0) {
                s.learn(&c, cost(&c));
            }
        }
        assert_eq!(s.finalists(1, 1).0[0].to_string(), "a[P=7,Q=4]");
    }

    #[test]
    fn slowness_is_judged_by_what_was_screened() {
        let mut s = search("default", 1);
        let three = s.next(3, 0.0);
        three.iter().zip([Some(10.0), Some(20.1), None]).for_each(|(c, us)| s.learn(c, us));
        let slow: Vec<bool> = three.iter().map(|c| s.is_slower(c, 2.0, &three[0])).collect();
        assert_eq!(slow, [false, true, false]);
    }

    #[test]
    fn a_vendor_list_that_ended_is_closed() {
        let mut s = search("random", 1);
        s.close("v");
        assert!(!s.owes() || s.next(100, 0.0).iter().all(|c| c.variant != "v"));
        assert!(s.next(100, 0.0).iter().all(|c| c.variant != "v"));
    }
}
