//! The experiment log: one file beside the runs, one line an entry, only ever added to.

use super::paired::Call;
use super::regress::Row;
use crate::evidence::{Record, ResultRecord, Session};
use crate::lines::{self, Appender};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

/// Name of the log in the folder of runs.
pub const FILE: &str = "log.jsonl";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Entry {
    Experiment(Experiment),
    Confirmation(Confirmation),
    Culprit(Culprit),
}

impl Entry {
    pub fn time(&self) -> &str {
        match self {
            Entry::Experiment(e) => &e.time,
            Entry::Confirmation(e) => &e.time,
            Entry::Culprit(e) => &e.time,
        }
    }
}

/// A run: when, of what, with which commands, what came out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Experiment {
    /// When the run began, RFC 3339.
    pub time: String,
    /// Name of the run's folder.
    pub run: String,
    pub spec: String,
    pub device: String,
    pub commit: Option<String>,
    pub branch: Option<String>,
    pub dirty: Option<bool>,
    /// The command of each session.
    pub commands: Vec<Vec<String>>,
    pub results: Vec<ModeResults>,
    /// Against which file, and what was worse than it.
    pub baseline: Option<String>,
    pub regressions: Vec<Regression>,
    pub notes: String,
}

/// The results of one timing mode.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModeResults {
    pub mode: String,
    pub problems: usize,
    pub faster: usize,
    pub same: usize,
    pub ambiguous: usize,
    pub slower: usize,
    pub alone: usize,
    pub failed: usize,
    /// Geometric mean of the vendor's time over ours.
    pub ratio: Option<f64>,
}

/// A number that was worse than its threshold, or missing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Regression {
    pub metric: String,
    /// `regressed` or `missing`.
    pub standing: String,
    pub expected: f64,
    pub found: Option<f64>,
}

/// What a paired race said of one number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Confirmation {
    pub time: String,
    pub device: String,
    /// The number, as `OP PROBLEM MODE METRIC`.
    pub metric: String,
    /// The runs on the two sides.
    pub before: String,
    pub after: String,
    pub call: Call,
    /// Share worse, with its 99 % interval.
    pub change: f64,
    pub low: Option<f64>,
    pub high: Option<f64>,
    pub pairs: usize,
}

/// What a bisection found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Culprit {
    pub time: String,
    pub good: String,
    pub bad: String,
    /// The first commit that is slow; several where those between cannot be told apart.
    pub commits: Vec<String>,
    pub change: f64,
    pub measure: String,
}

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{path}:{line}: {reason}")]
    Malformed { path: PathBuf, line: usize, reason: String },
    #[error("{0} holds no session: only a run of smith can be logged")]
    NoSession(String),
}

/// Entries in the order they were written, and the bytes of a torn last line. No file is no entries.
pub fn read(path: &Path) -> Result<(Vec<Entry>, usize), LogError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok((Vec::new(), 0)),
        Err(source) => return Err(LogError::Io { path: path.to_path_buf(), source }),
    };
    let parsed = lines::parse(&bytes);
    let parsed = parsed.map_err(|(line, reason)| LogError::Malformed { path: path.to_path_buf(), line, reason })?;
    Ok((parsed.values, parsed.torn))
}

/// Adds entries, one writer at a time; what is there is read first, so that a damaged log is never
/// added to.
pub fn append(path: &Path, entries: &[Entry]) -> Result<(), LogError> {
    let io = |source| LogError::Io { path: path.to_path_buf(), source };
    if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(io)?;
    }
    // The file itself is the lock: a log is committed, and a file beside it would be too.
    let lock: File = OpenOptions::new().create(true).append(true).open(path).map_err(io)?;
    lock.lock().map_err(io)?;
    let (_, torn) = read(path)?;
    let mut file = Appender::open(path, torn).map_err(io)?;
    entries.iter().try_for_each(|e| file.append(e, true)).map_err(io)
}

/// The entry of a run.
pub fn experiment(run: &str, records: &[Record], notes: &str) -> Result<Experiment, LogError> {
    let sessions: Vec<&Session> =
        records.iter().filter_map(|r| if let Record::Session(s) = r { Some(s) } else { None }).collect();
    let (Some(first), Some(last)) = (sessions.first(), sessions.last()) else {
        return Err(LogError::NoSession(run.to_string()));
    };
    Ok(Experiment {
        time: first.time.clone(),
        run: run.to_string(),
        spec: last.spec.clone(),
        device: last.facts.name.clone(),
        commit: last.git_commit.clone(),
        branch: last.git_branch.clone(),
        dirty: last.git_dirty,
        commands: sessions.iter().map(|s| s.command.clone()).collect(),
        results: results(records),
        baseline: None,
        regressions: Vec::new(),
        notes: notes.to_string(),
    })
}

