//! Tables, numbers and JSON lines.

use comfy_table::{ContentArrangement, Table, presets};
use kernelsmith_lab::evidence::{AuditRecord, ResultRecord};
use kernelsmith_lab::work::Work;
use serde_json::{Value, json};
use std::io::Write;

/// Prints one JSON object on a line of its own.
pub fn json_line(value: &Value) {
    line(&value.to_string());
}

/// Prints a line. A closed pipe is the reader's decision; any other failure loses output, and
/// ends the program.
pub fn line(text: &str) {
    if let Err(error) = writeln!(std::io::stdout(), "{text}")
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        eprintln!("smith: standard output: {error}");
        std::process::exit(2);
    }
}

/// A table without frames.
pub fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(header);
    table
}

/// A number with three significant digits.
pub fn short(x: f64) -> String {
    match x.abs() {
        a if !a.is_finite() => "–".to_string(),
        a if a >= 100.0 => format!("{x:.0}"),
        a if a >= 10.0 => format!("{x:.1}"),
        _ => format!("{x:.2}"),
    }
}

/// A number that may be missing.
pub fn maybe(x: Option<f64>) -> String {
    x.map_or("–".to_string(), short)
}

/// Bytes that must move, a nanosecond.
fn gigabytes(r: &ResultRecord) -> Option<f64> {
    let work = Work::parse(&r.op, &r.problem).ok()?;
    r.us.map(|us| work.bytes() / us / 1e3)
}

/// The stable form of a result.
pub fn result_json(r: &ResultRecord) -> Value {
    let gaps: Vec<Value> = r.gaps.iter().map(|g| json!({"variant": g.variant, "reason": g.reason})).collect();
    json!({
        "op": r.op, "problem": r.problem, "device": r.device, "candidate": r.candidate, "mode": r.mode,
        "us": r.us, "gflops": r.gflops, "gigabytes": gigabytes(r), "roofline": r.roofline,
        "ratio": r.ratio, "ratio_low": r.ratio_low, "ratio_high": r.ratio_high,
        "baseline": r.baseline, "baseline_us": r.baseline_us, "verdict": r.verdict, "gaps": gaps,
        "noise_low": r.noise_low, "noise_high": r.noise_high,
        "max_error_over_bound": r.max_error_over_bound, "vendor_error": r.vendor_error,
        "tried": r.tried, "passed": r.passed,
    })
}

/// The stable form of an audited problem.
pub fn audit_json(a: &AuditRecord) -> Value {
    json!({
        "kind": "audit", "op": a.op, "problem": a.problem, "device": a.device, "mode": a.mode, "tuned": a.tuned,
        "pick": a.pick, "why": a.why, "pick_us": a.pick_us, "best": a.best, "best_us": a.best_us,
        "regret": a.regret, "regret_low": a.regret_low, "regret_high": a.regret_high, "tried": a.tried,
        "error": a.error,
    })
}

/// The table that `tune` and `bench` print.
pub fn results_table(results: &[ResultRecord]) -> String {
    let mut table = table(&[
        "problem", "mode", "winner", "µs", "GFLOP/s", "GB/s", "baseline", "ratio", "interval", "verdict", "gaps",
    ]);
    // A chain has a line for each step.
    let lines = |text: &str| text.replace(" > ", " >\n");
    for r in results {
        let interval = match (r.ratio_low, r.ratio_high) {
            (Some(low), Some(high)) => format!("{}–{}", short(low), short(high)),
            _ => "–".to_string(),
        };
        table.add_row([
            lines(&r.problem),
            r.mode.clone(),
            lines(r.candidate.as_deref().unwrap_or("–")),
            maybe(r.us),
            maybe(r.gflops),
            maybe(gigabytes(r)),
            lines(r.baseline.as_deref().unwrap_or("–")),
            maybe(r.ratio),
            interval,
            r.verdict.clone(),
            r.gaps.len().to_string(),
        ]);
    }
    table.to_string()
}
