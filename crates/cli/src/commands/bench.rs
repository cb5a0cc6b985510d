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
use kernelsmith_lab::evidence::{EvidenceError, GapRecord, Record, ResultRecord, Session, Verdict, Writer};
use kernelsmith_lab::protocol::{Answer, Request};
use kernelsmith_lab::race::{Finished, duel, gate_one};
use kernelsmith_lab::spec::Spec;
use kernelsmith_lab::stats::median;
use kernelsmith_lab::timer::Mode;
use kernelsmith_lab::work::Work;
use kernelsmith_lab::worker::catalogue;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

pub fn run(args: &BenchArgs) -> Result<Outcome, Failure> {
    let (name, problems) = problems(args)?;
    let catalogue = catalogue(args.common.kernels.as_deref())?;
    let device = open_device(args.device.as_deref(), args.common.json)?;
    for problem in &problems {
        check_fits(&Work::from(problem.clone()), &device)?;
    }
    let table = TunedTable::load(device.facts(), TunedTable::user_folder().as_deref())?;
    let dispatcher = Dispatcher::new(device.clone(), Arc::new(catalogue.clone()), table);
    let mut worker = start_worker(&device, args.common.kernels.as_deref(), Default::default())?;
    let mut writer = args.run.as_ref().map(|folder| writer(folder, &device, &worker, &name)).transpose()?;
    let (mut results, mut all) = (Vec::new(), true);
    for problem in &problems {
        let candidate = match &args.candidate {
            Some(text) => complete(text, problem, &catalogue, &device)?,
            // What dispatch runs for the problem.
            None => dispatcher.executable(problem)?.candidate().clone(),
        };
        let mut keep = |record: Record| writer.as_mut().map_or(Ok(()), |w| w.append(&record));
        let rows = bench(args, problem, candidate, &catalogue, &device, &mut worker, &mut keep)?;
        all &= !rows.is_empty() && rows.iter().all(|r| r.us.is_some());
        if args.common.json {
            rows.iter().for_each(|r| json_line(&result_json(r)));
        }
        results.extend(rows);
    }
    if !args.common.json && !results.is_empty() {
        line(&results_table(&results));
    }
    Ok(if all { Outcome::Done } else { Outcome::Failed })
}

/// Evidence of a bench: a folder of its own, for a race says nothing of what ran before it.
fn writer(folder: &Path, device: &Device, worker: &Worker, name: &str) -> Result<Writer, Failure> {
    let mut writer = Writer::fresh(folder)?;
    writer.append(&Record::Session(Session::now(device, worker.timer.clone(), name, 0.0, 0)))?;
    Ok(writer)
}

/// What is to be run, and its name.
fn problems(args: &BenchArgs) -> Result<(String, Vec<Problem>), Failure> {
    let Some(spec) = &args.spec else {
        let problem = args.problem.as_deref().unwrap_or_default();
        return Ok(("bench".to_string(), vec![Problem::parse(args.op.as_deref().unwrap_or("gemm"), problem)?]));
    };
    let mut out = Vec::new();
    let Spec { name, work, .. } = Spec::load(spec)?;
    for work in work {
        let [problem] = work.steps() else { continue };
        if args.op.as_deref().is_none_or(|op| op == problem.op()) {
            out.push(problem.clone());
        }
    }
    if out.is_empty() {
        return Err(format!("{spec} has no single problems of {}", args.op.as_deref().unwrap_or("any op")).into());
    }
    Ok((name, out))
}

/// One problem in both modes; nothing where the gate says no.
fn bench(
    args: &BenchArgs,
    problem: &Problem,
    candidate: Candidate,
    catalogue: &Catalogue,
    device: &Device,
    worker: &mut Worker,
    keep: &mut dyn FnMut(Record) -> Result<(), EvidenceError>,
) -> Result<Vec<ResultRecord>, Failure> {
    let baselines = match args.vs.as_str() {
        "baseline" => vendors(problem, catalogue, device, worker)?,
        other => vec![complete(other, problem, catalogue, device)?],
    };
    // A time without a passed gate is not a result.
    let gate = gate_one(worker, problem, &candidate, false, LIMIT)?;
    keep(Record::Gate(gate.clone()))?;
    if gate.verdict != Verdict::Ok {
        let detail = gate.detail.unwrap_or_default();
        eprintln!("smith: {problem}: {candidate} failed the gate: {} ({detail})", gate.verdict.name());
        return Ok(Vec::new());
    }
    let (_, gaps) = catalogue.capable(problem, device.facts())?;
    let work = Work::from(problem.clone());
    let (mut results, mut said) = (Vec::new(), Vec::new());
    for mode in args.mode.map_or(Mode::ALL.to_vec(), |m| vec![m]) {
        let against = baselines.iter().map(|b| vec![b.clone()]).collect();
        let steps = vec![candidate.clone()];
        let Finished { record, mut result, notes } = duel(worker, device, &work, steps, against, &args.peer, mode)?;
        // A peer that stays out of one mode stays out of both.
        for note in notes.into_iter().filter(|note| !said.contains(note)).collect::<Vec<_>>() {
            eprintln!("smith: {problem}: {note}");
            said.push(note);
        }
        result.max_error_over_bound = Some(gate.max_error_over_bound);
        result.gaps = gaps
            .iter()
            .map(|g| GapRecord {
                op: problem.op().to_string(),
                problem: problem.text(),
                variant: g.variant.clone(),
                reason: g.reason.clone(),
            })
            .collect();
        record.map_or(Ok(()), |race| keep(Record::Race(race)))?;
        keep(Record::Result(result.clone()))?;
        results.push(result);
    }
    Ok(results)
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
