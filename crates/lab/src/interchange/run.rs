//! Recordings of a run folder's candidates, and records of a recording's trials.
//!
//! A recording is of one kernel, so a run becomes one for each problem and variant. Its kernel is
//! `OP.VARIANT` and its problem the problem's text, by which they are told again when they come
//! back; what comes from elsewhere is of the op `external`.

use super::recording::{Column, Failure, Recording, Trial};
use crate::evidence::{CandidateRecord, Record, TelemetryRecord, Verdict};
use crate::stats::median;
use kernelsmith_core::Problem;
use kernelsmith_kernels::{Candidate, Config};
use serde_json::Value;

/// The op of what is not ours.
pub const EXTERNAL: &str = "external";

#[derive(Debug, thiserror::Error)]
#[error("trial {trial}: `{parameter}` is {found}, and a config holds whole numbers only")]
pub struct NotAConfig {
    trial: usize,
    parameter: String,
    found: String,
}

/// A recording for each problem and variant that a run screened, in the order of the evidence. Of
/// a candidate screened again the last record counts.
pub fn recordings(records: &[Record]) -> Vec<Recording> {
    let mut out: Vec<Recording> = Vec::new();
    let mut device = String::new();
    for record in records {
        let c = match record {
            Record::Session(s) => {
                device = s.facts.name.clone();
                continue;
            }
            Record::Candidate(c) => c,
            _ => continue,
        };
        let Ok(candidate) = c.candidate.parse::<Candidate>() else { continue };
        let (kernel, problem) = (format!("{}.{}", c.op, candidate.variant), Value::from(c.problem.as_str()));
        let found = out.iter().rposition(|r| r.kernel == kernel && r.problem == problem && r.device == device);
        let at = found.unwrap_or_else(|| {
            let columns =
                candidate.config.iter().map(|(n, _)| Column { name: n.to_string(), values: Vec::new() }).collect();
            out.push(Recording { device: device.clone(), kernel, problem, columns, trials: Vec::new() });
            out.len() - 1
        });
        let recording = &mut out[at];
        let value = |column: &Column| candidate.config.get(&column.name).map_or(Value::Null, Value::from);
        let trial = trial(c, recording.columns.iter().map(value).collect());
        match recording.trials.iter_mut().find(|t| t.config == trial.config) {
            Some(before) => *before = trial,
            None => recording.trials.push(trial),
        }
    }
    out.iter_mut().for_each(Recording::complete_columns);
    out
}

fn trial(c: &CandidateRecord, config: Vec<Value>) -> Trial {
    let failure = match c.verdict {
        Verdict::Ok => None,
        Verdict::Compile => Some(Failure::Compile),
        Verdict::Launch => Some(Failure::Runtime),
        Verdict::Timeout => Some(Failure::Timeout),
        Verdict::Wrong | Verdict::Nondeterministic | Verdict::Implausible => Some(Failure::Correctness),
        Verdict::Unoffered => Some(Failure::Constraints),
    };
    let ms = median(&c.samples_us) / 1e3;
    Trial {
        config,
        outcome: match failure {
            Some(failure) => Err(failure),
            None if ms.is_nan() => Err(Failure::Runtime),
            None => Ok(ms),
        },
        samples: c.samples_us.iter().map(|us| us / 1e3).collect(),
        compile: 0.0,
        benchmark: c.seconds * 1e3,
        framework: 0.0,
        strategy: 0.0,
        verification: 0.0,
        timestamp: Some(c.time.clone()),
        verdict: Some(c.verdict.name().to_string()),
        error_over_bound: c.max_error_over_bound,
    }
}

/// The records of a recording's trials. A time that another tuner took passed no gate of ours:
/// the detail says so.
///
/// # Errors
/// A parameter that is not a whole number.
pub fn records(recording: &Recording) -> Result<Vec<Record>, NotAConfig> {
    let ours = recording.kernel.split_once('.').and_then(|(op, variant)| {
        let problem = recording.problem.as_str()?;
        Problem::parse(op, problem).ok().map(|p| (op.to_string(), variant.to_string(), p.text()))
    });
    let is_ours = ours.is_some();
    let (op, variant, problem) = ours.unwrap_or_else(|| {
        let name = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
        let size = recording.problem.as_str().map_or_else(|| recording.problem.to_string(), str::to_string);
        (EXTERNAL.to_string(), recording.kernel.chars().map(name).collect(), size)
    });
    let mut out = Vec::with_capacity(recording.trials.len());
    for (i, trial) in recording.trials.iter().enumerate() {
        let mut config = Vec::new();
        for (column, value) in recording.columns.iter().zip(&trial.config) {
            let whole = value.as_i64().or_else(|| value.as_bool().map(i64::from));
            let whole =
                whole.or_else(|| value.as_f64().filter(|x| x.fract() == 0.0 && x.abs() < 1e15).map(|x| x as i64));
            let fail = || NotAConfig { trial: i, parameter: column.name.clone(), found: super::shown(value) };
            config.push((column.name.clone(), whole.ok_or_else(fail)?));
        }
        let candidate = Candidate { variant: variant.clone(), config: Config::new(config) };
        let verdict = verdict(trial);
        let foreign = (!is_ours).then(|| format!("imported from {}: not put through the gate", recording.device));
        let samples =
            if trial.samples.is_empty() { trial.outcome.into_iter().collect() } else { trial.samples.clone() };
        out.push(Record::Candidate(CandidateRecord {
            time: trial.timestamp.clone().unwrap_or_default(),
            op: op.clone(),
            problem: problem.clone(),
            candidate: candidate.to_string(),
            vendor: None,
            verdict,
            detail: foreign,
            max_error_over_bound: trial.error_over_bound,
            samples_us: if verdict == Verdict::Ok { samples.iter().map(|ms| ms * 1e3).collect() } else { Vec::new() },
            launches_per_sample: 1,
            source_hash: None,
            registers: None,
            spill_bytes: None,
            telemetry: TelemetryRecord::default(),
            seconds: trial.benchmark / 1e3,
        }));
    }
    Ok(out)
}

fn verdict(trial: &Trial) -> Verdict {
    let named = trial.verdict.as_ref().and_then(|v| serde_json::from_value(Value::from(v.as_str())).ok());
    match (trial.outcome, named) {
        // A name beside a time would make it what it is not.
        (Ok(_), _) => Verdict::Ok,
        (Err(_), Some(named)) if named != Verdict::Ok => named,
        (Err(Failure::Compile), _) => Verdict::Compile,
        (Err(Failure::Runtime), _) => Verdict::Launch,
        (Err(Failure::Timeout), _) => Verdict::Timeout,
        (Err(Failure::Correctness), _) => Verdict::Wrong,
        (Err(Failure::Constraints), _) => Verdict::Unoffered,
    }
}
