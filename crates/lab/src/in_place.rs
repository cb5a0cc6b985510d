//! Tuning launches where they run: in a recorded graph, among those before, after and beside them.
//!
//! What is fastest alone need not be fastest there. Launches of a graph overlap, and a block that
//! leaves room on its multiprocessor, or comes late, changes what its neighbours take. So here the
//! time is the whole graph's. Problem by problem, most launches first, each candidate that passes
//! the short gate and is not hopeless alone takes the launches of its problem; what shortens the
//! graph twice in a row and passes the full gate stays. Coordinate descent, in rounds, until a
//! round changes nothing. At the end the graph as it was and as it is race, paired and interleaved.
//!
//! The graph is replayed many times: what it trains or counts is spoilt.

use crate::client::{Compilers, Worker, WorkerError};
use crate::evidence::{
    CandidateRecord, ContenderRecord, EvidenceError, GateRecord, RaceRecord, Record, ResultRecord, Verdict, Writer,
};
use crate::race::{empty_result, gate_one};
use crate::screen::screen_one;
use crate::stats::{Interval, median, paired_ratio};
use crate::timer::Mode;
use crate::work::Work;
use kernelsmith_core::Problem;
use kernelsmith_device::{Device, DeviceError, Executable, Graph, Queue};
use kernelsmith_kernels::{Candidate, Catalogue, CatalogueError, Target};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Pairs of a first look at a candidate, and of the look that confirms it.
const LOOK: usize = 3;
const CONFIRM: usize = 7;
/// Pairs of the race at the end.
const RACE: usize = 40;
/// The graph must be shorter by this share.
const GAIN: f64 = 0.003;
/// Candidates this much slower alone than what runs are not tried.
const HOPELESS: f64 = 1.6;
/// Configs of a variant that are tried whole; of a larger space, those one parameter away.
const WHOLE: usize = 40;
/// Problems with fewer than one launch in so many stay as they are.
const RARE: usize = 100;
const LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub enum InPlaceError {
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    #[error(transparent)]
    Worker(#[from] WorkerError),
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
}

/// A problem of the graph that something else computes now.
#[derive(Clone, Debug)]
pub struct Swap {
    pub problem: Problem,
    /// How often the graph launches it.
    pub launches: usize,
    pub from: Candidate,
    pub to: Candidate,
    /// The new candidate alone.
    pub alone: CandidateRecord,
    pub gate: GateRecord,
}

impl Swap {
    /// The row to publish. Its time is the candidate's alone, since a launch among others has none.
    pub fn result(&self, device: &Device) -> ResultRecord {
        let us = median(&self.alone.samples_us);
        ResultRecord {
            candidate: Some(self.to.to_string()),
            us: Some(us),
            gflops: Some(self.problem.flops() / us / 1e3),
            max_error_over_bound: Some(self.gate.max_error_over_bound),
            source_hash: self.alone.source_hash.clone(),
            verdict: "alone".to_string(),
            ..empty_result(device, &Work::from(self.problem.clone()), Mode::Cold)
        }
    }
}

/// What came of it.
pub struct Finished {
    pub swaps: Vec<Swap>,
    /// The graph as it was beside the graph as it is, µs a replay.
    pub race: RaceRecord,
    /// Time before over time after, with its interval.
    pub ratio: Interval,
}

/// Who does it.
pub struct Lab<'a> {
    pub worker: &'a mut Worker,
    pub catalogue: &'a Catalogue,
    pub device: &'a Device,
    /// Where screenings and gates are kept as they come.
    pub writer: &'a mut Writer,
    /// Told as it goes.
    pub note: &'a mut dyn FnMut(&str),
}

