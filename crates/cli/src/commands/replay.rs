//! `smith replay`.

use super::Failure;
use crate::Outcome;
use crate::args::ReplayArgs;
use crate::output::{json_line, line, table};
use kernelsmith_lab::replay::{Row, contest};
use serde_json::{Map, Value, json};

pub fn run(args: &ReplayArgs) -> Result<Outcome, Failure> {
    let budget = args.budget as usize;
    let contest = contest(&args.files, &args.prior, &args.strategy, budget, u64::from(args.seeds))?;
    for note in &contest.notes {
        eprintln!("{note}");
    }
    let none = Vec::new();
    let priors = contest.priors.iter().chain(std::iter::once(&none));
    if args.json {
        contest.rows.iter().zip(priors).for_each(|(row, prior)| json_line(&object(args, row, prior)));
        return Ok(Outcome::Done);
    }
    let counts = contest.rows.first().map(|r| r.fraction.iter().map(|f| f.0.to_string()).collect::<Vec<_>>());
    let counts = counts.unwrap_or_default();
    let mut header = vec!["space"];
    header.extend(counts.iter().map(String::as_str));
    header.extend(["prior's correlation", "µs an evaluation"]);
    let mut t = table(&header);
    for row in &contest.rows {
        let mut cells = vec![row.space.clone()];
        cells.extend(row.fraction.iter().map(|(_, f)| format!("{:.3} ({:.3}–{:.3})", f.value, f.low, f.high)));
        cells.push(row.correlation.map_or("–".to_string(), |c| format!("{c:.2}")));
        cells.push(format!("{:.0}", row.overhead.as_secs_f64() * 1e6));
        t.add_row(cells);
    }
    line(&t.to_string());
    if let Some(all) = contest.rows.last().filter(|_| args.files.len() > 1) {
        let worst = all.worst.iter().zip(&all.fraction).map(|((name, x), (c, _))| format!("{x:.3} after {c} ({name})"));
        line(&format!("worst space: {}", worst.collect::<Vec<_>>().join(", ")));
    }
    Ok(Outcome::Done)
}

fn object(args: &ReplayArgs, row: &Row, prior: &[String]) -> Value {
    let map = |f: &dyn Fn(usize) -> Value| -> Map<String, Value> {
        row.fraction.iter().enumerate().map(|(i, (count, _))| (count.to_string(), f(i))).collect()
    };
    let mut out = json!({
        "space": row.space, "strategy": args.strategy, "seeds": args.seeds, "budget": args.budget,
        "fraction": map(&|i| json!(row.fraction[i].1.value)),
        "low": map(&|i| json!(row.fraction[i].1.low)),
        "high": map(&|i| json!(row.fraction[i].1.high)),
        "prior": prior, "prior_correlation": row.correlation,
        "overhead_us": row.overhead.as_secs_f64() * 1e6,
    });
    if !row.worst.is_empty() {
        out["worst"] = map(&|i| json!(row.worst[i].1)).into();
        out["worst_space"] = map(&|i| json!(row.worst[i].0)).into();
    }
    out
}
