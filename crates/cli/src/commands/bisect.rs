//! `smith bisect`.

use super::regress::judged_json;
use super::report::load;
use super::{Failure, stop_on_interrupt};
use crate::Outcome;
use crate::args::{Better, BisectArgs};
use crate::output::{json_line, line};
use kernelsmith_lab::evidence::Record;
use kernelsmith_lab::history::bisect::{BisectError, Commit, Finding, Plan, bisect};
use kernelsmith_lab::history::log::{self, Culprit, Entry};
use kernelsmith_lab::history::paired::{Judged, Rules};
use kernelsmith_lab::history::sides::Reading;
use kernelsmith_lab::provenance;
use serde_json::json;
use std::path::Path;

pub fn run(args: &BisectArgs) -> Result<Outcome, Failure> {
    let threshold = args.threshold;
    let rules = Rules { regress: threshold, warn: threshold / 2.0, half_width: threshold * 0.6, ..Rules::default() };
    let plan = Plan {
        repository: args.repository.clone(),
        good: commit_of(&args.good)?,
        bad: commit_of(&args.bad)?,
        build: args.build.clone(),
        measure: args.measure.clone(),
        reading: Reading::parse(&args.metric),
        higher: args.direction == Better::Higher,
        rules,
        budget: args.budget,
        limit: args.limit,
        stop: stop_on_interrupt()?,
    };
    let found = match bisect(&plan, &mut |commit, finding| say(args.json, commit, finding)) {
        Ok(found) => found,
        Err(error @ (BisectError::NoDifference { .. } | BisectError::Stopped(_))) => {
            eprintln!("smith: {error}");
            return Ok(Outcome::Failed);
        }
        Err(error) => return Err(error.into()),
    };
    let commits: Vec<_> = found.commits.iter().map(|c| json!({"commit": c.hash, "subject": c.subject})).collect();
    if args.json {
        json_line(
            &json!({"kind": "culprit", "commits": commits, "measure": args.measure, "change": judged_json(&found.change)}),
        );
    } else {
        let certain = if found.commits.len() == 1 {
            "the first that is worse"
        } else {
            "one of these is the first that is worse"
        };
        line(&format!("{certain} ({}):", worse(&found.change)));
        found.commits.iter().for_each(|c| line(&format!("  {} {}", c.hash, c.subject)));
    }
    if let Some(path) = &args.log {
        let culprit = Culprit {
            time: provenance::now(),
            good: args.good.clone(),
            bad: args.bad.clone(),
            commits: found.commits.iter().map(|c| c.hash.clone()).collect(),
            change: found.change.change,
            measure: args.measure.clone(),
        };
        log::append(path, &[Entry::Culprit(culprit)])?;
    }
    Ok(if found.commits.len() == 1 { Outcome::Done } else { Outcome::Failed })
}

/// A commit as it was named, or the one of the program that made a run.
fn commit_of(text: &str) -> Result<String, Failure> {
    let path = Path::new(text);
    if !path.is_dir() {
        return Ok(text.to_string());
    }
    let run = load(path)?;
    let session = run.records.iter().rev().find_map(|r| if let Record::Session(s) = r { Some(s) } else { None });
    let commit = session.and_then(|s| s.git_commit.clone());
    let commit = commit.ok_or_else(|| format!("{text} does not say which commit it was made with; name a commit"))?;
    if session.is_some_and(|s| s.git_dirty == Some(true)) {
        eprintln!("{text}: its program had changes that are in no commit; going on with {commit}");
    }
    Ok(commit)
}

fn worse(j: &Judged) -> String {
    format!("{:+.1} % worse, {:+.1} to {:+.1} %, {} pairs", j.change * 100.0, j.low * 100.0, j.high * 100.0, j.pairs)
}

fn say(json: bool, commit: &Commit, finding: &Finding) {
    let (name, judged, reason) = match finding {
        Finding::Good(j) => ("good", Some(j), None),
        Finding::Bad(j) => ("bad", Some(j), None),
        Finding::Skipped(reason) => ("skipped", None, Some(reason)),
    };
    if json {
        json_line(&json!({
            "kind": "measured", "commit": commit.hash, "subject": commit.subject, "finding": name,
            "change": judged.map(judged_json), "reason": reason,
        }));
        return;
    }
    let words = judged.map(worse).or_else(|| reason.cloned()).unwrap_or_default();
    line(&format!("{name:8} {} {} ({words})", &commit.hash[..commit.hash.len().min(10)], commit.subject));
}
