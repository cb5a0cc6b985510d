//! The baseline file: numbers that a run is held to, as TOML that a person can read and edit.

use super::metric::{Direction, Key, Metric};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use toml::Spanned;

/// Version of the file's form.
const FORMAT: u32 = 1;
/// Thresholds where an entry has none: shares worse than its value.
pub const WARN: f64 = 0.0125;
pub const REGRESS: f64 = 0.025;
/// A threshold above this is a slip: it would let a tenfold slow-down pass.
const MOST: f64 = 10.0;

/// One number that a run is held to.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    pub key: Key,
    pub direction: Direction,
    pub value: f64,
    /// Shares worse than the value: from the first on a warning, from the second on a regression.
    pub warn: f64,
    pub regress: f64,
    /// What ran, for the race that confirms a regression.
    pub candidate: Option<String>,
    pub source_hash: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct BaselineFile {
    pub device: String,
    /// Name of the run that it was made from, and the commit of the program that made that.
    pub run: Option<String>,
    pub commit: Option<String>,
    pub metrics: Vec<Held>,
}

#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{path}:{line}: {reason}")]
    Malformed { path: PathBuf, line: usize, reason: String },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    format: u32,
    device: String,
    run: Option<String>,
    commit: Option<String>,
    #[serde(default)]
    metric: Vec<Spanned<RawHeld>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHeld {
    op: String,
    problem: String,
    mode: String,
    metric: String,
    direction: Direction,
    value: f64,
    #[serde(default = "warn")]
    warn: f64,
    #[serde(default = "regress")]
    regress: f64,
    candidate: Option<String>,
    source_hash: Option<String>,
}

fn warn() -> f64 {
    WARN
}

fn regress() -> f64 {
    REGRESS
}

impl BaselineFile {
    /// A file from what a run measured. Where the run's own noise is wider than the thresholds,
    /// they are widened to it: what it could not tell apart then is no regression now.
    pub fn of_run(device: &str, run: &str, commit: Option<String>, metrics: &[Metric]) -> Self {
        let round = |x: f64| (x * 1e4).ceil() / 1e4;
        let held = |m: &Metric| Held {
            key: m.key.clone(),
            direction: m.direction,
            value: m.value,
            warn: WARN.max(round(m.noise)).min(MOST / 2.0),
            regress: REGRESS.max(round(2.0 * m.noise)).min(MOST),
            candidate: Some(m.candidate.clone()),
            source_hash: m.source_hash.clone(),
        };
        let metrics = metrics.iter().map(held).collect();
        BaselineFile { device: device.to_string(), run: Some(run.to_string()), commit, metrics }
    }

    pub fn read(path: &Path) -> Result<Self, BaselineError> {
        let io = |source| BaselineError::Io { path: path.to_path_buf(), source };
        Self::parse(path, &std::fs::read_to_string(path).map_err(io)?)
    }

    /// Reads a file's text; `path` is used in errors.
    pub fn parse(path: &Path, text: &str) -> Result<Self, BaselineError> {
        let line_at = |at: usize| 1 + text.as_bytes()[..at.min(text.len())].iter().filter(|b| **b == b'\n').count();
        let fail = |line: usize, reason: String| BaselineError::Malformed { path: path.to_path_buf(), line, reason };
        let raw: Raw = toml::from_str(text)
            .map_err(|e| fail(line_at(e.span().map_or(0, |s| s.start)), e.message().replace('\n', ", ")))?;
        if raw.format != FORMAT {
            return Err(fail(1, format!("format {}, expected {FORMAT}", raw.format)));
        }
        let mut seen = HashSet::new();
        let mut metrics = Vec::new();
        for entry in raw.metric {
            let line = line_at(entry.span().start);
            let e = entry.into_inner();
            let key = Key { op: e.op, problem: e.problem, mode: e.mode, metric: e.metric };
            if !(e.value.is_finite() && e.value > 0.0) {
                return Err(fail(line, format!("{key}: value {}, expected a number above 0", e.value)));
            }
            if !(e.warn > 0.0 && e.warn <= e.regress && e.regress <= MOST) {
                return Err(fail(
                    line,
                    format!(
                        "{key}: warn {} and regress {}, expected shares with 0 < warn <= regress <= {MOST}",
                        e.warn, e.regress
                    ),
                ));
            }
            if !seen.insert(key.clone()) {
                return Err(fail(line, format!("{key} is there twice, expected once")));
            }
            let (candidate, source_hash) = (e.candidate, e.source_hash);
            let (direction, value, warn, regress) = (e.direction, e.value, e.warn, e.regress);
            metrics.push(Held { key, direction, value, warn, regress, candidate, source_hash });
        }
        if metrics.is_empty() {
            return Err(fail(1, "there are no [[metric]] entries, expected one at least".to_string()));
        }
        Ok(BaselineFile { device: raw.device, run: raw.run, commit: raw.commit, metrics })
    }

