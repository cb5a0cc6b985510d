//! `smith report`.

use super::Failure;
use crate::Outcome;
use crate::args::ReportArgs;
use crate::output::{json_line, line};
use kernelsmith_lab::history::log;
use kernelsmith_lab::provenance::write_atomically;
use kernelsmith_lab::{evidence, report};
use serde_json::json;
use std::path::{Path, PathBuf};

pub fn run(args: &ReportArgs) -> Result<Outcome, Failure> {
    let root = Path::new("runs");
    let folders = match (args.all, args.runs.is_empty()) {
        (true, _) => all_below(root)?,
        (false, true) => vec![newest(root)?],
        (false, false) => args.runs.clone(),
    };
    // A page of all runs belongs to none of them.
    let place = if args.all { root } else { folders[0].as_path() };
    let out = args.out.clone().unwrap_or_else(|| place.join("report.html"));
    let runs = folders.iter().map(|f| load(f)).collect::<Result<Vec<_>, _>>()?;
    let beside = || folders[0].parent().unwrap_or(Path::new("")).join(log::FILE);
    let (entries, _) = log::read(&args.log.clone().unwrap_or_else(beside))?;
    let page = report::render_with(&runs, report::Extras { log: &entries, live: false });
    write_atomically(&out, &page).map_err(|e| format!("{}: {e}", out.display()))?;
    if args.json {
        json_line(&json!({"report": out, "runs": folders.len(), "bytes": page.len()}));
    } else {
        line(&out.display().to_string());
    }
    Ok(Outcome::Done)
}

/// A run's evidence with its name.
pub fn load(folder: &Path) -> Result<report::Run, Failure> {
    let contents = evidence::read(folder)?;
    if contents.torn > 0 {
        eprintln!("{}: the last {} bytes are half a record and were left out", folder.display(), contents.torn);
    }
    let name = folder.file_name().map_or_else(|| folder.display().to_string(), |n| n.to_string_lossy().into_owned());
    Ok(report::Run { name, records: contents.records })
}

/// The folders with evidence below a folder, by name; names start with the time.
pub fn all_below(root: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = std::fs::read_dir(root).map_err(|e| format!("{}: {e}; name a run folder", root.display()))?;
    let holds = |p: &PathBuf| p.join(evidence::FILE).exists() || p.join(format!("{}.gz", evidence::FILE)).exists();
    let mut found: Vec<PathBuf> = entries.flatten().map(|e| e.path()).filter(holds).collect();
    found.sort();
    if found.is_empty() {
        return Err(format!("{}: no run with evidence; name a run folder", root.display()).into());
    }
    Ok(found)
}

fn newest(root: &Path) -> Result<PathBuf, Failure> {
    Ok(all_below(root)?.pop().unwrap_or_default())
}
