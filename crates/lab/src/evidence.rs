//! Evidence: append-only lines of JSON, one record each, in a run folder.
//!
//! Half a last line is what a kill can leave: reading drops it (and says so), resuming writes over
//! it (`lines.rs`). Any other damage is an error that names file and line.

use crate::lines::{self, Appender, Lines};
use crate::provenance;
use kernelsmith_device::Device;
use kernelsmith_kernels::DeviceFacts;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::path::{Path, PathBuf};

/// One line of evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Record {
    Session(Session),
    Gap(GapRecord),
    Candidate(CandidateRecord),
    Search(SearchRecord),
    Gate(GateRecord),
    Race(RaceRecord),
    Result(ResultRecord),
    Audit(AuditRecord),
}

/// Start of a run or of its resumption: everything that is the same for the records after it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// RFC 3339.
    pub time: String,
    pub device: String,
    pub facts: DeviceFacts,
    /// The exact command line.
    pub command: Vec<String>,
    pub version: String,
    pub git_commit: Option<String>,
    pub git_dirty: Option<bool>,
    /// What was checked out when the program was built.
    #[serde(default)]
    pub git_branch: Option<String>,
    pub host: String,
    /// Outcome of the timer's self-test.
    pub timer: TimerRecord,
    /// Name of the spec.
    pub spec: String,
    pub budget_s: f64,
    /// Seed of the search.
    pub seed: u64,
}

impl Session {
    /// What this process is and runs on, at this moment.
    pub fn now(device: &Device, timer: TimerRecord, spec: &str, budget_s: f64, seed: u64) -> Session {
        let (git_commit, git_dirty) = provenance::git();
        Session {
            time: provenance::now(),
            device: device.id().to_string(),
            facts: device.facts().clone(),
            command: std::env::args().collect(),
            version: env!("CARGO_PKG_VERSION").to_string(),
            git_commit,
            git_dirty,
            git_branch: provenance::branch(),
            host: provenance::host(),
            timer,
            spec: spec.to_string(),
            budget_s,
            seed,
        }
    }
}

/// The timer's self-test: kernels of known duration, as measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TimerRecord {
    /// (nanoseconds asked for, microseconds measured).
    pub checks: Vec<(i64, f64)>,
    /// Time of an empty launch in a graph, µs.
    pub empty_us: f64,
    /// Whether a CUDA context was held while an adapter was timed.
    #[serde(default)]
    pub clock_held: bool,
}

impl TimerRecord {
    /// The checks of the try that passed: a try is three of them, the last one ended the test.
    pub fn last_try(&self) -> &[(i64, f64)] {
        &self.checks[self.checks.len().saturating_sub(3)..]
    }

    /// Whether the self-test ran.
    pub fn tested(&self) -> bool {
        !self.checks.is_empty()
    }
}

/// A variant that was not tried on a problem, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GapRecord {
    pub op: String,
    pub problem: String,
    pub variant: String,
    pub reason: String,
}

/// Outcome of the gate and of timing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Ok,
    /// The source did not compile.
    Compile,
    /// The launch failed, or the worker died in it.
    Launch,
    Timeout,
    Wrong,
    /// Two runs differed although the manifest says deterministic.
    Nondeterministic,
    /// The time is zero, negative, or below what the device can do.
    Implausible,
    /// The vendor's library offers nothing at this config.
    Unoffered,
}

impl Verdict {
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Compile => "compile",
            Verdict::Launch => "launch",
            Verdict::Timeout => "timeout",
            Verdict::Wrong => "wrong",
            Verdict::Nondeterministic => "nondeterministic",
            Verdict::Implausible => "implausible",
            Verdict::Unoffered => "unoffered",
        }
    }
}

/// A device's state when samples were taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TelemetryRecord {
    pub clock_mhz: Option<f64>,
    pub clock_max_mhz: Option<f64>,
    pub temperature_c: Option<f64>,
    pub power_w: Option<f64>,
    /// The clock was under 75 % of its maximum.
    pub throttled: bool,
}

