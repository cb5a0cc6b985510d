//! `smith log`.

use super::report::load;
use super::{Failure, regress};
use crate::Outcome;
use crate::args::LogArgs;
use crate::output::{json_line, line, maybe, table};
use kernelsmith_lab::history::log::{self, Entry, Experiment};
use std::path::Path;

pub fn run(args: &LogArgs) -> Result<Outcome, Failure> {
    if args.runs.is_empty() {
        if args.note.is_some() || args.baseline.is_some() {
            return Err("--note and --baseline are of a run: name a run folder".into());
        }
        return show(&args.log, args.json);
    }
    // All are read before the first is written.
    let entries = args.runs.iter().map(|run| entry(run, args)).collect::<Result<Vec<_>, _>>()?;
    log::append(&args.log, &entries)?;
    entries.iter().for_each(|e| print(e, args.json));
    if !args.json {
        line(&format!("written to {}", args.log.display()));
    }
    Ok(Outcome::Done)
}

fn entry(run: &Path, args: &LogArgs) -> Result<Entry, Failure> {
    let loaded = load(run)?;
    let mut entry = log::experiment(&loaded.name, &loaded.records, args.note.as_deref().unwrap_or_default())?;
    if let Some(path) = &args.baseline {
        let file = regress::read(path)?;
        let rows = regress::hold(&file, path, &loaded)?;
        entry.baseline = Some(path.display().to_string());
        entry.regressions = log::regressions(&rows);
    }
    Ok(Entry::Experiment(entry))
}

fn show(path: &Path, json: bool) -> Result<Outcome, Failure> {
    let (mut entries, torn) = log::read(path)?;
    if torn > 0 {
        eprintln!("{}: the last {torn} bytes are half an entry and were left out", path.display());
    }
    if !json && entries.is_empty() {
        line(&format!("{}: no entries yet; `smith log RUN --note TEXT` writes one", path.display()));
    }
    entries.sort_by(|a, b| a.time().cmp(b.time()));
    entries.iter().for_each(|e| print(e, json));
    Ok(Outcome::Done)
}

fn print(entry: &Entry, json: bool) {
    if json {
        json_line(&serde_json::to_value(entry).unwrap_or_default());
        return;
    }
    match entry {
        Entry::Experiment(e) => experiment(e),
        Entry::Confirmation(c) => line(&format!(
            "{}  {} on {}: {} ({:+.1} %, {} pairs), {} to {}\n",
            c.time,
            c.metric,
            c.device,
            c.call.name(),
            c.change * 100.0,
            c.pairs,
            c.before,
            c.after
        )),
        Entry::Culprit(c) => line(&format!(
            "{}  {} made `{}` {:+.1} % worse, between {} and {}\n",
            c.time,
            c.commits.join(" or "),
            c.measure,
            c.change * 100.0,
            c.good,
            c.bad
        )),
    }
}

fn experiment(e: &Experiment) {
    let short = |commit: &String| commit.chars().take(10).collect::<String>();
    let commit = e.commit.as_ref().map_or("unknown commit".to_string(), short);
    let branch = e.branch.as_ref().map_or(String::new(), |b| format!(" on {b}"));
    let dirty = if e.dirty == Some(true) { " with changes" } else { "" };
    line(&format!("{}  {}", e.time, e.run));
    line(&format!("  {}; {commit}{branch}{dirty}", e.device));
    e.commands.iter().for_each(|c| line(&format!("  $ {}", c.join(" "))));
    let mut t = table(&["  mode", "problems", "faster", "same", "ambiguous", "slower", "alone", "failed", "ratio"]);
    for m in &e.results {
        let counts = [m.problems, m.faster, m.same, m.ambiguous, m.slower, m.alone, m.failed].map(|n| n.to_string());
        t.add_row([vec![format!("  {}", m.mode)], counts.to_vec(), vec![maybe(m.ratio)]].concat());
    }
    line(&t.to_string());
    if let Some(baseline) = &e.baseline {
        line(&format!("  against {baseline}: {} regressions", e.regressions.len()));
    }
    for r in &e.regressions {
        line(&format!("  {}: {}, expected {}, found {}", r.standing, r.metric, r.expected, maybe(r.found)));
    }
    if !e.notes.is_empty() {
        line(&format!("  {}", e.notes));
    }
    line("");
}
