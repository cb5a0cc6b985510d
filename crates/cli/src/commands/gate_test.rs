//! `smith gate-test`.

use super::{Failure, open_device, worker_command};
use crate::Outcome;
use crate::args::GateTestArgs;
use crate::output::{json_line, line, table};
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use kernelsmith_core::ProblemError;
use kernelsmith_core::ops::OPS;
use kernelsmith_device::DeviceId;
use kernelsmith_lab::gate_test::clean::Cleaned;
use kernelsmith_lab::gate_test::run::{self, Attacked, Gated, Report};
use kernelsmith_lab::gate_test::{Fault, faults};
use serde_json::{Value, json};
use std::time::Instant;

/// Worker processes at most, where it is not said how many: each has a device open.
const PROCESSES: usize = 8;

pub fn run(args: &GateTestArgs) -> Result<Outcome, Failure> {
    let op = args.op.as_deref();
    if let Some(unknown) = op.filter(|op| !OPS.iter().any(|o| o.name == *op)) {
        return Err(ProblemError::UnknownOp(unknown.to_string()).into());
    }
    let device = open_device(args.device.as_deref(), args.json)?;
    let command = worker_command(&device, None, Default::default())?;
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let processes = args.processes.map_or(cores.min(PROCESSES), usize::from);
    let start = Instant::now();
    let wanted = faults(device.facts(), op)?;
    let report = run::faults(&command, &wanted, processes, &progress("kernels gated"))?;
    // Attacks are products, and functions of the CPU.
    let attacked = device.id() == DeviceId::Cpu && op.is_none_or(|op| op == "gemm");
    let attacks = if attacked { run::attacks(&command, processes, &progress("attacks raced"))? } else { Vec::new() };
    let fault_seconds = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let cleaned = match args.clean {
        0 => None,
        count => Some(run::clean(&command, op, count, processes, &progress("batches of random problems"))?),
    };
    let seconds = (fault_seconds, start.elapsed().as_secs_f64());
    let id = device.id().to_string();
    if args.json {
        json_line(&object(&id, &report, &attacks, cleaned.as_ref(), seconds));
    } else {
        print(&id, &report, &attacks, cleaned.as_ref(), seconds);
    }
    let passes = report.passes()
        && attacks.iter().all(Attacked::is_named)
        && cleaned.is_none_or(|c| c.alarms.is_empty() && c.problems == args.clean);
    Ok(if passes { Outcome::Done } else { Outcome::Failed })
}

/// Counts on standard error, where that is a terminal.
fn progress(what: &'static str) -> impl Fn(usize) + Sync {
    // It draws on a terminal only.
    let bar = ProgressBar::no_length().with_message(what).with_finish(ProgressFinish::AndClear);
    let style = ProgressStyle::with_template("{pos} {msg}, {elapsed}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    move |count| bar.set_position(count as u64)
}

fn named(f: &Fault) -> Value {
    json!({"op": f.op, "kernel": f.kernel, "fault": f.name, "class": f.class.name(), "name": f.to_string()})
}

fn with_verdict(g: &Gated) -> Value {
    let mut out = named(&g.fault);
    out["verdict"] = g.verdict.name().into();
    out["detail"] = json!(g.detail);
    out
}

fn object(
    device: &str,
    report: &Report,
    attacks: &[Attacked],
    cleaned: Option<&Cleaned>,
    seconds: (f64, f64),
) -> Value {
    let tallies = report.tallies().into_iter().map(|((op, kernel, class), t)| {
        json!({"op": op, "kernel": kernel, "class": class, "injected": t.injected, "killed": t.killed})
    });
    let attack = |a: &Attacked| {
        json!({"attack": a.attack.name, "trick": a.attack.trick.name(), "verdict": a.verdict.name(),
            "detail": a.detail, "named": a.is_named(), "honest": a.honest})
    };
    json!({
        "device": device, "injected": report.faults.len(), "killed": report.killed(),
        "survivors": report.survivors().map(|g| named(&g.fault)).collect::<Vec<_>>(),
        "untested": report.untested().map(with_verdict).collect::<Vec<_>>(),
        "sound": report.sound.len(), "false_alarms": report.alarms().map(with_verdict).collect::<Vec<_>>(),
        "tallies": tallies.collect::<Vec<_>>(),
        "verdicts": report.faults.iter().map(with_verdict).collect::<Vec<_>>(),
        "attacks": attacks.iter().map(attack).collect::<Vec<_>>(),
        "clean": cleaned.map(|c| json!({"problems": c.problems, "checks": c.checks, "alarms": c.alarms,
            "declared": c.declared, "seconds": seconds.1})),
        "seconds": seconds.0,
    })
}

fn print(device: &str, report: &Report, attacks: &[Attacked], cleaned: Option<&Cleaned>, seconds: (f64, f64)) {
    let mut t = table(&["op", "kernel", "class", "injected", "killed"]);
    for ((op, kernel, class), tally) in report.tallies() {
        t.add_row([op, &kernel, class, &tally.injected.to_string(), &tally.killed.to_string()]);
    }
    line(&t.to_string());
    let (injected, killed) = (report.faults.len(), report.killed());
    line(&format!(
        "{device}: {killed} of {injected} faults found, {:.1} %; {} kernels as they ship gated beside them; {:.0} s",
        100.0 * killed as f64 / injected.max(1) as f64,
        report.sound.len(),
        seconds.0
    ));
    report.survivors().for_each(|g| line(&format!("survived: {}", g.fault)));
    let say = |what: &str, g: &Gated| {
        line(&format!("{what}: {}: {} ({})", g.fault, g.verdict.name(), g.detail.as_deref().unwrap_or("")));
    };
    report.untested().for_each(|g| say("not tested", g));
    report.alarms().for_each(|g| say("false alarm", g));
    for a in attacks {
        let verdict = if a.is_named() { "named" } else { "NOT named" };
        line(&format!("attack {}: {verdict}: {}", a.attack.name, a.detail.as_deref().unwrap_or("nothing was found")));
        if let Some(reason) = &a.honest {
            line(&format!("attack {}: the honest kernel was blamed: {reason}", a.attack.name));
        }
    }
    if let Some(c) = cleaned {
        let (problems, checks, alarms) = (c.problems, c.checks, c.alarms.len());
        line(&format!("{problems} random problems, {checks} checks, {alarms} false alarms; {:.0} s", seconds.1));
        c.alarms.iter().for_each(|alarm| line(&format!("false alarm: {alarm}")));
        c.declared.iter().for_each(|finding| line(&format!("as the vendor declares: {finding}")));
    }
}