/// One candidate screened on one problem: a short gate, then a short timing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CandidateRecord {
    pub time: String,
    pub op: String,
    pub problem: String,
    pub candidate: String,
    /// Name of the vendor, for a baseline.
    pub vendor: Option<String>,
    pub verdict: Verdict,
    /// What went wrong, in words.
    pub detail: Option<String>,
    /// Largest error over its bound in the gate.
    pub max_error_over_bound: Option<f64>,
    /// Cold samples in µs a launch; empty unless the verdict is `ok`.
    pub samples_us: Vec<f64>,
    pub launches_per_sample: usize,
    pub source_hash: Option<String>,
    pub registers: Option<u32>,
    pub spill_bytes: Option<u32>,
    pub telemetry: TelemetryRecord,
    /// Seconds this took in all.
    pub seconds: f64,
}

/// How the search of one problem went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SearchRecord {
    pub op: String,
    pub problem: String,
    pub strategy: String,
    pub seed: u64,
    /// Candidates of ours that there are, and that were screened.
    pub space: usize,
    pub screened: usize,
    /// What the prior was made of; empty without one.
    pub sources: Vec<SourceRecord>,
    /// Screened candidates that the prior knew.
    pub known: usize,
    /// Spearman's rank correlation of the prior with their times; failures are slowest.
    pub correlation: Option<f64>,
    /// Share of the prior's advice that was taken at the end, 0 to 1.
    pub trust: Option<f64>,
}

/// A source of a prior.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceRecord {
    pub name: String,
    pub weight: f64,
    /// As for the whole prior.
    pub correlation: Option<f64>,
}

/// The full gate on one candidate: every input family, and the edge cases that it claims.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateRecord {
    pub op: String,
    pub problem: String,
    pub candidate: String,
    pub verdict: Verdict,
    pub detail: Option<String>,
    pub max_error_over_bound: f64,
    /// Problems and input families run.
    pub checks: usize,
    /// Edge cases that the variant does not claim.
    pub skipped: usize,
    /// Time that it took; 0 where it was not taken.
    #[serde(default)]
    pub seconds: f64,
}

/// A paired, interleaved race in one timing mode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RaceRecord {
    pub op: String,
    pub problem: String,
    /// `cold` or `hot`.
    pub mode: String,
    pub contenders: Vec<ContenderRecord>,
    /// Blocks used to choose the winner; the published figures come from the others.
    pub selection_blocks: usize,
    pub launches_per_sample: usize,
    /// Input sets that cold launches rotate through, and their bytes in all.
    pub sets: usize,
    pub set_bytes: usize,
    /// Whether the cache was flushed before each sample instead.
    pub flushed: bool,
    pub telemetry: TelemetryRecord,
    /// Contenders whose timed launches were wrong or implausible.
    #[serde(default)]
    pub disqualified: Vec<DisqualifiedRecord>,
    /// Why the race was not finished, if it was not.
    #[serde(default)]
    pub error: Option<String>,
    /// Time that it took, with what surrounds the samples; 0 where it was not taken.
    #[serde(default)]
    pub seconds: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DisqualifiedRecord {
    pub candidate: String,
    pub verdict: Verdict,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContenderRecord {
    pub candidate: String,
    /// `candidate`, `baseline` or `control` (the baseline again: its ratio is the noise).
    pub role: String,
    /// µs a launch, one a block, in block order.
    pub samples_us: Vec<f64>,
}

/// A published row: what `tune` and `bench` print.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResultRecord {
    pub op: String,
    pub problem: String,
    pub device: String,
    /// The winner; none where nothing passed the gate.
    pub candidate: Option<String>,
    pub mode: String,
    pub us: Option<f64>,
    pub gflops: Option<f64>,
    /// Share of the roofline's time, from 0 to 1; absent where the device's peak is unknown.
    pub roofline: Option<f64>,
    pub baseline: Option<String>,
    pub baseline_us: Option<f64>,
    /// Baseline time over the winner's time.
    pub ratio: Option<f64>,
    pub ratio_low: Option<f64>,
    pub ratio_high: Option<f64>,
    /// Ratio of the control to the baseline, as an interval: the noise floor.
    pub noise_low: Option<f64>,
    pub noise_high: Option<f64>,
    /// `faster`, `slower`, `same`, `ambiguous`, `alone` (no baseline) or `failed` (no candidate).
    pub verdict: String,
    pub gaps: Vec<GapRecord>,
    pub max_error_over_bound: Option<f64>,
    pub vendor_error: Option<f64>,
    /// Candidates tried, and how many passed.
    pub tried: usize,
    pub passed: usize,
    pub source_hash: Option<String>,
}

