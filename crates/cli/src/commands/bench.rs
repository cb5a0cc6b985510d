//! `smith bench`.

use super::{Failure, check_fits, open_device, start_worker};
use crate::Outcome;
use crate::args::BenchArgs;
use crate::output::{json_line, line, result_json, results_table};
use kernelsmith_core::Problem;
use kernelsmith_device::{Device, Dispatcher};
use kernelsmith_kernels::tuned::TunedTable;
use kernelsmith_kernels::{Candidate, Catalogue};
use kernelsmith_lab::client::Worker;
use kernelsmith_lab::evidence::{GapRecord, Verdict};
use kernelsmith_lab::protocol::{Answer, Request};
use kernelsmith_lab::race::{duel, gate_one};
use kernelsmith_lab::stats::median;
use kernelsmith_lab::timer::Mode;

use kernelsmith_lab::work::Work;
use kernelsmith_lab::worker::catalogue;
use std::sync::Arc;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

pub fn run(args: &BenchArgs) -> Result<Outcome, Failure> {
    let problem = Problem::parse(&args.op, &args.problem)?;
    let catalogue = catalogue(args.common.kernels.as_deref())?;
    let device = open_device(args.device.as_deref(), args.common.json)?;
    check_fits(&Work::from(problem.clone()), &device)?;
    let candidate = match &args.candidate {
        Some(text) => complete(text, &problem, &catalogue, &device)?,
        None => picked(&problem, &catalogue, &device)?,
    };
    let mut worker = start_worker(&device, args.common.kernels.as_deref(), Default::default())?;
    let baselines = match args.vs.as_str() {
        "baseline" => vendors(&problem, &catalogue, &device, &mut worker)?,
        other => vec![complete(other, &problem, &catalogue, &device)?],
    };
    // A time without a passed gate is not a result.
    let gate = gate_one(&mut worker, &problem, &candidate, LIMIT)?;
    if gate.verdict != Verdict::Ok {
        let detail = gate.detail.unwrap_or_default();
        eprintln!("smith: {candidate} failed the gate: {} ({detail})", gate.verdict.name());
        return Ok(Outcome::Failed);
    }
    let (_, gaps) = catalogue.capable(&problem, device.facts())?;
    let work = Work::from(problem.clone());
    let mut results = Vec::new();
    for mode in Mode::ALL {
        let against = baselines.iter().map(|b| vec![b.clone()]).collect();
        let (_, mut result) = duel(&mut worker, &device, &work, vec![candidate.clone()], against, mode)?;
        result.max_error_over_bound = Some(gate.max_error_over_bound);
        result.gaps = gaps
            .iter()
            .map(|g| GapRecord {
                op: args.op.clone(),
                problem: problem.text(),
                variant: g.variant.clone(),
                reason: g.reason.clone(),
            })
            .collect();
        results.push(result);
    }
    if args.common.json {
        results.iter().for_each(|r| json_line(&result_json(r)));
    } else {
        line(&results_table(&results));
    }
    Ok(if results.iter().all(|r| r.us.is_some()) { Outcome::Done } else { Outcome::Failed })
}

/// A candidate from text; a bare name gets its default config.
fn complete(text: &str, problem: &Problem, catalogue: &Catalogue, device: &Device) -> Result<Candidate, Failure> {
    let mut candidate: Candidate = text.parse()?;
    if candidate.config.is_empty() {
        let variant = catalogue.variant(problem.op(), device.facts().target, &candidate.variant)?;
        candidate.config = variant.fallback(problem, device.facts())?.unwrap_or_default();
    }
    catalogue.admit(&candidate, problem, device.facts())?;
    Ok(candidate)
}

/// What dispatch runs for the problem.
fn picked(problem: &Problem, catalogue: &Catalogue, device: &Device) -> Result<Candidate, Failure> {
    let table = TunedTable::load(device.facts(), TunedTable::user_folder().as_deref())?;
    let dispatcher = Dispatcher::new(device.clone(), Arc::new(catalogue.clone()), table);
    Ok(dispatcher.executable(problem)?.candidate().clone())
}

/// The fastest config of each vendor variant, by a short screening.
fn vendors(
    problem: &Problem,
    catalogue: &Catalogue,
    device: &Device,
    worker: &mut Worker,
) -> Result<Vec<Candidate>, Failure> {
    let (able, _) = catalogue.capable(problem, device.facts())?;
    let mut out = Vec::new();
    for variant in able.iter().filter(|v| v.vendor.is_some()) {
        let mut best: Option<(f64, Candidate)> = None;
        for config in variant.space(problem, device.facts())? {
            let candidate = Candidate { variant: variant.name.clone(), config };
            let request = Request::Screen {
                op: problem.op().to_string(),
                problem: problem.text(),
                candidate: candidate.to_string(),
                best_us: best.as_ref().map(|b| b.0),
            };
            let Ok(Answer::Screened { result }) = worker.ask(&request, LIMIT) else { continue };
            match result.verdict {
                Verdict::Ok => {
                    let us = median(&result.samples_us);
                    if best.as_ref().is_none_or(|b| us < b.0) {
                        best = Some((us, candidate));
                    }
                }
                // The vendor's list has ended.
                Verdict::Unoffered => break,
                _ => {}
            }
        }
        out.extend(best.map(|b| b.1));
    }
    Ok(out)
}
