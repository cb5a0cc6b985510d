//! `smith history`.

use super::Failure;
use super::report::{all_below, load};
use crate::Outcome;
use crate::args::HistoryArgs;
use crate::output::{json_line, line, short, table};
use kernelsmith_lab::history::log;
use kernelsmith_lab::history::series::{Change, Named, Series, of_runs};
use serde_json::json;
use std::path::Path;

pub fn run(args: &HistoryArgs) -> Result<Outcome, Failure> {
    let folders = if args.runs.is_empty() { all_below(Path::new("runs"))? } else { args.runs.clone() };
    let runs = folders.iter().map(|f| load(f)).collect::<Result<Vec<_>, _>>()?;
    let named: Vec<Named> = runs.iter().map(|r| (r.name.as_str(), r.records.as_slice())).collect();
    let (entries, _) = log::read(&args.log)?;
    let mut all = of_runs(&named, &entries);
    all.retain(|s| args.only.as_ref().is_none_or(|text| s.key.to_string().contains(text.as_str())));
    if args.json {
        all.iter().for_each(|s| json_line(&object(s, &named)));
        return Ok(Outcome::Done);
    }
    if all.is_empty() {
        line("no number was measured by two runs of one device");
        return Ok(Outcome::Done);
    }
    let mut t = table(&["number", "device", "runs", "first", "last", "steps"]);
    for s in &all {
        let value =
            |p: Option<&kernelsmith_lab::history::series::Point>| p.map_or("–".to_string(), |p| short(p.value));
        let steps: Vec<String> = s.changes.iter().map(|c| words(c, s, &named)).collect();
        t.add_row([
            s.key.to_string(),
            s.device.clone(),
            s.points.len().to_string(),
            value(s.points.first()),
            value(s.points.last()),
            if steps.is_empty() { "–".to_string() } else { steps.join("; ") },
        ]);
    }
    line(&t.to_string());
    Ok(Outcome::Done)
}

fn words(change: &Change, series: &Series, runs: &[Named]) -> String {
    let run = runs[series.points[change.step.at].run].0;
    format!("{:+.1} % worse from {run} on ({})", change.worse * 100.0, change.status.name())
}

fn object(s: &Series, runs: &[Named]) -> serde_json::Value {
    let points: Vec<_> =
        s.points.iter().map(|p| json!({"run": runs[p.run].0, "line": p.line, "value": p.value})).collect();
    let name = |at: usize| runs[s.points[at].run].0;
    let change = |c: &Change| {
        json!({
            "before_run": name(c.step.at - 1), "after_run": name(c.step.at), "before": c.step.before,
            "after": c.step.after, "worse": c.worse, "chance": c.step.chance, "status": c.status.name(),
        })
    };
    let changes: Vec<_> = s.changes.iter().map(change).collect();
    json!({
        "op": s.key.op, "problem": s.key.problem, "mode": s.key.mode, "metric": s.key.metric, "device": s.device,
        "direction": s.direction.name(), "points": points, "changes": changes,
    })
}