/// The rows of a comparison that fail.
pub fn regressions(rows: &[Row]) -> Vec<Regression> {
    let failing = rows.iter().filter(|r| r.standing.fails());
    let regression = |r: &Row| Regression {
        metric: r.held.key.to_string(),
        standing: r.standing.name().to_string(),
        expected: r.held.value,
        found: r.found.as_ref().map(|m| m.value),
    };
    failing.map(regression).collect()
}

fn results(records: &[Record]) -> Vec<ModeResults> {
    let mut last: Vec<&ResultRecord> = Vec::new();
    for record in records {
        if let Record::Result(r) = record {
            last.retain(|l| (&l.op, &l.problem, &l.mode) != (&r.op, &r.problem, &r.mode));
            last.push(r);
        }
    }
    let modes: std::collections::BTreeSet<&str> = last.iter().map(|r| r.mode.as_str()).collect();
    let of_mode = |mode: &str| {
        let mine: Vec<&&ResultRecord> = last.iter().filter(|r| r.mode == mode).collect();
        let count = |verdict: &str| mine.iter().filter(|r| r.verdict == verdict).count();
        let logs: Vec<f64> =
            mine.iter().filter_map(|r| r.ratio).filter(|r| *r > 0.0).map(f64::ln).filter(|l| l.is_finite()).collect();
        ModeResults {
            mode: mode.to_string(),
            problems: mine.len(),
            faster: count("faster"),
            same: count("same"),
            ambiguous: count("ambiguous"),
            slower: count("slower"),
            alone: count("alone"),
            failed: count("failed"),
            ratio: (!logs.is_empty()).then(|| (logs.iter().sum::<f64>() / logs.len() as f64).exp()),
        }
    };
    modes.into_iter().map(of_mode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;
    use proptest::prelude::*;

    fn entry(notes: &str) -> Entry {
        Entry::Experiment(experiment("runs/a", &sample::run("a", 3, 20).records, notes).unwrap())
    }

    #[test]
    fn an_entry_says_what_when_and_what_came_out() {
        let Entry::Experiment(e) = entry("n") else { panic!() };
        assert_eq!((e.run.as_str(), e.device.as_str(), e.branch.as_deref()), ("runs/a", "NVIDIA H200", Some("main")));
        assert_eq!((e.commands.len(), e.results.len(), e.results[0].problems), (1, 2, 3));
        assert!(experiment("x", &[], "").unwrap_err().to_string().contains("x holds no session"));
    }

    #[test]
    fn a_damaged_log_is_named_and_not_added_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        assert_eq!(read(&path).unwrap(), (Vec::new(), 0));
        std::fs::write(&path, "{\"kind\":\"rumour\"}\n").unwrap();
        for error in [read(&path).unwrap_err(), append(&path, &[entry("")]).unwrap_err()] {
            let error = error.to_string();
            assert!(error.contains("log.jsonl:1:") && error.contains("rumour"), "{error}");
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"kind\":\"rumour\"}\n");
    }

    #[test]
    fn writers_at_the_same_time_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/runs").join(FILE);
        std::thread::scope(|scope| {
            for i in 0..8 {
                let path = &path;
                scope.spawn(move || append(path, &[entry(&format!("note {i}"))]).unwrap());
            }
        });
        assert_eq!(read(&path).unwrap().0.len(), 8);
    }

    proptest! {
        /// A kill in the middle of a write: every whole entry survives, and writing goes on.
        #[test]
        fn a_torn_write_loses_at_most_the_last_entry(count in 1usize..4, cut in 0usize..900) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(FILE);
            (0..count).for_each(|_| append(&path, &[entry("a \"note\"\nof lines")]).unwrap());
            let bytes = std::fs::read(&path).unwrap();
            let keep = bytes.len() - cut.min(bytes.len());
            std::fs::write(&path, &bytes[..keep]).unwrap();
            let whole = bytes[..keep].iter().filter(|b| **b == b'\n').count();
            append(&path, &[entry("after")]).unwrap();
            let (entries, torn) = read(&path).unwrap();
            prop_assert_eq!((entries.len(), torn), (whole + 1, 0));
        }

        #[test]
        fn any_bytes_are_an_error_or_entries(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = lines::parse::<Entry>(&bytes);
        }
    }
}
