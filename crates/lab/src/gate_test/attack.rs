//! Attacks on the timer: kernels that pass the gate and seem faster than they are. Each must be caught
//! and named.

use super::FaultError;
use crate::bench_session::BenchSession;
use crate::evidence::Verdict;
use crate::inspection::Trick;
use crate::protocol::Answer;
use crate::timer::Mode;
use crate::work::Work;
use kernelsmith_core::Problem;
use kernelsmith_device::{Device, DeviceError};
use kernelsmith_kernels::{Candidate, Catalogue, CatalogueError, Config, manifest};
use std::time::Duration;

/// One attack, a function that `crates/device/src/cpu/attacks.rs` registers, and what it must be called.
#[derive(Clone, Copy, Debug)]
pub struct Attack {
    pub name: &'static str,
    pub trick: Trick,
}

/// The attacks there are. They run on the CPU, whose kernels may do what a kernel on a GPU cannot.
pub const ATTACKS: &[Attack] = &[
    Attack { name: "another_thread", trick: Trick::Elsewhere },
    Attack { name: "another_stream", trick: Trick::Elsewhere },
    Attack { name: "late_when_fresh", trick: Trick::Elsewhere },
    Attack { name: "cached_result", trick: Trick::CachedResult },
    Attack { name: "folded_calls", trick: Trick::FoldedCalls },
    Attack { name: "memoised_address", trick: Trick::MemoisedAddress },
    Attack { name: "memoised_content", trick: Trick::MemoisedContent },
    Attack { name: "needs_poison", trick: Trick::NeedsPoison },
    Attack { name: "outside_window", trick: Trick::OutsideWindow },
    Attack { name: "changes_input", trick: Trick::ChangedInput },
];

/// Long enough that a launch cannot end before its output is looked at.
const PROBLEM: &str = "m=192,n=192,k=192,dtype=f32";

#[derive(Debug, thiserror::Error)]
pub enum AttackError {
    #[error("there is no attack `{0}`")]
    Unknown(String),
    #[error(transparent)]
    Fault(#[from] FaultError),
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// The built-in catalogue with the attack and an honest kernel of the same speed.
fn catalogue(name: &str) -> Result<Catalogue, FaultError> {
    let entry = |name: &str| {
        format!("[[variant]]\nname = \"{name}\"\nabout = \"planted\"\ntarget = \"cpu\"\nsource = \"attack_{name}\"\n\n")
    };
    let text = entry(name) + &entry("none");
    let variants = manifest::parse("gemm", "attacks", &text, &|_| None).map_err(CatalogueError::from)?;
    Ok(Catalogue::builtin()?.with(variants))
}

/// Screens the attack, and races it with the honest kernel where that finds nothing.
///
/// # Errors
/// A name that is no attack's, a device that fails.
pub fn run(device: &Device, name: &str) -> Result<Answer, AttackError> {
    let attack = ATTACKS.iter().find(|a| a.name == name).ok_or_else(|| AttackError::Unknown(name.to_string()))?;
    let mut session = BenchSession::untimed(device.clone(), catalogue(attack.name)?);
    let problem = Problem::parse("gemm", PROBLEM).map_err(FaultError::from)?;
    let candidate = |name: &str| Candidate { variant: name.to_string(), config: Config::new([]) };
    let screened = session.screen(&problem, &candidate(name), None);
    if screened.verdict != Verdict::Ok {
        return Ok(Answer::Attacked { verdict: screened.verdict, detail: screened.detail, honest: None });
    }
    let contenders = [vec![candidate(name)], vec![candidate("none")]];
    let raced = session.race(&Work::from(problem), &contenders, &[], Mode::Cold, Duration::from_millis(1), 1)?;
    let about = |c: usize| raced.disqualified.iter().find(|d| d.0 == c);
    Ok(Answer::Attacked {
        verdict: about(0).map_or(Verdict::Ok, |d| d.1),
        detail: about(0).map(|d| d.2.clone()),
        honest: about(1).map(|d| d.2.clone()),
    })
}
