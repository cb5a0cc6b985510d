//! `smith check`.

use super::{Failure, check_fits, open_device, start_gate};
use crate::Outcome;
use crate::args::CheckArgs;
use crate::output::{json_line, line, short, table};
use kernelsmith_core::Problem;
use kernelsmith_kernels::Candidate;
use kernelsmith_lab::evidence::Verdict;
use kernelsmith_lab::race::gate_one;
use kernelsmith_lab::work::Work;
use kernelsmith_lab::worker::catalogue;
use serde_json::json;

pub fn run(args: &CheckArgs) -> Result<Outcome, Failure> {
    let problem = Problem::parse(&args.op, &args.problem)?;
    let catalogue = catalogue(args.common.kernels.as_deref())?;
    let device = open_device(args.device.as_deref(), args.common.json)?;
    check_fits(&Work::from(problem.clone()), &device)?;
    let (able, gaps) = catalogue.capable(&problem, device.facts())?;
    let mut candidates = Vec::new();
    let mut vendors = Vec::new();
    for variant in &able {
        let Some(config) = variant.fallback(&problem, device.facts())? else { continue };
        let candidate = Candidate { variant: variant.name.clone(), config };
        if variant.vendor.is_some() {
            vendors.push(candidate.clone());
        }
        candidates.push(candidate);
    }
    if let Some(text) = &args.candidate {
        let mut candidate: Candidate = text.parse()?;
        if candidate.config.is_empty() {
            let variant = catalogue.variant(problem.op(), device.facts().target, &candidate.variant)?;
            candidate.config = variant.fallback(&problem, device.facts())?.unwrap_or_default();
        }
        catalogue.admit(&candidate, &problem, device.facts())?;
        candidates = vec![candidate];
    }
    let mut worker = start_gate(&device, args.common.kernels.as_deref())?;
    // The vendors' own error on this problem, for comparison: the smallest of them.
    let mut vendor_error: Option<f64> = None;
    let mut records = Vec::new();
    for candidate in vendors.iter().filter(|v| !candidates.contains(v)).chain(&candidates) {
        let record = gate_one(&mut worker, &problem, candidate, args.brief, args.limit)?;
        if vendors.contains(candidate) && record.verdict == Verdict::Ok {
            vendor_error =
                Some(vendor_error.map_or(record.max_error_over_bound, |e: f64| e.min(record.max_error_over_bound)));
        }
        if candidates.contains(candidate) {
            records.push(record);
        }
    }
    let mut t = table(&["candidate", "verdict", "error/bound", "vendor", "checks", "detail"]);
    // A vendor that offers nothing here is no failure.
    let fails = |v: Verdict| !matches!(v, Verdict::Ok | Verdict::Unoffered);
    for r in &records {
        if args.common.json {
            json_line(
                &json!({"op": r.op, "candidate": r.candidate, "problem": r.problem, "device": device.id().to_string(),
                "verdict": r.verdict.name(), "max_error_over_bound": r.max_error_over_bound, "vendor_error": vendor_error,
                "checks": r.checks, "skipped": r.skipped, "detail": r.detail}),
            );
        }
        t.add_row([
            r.candidate.clone(),
            r.verdict.name().to_string(),
            short(r.max_error_over_bound),
            vendor_error.map_or("–".to_string(), short),
            r.checks.to_string(),
            r.detail.clone().unwrap_or_default(),
        ]);
    }
    if !args.common.json {
        line(&format!("{problem} on {}", device.id()));
        line(&t.to_string());
        for g in &gaps {
            line(&format!("gap: {} ({})", g.variant, g.reason));
        }
    }
    if records.is_empty() {
        return Err(format!("no variant on {} takes {problem}", device.id()).into());
    }
    Ok(if records.iter().any(|r| fails(r.verdict)) { Outcome::Failed } else { Outcome::Done })
}
