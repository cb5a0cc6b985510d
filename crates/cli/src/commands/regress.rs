//! `smith regress`.

use super::report::load;
use super::{Failure, open_device, start_program, start_worker, stop_on_interrupt};
use crate::Outcome;
use crate::args::RegressArgs;
use crate::output::{json_line, line, maybe, short, table};
use kernelsmith_lab::evidence::Record;
use kernelsmith_lab::history::baseline::BaselineFile;
use kernelsmith_lab::history::confirm::{Confirmer, confirmation};
use kernelsmith_lab::history::log::{self, Entry};
use kernelsmith_lab::history::metric::{Metric, of_run};
use kernelsmith_lab::history::paired::Judged;
use kernelsmith_lab::history::regress::{Row, regress};
use kernelsmith_lab::history::sides::{Patience, SideError};
use kernelsmith_lab::provenance::write_atomically;
use kernelsmith_lab::report::Run;
use kernelsmith_lab::worker::catalogue;
use serde_json::json;
use std::path::Path;

pub fn run(args: &RegressArgs) -> Result<Outcome, Failure> {
    let run = load(&args.run)?;
    if let Some(path) = &args.write_baseline {
        return write(args, &run, path);
    }
    let Some(path) = &args.baseline else { return Err("name a baseline file: --baseline FILE".into()) };
    let file = read(path)?;
    let mut rows = hold(&file, path, &run)?;
    if args.confirm {
        confirm(args, &file, path, &run, &mut rows)?;
    }
    print(args, &rows);
    let failed = rows.iter().any(|r| r.standing.fails());
    Ok(if failed { Outcome::Failed } else { Outcome::Done })
}

/// A baseline file, or the one that a run folder would make.
pub fn read(path: &Path) -> Result<BaselineFile, Failure> {
    if path.is_dir() { file_of(&load(path)?) } else { Ok(BaselineFile::read(path)?) }
}

fn device(run: &Run) -> Result<(String, Option<String>), Failure> {
    let sessions = run.records.iter().rev().find_map(|r| if let Record::Session(s) = r { Some(s) } else { None });
    let session = sessions.ok_or_else(|| format!("{} holds no session, so its device is unknown", run.name))?;
    Ok((session.facts.name.clone(), session.git_commit.clone()))
}

fn file_of(run: &Run) -> Result<BaselineFile, Failure> {
    let (device, commit) = device(run)?;
    let metrics: Vec<Metric> = of_run(&run.records);
    if metrics.is_empty() {
        return Err(format!("{} holds no results, expected one at least", run.name).into());
    }
    Ok(BaselineFile::of_run(&device, &run.name, commit, &metrics))
}

fn write(args: &RegressArgs, run: &Run, path: &Path) -> Result<Outcome, Failure> {
    if path.exists() && !args.force {
        return Err(format!("{} is there already: edit it, or write over it with --force", path.display()).into());
    }
    let file = file_of(run)?;
    write_atomically(path, &file.to_text()).map_err(|e| format!("{}: {e}", path.display()))?;
    if args.json {
        json_line(&json!({"baseline": path, "metrics": file.metrics.len(), "device": file.device, "run": file.run}));
    } else {
        line(&format!("{}: {} metrics of {}", path.display(), file.metrics.len(), run.name));
    }
    Ok(Outcome::Done)
}

/// A run's numbers beside a file's; they must be of one device.
pub fn hold(file: &BaselineFile, path: &Path, run: &Run) -> Result<Vec<Row>, Failure> {
    let (device, _) = device(run)?;
    if device != file.device {
        let path = path.display();
        return Err(format!("{path}: its device is `{}`, that of {} is `{device}`", file.device, run.name).into());
    }
    Ok(regress(file, &of_run(&run.records)))
}

