//! What a run measured, as named numbers with a direction.

use super::paired::median_interval;
use crate::evidence::{RaceRecord, Record, ResultRecord};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Lower is better, as of a time.
    Lower,
    /// Higher is better, as of a ratio to the vendor.
    Higher,
}

impl Direction {
    pub fn name(self) -> &'static str {
        match self {
            Direction::Lower => "lower",
            Direction::Higher => "higher",
        }
    }

    /// How much worse `found` is than `expected`, as a share: 0.05 is 5 % worse, below 0 is better.
    pub fn worse(self, expected: f64, found: f64) -> f64 {
        match self {
            Direction::Lower => found / expected - 1.0,
            Direction::Higher => expected / found - 1.0,
        }
    }
}

/// What a number is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub op: String,
    pub problem: String,
    /// `cold` or `hot`.
    pub mode: String,
    /// `us` (the winner's time) or `ratio` (the vendor's time over it).
    pub metric: String,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.op, self.problem, self.mode, self.metric)
    }
}

/// A number of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    pub key: Key,
    pub direction: Direction,
    pub value: f64,
    /// Half the width of its interval within the run, as a share of the value.
    pub noise: f64,
    /// What ran, and the hash of its source.
    pub candidate: String,
    pub source_hash: Option<String>,
    /// Line of the result in the evidence, counted from 1.
    pub line: usize,
}

/// The metrics of a run's results, the last of each, in the order of the file.
pub fn of_run(records: &[Record]) -> Vec<Metric> {
    let mut out: Vec<Metric> = Vec::new();
    let mut races: Vec<&RaceRecord> = Vec::new();
    for (i, record) in records.iter().enumerate() {
        match record {
            Record::Race(race) => races.push(race),
            Record::Result(result) => {
                let same =
                    |r: &&&RaceRecord| (&r.op, &r.problem, &r.mode) == (&result.op, &result.problem, &result.mode);
                let race = races.iter().rev().find(same).copied();
                // A later result replaces an earlier one, also where it has no number.
                let this = |m: &Metric| {
                    (&m.key.op, &m.key.problem, &m.key.mode) == (&result.op, &result.problem, &result.mode)
                };
                out.retain(|m| !this(m));
                out.extend(of_result(result, race, i + 1));
            }
            _ => {}
        }
    }
    out
}

fn of_result(result: &ResultRecord, race: Option<&RaceRecord>, line: usize) -> Vec<Metric> {
    let Some(candidate) = &result.candidate else { return Vec::new() };
    let metric = |name: &str, direction, value: f64, noise: f64| Metric {
        key: Key {
            op: result.op.clone(),
            problem: result.problem.clone(),
            mode: result.mode.clone(),
            metric: name.to_string(),
        },
        direction,
        value,
        noise: if noise.is_finite() { noise.max(0.0) } else { 0.0 },
        candidate: candidate.clone(),
        source_hash: result.source_hash.clone(),
        line,
    };
    let usable = |x: &f64| x.is_finite() && *x > 0.0;
    let mut out = Vec::new();
    if let Some(us) = result.us.filter(usable) {
        out.push(metric("us", Direction::Lower, us, spread(race, candidate)));
    }
    // The vendor's own candidate beside itself says nothing of ours.
    let ours = result.baseline.as_ref().is_some_and(|b| b != candidate);
    if let Some(ratio) = result.ratio.filter(usable).filter(|_| ours) {
        let width = result.ratio_low.zip(result.ratio_high).map_or(0.0, |(low, high)| (high - low) / 2.0 / ratio);
        out.push(metric("ratio", Direction::Higher, ratio, width));
    }
    out
}

/// Half the width of the interval of the median of a contender's published samples.
fn spread(race: Option<&RaceRecord>, candidate: &str) -> f64 {
    let Some(race) = race else { return 0.0 };
    let samples = race.contenders.iter().find(|c| c.candidate == candidate).map_or(&[][..], |c| &c.samples_us);
    let logs: Vec<f64> = samples.iter().skip(race.selection_blocks).map(|us| us.ln()).collect();
    let interval = median_interval(&logs);
    (interval.high - interval.low) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn the_last_result_of_each_counts() {
        let run = sample::run("a", 3, 20);
        let once = of_run(&run.records);
        assert!(once.iter().any(|m| m.key.metric == "us") && once.iter().any(|m| m.key.metric == "ratio"));
        let twice: Vec<Record> = run.records.iter().chain(&run.records).cloned().collect();
        let again = of_run(&twice);
        assert_eq!(again.len(), once.len());
        assert!(again.iter().zip(&once).all(|(a, b)| a.line == b.line + run.records.len() && a.value == b.value));
    }

    #[test]
    fn a_result_that_failed_takes_its_numbers_along() {
        let mut run = sample::run("a", 1, 20);
        let Some(Record::Result(last)) = run.records.last().cloned() else { panic!() };
        let before = of_run(&run.records).len();
        run.records.push(Record::Result(ResultRecord { candidate: None, us: None, ratio: None, ..last }));
        assert!(of_run(&run.records).len() < before);
    }

    #[test]
    fn worse_is_above_zero_whatever_the_direction() {
        assert!((Direction::Lower.worse(10.0, 10.5) - 0.05).abs() < 1e-12);
        assert!(Direction::Lower.worse(10.0, 9.0) < 0.0);
        assert!(Direction::Higher.worse(1.2, 1.0) > 0.1 && Direction::Higher.worse(1.0, 1.2) < 0.0);
    }
}
