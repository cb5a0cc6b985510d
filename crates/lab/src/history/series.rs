//! What runs measured over time, with its steps and what became of them.

use super::log::{Confirmation, Entry};
use super::metric::{Direction, Key, of_run};
use super::paired::Call;
use super::steps::{Step, steps};
use crate::evidence::{Record, Session};
use std::collections::BTreeMap;

/// One run's value.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Place of the run among those given.
    pub run: usize,
    /// Line of the result in its evidence, counted from 1.
    pub line: usize,
    pub value: f64,
}

/// What is known of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Found in the series only.
    Suspected,
    /// A paired race saw it.
    Confirmed,
    /// A paired race saw no difference.
    Refuted,
}

impl Status {
    pub fn name(self) -> &'static str {
        match self {
            Status::Suspected => "suspected",
            Status::Confirmed => "confirmed",
            Status::Refuted => "refuted",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub step: Step,
    /// Share worse; below 0 is better.
    pub worse: f64,
    pub status: Status,
}

/// One number of one device, a point a run, in the order of time.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    pub device: String,
    pub key: Key,
    pub direction: Direction,
    pub points: Vec<Point>,
    pub changes: Vec<Change>,
}

/// A run: its name and its records.
pub type Named<'a> = (&'a str, &'a [Record]);

fn session<'a>(run: &Named<'a>) -> Option<&'a Session> {
    run.1.iter().find_map(|r| if let Record::Session(s) = r { Some(s) } else { None })
}

/// Places of the runs in the order of time; those without a session are left out.
pub fn in_order(runs: &[Named]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..runs.len()).filter(|i| session(&runs[*i]).is_some()).collect();
    order.sort_by_key(|i| (session(&runs[*i]).map(|s| s.time.clone()), runs[*i].0));
    order
}

/// Every number that at least two runs of a device measured.
pub fn of_runs(runs: &[Named], log: &[Entry]) -> Vec<Series> {
    let mut all: BTreeMap<(String, Key), Series> = BTreeMap::new();
    for run in in_order(runs) {
        let Some(device) = session(&runs[run]).map(|s| s.facts.name.clone()) else { continue };
        for m in of_run(runs[run].1) {
            let series = all.entry((device.clone(), m.key.clone())).or_insert_with(|| Series {
                device: device.clone(),
                key: m.key.clone(),
                direction: m.direction,
                points: Vec::new(),
                changes: Vec::new(),
            });
            series.points.push(Point { run, line: m.line, value: m.value });
        }
    }
    let confirmations: Vec<&Confirmation> =
        log.iter().filter_map(|e| if let Entry::Confirmation(c) = e { Some(c) } else { None }).collect();
    let mut out: Vec<Series> = all.into_values().filter(|s| s.points.len() > 1).collect();
    out.iter_mut().for_each(|s| s.changes = changes(s, runs, &confirmations));
    out
}

fn changes(series: &Series, runs: &[Named], confirmations: &[&Confirmation]) -> Vec<Change> {
    let values: Vec<f64> = series.points.iter().map(|p| p.value).collect();
    let found = steps(&values);
    let metric = series.key.to_string();
    let change = |(i, step): (usize, &Step)| {
        let worse = series.direction.worse(step.before, step.after);
        let start = if i == 0 { 0 } else { found[i - 1].at };
        let end = found.get(i + 1).map_or(values.len(), |s| s.at);
        let names = |from: usize, to: usize, name: &str| series.points[from..to].iter().any(|p| runs[p.run].0 == name);
        // A race between the level before and the level after; the last one counts.
        let about = |c: &&&Confirmation| {
            c.device == series.device
                && c.metric == metric
                && names(start, step.at, &c.before)
                && names(step.at, end, &c.after)
        };
        let status = match confirmations.iter().rev().find(about).map(|c| c.call) {
            Some(Call::Regressed | Call::Warning) if worse > 0.0 => Status::Confirmed,
            Some(Call::Improved) if worse < 0.0 => Status::Confirmed,
            Some(Call::Unclear) | None => Status::Suspected,
            Some(_) => Status::Refuted,
        };
        Change { step: *step, worse, status }
    };
    found.iter().enumerate().map(change).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    /// Runs of a day each, where the time of every result is `us(day)` times what it was.
    fn history(days: usize, us: impl Fn(usize) -> f64) -> Vec<(String, Vec<Record>)> {
        let day = |i: usize| {
            let mut run = sample::run("x", 1, 20);
            for record in &mut run.records {
                match record {
                    Record::Session(s) => s.time = format!("2026-03-{:02}T00:00:00Z", i + 1),
                    Record::Result(r) => r.us = r.us.map(|x| x * us(i)),
                    _ => {}
                }
            }
            (format!("run{i}"), run.records)
        };
        // Given in the wrong order.
        (0..days).rev().map(day).collect()
    }

    fn named(runs: &[(String, Vec<Record>)]) -> Vec<Named<'_>> {
        runs.iter().map(|(name, records)| (name.as_str(), records.as_slice())).collect()
    }

    fn confirmation(key: &Key, call: Call) -> Entry {
        Entry::Confirmation(Confirmation {
            time: String::new(),
            device: "NVIDIA H200".into(),
            metric: key.to_string(),
            before: "run3".into(),
            after: "run17".into(),
            call,
            change: 0.08,
            low: None,
            high: None,
            pairs: 20,
        })
    }

    #[test]
    fn a_step_is_suspected_until_a_race_has_seen_it() {
        let runs = history(24, |i| if i < 12 { 1.0 + 0.002 * (i % 3) as f64 } else { 1.08 + 0.002 * (i % 3) as f64 });
        let runs = named(&runs);
        let plain = of_runs(&runs, &[]);
        let us: Vec<&Series> = plain.iter().filter(|s| s.key.metric == "us").collect();
        assert_eq!(us.len(), 2, "cold and hot");
        for s in &us {
            assert_eq!((s.points.len(), s.changes.len(), s.changes[0].step.at), (24, 1, 12));
            assert!((s.changes[0].worse - 0.08).abs() < 0.01 && s.changes[0].status == Status::Suspected);
            assert_eq!(runs[s.points[0].run].0, "run0");
        }
        for (call, status) in
            [(Call::Regressed, Status::Confirmed), (Call::Same, Status::Refuted), (Call::Unclear, Status::Suspected)]
        {
            let log = [confirmation(&us[0].key, call)];
            let again = of_runs(&runs, &log);
            let found = |key: &Key| again.iter().find(|s| s.key == *key).unwrap().changes[0].status;
            assert_eq!((found(&us[0].key), found(&us[1].key)), (status, Status::Suspected));
        }
    }

    #[test]
    fn one_run_is_no_history() {
        let runs = history(1, |_| 1.0);
        assert_eq!(of_runs(&named(&runs), &[]), []);
        assert_eq!(of_runs(&[("empty", &[])], &[]), []);
    }
}
