//! Races: contenders paired and interleaved in one session, and what is published of them.

use crate::client::{Worker, WorkerError};
use crate::evidence::{
    ContenderRecord, DisqualifiedRecord, GateRecord, RaceRecord, ResultRecord, TelemetryRecord, Verdict,
};
use crate::protocol::{Answer, Request};
use crate::stats::{Interval, median, paired_ratio, verdict};
use crate::timer::{self, Mode};
use crate::work::Work;
use crate::worker::death;
use kernelsmith_core::Problem;
use kernelsmith_device::Device;
use kernelsmith_kernels::Candidate;
use std::time::{Duration, Instant};

/// Time of one race at most.
pub const LONGEST: Duration = Duration::from_secs(4);
/// Time of the race that follows an ambiguous one: more blocks narrow the noise too.
pub const AGAIN: Duration = Duration::from_secs(10);

/// One line of a race.
#[derive(Clone, Debug)]
pub struct Contender {
    /// One candidate for each step of the work.
    pub steps: Vec<Candidate>,
    /// `candidate`, `baseline` or `control`.
    pub role: &'static str,
}

impl Contender {
    /// The candidates' names, joined by `>`.
    pub fn name(&self) -> String {
        self.steps.iter().map(|c| c.to_string()).collect::<Vec<_>>().join(" > ")
    }
}

/// What a race is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Find what should run: where the vendor's is faster, that is the winner.
    Tune,
    /// Judge a candidate: its time is published, win or lose.
    Judge,
}

/// Asks for the full gate on one candidate, or where `brief` for the short one.
///
/// # Errors
/// There is no worker to ask, or the wait was stopped.
pub fn gate_one(
    worker: &mut Worker,
    problem: &Problem,
    candidate: &Candidate,
    brief: bool,
    limit: Duration,
) -> Result<GateRecord, WorkerError> {
    let request = Request::Gate {
        op: problem.op().to_string(),
        problem: problem.text(),
        candidate: candidate.to_string(),
        brief,
    };
    let start = Instant::now();
    let mut record = GateRecord {
        op: problem.op().to_string(),
        problem: problem.text(),
        candidate: candidate.to_string(),
        verdict: Verdict::Launch,
        detail: None,
        max_error_over_bound: 0.0,
        checks: 0,
        skipped: 0,
        seconds: 0.0,
    };
    let answer = worker.ask(&request, limit);
    record.seconds = start.elapsed().as_secs_f64();
    Ok(match answer {
        Ok(Answer::Gated { verdict, detail, max_error_over_bound, checks, skipped }) => {
            if verdict == Verdict::Launch {
                worker.retire();
            }
            GateRecord { verdict, detail, max_error_over_bound, checks, skipped, ..record }
        }
        Ok(other) => GateRecord { detail: Some(format!("unexpected answer {other:?}")), ..record },
        Err(error @ (WorkerError::Start(_) | WorkerError::Stopped)) => return Err(error),
        Err(error) => {
            let (verdict, detail) = death(&error);
            record.verdict = verdict;
            record.detail = Some(detail);
            record
        }
    })
}

/// How a race is run, and what for.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub mode: Mode,
    pub budget: Duration,
    pub purpose: Purpose,
}

/// What came of a race.
pub struct Finished {
    /// What was measured; none where there was nobody to race.
    pub record: Option<RaceRecord>,
    /// The row to publish.
    pub result: ResultRecord,
    /// What a person should know of it: peers that stayed out or are wrong, a race that failed.
    pub notes: Vec<String>,
}

/// A race between named candidates and external programs outside a sweep: `smith bench`.
pub fn duel(
    worker: &mut Worker,
    device: &Device,
    work: &Work,
    candidate: Vec<Candidate>,
    baselines: Vec<Vec<Candidate>>,
    peers: &[String],
    mode: Mode,
) -> Result<Finished, WorkerError> {
    let mut contenders = vec![Contender { steps: candidate, role: "candidate" }];
    contenders.extend(baselines.into_iter().map(|steps| Contender { steps, role: "baseline" }));
    let rules = Rules { mode, budget: LONGEST, purpose: Purpose::Judge };
    race(worker, device, work, &contenders, peers, rules)
}

/// A row with nothing in it yet.
pub(crate) fn empty_result(device: &Device, work: &Work, mode: Mode) -> ResultRecord {
    ResultRecord {
        op: work.op().to_string(),
        problem: work.to_string(),
        device: device.facts().name.clone(),
        candidate: None,
        mode: mode.name().to_string(),
        us: None,
        gflops: None,
        roofline: None,
        baseline: None,
        baseline_us: None,
        ratio: None,
        ratio_low: None,
        ratio_high: None,
        noise_low: None,
        noise_high: None,
        verdict: "failed".to_string(),
        gaps: Vec::new(),
        max_error_over_bound: None,
        vendor_error: None,
        tried: 0,
        passed: 0,
        source_hash: None,
    }
}