/// Tunes the launches of a graph for at most `budget`. `name` says what the graph is.
///
/// # Errors
/// No worker, a device that fails, a damaged catalogue. What a candidate does is no error.
pub fn tune(
    lab: &mut Lab<'_>,
    queue: &Queue,
    graph: &Graph,
    name: &str,
    budget: Duration,
) -> Result<Finished, InPlaceError> {
    let start = Instant::now();
    let mut picks: HashMap<String, Arc<Executable>> = HashMap::new();
    let mut launches: HashMap<String, usize> = HashMap::new();
    for executable in graph.executables() {
        let key = key_of(executable.problem());
        *launches.entry(key.clone()).or_default() += 1;
        picks.entry(key).or_insert_with(|| executable.clone());
    }
    let first = picks.clone();
    // What is launched once in a while is not what the graph's time is made of.
    let mut order: Vec<String> = picks.keys().filter(|k| launches[*k] * RARE >= graph.len()).cloned().collect();
    order.sort_by_key(|k| {
        (std::cmp::Reverse(launches[k]), std::cmp::Reverse(picks[k].problem().flops() as u64), k.clone())
    });
    let mut current = queue.recapture(graph, |_| None)?;
    let (mut screened, mut gates): (HashMap<String, Vec<CandidateRecord>>, HashMap<String, GateRecord>) =
        Default::default();
    let mut compilers = Compilers::new(lab.worker.command().clone());
    let mut changed = true;
    while std::mem::take(&mut changed) && start.elapsed() < budget {
        for key in &order {
            let problem = picks[key].problem().clone();
            if !screened.contains_key(key) {
                let alone = lab.screen(&mut compilers, &picks[key])?;
                screened.insert(key.clone(), alone);
            }
            let alone = |c: &CandidateRecord| median(&c.samples_us);
            let runs = picks[key].candidate().to_string();
            let now = screened[key].iter().find(|c| c.candidate == runs).map(&alone);
            let mut able: Vec<CandidateRecord> =
                screened[key].iter().filter(|c| c.verdict == Verdict::Ok).cloned().collect();
            able.sort_by(|a, b| alone(a).total_cmp(&alone(b)));
            for record in able {
                if start.elapsed() > budget {
                    break;
                }
                let runs = picks[key].candidate().to_string();
                if record.candidate == runs || now.is_some_and(|us| alone(&record) > HOPELESS * us) {
                    continue;
                }
                let Ok(candidate) = record.candidate.parse::<Candidate>() else { continue };
                let executable = Arc::new(Executable::prepare(lab.device, lab.catalogue, &candidate, &problem)?);
                let other = queue.recapture(graph, |e| {
                    let at = key_of(e.problem());
                    Some(if at == *key { executable.clone() } else { picks[&at].clone() })
                })?;
                let shorter = |pairs: usize| -> Result<bool, DeviceError> {
                    let (a, b) = pairs_of(queue, &current, &other, pairs)?;
                    Ok(median(&b) < (1.0 - GAIN) * median(&a))
                };
                if !shorter(LOOK)? || !shorter(CONFIRM)? {
                    continue;
                }
                let gate = gate_one(lab.worker, &problem, &candidate, false, LIMIT)?;
                lab.writer.append(&Record::Gate(gate.clone()))?;
                if gate.verdict == Verdict::Ok {
                    (lab.note)(&format!("{problem}: {runs} gives way to {candidate}"));
                    picks.insert(key.clone(), executable);
                    (current, changed) = (other, true);
                }
                gates.insert(format!("{key} {candidate}"), gate);
            }
        }
    }
    let as_it_was = queue.recapture(graph, |_| None)?;
    let (before, after) = pairs_of(queue, &as_it_was, &current, RACE)?;
    let ratio = paired_ratio(&before, &after);
    let mut swaps = Vec::new();
    for key in &order {
        let (from, to) = (first[key].candidate(), picks[key].candidate());
        if from == to {
            continue;
        }
        let alone = screened[key].iter().find(|c| c.candidate == to.to_string()).cloned();
        let gate = gates.get(&format!("{key} {to}")).cloned();
        let (Some(alone), Some(gate)) = (alone, gate) else { continue };
        let problem = picks[key].problem().clone();
        swaps.push(Swap { problem, launches: launches[key], from: from.clone(), to: to.clone(), alone, gate });
    }
    let contender = |candidate: &str, role: &str, samples_us: Vec<f64>| ContenderRecord {
        candidate: candidate.to_string(),
        role: role.to_string(),
        samples_us,
    };
    let race = RaceRecord {
        op: "graph".to_string(),
        problem: format!("{name}, {} launches", graph.len()),
        mode: "hot".to_string(),
        contenders: vec![contender("tuned in place", "candidate", after), contender("tuned alone", "baseline", before)],
        selection_blocks: 0,
        launches_per_sample: 1,
        sets: 1,
        set_bytes: 0,
        flushed: false,
        telemetry: Default::default(),
        disqualified: Vec::new(),
        error: None,
        seconds: 0.0,
    };
    lab.writer.append(&Record::Race(race.clone()))?;
    Ok(Finished { swaps, race, ratio })
}