    /// The file's text.
    pub fn to_text(&self) -> String {
        let text = |s: &str| toml::Value::String(s.to_string()).to_string();
        let mut out = String::from(
            "# What `smith regress RUN --baseline FILE` holds a run to. Edit it freely: `warn` and\n\
             # `regress` are shares worse than `value` (0.025 is 2.5 %); an entry that is taken out is\n\
             # no longer asked for.\n",
        );
        let _ = writeln!(out, "format = {FORMAT}\ndevice = {}", text(&self.device));
        for (key, value) in [("run", &self.run), ("commit", &self.commit)] {
            if let Some(value) = value {
                let _ = writeln!(out, "{key} = {}", text(value));
            }
        }
        for m in &self.metrics {
            let _ = writeln!(
                out,
                "\n[[metric]]\nop = {}\nproblem = {}\nmode = {}\nmetric = {}\ndirection = \"{}\"\nvalue = {:?}\nwarn = {:?}\nregress = {:?}",
                text(&m.key.op),
                text(&m.key.problem),
                text(&m.key.mode),
                text(&m.key.metric),
                m.direction.name(),
                m.value,
                m.warn,
                m.regress
            );
            for (key, value) in [("candidate", &m.candidate), ("source_hash", &m.source_hash)] {
                if let Some(value) = value {
                    let _ = writeln!(out, "{key} = {}", text(value));
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "format = 1\ndevice = \"H200\"\n\n[[metric]]\nop = \"gemm\"\nproblem = \"m=1\"\nmode = \"cold\"\nmetric = \"us\"\ndirection = \"lower\"\nvalue = 4.62\n";

    fn parse(text: &str) -> Result<BaselineFile, BaselineError> {
        BaselineFile::parse(Path::new("b.toml"), text)
    }

    #[test]
    fn thresholds_may_be_left_out() {
        let file = parse(TEXT).unwrap();
        assert_eq!((file.metrics[0].warn, file.metrics[0].regress), (WARN, REGRESS));
        assert_eq!(file.metrics[0].key.to_string(), "gemm m=1 cold us");
    }

    #[test]
    fn errors_name_file_line_and_what_was_expected() {
        let twice = format!("{TEXT}{}", &TEXT[TEXT.find("[[").unwrap()..]);
        for (text, needle) in [
            (TEXT.replace("4.62", "-1.0"), "b.toml:4: gemm m=1 cold us: value -1, expected a number above 0"),
            (TEXT.replace("4.62", "nan"), "expected a number above 0"),
            (TEXT.replace("4.62", "\"fast\""), "b.toml:10:"),
            (TEXT.replace("lower", "down"), "b.toml:9: unknown variant `down`"),
            (TEXT.replace("format = 1", "format = 9"), "b.toml:1: format 9, expected 1"),
            (TEXT.replace("mode", "made"), "unknown field `made`"),
            (format!("{TEXT}warn = 0.5\nregress = 0.1\n"), "expected shares with 0 < warn <= regress"),
            (format!("{TEXT}warn = 0.5\nregress = 50.0\n"), "<= 10"),
            (twice, "b.toml:11: gemm m=1 cold us is there twice"),
            ("format = 1\ndevice = \"x\"\n".to_string(), "no [[metric]] entries"),
            (String::new(), "b.toml:1:"),
        ] {
            let error = parse(&text).unwrap_err().to_string();
            assert!(error.contains(needle), "{needle}: {error}");
        }
    }

    fn held() -> impl Strategy<Value = Held> {
        let word = "[a-z\"\\\\\n#=\u{e9}]{1,8}";
        (word, word, word, 1e-9f64..1e12, 1e-6f64..0.5, any::<bool>(), prop::option::of(word)).prop_map(
            |(op, problem, metric, value, warn, lower, candidate)| Held {
                key: Key { op, problem, mode: "cold".into(), metric },
                direction: if lower { Direction::Lower } else { Direction::Higher },
                value,
                warn,
                regress: warn * 2.0,
                candidate,
                source_hash: None,
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(metrics in prop::collection::vec(held(), 1..6), device in ".{0,12}") {
            let mut seen = HashSet::new();
            let metrics: Vec<Held> = metrics.into_iter().filter(|m| seen.insert(m.key.clone())).collect();
            let file = BaselineFile { device, run: Some("a \"b\"".into()), commit: None, metrics };
            prop_assert_eq!(parse(&file.to_text()).unwrap(), file);
        }

        #[test]
        fn a_damaged_file_never_panics(at in 0usize..TEXT.len(), byte in any::<u8>()) {
            let mut bytes = TEXT.as_bytes().to_vec();
            bytes[at] = byte;
            let _ = parse(&String::from_utf8_lossy(&bytes));
            let _ = parse(&TEXT[..at]);
        }
    }
}
