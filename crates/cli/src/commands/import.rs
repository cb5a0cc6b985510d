//! `smith import`.

use super::Failure;
use crate::Outcome;
use crate::args::ImportArgs;
use crate::output::{json_line, line};
use kernelsmith_kernels::{DeviceFacts, Target};
use kernelsmith_lab::evidence::{Record, Session, TimerRecord, Writer};
use kernelsmith_lab::interchange::{self, run, t1};
use kernelsmith_lab::provenance;
use serde_json::json;

pub fn run(args: &ImportArgs) -> Result<Outcome, Failure> {
    if args.manifest {
        for file in &args.files {
            let text = t1::read(file)?.manifest().map_err(|e| format!("{}: {e}", file.display()))?;
            if args.json {
                json_line(&json!({"file": file, "manifest": text}));
            } else {
                line(&text);
            }
        }
        return Ok(Outcome::Done);
    }
    let Some(folder) = &args.run else { return Err("--run DIR is missing".into()) };
    // Everything is read before anything is written.
    let mut parts: Vec<(String, Vec<Record>)> = Vec::new();
    for file in &args.files {
        let recording = interchange::read(file)?;
        let records = run::records(&recording).map_err(|e| format!("{}: {e}", file.display()))?;
        parts.push((recording.device, records));
    }
    if folder.exists() {
        return Err(format!("{}: it is there already; name a folder that is not", folder.display()).into());
    }
    let (mut writer, _) = Writer::open(folder)?;
    for ((device, records), file) in parts.iter().zip(&args.files) {
        writer.append(&Record::Session(session(device)))?;
        records.iter().try_for_each(|r| writer.append(r))?;
        if args.json {
            json_line(&json!({"file": file, "run": folder, "device": device, "records": records.len()}));
        } else {
            line(&format!("{}: {} records of {device}", file.display(), records.len()));
        }
    }
    Ok(Outcome::Done)
}

/// What is known of a session that was not ours: the device's name.
fn session(device: &str) -> Session {
    Session {
        time: provenance::now(),
        device: device.to_string(),
        facts: DeviceFacts {
            target: Target::Cuda,
            name: device.to_string(),
            cc: 0,
            sms: 0,
            shared_max: 0,
            l2_bytes: 0,
            memory_bytes: 0,
            memory_bandwidth: 0.0,
            threads: 0,
            libraries: Vec::new(),
            driver: "unknown".to_string(),
            toolchain: "unknown".to_string(),
            adapter: Default::default(),
        },
        command: std::env::args().collect(),
        version: env!("CARGO_PKG_VERSION").to_string(),
        git_commit: None,
        git_dirty: None,
        git_branch: None,
        host: "unknown".to_string(),
        timer: TimerRecord::default(),
        spec: "imported".to_string(),
        budget_s: 0.0,
        seed: 0,
    }
}
