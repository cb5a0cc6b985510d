//! `smith audit`.

use super::report::load;
use super::tune::{read_ops, same_run, siblings};
use super::{Failure, check_fits, open_device, start_worker, stop_on_interrupt};
use crate::Outcome;
use crate::args::AuditArgs;
use crate::output::{json_line, line, maybe, short, table};
use crate::screen::Screen;
use kernelsmith_device::Dispatcher;
use kernelsmith_kernels::tuned::TunedTable;
use kernelsmith_lab::evidence::{AuditRecord, Record, Session, Writer};
use kernelsmith_lab::provenance::{self, write_atomically};
use kernelsmith_lab::regret::mean_regret;
use kernelsmith_lab::report;
use kernelsmith_lab::spec::Spec;
use kernelsmith_lab::tune::{TuneError, TuneOptions, Tuner};
use kernelsmith_lab::worker::catalogue;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub fn run(args: &AuditArgs) -> Result<Outcome, Failure> {
    let mut spec = read_ops(Spec::load(&args.spec)?, &args.op, &args.spec)?;
    spec.work.retain(|w| !w.is_chain());
    if spec.work.is_empty() {
        return Err(format!("{} has chains only, and dispatch never sees one", args.spec).into());
    }
    let catalogue = catalogue(args.common.kernels.as_deref())?;
    let device = open_device(args.device.as_deref(), args.common.json)?;
    spec.work.iter().try_for_each(|w| check_fits(w, &device))?;
    let tuned = TunedTable::load(device.facts(), TunedTable::user_folder().as_deref())?;
    let dispatcher = Dispatcher::new(device.clone(), Arc::new(catalogue.clone()), tuned.clone());
    let budget = args.budget.unwrap_or(Duration::from_secs_f64(spec.budget_s));
    spec.name = format!("audit-{}", spec.name);
    let fresh = || Path::new("runs").join(format!("{}-{}-{}", provenance::stamp(), device.facts().slug(), spec.name));
    let folder: PathBuf = args.run.clone().unwrap_or_else(fresh);
    let (mut writer, before) = Writer::open(&folder)?;
    if before.torn > 0 {
        eprintln!("{}: the last {} bytes were half a record and are dropped", folder.display(), before.torn);
    }
    same_run(&before.records, &spec, &device, &folder)?;
    let stop = stop_on_interrupt()?;
    let mut worker = start_worker(&device, args.common.kernels.as_deref(), stop.clone())?;
    let opened = Session::now(&device, worker.timer.clone(), &spec.name, budget.as_secs_f64(), args.seed);
    writer.append(&Record::Session(opened))?;
    let options = TuneOptions {
        budget,
        candidate_limit: args.limit,
        seed: args.seed,
        strategy: "default".to_string(),
        prior: true,
        run: folder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default(),
    };
    let mut screen = Screen::new(args.common.json, spec.work.len());
    let outcome = {
        let mut tuner = Tuner::new(&mut worker, &mut writer, &catalogue, &device, options, &mut screen, &stop);
        tuner.siblings = siblings(&device, &folder);
        tuner.audit(&spec.work, &before.records, &dispatcher, &tuned)
    };
    screen.bar.finish_and_clear();
    let records = match outcome {
        Ok(records) => records,
        Err(TuneError::Interrupted(_)) => {
            eprintln!(
                "smith: stopped; what was done is kept: go on with the same command and --run {}",
                folder.display()
            );
            return Ok(Outcome::Failed);
        }
        Err(error) => return Err(error.into()),
    };
    let page = folder.join("report.html");
    write_atomically(&page, &report::render(&[load(&folder)?])).map_err(|e| format!("{}: {e}", page.display()))?;
    print(args.common.json, &records, &folder, &page);
    Ok(if records.iter().any(|r| r.regret.is_none()) { Outcome::Failed } else { Outcome::Done })
}

fn print(json: bool, records: &[AuditRecord], run: &Path, page: &Path) {
    let tuned = records.iter().filter(|r| r.tuned).count();
    let means = [None, Some(true), Some(false)].map(|t| mean_regret(records, t));
    if json {
        json_line(&json!({
            "kind": "audit_summary", "problems": records.len(), "tuned": tuned, "regret": means[0],
            "regret_tuned": means[1], "regret_untuned": means[2], "run": run,
        }));
        return;
    }
    let mut t = table(&["problem", "in the table", "pick", "µs", "best", "µs", "regret", "interval", "why this pick"]);
    for r in records {
        let interval = match (r.regret_low, r.regret_high) {
            (Some(low), Some(high)) => format!("{}–{}", short(low), short(high)),
            _ => "–".to_string(),
        };
        let name = |c: &Option<String>| c.clone().unwrap_or_else(|| "–".to_string());
        t.add_row([
            format!("{} {}", r.op, r.problem),
            if r.tuned { "yes" } else { "no" }.to_string(),
            name(&r.pick),
            maybe(r.pick_us),
            name(&r.best),
            maybe(r.best_us),
            r.regret.map_or("–".to_string(), |x| format!("{x:.3}")),
            interval,
            r.error.clone().unwrap_or_else(|| r.why.clone()),
        ]);
    }
    line(&t.to_string());
    let mean = |m: Option<f64>| m.map_or("–".to_string(), |x| format!("{x:.3}"));
    line(&format!(
        "geometric mean of the regret: {} over {} problems; {} over the {tuned} in the table, {} over the {} that were never tuned",
        mean(means[0]),
        records.len(),
        mean(means[1]),
        mean(means[2]),
        records.len() - tuned
    ));
    line(&format!("evidence {}\nreport   {}", run.display(), page.display()));
}
