//! The tuned table: problem → winning candidate, one file a device. Dispatch reads it; the lab
//! writes it.

use crate::embedded;
use crate::{Candidate, DeviceFacts};
use kernelsmith_core::Problem;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Version of the file's form.
const FORMAT: u32 = 1;

/// One winner and what was known when it won.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TunedEntry {
    pub op: String,
    /// Canonical problem text: sizes, dtype, layout, strides (hence alignment), epilogue.
    pub problem: String,
    /// Timing mode the candidate won in: `cold` or `hot`.
    pub mode: String,
    pub candidate: String,
    pub us: f64,
    pub baseline: String,
    /// Baseline time over candidate time in the paired final.
    pub ratio: f64,
    /// Largest error over its bound in the gate, ours and the vendor's.
    pub error: f64,
    pub vendor_error: Option<f64>,
    pub source_hash: String,
    pub driver: String,
    pub toolchain: String,
    /// The run folder that holds the evidence.
    pub run: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TunedFile {
    format: u32,
    device: String,
    #[serde(default)]
    entry: Vec<TunedEntry>,
}

#[derive(Debug, thiserror::Error)]
pub enum TunedError {
    #[error("{path}: {reason}")]
    Malformed { path: String, reason: String },
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
}

/// The entries of one device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TunedTable {
    entries: BTreeMap<(String, String, String), TunedEntry>,
}

/// How a look-up found its entry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Match {
    Exact,
    /// The nearest problem of the same class, with its distance in powers of two.
    Near(f64),
}

/// An entry that a look-up proposes; capability and staleness are the caller's to check.
#[derive(Clone, Debug)]
pub struct Choice<'a> {
    pub entry: &'a TunedEntry,
    pub candidate: Candidate,
    pub how: Match,
}

impl TunedTable {
    /// The shipped table of a device, then the user's over it.
    pub fn load(facts: &DeviceFacts, user_folder: Option<&Path>) -> Result<Self, TunedError> {
        let mut table = TunedTable::default();
        let file = format!("{}.toml", facts.slug());
        if let Some((name, text)) = embedded::TUNED.iter().find(|(name, _)| *name == file) {
            table.merge(Self::parse(&format!("tuned/{name}"), text, &facts.name)?);
        }
        if let Some(path) = user_folder.map(|f| f.join(&file)).filter(|p| p.exists()) {
            table.merge(Self::read(&path, &facts.name)?);
        }
        Ok(table)
    }

    /// The folder for the user's tables: `KERNELSMITH_TUNED`, else `kernelsmith/tuned` in the
    /// platform's data folder.
    pub fn user_folder() -> Option<PathBuf> {
        std::env::var_os("KERNELSMITH_TUNED")
            .map(PathBuf::from)
            .or_else(|| dirs::data_dir().map(|d| d.join("kernelsmith").join("tuned")))
    }

