//! What the tuning process and its worker say to each other: one JSON value a line. The
//! worker's lines start with a mark, so that what a library prints is not taken for an answer.

use crate::bench_session::{Raced, Screened};
use crate::evidence::{TimerRecord, Verdict};
use crate::gate_test::clean::Cleaned;
use kernelsmith_kernels::DeviceFacts;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Start of each answer's line.
pub const MARK: &str = "kernelsmith:";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Request {
    /// Must come first, except before `Compile`, `Inject`, `Clean` and `Attack`.
    Open {
        device: String,
        kernels: Option<PathBuf>,
        /// Only for the gate: the timer is not tested, and what would be timed is refused.
        #[serde(default)]
        untimed: bool,
    },
    /// Compiles into the cache on disk. Needs no device.
    Compile {
        facts: Box<DeviceFacts>,
        kernels: Option<PathBuf>,
        op: String,
        problem: String,
        candidates: Vec<String>,
    },
    Screen {
        op: String,
        problem: String,
        candidate: String,
        best_us: Option<f64>,
    },
    Gate {
        op: String,
        problem: String,
        candidate: String,
        /// The short gate alone.
        brief: bool,
    },
    /// The full gate on a kernel with a planted fault, or where `sound` on the kernel as it ships.
    /// Needs no `Open`: nothing is timed.
    Inject {
        device: String,
        fault: String,
        sound: bool,
    },
    /// Random problems on which nothing may be found. Needs no `Open`.
    Clean {
        device: String,
        op: Option<String>,
        seed: u64,
        count: usize,
    },
    /// A race of an attack on the timer with an honest kernel. Needs no `Open`.
    Attack {
        device: String,
        name: String,
    },
    /// Contenders are lists of candidates, one a step; peers are command lines of programs.
    Race {
        op: String,
        problem: String,
        contenders: Vec<Vec<String>>,
        peers: Vec<String>,
        mode: String,
        budget_ms: u64,
        seed: u64,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    Opened {
        facts: DeviceFacts,
        timer: TimerRecord,
    },
    Compiled {
        warnings: Vec<String>,
    },
    Screened {
        result: Screened,
    },
    Gated {
        verdict: Verdict,
        detail: Option<String>,
        max_error_over_bound: f64,
        checks: usize,
        skipped: usize,
    },
    Cleaned {
        result: Cleaned,
    },
    /// Why the attack, and the honest kernel beside it, were disqualified, if they were.
    Attacked {
        verdict: Verdict,
        detail: Option<String>,
        honest: Option<String>,
    },
    Raced {
        result: Raced,
    },
    /// The request could not be done; the worker goes on.
    Refused {
        reason: String,
    },
}
