//! Paired races that decide whether a suspected change is real.

use super::log::Confirmation;
use super::metric::Metric;
use super::paired::{Judged, Rules, is_enough, judge};
use super::regress::Row;
use super::sides::{Patience, Side, SideError, until_narrow};
use crate::client::{Worker, WorkerError};
use crate::protocol::{Answer, Request};
use crate::stats::median;
use crate::timer::Mode;
use crate::work::Work;
use kernelsmith_device::Device;
use kernelsmith_device::executable::source_hash;
use kernelsmith_kernels::{Candidate, Catalogue};
use std::time::{Duration, Instant};

/// A kernel before and one after, on one piece of work.
pub struct Question<'a> {
    pub work: &'a Work,
    pub mode: Mode,
    /// Candidates' names; those of a chain are joined by `>`.
    pub before: &'a str,
    pub after: &'a str,
}

/// Time for one request of blocks; between two it is seen whether they are enough.
const CHUNK: Duration = Duration::from_secs(4);
/// What a request may take beyond the time that it is given.
const SLACK: Duration = Duration::from_secs(120);

fn steps(candidate: &str) -> Vec<String> {
    candidate.split(" > ").map(|c| c.trim().to_string()).collect()
}

/// Samples by contender.
fn race(
    worker: &mut Worker,
    work: &Work,
    mode: Mode,
    contenders: &[&str],
    budget: Duration,
) -> Result<Vec<Vec<f64>>, SideError> {
    let request = Request::Race {
        op: work.op().to_string(),
        problem: work.to_string(),
        contenders: contenders.iter().map(|c| steps(c)).collect(),
        peers: Vec::new(),
        mode: mode.name().to_string(),
        budget_ms: budget.as_millis() as u64,
        seed: crate::secret::seed(),
    };
    let raced = match worker.ask(&request, SLACK + budget) {
        Ok(Answer::Raced { result }) => result,
        Err(WorkerError::Stopped) => return Err(SideError::Stopped),
        Err(error) => return Err(error.into()),
        Ok(other) => return Err(WorkerError::Answer(format!("{other:?}")).into()),
    };
    match raced.disqualified.first() {
        None => Ok(raced.samples_us),
        Some((contender, _, reason)) => {
            let candidate = contenders.get(*contender).unwrap_or(&"").to_string();
            Err(SideError::Disqualified { candidate, reason: reason.clone() })
        }
    }
}

/// Both kernels in one program: every block runs each of them once. Returns ln(after / before).
pub fn in_one(
    worker: &mut Worker,
    question: &Question,
    rules: &Rules,
    patience: &Patience,
) -> Result<Vec<f64>, SideError> {
    let start = Instant::now();
    let mut pairs = Vec::new();
    while pairs.is_empty() || (!is_enough(&pairs, rules) && start.elapsed() < patience.budget) {
        patience.check()?;
        let time = CHUNK.min(patience.budget.saturating_sub(start.elapsed()));
        let sides = [question.before, question.after];
        let samples = race(worker, question.work, question.mode, &sides, time)?;
        let [before, after] = samples.as_slice() else {
            return Err(WorkerError::Answer(format!("{} contenders, expected 2", samples.len())).into());
        };
        pairs.extend(before.iter().zip(after).map(|(b, a)| (a / b).ln()).filter(|p| p.is_finite()));
    }
    Ok(pairs)
}

/// A kernel in a program of its own.
struct ProgramSide<'a> {
    worker: &'a mut Worker,
    work: &'a Work,
    mode: Mode,
    candidate: &'a str,
}

impl Side for ProgramSide<'_> {
    /// The median of the fewest blocks that a race has.
    fn sample(&mut self) -> Result<f64, SideError> {
        let samples = race(self.worker, self.work, self.mode, &[self.candidate], Duration::ZERO)?;
        Ok(median(samples.first().map_or(&[], |s| s)))
    }
}