/// What dispatch runs for one problem, beside the best candidate that a search found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditRecord {
    pub op: String,
    pub problem: String,
    pub device: String,
    pub mode: String,
    /// What dispatch picks, and why.
    pub pick: Option<String>,
    pub why: String,
    /// Whether the tuned table holds this very problem.
    pub tuned: bool,
    pub pick_us: Option<f64>,
    /// The fastest in the choosing blocks of the race; it may be the pick.
    pub best: Option<String>,
    pub best_us: Option<f64>,
    /// The pick's time over the best's, from the other blocks, with its interval: 1 is no regret.
    pub regret: Option<f64>,
    pub regret_low: Option<f64>,
    pub regret_high: Option<f64>,
    /// Candidates screened.
    pub tried: usize,
    /// Why there is no regret, where there is none.
    #[serde(default)]
    pub error: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{path}:{line}: {reason}")]
    Malformed { path: PathBuf, line: usize, reason: String },
    #[error("{0} is in use by another tune: wait for it, or give another folder")]
    Locked(PathBuf),
    #[error("{0} is packed and cannot be added to: unpack it (gunzip), or give another folder")]
    Packed(PathBuf),
    #[error("{}: there is evidence in it; name a new folder", .0.display())]
    Taken(PathBuf),
}

/// Name of the evidence file in a run folder.
pub const FILE: &str = "evidence.jsonl";

/// What a file held.
#[derive(Debug, Default)]
pub struct Contents {
    pub records: Vec<Record>,
    /// Bytes of a torn last line that were left out.
    pub torn: usize,
}

/// Reads a run folder's evidence (`evidence.jsonl` or `evidence.jsonl.gz`), or a file.
pub fn read(path: &Path) -> Result<Contents, EvidenceError> {
    let mut path = path.to_path_buf();
    if path.is_dir() {
        let packed = path.join(format!("{FILE}.gz"));
        path = if packed.exists() && !path.join(FILE).exists() { packed } else { path.join(FILE) };
    }
    let io = |source| EvidenceError::Io { path: path.clone(), source };
    let mut bytes = Vec::new();
    let mut file = File::open(&path).map_err(io)?;
    if path.extension().is_some_and(|e| e == "gz") {
        flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).map_err(io)?;
    } else {
        file.read_to_end(&mut bytes).map_err(io)?;
    }
    parse(&path, &bytes)
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Contents, EvidenceError> {
    let Lines { values, torn } = lines::parse(bytes).map_err(|(line, reason)| EvidenceError::Malformed {
        path: path.to_path_buf(),
        line,
        reason,
    })?;
    Ok(Contents { records: values, torn })
}

/// A run folder open for appending; other processes are kept out until it is dropped.
pub struct Writer {
    path: PathBuf,
    file: Appender,
    _lock: File,
}

impl Writer {
    /// Opens a folder that holds no evidence yet, or makes it: for what does not go on from a record
    /// before.
    ///
    /// # Errors
    /// [`EvidenceError::Taken`], and as [`Writer::open`].
    pub fn fresh(folder: &Path) -> Result<Writer, EvidenceError> {
        let (writer, before) = Writer::open(folder)?;
        if before.records.is_empty() { Ok(writer) } else { Err(EvidenceError::Taken(folder.to_path_buf())) }
    }

