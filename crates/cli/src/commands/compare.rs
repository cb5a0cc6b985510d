//! `smith compare`.

use super::Failure;
use crate::Outcome;
use crate::args::CompareArgs;
use crate::output::{json_line, line, maybe, short, table};
use kernelsmith_lab::compare::compare;
use kernelsmith_lab::evidence;
use serde_json::json;

pub fn run(args: &CompareArgs) -> Result<Outcome, Failure> {
    let (before, after) = (evidence::read(&args.before)?, evidence::read(&args.after)?);
    let rows = compare(&before.records, &after.records);
    if rows.is_empty() {
        return Err(format!("{} holds no results", args.before.display()).into());
    }
    let mut t =
        table(&["problem", "mode", "before µs", "after µs", "speed-up", "of baseline before", "after", "verdict"]);
    for r in &rows {
        if args.json {
            json_line(
                &json!({"op": r.op, "problem": r.problem, "mode": r.mode, "before_us": r.before_us, "after_us": r.after_us,
                "speedup": r.speedup, "ratio_before": r.ratio_before, "ratio_after": r.ratio_after, "verdict": r.verdict}),
            );
        }
        t.add_row([
            r.problem.clone(),
            r.mode.clone(),
            maybe(r.before_us),
            maybe(r.after_us),
            r.speedup.map_or("–".to_string(), |x| format!("{}×", short(x))),
            maybe(r.ratio_before),
            maybe(r.ratio_after),
            r.verdict.to_string(),
        ]);
    }
    if !args.json {
        line(&t.to_string());
    }
    let failed = rows.iter().any(|r| matches!(r.verdict, "slower" | "missing"));
    Ok(if failed { Outcome::Failed } else { Outcome::Done })
}
