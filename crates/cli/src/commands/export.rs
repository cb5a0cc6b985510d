//! `smith export`.

use super::Failure;
use crate::Outcome;
use crate::args::{ExportArgs, Format};
use crate::output::{json_line, line};
use kernelsmith_lab::evidence;
use kernelsmith_lab::interchange::{self, Recording, cachefile, run, t1, t4};
use kernelsmith_lab::provenance::write_atomically;
use serde_json::json;

pub fn run(args: &ExportArgs) -> Result<Outcome, Failure> {
    let is_run = args.source.is_dir();
    let all = if is_run {
        run::recordings(&evidence::read(&args.source)?.records)
    } else {
        vec![interchange::read(&args.source)?]
    };
    let op_of = |r: &Recording| r.kernel.split('.').next().unwrap_or_default().to_string();
    let wanted = |r: &Recording| {
        args.op.as_ref().is_none_or(|op| op_of(r) == *op)
            && args.problem.as_ref().is_none_or(|p| r.problem.as_str() == Some(p.as_str()))
    };
    let recordings: Vec<Recording> = all.into_iter().filter(wanted).collect();
    if recordings.is_empty() {
        return Err(format!("{}: there is nothing to export", args.source.display()).into());
    }
    std::fs::create_dir_all(&args.out).map_err(|e| format!("{}: {e}", args.out.display()))?;
    for (i, recording) in recordings.iter().enumerate() {
        let (text, ending) = match args.format {
            Format::Cachefile => (cachefile::write(recording), "json"),
            Format::T4 => (t4::write(recording), "T4.json"),
            Format::T1 => (t1::write(recording), "T1.json"),
        };
        let kernel: String = recording
            .kernel
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' })
            .collect();
        // Problems are too long for names: they are numbered in the order of the evidence.
        let path = args.out.join(format!("{:04}-{kernel}.{ending}", i + 1));
        write_atomically(&path, &text).map_err(|e| format!("{}: {e}", path.display()))?;
        if args.json {
            let (kernel, problem, trials) = (&recording.kernel, &recording.problem, recording.trials.len());
            json_line(&json!({"file": path, "kernel": kernel, "problem": problem, "trials": trials}));
        } else {
            line(&path.display().to_string());
        }
    }
    Ok(Outcome::Done)
}
