//! What is known of candidates from other problems and other devices: records of earlier runs and
//! tuned tables.

use super::prior::Source;
use crate::evidence::{CandidateRecord, Record, Verdict};
use crate::stats::median;
use kernelsmith_core::Problem;
use kernelsmith_kernels::tuned::TunedTable;
use kernelsmith_kernels::{Candidate, DeviceFacts, Target};
use std::collections::HashMap;

/// Sources that a prior has at most: the nearest.
const MOST: usize = 6;
/// Candidates in common from which on a sibling says something.
const COMMON: usize = 5;
/// Weight of what another device measured, beside this one's.
const ELSEWHERE: f64 = 0.5;
/// Weight of a tuned table's winner, which is one candidate of many, beside a whole record.
const WINNER: f64 = 0.3;
/// Logarithm of the slowdown that is expected of a config for each value in which it differs from
/// a winner, and of another variant.
const STEP: f64 = 0.1;
const OTHER: f64 = 0.5;

/// What one problem's candidates took on one device.
#[derive(Clone, Debug)]
struct Sibling {
    device: String,
    op: String,
    problem: String,
    /// µs; infinite where the candidate failed.
    us: HashMap<String, f64>,
}

/// Records that may serve as a prior.
#[derive(Clone, Debug, Default)]
pub struct Siblings {
    siblings: Vec<Sibling>,
    /// Winners of this device.
    table: TunedTable,
}

impl Siblings {
    pub fn new(table: TunedTable) -> Self {
        Siblings { siblings: Vec::new(), table }
    }

    /// Adds a run's candidates. Records of another kind of device than `target` are left out.
    pub fn add(&mut self, records: &[Record], target: Target) {
        let mut device: Option<String> = None;
        for record in records {
            match record {
                Record::Session(s) => device = (s.facts.target == target).then(|| s.facts.name.clone()),
                Record::Candidate(c) if c.vendor.is_none() => {
                    if let Some(device) = &device {
                        self.add_candidate(device, c);
                    }
                }
                _ => {}
            }
        }
    }

    /// Adds one candidate's record from a device.
    pub fn add_candidate(&mut self, device: &str, record: &CandidateRecord) {
        let us = if record.verdict == Verdict::Ok { median(&record.samples_us) } else { f64::INFINITY };
        if us.is_nan() {
            return;
        }
        let is_of = |s: &Sibling| s.device == device && s.op == record.op && s.problem == record.problem;
        let found = match self.siblings.iter().rposition(is_of) {
            Some(found) => found,
            None => {
                let (op, problem) = (record.op.clone(), record.problem.clone());
                self.siblings.push(Sibling { device: device.to_string(), op, problem, us: HashMap::new() });
                self.siblings.len() - 1
            }
        };
        self.siblings[found].us.insert(record.candidate.clone(), us);
    }

    /// What the nearest siblings of a problem say of `candidates`: problems of its class on this
    /// device or another of its kind, weighted by their distance in powers of two.
    pub fn sources(&self, problem: &Problem, facts: &DeviceFacts, candidates: &[&Candidate]) -> Vec<Source> {
        let (class, at) = (problem.class(), problem.coordinates());
        let names: Vec<String> = candidates.iter().map(|c| c.to_string()).collect();
        let mut out: Vec<Source> = Vec::new();
        for sibling in self.siblings.iter().filter(|s| s.op == problem.op()) {
            let Ok(other) = Problem::parse(&sibling.op, &sibling.problem) else { continue };
            if other.class() != class {
                continue;
            }
            let there = |n: &String| sibling.us.get(n).copied();
            let best = names.iter().filter_map(there).fold(f64::INFINITY, f64::min);
            if names.iter().filter_map(there).count() < COMMON.min(names.len()) || !best.is_finite() {
                continue;
            }
            let distance = at.iter().zip(other.coordinates()).map(|(x, y)| (x - y).powi(2)).sum::<f64>().sqrt();
            let near = if sibling.device == facts.name { 1.0 } else { ELSEWHERE };
            out.push(Source {
                name: format!("{} on {}", sibling.problem, sibling.device),
                weight: near / (1.0 + distance).powi(2),
                slowdown: names.iter().map(|n| there(n).map_or(f64::NAN, |us| (us / best).ln())).collect(),
            });
        }
        for choice in self.table.lookup(problem, "cold").into_iter().take(2) {
            let distance = match choice.how {
                kernelsmith_kernels::tuned::Match::Exact => 0.0,
                kernelsmith_kernels::tuned::Match::Near(distance) => distance,
            };
            if candidates.iter().any(|c| c.variant == choice.candidate.variant) {
                out.push(Source {
                    name: format!("winner of {}", choice.entry.problem),
                    weight: WINNER / (1.0 + distance).powi(2),
                    slowdown: candidates.iter().map(|c| away(c, &choice.candidate)).collect(),
                });
            }
        }
        out.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        out.truncate(MOST);
        out
    }
}

