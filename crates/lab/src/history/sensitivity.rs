//! How surely the paired rule finds a slow-down, and how often it sees one that is not there.

use super::confirm::{Question, in_one};
use super::paired::{Call, Rules, judge};
use super::sides::{Patience, SideError};
use crate::client::Worker;
use crate::timer::Mode;
use crate::work::Work;
use std::path::Path;

/// A kernel that is right and takes `PERCENT` longer than `tiled` (`device/cpu/slowed.rs`). On one
/// thread, so that the figures are of the rule and not of a team's scheduling.
const MANIFEST: &str = r#"[[variant]]
name = "slowed"
about = "tiled, PERCENT of its time longer"
target = "cpu"
source = "slowed_tiled"
supports = ["compute == 'default'", "m >= 4"]
deterministic = true
params = { PERCENT = [0, 1, 2, 3, 5, 8, 10, 20], MC = [12], NC = [1024], KC = [1024], PACK_A = [0], THREADS = [1] }
default = { PERCENT = 0, MC = 12, NC = 1024, KC = 1024, PACK_A = 0, THREADS = 1 }
"#;

/// Writes the folder of kernels that holds it.
pub fn write_kernels(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder.join("gemm"))?;
    std::fs::write(folder.join("gemm/manifest.toml"), MANIFEST)
}

/// The planted kernel's name.
pub fn slowed(percent: u32) -> String {
    format!("slowed[KC=1024,MC=12,NC=1024,PACK_A=0,PERCENT={percent},THREADS=1]")
}

/// One trial: what was called, and what it took.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    pub planted: u32,
    pub call: Call,
    pub change: f64,
    pub pairs: usize,
    pub seconds: f64,
}

/// Races the kernel against itself, slowed by `percent`.
pub fn trial(
    worker: &mut Worker,
    work: &Work,
    mode: Mode,
    percent: u32,
    rules: &Rules,
    patience: &Patience,
) -> Result<Trial, SideError> {
    let start = std::time::Instant::now();
    let question = Question { work, mode, before: &slowed(0), after: &slowed(percent) };
    let pairs = in_one(worker, &question, rules, patience)?;
    let judged = judge(&pairs, rules);
    let seconds = start.elapsed().as_secs_f64();
    Ok(Trial { planted: percent, call: judged.call, change: judged.change, pairs: judged.pairs, seconds })
}
