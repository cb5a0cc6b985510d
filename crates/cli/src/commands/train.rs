//! `smith train`.

use super::tune::{install, user_folder};
use super::{Failure, start_worker, tensor_device};
use crate::Outcome;
use crate::args::{DataSet, TrainArgs};
use crate::output::{json_line, line, table};
use indicatif::{ProgressBar, ProgressStyle};
use kernelsmith::data::Mnist;
use kernelsmith::data::mnist::CLASSES;
use kernelsmith::train::mnist::{Confusion, Options, Trainer};
use kernelsmith_kernels::tuned::TunedTable;
use kernelsmith_lab::evidence::{Record, Session, Writer};
use kernelsmith_lab::in_place::{self, Lab};
use kernelsmith_lab::provenance::{self, write_atomically};
use kernelsmith_lab::stats::median;
use kernelsmith_lab::tune::entry_of;
use kernelsmith_lab::worker::catalogue;
use serde_json::json;
use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, Instant};

pub fn run(args: &TrainArgs) -> Result<Outcome, Failure> {
    match args.set {
        DataSet::Mnist => mnist(args),
    }
}

fn mnist(args: &TrainArgs) -> Result<Outcome, Failure> {
    let device = tensor_device(args.device.as_deref(), args.common.kernels.as_deref(), args.common.json)?;
    let start = Instant::now();
    let data = Mnist::load(&args.data)?;
    let read = start.elapsed().as_secs_f64();
    let options =
        Options { epochs: args.epochs as usize, batch: args.batch as usize, seed: args.seed, ..Options::default() };
    let mut device = device;
    if let Some(budget) = args.tune {
        tune(args, budget, &data, options, &device)?;
        // Dispatch reads the table when a device is opened.
        device = tensor_device(args.device.as_deref(), args.common.kernels.as_deref(), args.common.json)?;
    }
    let mut trainer = Trainer::new(&data, options, &device)?;
    if args.plan {
        return plan(&trainer, args.common.json);
    }
    if !args.common.json {
        line(&format!(
            "{} images to train on, {} to test with, read in {read:.2} s; training on {}",
            data.train.len(),
            data.test.len(),
            device.name()
        ));
    }
    let bar = if args.common.json || !std::io::stderr().is_terminal() {
        ProgressBar::hidden()
    } else {
        ProgressBar::new(u64::from(args.epochs))
    };
    if let Ok(style) = ProgressStyle::with_template("{bar:30} epoch {pos}/{len}  {msg}") {
        bar.set_style(style);
    }
    for _ in 0..args.epochs {
        let epoch = trainer.epoch()?;
        let text = format!(
            "epoch {:>3}  {:>8.3} s  loss {:.4}  test accuracy {:.2} %",
            epoch.epoch,
            epoch.seconds,
            epoch.loss,
            100.0 * epoch.test_accuracy
        );
        if args.common.json {
            json_line(&json!({"epoch": epoch.epoch, "seconds": epoch.seconds, "loss": epoch.loss,
                "test_accuracy": epoch.test_accuracy, "device": device.name()}));
        } else {
            bar.suspend(|| line(&text));
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    trainer.save(&args.out)?;
    let confusion = trainer.confusion()?;
    if args.common.json {
        json_line(&json!({"confusion": confusion, "model": args.out, "launches_per_epoch": trainer.launches()}));
    } else {
        line("\nrows: the digit; columns: what it was taken for");
        line(&confusion_table(&confusion));
        line(&format!("saved as {}", args.out.display()));
    }
    Ok(Outcome::Done)
}

/// Tunes the launches of an epoch in place, on a network that is thrown away, and installs what won.
fn tune(
    args: &TrainArgs,
    budget: Duration,
    data: &Mnist,
    options: Options,
    device: &kernelsmith::Device,
) -> Result<(), Failure> {
    let catalogue = catalogue(args.common.kernels.as_deref())?;
    let raw = device.raw();
    let slug = raw.facts().slug();
    let fresh = || Path::new("runs").join(format!("{}-{slug}-mnist-in-place", provenance::stamp()));
    let folder = args.run.clone().unwrap_or_else(fresh);
    let mut worker = start_worker(raw, args.common.kernels.as_deref(), Default::default())?;
    let mut writer = Writer::fresh(&folder)?;
    let session = Session::now(raw, worker.timer.clone(), "mnist-in-place", budget.as_secs_f64(), options.seed);
    writer.append(&Record::Session(session))?;
    let mut trainer = Trainer::new(data, options, device)?;
    trainer.train()?;
    let (queue, graph) = trainer.replay().graph();
    let name = format!("an epoch of mnist, batch {}", options.batch);
    let mut note = |text: &str| eprintln!("{text}");
    let mut lab = Lab { worker: &mut worker, catalogue: &catalogue, device: raw, writer: &mut writer, note: &mut note };
    let found = in_place::tune(&mut lab, queue, graph, &name, budget)?;
    let run = folder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let mut winners = TunedTable::default();
    for swap in &found.swaps {
        let result = swap.result(raw);
        entry_of(&result, raw, &run).into_iter().for_each(|entry| winners.insert(entry));
        writer.append(&Record::Result(result))?;
        let (launches, problem) = (swap.launches, &swap.problem);
        if args.common.json {
            json_line(&json!({"launches": launches, "op": problem.op(), "problem": problem.text(),
                "from": swap.from.to_string(), "to": swap.to.to_string()}));
        } else {
            line(&format!("{launches} × {problem}: {} instead of {}", swap.to, swap.from));
        }
    }
    let of = |role: &str| found.race.contenders.iter().find(|c| c.role == role).map(|c| median(&c.samples_us) / 1e3);
    let (before, after) = (of("baseline").unwrap_or(f64::NAN), of("candidate").unwrap_or(f64::NAN));
    let ratio = found.ratio;
    if args.common.json {
        json_line(&json!({"tuned": name, "before_ms": before, "after_ms": after, "ratio": ratio.value,
            "ratio_low": ratio.low, "ratio_high": ratio.high, "run": folder}));
    } else {
        line(&format!(
            "{name} on the device: {before:.3} ms before, {after:.3} ms now, {:.3}× ({:.3}–{:.3}); evidence {}",
            ratio.value,
            ratio.low,
            ratio.high,
            folder.display()
        ));
    }
    let text = winners.to_text(&raw.facts().name);
    write_atomically(&folder.join("tuned.toml"), &text).map_err(|e| format!("{}: {e}", folder.display()))?;
    install(&user_folder()?, raw, &winners)
}

/// What an epoch launches: every problem once, with the candidate that runs it.
fn plan(trainer: &Trainer, json: bool) -> Result<Outcome, Failure> {
    let mut out = table(&["launches", "op", "problem", "candidate", "why"]);
    for same in trainer.tally()? {
        if json {
            json_line(&json!({"launches": same.launches, "op": same.op, "problem": same.problem,
                "candidate": same.candidate, "why": same.why}));
        } else {
            out.add_row([same.launches.to_string(), same.op.into(), same.problem, same.candidate, same.why]);
        }
    }
    if !json {
        line(&out.to_string());
        line(&format!("{} launches an epoch", trainer.launches()));
    }
    Ok(Outcome::Done)
}

fn confusion_table(confusion: &Confusion) -> String {
    let digits: Vec<String> = (0..CLASSES).map(|d| d.to_string()).collect();
    let header: Vec<&str> = std::iter::once("").chain(digits.iter().map(String::as_str)).chain(["right"]).collect();
    let mut out = table(&header);
    for (digit, row) in confusion.iter().enumerate() {
        let total: usize = row.iter().sum();
        let right = format!("{:.1} %", 100.0 * row[digit] as f64 / total.max(1) as f64);
        let cells = row.iter().map(|n| if *n == 0 { "·".to_string() } else { n.to_string() });
        out.add_row(std::iter::once(digit.to_string()).chain(cells).chain([right]).collect::<Vec<_>>());
    }
    out.to_string()
}