/// What is expected of a candidate where another one won.
fn away(candidate: &Candidate, winner: &Candidate) -> f64 {
    if candidate.variant != winner.variant {
        return OTHER;
    }
    let differs = candidate.config.iter().filter(|(name, value)| winner.config.get(name) != Some(*value)).count();
    (STEP * differs as f64).min(OTHER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(problem: &str, candidate: &str, us: Option<f64>) -> CandidateRecord {
        CandidateRecord {
            time: String::new(),
            op: "gemm".into(),
            problem: Problem::parse("gemm", problem).unwrap().text(),
            candidate: candidate.into(),
            vendor: None,
            verdict: if us.is_some() { Verdict::Ok } else { Verdict::Wrong },
            detail: None,
            max_error_over_bound: None,
            samples_us: us.into_iter().collect(),
            launches_per_sample: 1,
            source_hash: None,
            registers: None,
            spill_bytes: None,
            telemetry: Default::default(),
            seconds: 0.0,
        }
    }

    #[test]
    fn near_problems_of_the_same_class_and_device_count_most() {
        let facts = DeviceFacts::h200();
        let mut siblings = Siblings::default();
        for (device, problem) in [
            (facts.name.as_str(), "m=1,n=64,k=64,dtype=f32"),
            (facts.name.as_str(), "m=1,n=1024,k=64,dtype=f32"),
            ("another", "m=1,n=64,k=64,dtype=f32"),
            (facts.name.as_str(), "m=1,n=64,k=64,dtype=f16"),
        ] {
            for (i, us) in [Some(2.0), Some(1.0), None, Some(4.0), Some(3.0)].into_iter().enumerate() {
                siblings.add_candidate(device, &record(problem, &format!("v[P={i}]"), us));
            }
        }
        let candidates: Vec<Candidate> = (0..6).map(|i| format!("v[P={i}]").parse().unwrap()).collect();
        let problem = Problem::parse("gemm", "m=1,n=128,k=64,dtype=f32").unwrap();
        let refs: Vec<&Candidate> = candidates.iter().collect();
        let sources = siblings.sources(&problem, &facts, &refs);
        assert_eq!(sources.len(), 3, "the f16 problem is of another class");
        assert!(sources[0].name.contains("n=64") && sources[0].name.contains(&facts.name), "{}", sources[0].name);
        assert!(sources[0].weight > sources[1].weight && sources[1].weight > sources[2].weight);
        let slowdown = &sources[0].slowdown;
        assert_eq!((slowdown[1], slowdown[2]), (0.0, f64::INFINITY));
        assert!((slowdown[0] - 2f64.ln()).abs() < 1e-12 && slowdown[5].is_nan());
    }

    #[test]
    fn what_is_near_a_winner_is_expected_to_be_fast() {
        let c = |text: &str| text.parse::<Candidate>().unwrap();
        let winner = c("v[A=1,B=2]");
        assert_eq!(away(&c("v[A=1,B=2]"), &winner), 0.0);
        assert!(away(&c("v[A=1,B=4]"), &winner) < away(&c("v[A=2,B=4]"), &winner));
        assert!(away(&c("v[A=2,B=4]"), &winner) < away(&c("w[A=1,B=2]"), &winner));
    }
}