fn key_of(problem: &Problem) -> String {
    format!("{} {}", problem.op(), problem.text())
}

/// Replays of two graphs in turn, µs each; one of both beforehand is thrown away.
fn pairs_of(queue: &Queue, a: &Graph, b: &Graph, pairs: usize) -> Result<(Vec<f64>, Vec<f64>), DeviceError> {
    let time = |graph: &Graph| -> Result<f64, DeviceError> {
        let begin = queue.record()?;
        queue.replay(graph)?;
        queue.record()?.us_since(&begin)
    };
    let (mut of_a, mut of_b) = (Vec::new(), Vec::new());
    for pair in 0..=pairs {
        let (x, y) = if pair % 2 == 0 {
            let x = time(a)?;
            (x, time(b)?)
        } else {
            let y = time(b)?;
            (time(a)?, y)
        };
        if pair > 0 {
            of_a.push(x);
            of_b.push(y);
        }
    }
    Ok((of_a, of_b))
}

impl Lab<'_> {
    /// Screens what could take the place of an executable, that one first.
    fn screen(&mut self, compilers: &mut Compilers, runs: &Executable) -> Result<Vec<CandidateRecord>, InPlaceError> {
        let problem = runs.problem();
        let candidates = self.candidates(problem, runs.candidate())?;
        if self.device.facts().target != Target::Cpu {
            let texts: Vec<String> = candidates.iter().map(|c| c.to_string()).collect();
            let warnings = compilers.compile(self.device.facts(), problem.op(), &problem.text(), &texts);
            warnings.iter().for_each(|w| (self.note)(w));
        }
        let (mut out, mut best): (Vec<CandidateRecord>, Option<f64>) = (Vec::new(), None);
        for candidate in &candidates {
            let record = screen_one(self.worker, self.catalogue, self.device, problem, candidate, best, LIMIT)?;
            self.writer.append(&Record::Candidate(record.clone()))?;
            if record.verdict == Verdict::Ok {
                let us = median(&record.samples_us);
                best = Some(best.map_or(us, |b: f64| b.min(us)));
            }
            out.push(record);
        }
        Ok(out)
    }

    /// What runs now, then the rest of its variant's space and what other variants of ours offer.
    fn candidates(&self, problem: &Problem, runs: &Candidate) -> Result<Vec<Candidate>, InPlaceError> {
        let facts = self.device.facts();
        let mut out = vec![runs.clone()];
        for variant in self.catalogue.capable(problem, facts)?.0 {
            let own = variant.name == runs.variant;
            let space = variant.space(problem, facts)?;
            let whole = space.len() <= WHOLE;
            // Another variant's large space is no neighbourhood: its default speaks for it.
            let fallback = variant.fallback(problem, facts)?;
            for config in space {
                let near = own && config.iter().filter(|(k, v)| runs.config.get(k) != Some(*v)).count() <= 1;
                let small = whole && (own || variant.vendor.is_none());
                if small || near || Some(&config) == fallback.as_ref() {
                    out.push(Candidate { variant: variant.name.clone(), config });
                }
            }
        }
        let mut seen = std::collections::HashSet::new();
        out.retain(|c| seen.insert(c.to_string()));
        Ok(out)
    }
}