/// Each kernel in its own program, in turns.
pub fn between(
    before: &mut Worker,
    after: &mut Worker,
    question: &Question,
    rules: &Rules,
    patience: &Patience,
) -> Result<Vec<f64>, SideError> {
    let (work, mode) = (question.work, question.mode);
    let mut before = ProgramSide { worker: before, work, mode, candidate: question.before };
    let mut after = ProgramSide { worker: after, work, mode, candidate: question.after };
    until_narrow(&mut before, &mut after, patience, crate::secret::seed(), rules)
}

/// What races need: the device, this program's worker, and where there is one that of the program
/// before.
pub struct Confirmer<'a> {
    pub device: &'a Device,
    pub catalogue: &'a Catalogue,
    pub worker: &'a mut Worker,
    pub before: Option<&'a mut Worker>,
}

impl Confirmer<'_> {
    /// Races what a row's number was measured on with what it is now. The inner error says why
    /// there was no race.
    pub fn ask(&mut self, row: &Row, patience: &Patience) -> Result<Result<Judged, String>, SideError> {
        let (held, Some(found)) = (&row.held, &row.found) else { return Ok(Err("it was not measured".to_string())) };
        let Some(candidate) = &held.candidate else {
            return Ok(Err("the baseline file does not say which candidate it was".to_string()));
        };
        let work = match Work::parse(&held.key.op, &held.key.problem) {
            Ok(work) => work,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let Some(mode) = Mode::ALL.into_iter().find(|m| m.name() == held.key.mode) else {
            return Ok(Err(format!("mode `{}`, expected cold or hot", held.key.mode)));
        };
        let question = Question { work: &work, mode, before: candidate, after: &found.candidate };
        let rules = Rules { warn: held.warn, regress: held.regress, ..Rules::default() };
        let raced = match &mut self.before {
            Some(before) => between(before, self.worker, &question, &rules, patience),
            None => {
                if let Err(reason) = self.are_here(row, candidate, found, &work) {
                    return Ok(Err(reason));
                }
                in_one(self.worker, &question, &rules, patience)
            }
        };
        match raced {
            Ok(pairs) => Ok(Ok(judge(&pairs, &rules))),
            Err(SideError::Stopped) => Err(SideError::Stopped),
            // What went wrong with one race is no reason to leave out the others.
            Err(error) => Ok(Err(error.to_string())),
        }
    }

    /// Whether this program can race what was with what is.
    fn are_here(&self, row: &Row, candidate: &str, found: &Metric, work: &Work) -> Result<(), String> {
        if candidate == found.candidate && row.held.source_hash == found.source_hash {
            return Err("the same kernel on both sides; --before PROGRAM races the program that it ran in".to_string());
        }
        self.is_here(work, candidate, row.held.source_hash.as_deref())?;
        self.is_here(work, &found.candidate, found.source_hash.as_deref())
    }

    /// Whether this program has the candidate as it was then.
    fn is_here(&self, work: &Work, candidate: &str, hash: Option<&str>) -> Result<(), String> {
        let [problem] = work.steps() else {
            return Err("a chain has no source hash to know its kernels by".to_string());
        };
        let now = candidate.parse().ok().and_then(|c: Candidate| {
            let variant = self.catalogue.variant(problem.op(), self.device.facts().target, &c.variant).ok()?;
            source_hash(self.catalogue, variant, &c, problem, self.device).ok()
        });
        match (now, hash) {
            (Some(now), Some(then)) if now == then => Ok(()),
            (None, _) => Err(format!("{candidate} is not in this program; name the one that has it: --before PROGRAM")),
            _ => {
                Err(format!("the source of {candidate} is another now; name the program that has it: --before PROGRAM"))
            }
        }
    }
}

/// The entry for the log.
pub fn confirmation(device: &str, metric: String, before: &str, after: &str, judged: &Judged) -> Confirmation {
    Confirmation {
        time: crate::provenance::now(),
        device: device.to_string(),
        metric,
        before: before.to_string(),
        after: after.to_string(),
        call: judged.call,
        change: judged.change,
        low: Some(judged.low).filter(|x| x.is_finite()),
        high: Some(judged.high).filter(|x| x.is_finite()),
        pairs: judged.pairs,
    }
}
