//! Dispatch: from a problem to the launch of its tuned winner.
//!
//! A problem's first launch looks the table up, checks capability and staleness and prepares the
//! winner; every later one is a hash look-up and a launch.

use crate::device::{Buffer, Device};
use crate::error::{DeviceError, Result};
use crate::executable::{Executable, source_hash};
use crate::queue::Queue;
use kernelsmith_core::Problem;
use kernelsmith_kernels::tuned::{Match, TunedEntry, TunedTable};
use kernelsmith_kernels::{Candidate, Catalogue};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Why a candidate was picked or passed over.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// The candidate runs the problem.
    Picked { problem: String, candidate: String, why: String },
    /// An entry of the tuned table was made with another source, driver or toolchain.
    Stale { problem: String, candidate: String, changed: &'static str },
    /// The candidate could not be prepared or launched; the next one took over.
    Failed { problem: String, candidate: String, reason: String },
}

struct Picked {
    problem: Problem,
    executable: Arc<Executable>,
    /// Why this candidate.
    why: String,
    /// Candidates that failed on this problem.
    failed: Vec<Candidate>,
}

/// Routes problems to their winners on one device.
pub struct Dispatcher {
    device: Device,
    catalogue: Arc<Catalogue>,
    table: TunedTable,
    picked: RwLock<HashMap<u64, Vec<Picked>>>,
    reports: Mutex<Vec<Report>>,
}

/// The timing mode whose winners run.
pub const MODE: &str = "cold";

impl Dispatcher {
    pub fn new(device: Device, catalogue: Arc<Catalogue>, table: TunedTable) -> Self {
        Dispatcher { device, catalogue, table, picked: RwLock::default(), reports: Mutex::default() }
    }

    /// Runs `problem` on its tuned winner. Operands are in the order of `problem.operands()`.
    ///
    /// # Errors
    /// What the last candidate failed with, once every one has.
    pub fn run(&self, queue: &Queue, problem: &Problem, operands: &[Buffer]) -> Result<()> {
        loop {
            let executable = self.executable(problem)?;
            match executable.launch(queue, operands) {
                Err(error @ DeviceError::Launch { .. }) => self.set_aside(problem, executable.candidate(), error)?,
                other => return other,
            }
        }
    }

    /// The executable that runs `problem`, made on first use.
    pub fn executable(&self, problem: &Problem) -> Result<Arc<Executable>> {
        let key = problem.fingerprint();
        {
            let picked = self.picked.read().unwrap_or_else(PoisonError::into_inner);
            let found = picked.get(&key).and_then(|list| list.iter().find(|p| p.problem.same_as(problem)));
            if let Some(found) = found {
                return Ok(found.executable.clone());
            }
        }
        let (executable, why) = self.pick(problem, &[])?;
        self.remember(key, problem, executable.clone(), why, Vec::new());
        Ok(executable)
    }

    /// The candidate that runs `problem`, and why it does.
    pub fn explain(&self, problem: &Problem) -> Result<(String, String)> {
        let executable = self.executable(problem)?;
        let picked = self.picked.read().unwrap_or_else(PoisonError::into_inner);
        let list = picked.get(&problem.fingerprint()).map(Vec::as_slice).unwrap_or_default();
        let why = list.iter().find(|p| p.problem.same_as(problem)).map(|p| p.why.clone()).unwrap_or_default();
        Ok((executable.candidate().to_string(), why))
    }

    fn remember(&self, key: u64, problem: &Problem, executable: Arc<Executable>, why: String, failed: Vec<Candidate>) {
        let mut picked = self.picked.write().unwrap_or_else(PoisonError::into_inner);
        let list = picked.entry(key).or_default();
        list.retain(|p| !p.problem.same_as(problem));
        list.push(Picked { problem: problem.clone(), executable, why, failed });
    }