/// Races contenders, and external programs beside them, in one mode.
pub fn race(
    worker: &mut Worker,
    device: &Device,
    work: &Work,
    contenders: &[Contender],
    peers: &[String],
    rules: Rules,
) -> Result<Finished, WorkerError> {
    let Rules { mode, budget, purpose } = rules;
    let mut published = empty_result(device, work, mode);
    if contenders.is_empty() {
        return Ok(Finished { record: None, result: published, notes: Vec::new() });
    }
    // The first baseline runs twice: the second time it is the control.
    let control = contenders.iter().position(|c| c.role == "baseline").unwrap_or(0);
    let mut steps: Vec<&Contender> = contenders.iter().collect();
    let repeated = Contender { steps: contenders[control].steps.clone(), role: "control" };
    steps.push(&repeated);
    let mut lines: Vec<(String, &'static str)> = steps.iter().map(|c| (c.name(), c.role)).collect();
    let repeat = lines.len() - 1;
    let request = Request::Race {
        op: work.op().to_string(),
        problem: work.to_string(),
        contenders: steps.iter().map(|l| l.steps.iter().map(|c| c.to_string()).collect()).collect(),
        peers: peers.to_vec(),
        mode: mode.name().to_string(),
        budget_ms: budget.as_millis() as u64,
        seed: crate::secret::seed(),
    };
    let mut record = RaceRecord {
        op: work.op().to_string(),
        problem: work.to_string(),
        mode: mode.name().to_string(),
        contenders: lines.iter().map(|l| contender_record(l, &[])).collect(),
        selection_blocks: 0,
        launches_per_sample: 0,
        sets: 0,
        set_bytes: 0,
        flushed: false,
        telemetry: TelemetryRecord::default(),
        disqualified: Vec::new(),
        error: None,
        seconds: 0.0,
    };
    let start = Instant::now();
    let answer = worker.ask(&request, Duration::from_secs(120) + budget);
    record.seconds = start.elapsed().as_secs_f64();
    let raced = match answer {
        Ok(Answer::Raced { result }) => result,
        Ok(other) => return Err(WorkerError::Answer(format!("{other:?}"))),
        Err(error @ (WorkerError::Start(_) | WorkerError::Stopped)) => return Err(error),
        // Every contender passed the gate; a race that dies does not say which one did it.
        Err(error) => {
            let notes = vec![format!("the {} race failed: {error}", mode.name())];
            record.error = Some(error.to_string());
            return Ok(Finished { record: Some(record), result: published, notes });
        }
    };
    lines.extend(raced.peers.iter().map(|p| (p.name.clone(), "baseline")));
    let mut notes = raced.left_out.clone();
    for peer in raced.peers.iter().filter(|p| p.error_over_bound.is_some_and(|e| e.is_nan() || e > 1.0)) {
        notes.push(format!("{} is {:.3} of the error bound off", peer.name, peer.error_over_bound.unwrap_or(f64::NAN)));
    }
    let out = |c: usize| raced.disqualified.iter().any(|d| d.0 == c);
    // One that was stopped has fewer.
    let in_race = raced.samples_us.iter().enumerate().filter(|(c, _)| !out(*c));
    let blocks = in_race.map(|(_, samples)| samples.len()).min().unwrap_or(0);
    let selection = if contenders.len() + raced.peers.len() > 1 { blocks / 3 } else { 0 };
    record.contenders = lines.iter().zip(&raced.samples_us).map(|(l, samples)| contender_record(l, samples)).collect();
    record.selection_blocks = selection;
    record.launches_per_sample = raced.launches_per_sample;
    (record.sets, record.set_bytes, record.flushed) = (raced.sets, raced.set_bytes, raced.flushed);
    record.telemetry = raced.telemetry;
    record.disqualified = raced
        .disqualified
        .iter()
        .map(|(c, verdict, reason)| DisqualifiedRecord {
            candidate: lines[*c].0.clone(),
            verdict: *verdict,
            reason: reason.clone(),
        })
        .collect();
    let select = |c: &usize| median(&raced.samples_us[*c][..selection.max(1).min(blocks)]);
    let publish = |c: usize| &raced.samples_us[c][selection..blocks];
    let fastest = |role: &str| {
        let items = (0..lines.len()).filter(|c| lines[*c].1 == role && !out(*c));
        items.min_by(|a, b| select(a).total_cmp(&select(b)))
    };
    let (own, baseline) = (fastest("candidate"), fastest("baseline"));
    let ratio = |over: usize, under: usize| paired_ratio(publish(over), publish(under));
    // The control pairs with the baseline that it repeats.
    let noise: Option<Interval> = (!out(repeat) && !out(control)).then(|| ratio(repeat, control));
    let loses = |o: usize, b: usize| select(&b) < 0.985 * select(&o) || verdict(ratio(b, o), noise) == "slower";
    let winner = match (own, baseline) {
        (Some(o), Some(b)) if purpose == Purpose::Tune && loses(o, b) => Some(b),
        (Some(o), _) => Some(o),
        (None, b) => b.filter(|_| purpose == Purpose::Tune),
    };
    let Some(w) = winner else { return Ok(Finished { record: Some(record), result: published, notes }) };
    let us = median(publish(w));
    published.candidate = Some(lines[w].0.clone());
    published.us = Some(us);
    published.gflops = Some(work.flops() / us / 1e3);
    published.roofline = timer::roofline_us(device, work).map(|r| r / us);
    (published.noise_low, published.noise_high) = (noise.map(|n| n.low), noise.map(|n| n.high));
    published.verdict = "alone".to_string();
    if let Some(b) = baseline {
        // The vendor's own candidate against itself: the control says how far apart that is.
        let itself = noise.unwrap_or(Interval { value: 1.0, low: 1.0, high: 1.0 });
        let r = if b == w { itself } else { ratio(b, w) };
        published.baseline = Some(lines[b].0.clone());
        published.baseline_us = Some(median(publish(b)));
        (published.ratio, published.ratio_low, published.ratio_high) = (Some(r.value), Some(r.low), Some(r.high));
        published.verdict = if b == w { "same".to_string() } else { verdict(r, noise).to_string() };
    }
    Ok(Finished { record: Some(record), result: published, notes })
}

fn contender_record((name, role): &(String, &'static str), samples: &[f64]) -> ContenderRecord {
    ContenderRecord { candidate: name.clone(), role: role.to_string(), samples_us: samples.to_vec() }
}