/// Has paired races look at what seems worse, and logs what they say.
fn confirm(args: &RegressArgs, file: &BaselineFile, path: &Path, run: &Run, rows: &mut [Row]) -> Result<(), Failure> {
    if !rows.iter().any(Row::is_suspect) {
        return Ok(());
    }
    let catalogue = catalogue(args.kernels.as_deref())?;
    let device = open_device(args.device.as_deref(), args.json)?;
    if device.facts().name != file.device {
        let (here, path) = (&device.facts().name, path.display());
        return Err(
            format!("{path}: its device is `{}`, this one is `{here}`: no race can confirm it", file.device).into()
        );
    }
    let stop = stop_on_interrupt()?;
    let mut worker = start_worker(&device, args.kernels.as_deref(), stop.clone())?;
    let mut before = match &args.before {
        Some(program) => Some(start_program(program, &device, args.kernels.as_deref(), stop.clone())?),
        None => None,
    };
    let patience = Patience { budget: args.budget, stop: &stop };
    let mut asker = Confirmer { device: &device, catalogue: &catalogue, worker: &mut worker, before: before.as_mut() };
    let was = file.run.clone().unwrap_or_else(|| path.display().to_string());
    for i in 0..rows.len() {
        if !rows[i].is_suspect() || rows[i].confirmation.is_some() {
            continue;
        }
        let answer = match asker.ask(&rows[i], &patience) {
            Ok(answer) => answer,
            Err(SideError::Stopped) => {
                eprintln!("smith: stopped; what was not raced stays as the runs say");
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let mut said = Vec::new();
        // The numbers of one problem and mode are of one race.
        let key = rows[i].held.key.clone();
        let same = |r: &&mut Row| {
            (&r.held.key.op, &r.held.key.problem, &r.held.key.mode) == (&key.op, &key.problem, &key.mode)
        };
        for row in rows.iter_mut().filter(|r| r.is_suspect()).filter(same) {
            if let Ok(judged) = &answer {
                said.push(Entry::Confirmation(confirmation(
                    &file.device,
                    row.held.key.to_string(),
                    &was,
                    &run.name,
                    judged,
                )));
            }
            row.confirm(answer.clone());
        }
        if !said.is_empty() {
            log::append(&args.log, &said)?;
        }
    }
    Ok(())
}

fn print(args: &RegressArgs, rows: &[Row]) {
    let mut t = table(&["problem", "mode", "metric", "expected", "found", "worse by", "warn", "regress", "standing"]);
    for r in rows {
        let (held, found) = (&r.held, r.found.as_ref().map(|m| m.value));
        if args.json {
            json_line(&json!({
                "op": held.key.op, "problem": held.key.problem, "mode": held.key.mode, "metric": held.key.metric,
                "direction": held.direction.name(), "expected": held.value, "found": found, "change": r.change,
                "warn": held.warn, "regress": held.regress, "standing": r.standing.name(),
                "confirmation": r.confirmation.as_ref().and_then(|c| c.as_ref().ok()).map(judged_json),
                "unconfirmed": r.confirmation.as_ref().and_then(|c| c.as_ref().err()),
            }));
        }
        let percent = |x: f64| format!("{:.1} %", x * 100.0);
        t.add_row([
            format!("{} {}", held.key.op, held.key.problem),
            held.key.mode.clone(),
            held.key.metric.clone(),
            short(held.value),
            maybe(found),
            r.change.map_or("–".to_string(), |c| format!("{:+.1} %", c * 100.0)),
            percent(held.warn),
            percent(held.regress),
            r.standing.name().to_string(),
        ]);
    }
    if !args.json {
        line(&t.to_string());
        let count = |name: &str| rows.iter().filter(|r| r.standing.name() == name).count();
        for r in rows {
            match &r.confirmation {
                Some(Ok(j)) => line(&format!(
                    "{}: {} in {} pairs, {:+.1} % worse ({:+.1} to {:+.1} %)",
                    r.held.key,
                    j.call.name(),
                    j.pairs,
                    j.change * 100.0,
                    j.low * 100.0,
                    j.high * 100.0
                )),
                Some(Err(reason)) => line(&format!("{}: not raced: {reason}", r.held.key)),
                None => {}
            }
        }
        let words = ["regressed", "missing", "warning", "refuted", "same", "improved"];
        line(&words.map(|w| format!("{} {w}", count(w))).join(", "));
    }
}

/// The stable form of what pairs say.
pub fn judged_json(j: &Judged) -> serde_json::Value {
    let finite = |x: f64| Some(x).filter(|x| x.is_finite());
    json!({"call": j.call.name(), "change": finite(j.change), "low": finite(j.low), "high": finite(j.high), "pairs": j.pairs})
}