    /// Opens (or makes) a run folder. Returns what it already holds.
    pub fn open(folder: &Path) -> Result<(Writer, Contents), EvidenceError> {
        let io = |path: &Path| {
            let path = path.to_path_buf();
            move |source| EvidenceError::Io { path, source }
        };
        std::fs::create_dir_all(folder).map_err(io(folder))?;
        let lock_path = folder.join("lock");
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path).map_err(io(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(EvidenceError::Locked(folder.to_path_buf())),
            Err(std::fs::TryLockError::Error(e)) => return Err(io(&lock_path)(e)),
        }
        let path = folder.join(FILE);
        // A new file beside it would hide what it holds.
        let packed = folder.join(format!("{FILE}.gz"));
        if packed.exists() && !path.exists() {
            return Err(EvidenceError::Packed(packed));
        }
        let contents = if path.exists() { read(&path)? } else { Contents::default() };
        let file = Appender::open(&path, contents.torn).map_err(io(&path))?;
        Ok((Writer { path, file, _lock: lock }, contents))
    }

    /// Appends a record. A result is also pushed to the disk itself.
    pub fn append(&mut self, record: &Record) -> Result<(), EvidenceError> {
        let io = |source| EvidenceError::Io { path: self.path.clone(), source };
        self.file.append(record, matches!(record, Record::Result(_) | Record::Audit(_))).map_err(io)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn gap(i: usize) -> Record {
        Record::Gap(GapRecord {
            op: "gemm".into(),
            problem: format!("m={i}"),
            variant: "v".into(),
            reason: "r\n\"q\"".into(),
        })
    }

    #[test]
    fn records_read_back_in_order() {
        let folder = tempfile::tempdir().unwrap();
        {
            let (mut w, before) = Writer::open(folder.path()).unwrap();
            assert!(before.records.is_empty());
            (0..5).for_each(|i| w.append(&gap(i)).unwrap());
        }
        let (mut w, before) = Writer::open(folder.path()).unwrap();
        assert_eq!(before.records, (0..5).map(gap).collect::<Vec<_>>());
        w.append(&gap(5)).unwrap();
        assert_eq!(read(folder.path()).unwrap().records.len(), 6);
    }

    #[test]
    fn two_writers_at_once_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let _first = Writer::open(folder.path()).unwrap();
        let error = Writer::open(folder.path()).err().unwrap().to_string();
        assert!(error.contains("in use by another tune"), "{error}");
    }

    #[test]
    fn packed_evidence_is_not_shadowed_by_a_new_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("evidence.jsonl.gz"), "").unwrap();
        let error = Writer::open(folder.path()).err().unwrap().to_string();
        assert!(error.contains("evidence.jsonl.gz is packed"), "{error}");
        assert!(!folder.path().join(FILE).exists());
    }

    #[test]
    fn a_malformed_line_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), "{\"kind\":\"gap\"}\n").unwrap();
        let error = read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("evidence.jsonl:1:") && error.contains("op"), "{error}");
    }

    proptest! {
        /// A kill in the middle of a write: every whole record survives, and writing goes on.
        #[test]
        fn a_torn_write_loses_at_most_the_last_record(count in 1usize..6, cut in 0usize..200) {
            let folder = tempfile::tempdir().unwrap();
            {
                let (mut w, _) = Writer::open(folder.path()).unwrap();
                (0..count).for_each(|i| w.append(&gap(i)).unwrap());
            }
            let path = folder.path().join(FILE);
            let bytes = std::fs::read(&path).unwrap();
            let keep = bytes.len() - cut.min(bytes.len());
            std::fs::write(&path, &bytes[..keep]).unwrap();
            let whole = bytes[..keep].iter().filter(|b| **b == b'\n').count();
            let (mut w, before) = Writer::open(folder.path()).unwrap();
            prop_assert_eq!(before.records.len(), whole);
            w.append(&gap(99)).unwrap();
            let after = read(folder.path()).unwrap();
            prop_assert_eq!((after.records.len(), after.torn), (whole + 1, 0));
        }

        #[test]
        fn any_bytes_are_an_error_or_records(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(Path::new("x"), &bytes);
        }
    }
}