    /// Moves a problem on to its next candidate after a failed launch.
    fn set_aside(&self, problem: &Problem, candidate: &Candidate, error: DeviceError) -> Result<()> {
        self.report(Report::Failed {
            problem: problem.text(),
            candidate: candidate.to_string(),
            reason: error.to_string(),
        });
        let key = problem.fingerprint();
        let mut failed = {
            let picked = self.picked.read().unwrap_or_else(PoisonError::into_inner);
            let found = picked.get(&key).and_then(|list| list.iter().find(|p| p.problem.same_as(problem)));
            found.map(|p| p.failed.clone()).unwrap_or_default()
        };
        failed.push(candidate.clone());
        let Ok((executable, why)) = self.pick(problem, &failed) else { return Err(error) };
        self.remember(key, problem, executable, why, failed);
        Ok(())
    }

    /// What dispatch has done so far; reading it empties it.
    pub fn take_reports(&self) -> Vec<Report> {
        std::mem::take(&mut *self.reports.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn report(&self, report: Report) {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).push(report);
    }

    fn pick(&self, problem: &Problem, failed: &[Candidate]) -> Result<(Arc<Executable>, String)> {
        let mut last = None;
        let attempt = |candidate: &Candidate, why: String, last: &mut Option<DeviceError>| match Executable::prepare(
            &self.device,
            &self.catalogue,
            candidate,
            problem,
        ) {
            Ok(executable) => {
                let report =
                    Report::Picked { problem: problem.text(), candidate: candidate.to_string(), why: why.clone() };
                self.report(report);
                Some((Arc::new(executable), why))
            }
            Err(error) => {
                let (problem, candidate) = (problem.text(), candidate.to_string());
                self.report(Report::Failed { problem, candidate, reason: error.to_string() });
                *last = Some(error);
                None
            }
        };
        for choice in self.table.lookup(problem, MODE) {
            if failed.contains(&choice.candidate) {
                continue;
            }
            // A near entry may not fit this problem; that is no failure.
            if self.catalogue.admit(&choice.candidate, problem, self.device.facts()).is_err() {
                continue;
            }
            if let Some(changed) = self.changed(choice.entry, &choice.candidate) {
                let (problem, candidate) = (problem.text(), choice.candidate.to_string());
                self.report(Report::Stale { problem, candidate, changed });
                continue;
            }
            let why = match choice.how {
                Match::Exact => "tuned for this problem".to_string(),
                Match::Near(distance) => {
                    format!("tuned for {} ({distance:.2} powers of two away)", choice.entry.problem)
                }
            };
            if let Some(picked) = attempt(&choice.candidate, why, &mut last) {
                return Ok(picked);
            }
        }
        let (able, _) = self.catalogue.capable(problem, self.device.facts())?;
        // Manifests list variants best first.
        for variant in able {
            let Some(config) = variant.fallback(problem, self.device.facts())? else { continue };
            let candidate = Candidate { variant: variant.name.clone(), config };
            if failed.contains(&candidate) {
                continue;
            }
            if let Some(picked) = attempt(&candidate, "default: nothing tuned is near".to_string(), &mut last) {
                return Ok(picked);
            }
        }
        Err(last.unwrap_or_else(|| DeviceError::NotOffered {
            what: problem.to_string(),
            reason: format!("no variant on {} takes it", self.device.id()),
        }))
    }

    /// What changed since the entry was made, if anything did.
    fn changed(&self, entry: &TunedEntry, candidate: &Candidate) -> Option<&'static str> {
        let facts = self.device.facts();
        if entry.driver != facts.driver {
            return Some("driver");
        }
        if entry.toolchain != facts.toolchain {
            return Some("toolchain");
        }
        // The entry's own problem: its prelude is part of the hash. What cannot be told is stale.
        let hash = Problem::parse(&entry.op, &entry.problem).ok().and_then(|problem| {
            let variant = self.catalogue.variant(&entry.op, facts.target, &candidate.variant).ok()?;
            source_hash(&self.catalogue, variant, candidate, &problem, &self.device).ok()
        });
        (hash.as_ref() != Some(&entry.source_hash)).then_some("source")
    }
}
