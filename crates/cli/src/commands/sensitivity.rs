//! `smith sensitivity`.

use super::{Failure, check_fits, start_worker, stop_on_interrupt};
use crate::Outcome;
use crate::args::SensitivityArgs;
use crate::output::{json_line, line};
use kernelsmith_core::Problem;
use kernelsmith_device::{Device, DeviceId};
use kernelsmith_lab::history::paired::{Call, Rules};
use kernelsmith_lab::history::sensitivity::{Trial, trial, write_kernels};
use kernelsmith_lab::history::sides::{Patience, SideError};
use kernelsmith_lab::timer::Mode;
use kernelsmith_lab::work::Work;
use kernelsmith_lab::worker::catalogue;
use serde_json::json;
use std::sync::atomic::Ordering;

pub fn run(args: &SensitivityArgs) -> Result<Outcome, Failure> {
    // The planted kernel is one of the CPU's.
    let device = Device::open(DeviceId::Cpu)?;
    let problem = Problem::parse("gemm", &args.problem)?;
    let work = Work::from(problem.clone());
    check_fits(&work, &device)?;
    let folder = std::env::temp_dir().join(format!("kernelsmith-sensitivity-{}", std::process::id()));
    write_kernels(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let outcome = measure(args, &device, &problem, &work, &folder);
    std::fs::remove_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    outcome
}

fn measure(
    args: &SensitivityArgs,
    device: &Device,
    problem: &Problem,
    work: &Work,
    folder: &std::path::Path,
) -> Result<Outcome, Failure> {
    let slowed = catalogue(Some(folder))?;
    let (able, gaps) = slowed.capable(problem, device.facts())?;
    if !able.iter().any(|v| v.name == "slowed") {
        let reason = gaps.iter().find(|g| g.variant == "slowed").map_or(String::new(), |g| g.reason.clone());
        return Err(format!("the planted kernel does not take {problem}: {reason}").into());
    }
    let stop = stop_on_interrupt()?;
    let mut worker = start_worker(device, Some(folder), stop.clone())?;
    let patience = Patience { budget: args.budget, stop: &stop };
    let rules = Rules::default();
    let mut trials: Vec<Trial> = Vec::new();
    'all: for _ in 0..args.trials {
        for planted in [0, args.slowdown] {
            let t = match trial(&mut worker, work, Mode::Cold, planted, &rules, &patience) {
                Ok(t) => t,
                Err(SideError::Stopped) => break 'all,
                Err(error) => return Err(error.into()),
            };
            if args.json {
                json_line(&json!({
                    "kind": "trial", "planted": f64::from(planted) / 100.0, "call": t.call.name(), "change": t.change,
                    "pairs": t.pairs, "seconds": t.seconds,
                }));
            } else {
                eprintln!(
                    "planted {planted} %: {} ({:+.1} %, {} pairs, {:.0} s)",
                    t.call.name(),
                    t.change * 100.0,
                    t.pairs,
                    t.seconds
                );
            }
            trials.push(t);
        }
    }
    let of = |planted: u32| trials.iter().filter(|t| t.planted == planted).count();
    let count = |planted: u32, calls: &[Call]| {
        trials.iter().filter(|t| t.planted == planted && calls.contains(&t.call)).count()
    };
    let alarms = count(0, &[Call::Regressed, Call::Improved]);
    let found = count(args.slowdown, &[Call::Regressed]);
    let unclear = trials.iter().filter(|t| t.call == Call::Unclear).count();
    if args.json {
        json_line(&json!({
            "kind": "sensitivity", "problem": problem.text(), "trials": of(args.slowdown), "slowdown": f64::from(args.slowdown) / 100.0,
            "false_alarms": alarms, "found": found, "unclear": unclear,
        }));
    } else {
        line(&format!(
            "{problem}, cold: {alarms} false alarms in {} races of a kernel with itself; {} % slower found in {found} of {}; {unclear} races could not say",
            of(0),
            args.slowdown,
            of(args.slowdown)
        ));
    }
    Ok(if stop.load(Ordering::Relaxed) { Outcome::Failed } else { Outcome::Done })
}