    /// Reads a file; `device` must be the one it was made on.
    pub fn read(path: &Path, device: &str) -> Result<Self, TunedError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| TunedError::Io { path: path.to_path_buf(), source })?;
        Self::parse(&path.display().to_string(), &text, device)
    }

    fn parse(path: &str, text: &str, device: &str) -> Result<Self, TunedError> {
        let fail = |reason: String| TunedError::Malformed { path: path.to_string(), reason };
        let file: TunedFile = toml::from_str(text).map_err(|e| {
            let line = e.span().map_or(1, |s| 1 + text[..s.start.min(text.len())].matches('\n').count());
            fail(format!("line {line}: {}", e.message()))
        })?;
        if file.format != FORMAT {
            return Err(fail(format!("format {}, expected {FORMAT}", file.format)));
        }
        if file.device != device {
            return Err(fail(format!("made on `{}`, expected `{device}`", file.device)));
        }
        let mut table = TunedTable::default();
        for entry in file.entry {
            Problem::parse(&entry.op, &entry.problem).map_err(|e| fail(e.to_string()))?;
            entry.candidate.parse::<Candidate>().map_err(|e| fail(e.to_string()))?;
            table.insert(entry);
        }
        Ok(table)
    }

    /// The file's text.
    pub fn to_text(&self, device: &str) -> String {
        let file =
            TunedFile { format: FORMAT, device: device.to_string(), entry: self.entries.values().cloned().collect() };
        toml::to_string(&file).unwrap_or_else(|e| format!("# {e}\n"))
    }

    pub fn insert(&mut self, entry: TunedEntry) {
        self.entries.insert((entry.op.clone(), entry.problem.clone(), entry.mode.clone()), entry);
    }

    /// Adds another table's entries over this one's.
    pub fn merge(&mut self, other: TunedTable) {
        self.entries.extend(other.entries);
    }

    pub fn entries(&self) -> impl Iterator<Item = &TunedEntry> {
        self.entries.values()
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Entries for `problem`, best first: the exact one, then those of the same class by distance
    /// in log space.
    pub fn lookup(&self, problem: &Problem, mode: &str) -> Vec<Choice<'_>> {
        let (text, class, at) = (problem.text(), problem.class(), problem.coordinates());
        let mut out: Vec<Choice<'_>> = Vec::new();
        for entry in self.entries.values().filter(|e| e.op == problem.op() && e.mode == mode) {
            let Ok(candidate) = entry.candidate.parse() else { continue };
            if entry.problem == text {
                out.push(Choice { entry, candidate, how: Match::Exact });
                continue;
            }
            let Ok(other) = Problem::parse(&entry.op, &entry.problem) else { continue };
            if other.class() == class {
                let distance = at.iter().zip(other.coordinates()).map(|(x, y)| (x - y).powi(2)).sum::<f64>().sqrt();
                out.push(Choice { entry, candidate, how: Match::Near(distance) });
            }
        }
        let rank = |c: &Choice<'_>| match c.how {
            Match::Exact => -1.0,
            Match::Near(d) => d,
        };
        out.sort_by(|a, b| rank(a).total_cmp(&rank(b)));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(problem: &str, candidate: &str) -> TunedEntry {
        TunedEntry {
            op: "gemm".into(),
            problem: Problem::parse("gemm", problem).unwrap().text(),
            mode: "cold".into(),
            candidate: candidate.into(),
            us: 1.5,
            baseline: "cublaslt[ALGO=0]".into(),
            ratio: 1.1,
            error: 0.25,
            vendor_error: Some(0.3),
            source_hash: "00".into(),
            driver: "d".into(),
            toolchain: "t".into(),
            run: "runs/x".into(),
        }
    }

    #[test]
    fn exact_then_nearest_of_the_same_class() {
        let mut t = TunedTable::default();
        t.insert(entry("m=64,n=64,k=64,dtype=f32", "small"));
        t.insert(entry("m=1024,n=1024,k=1024,dtype=f32", "large[BM=128]"));
        t.insert(entry("m=64,n=64,k=64,dtype=f16", "half"));
        let find = |p: &str| -> Vec<String> {
            let p = Problem::parse("gemm", p).unwrap();
            t.lookup(&p, "cold").iter().map(|c| c.candidate.to_string()).collect()
        };
        assert_eq!(find("m=64,n=64,k=64,dtype=f32"), ["small", "large[BM=128]"]);
        assert_eq!(find("m=900,n=1000,k=2000,dtype=f32"), ["large[BM=128]", "small"]);
        assert_eq!(find("m=64,n=64,k=64,dtype=f32,layout=tt"), Vec::<String>::new());
    }

    #[test]
    fn text_parses_back_and_errors_name_the_line() {
        let mut t = TunedTable::default();
        t.insert(entry("m=64,n=64,k=64,dtype=f32", "a"));
        let text = t.to_text("X");
        assert_eq!(TunedTable::parse("f", &text, "X").unwrap(), t);
        assert!(TunedTable::parse("f", &text, "Y").unwrap_err().to_string().contains("expected `Y`"));
        let broken = text.replace("us = 1.5", "us = fast");
        let error = TunedTable::parse("f.toml", &broken, "X").unwrap_err().to_string();
        assert!(error.contains("f.toml: line 9"), "{error}\n{broken}");
        let k0 = text.replace("k=64", "k=0");
        assert!(TunedTable::parse("f", &k0, "X").unwrap_err().to_string().contains("k=0"));
    }

    proptest! {
        #[test]
        fn any_damage_is_an_error_or_a_table(cut in 0usize..400, byte in any::<u8>()) {
            let mut t = TunedTable::default();
            t.insert(entry("m=64,n=64,k=64,dtype=f32", "a"));
            let mut bytes = t.to_text("X").into_bytes();
            let at = cut % bytes.len();
            bytes[at] = byte;
            let _ = TunedTable::parse("f", &String::from_utf8_lossy(&bytes), "X");
            let _ = TunedTable::parse("f", &String::from_utf8_lossy(&bytes[..at]), "X");
        }
    }
}
