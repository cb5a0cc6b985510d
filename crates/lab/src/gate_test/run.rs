//! The gate's test as a whole: faults, random problems and attacks in worker processes, and what came of them.

use super::attack::{ATTACKS, Attack};
use super::clean::Cleaned;
use super::{Fault, FaultError, find, kills};
use crate::client::{Untimed, WorkerCommand, WorkerError};
use crate::evidence::Verdict;
use crate::gate::{self, Outcome};
use crate::protocol::{Answer, Request};
use crate::secret;
use crate::worker::death;
use kernelsmith_device::Device;
use kernelsmith_kernels::Catalogue;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Longest that the full gate of one fault may take.
const LIMIT: Duration = Duration::from_secs(120);
/// Longest that one attack's race may take.
const ATTACK_LIMIT: Duration = Duration::from_secs(120);
/// Random problems in one request.
const BATCH: usize = 100;

/// One kernel on one problem, and what the gate said.
#[derive(Clone, Debug)]
pub struct Gated {
    pub fault: Fault,
    pub verdict: Verdict,
    pub detail: Option<String>,
}

/// What the gate found of everything that it should find, and of what it should not.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub faults: Vec<Gated>,
    /// The kernels that ship, on the faults' problems; each once.
    pub sound: Vec<Gated>,
}

/// Faults of one class in one kernel: how many were put in, and how many found.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    pub injected: usize,
    pub killed: usize,
}

impl Report {
    pub fn killed(&self) -> usize {
        self.faults.iter().filter(|g| kills(g.verdict)).count()
    }

    /// Faults that the gate let pass.
    pub fn survivors(&self) -> impl Iterator<Item = &Gated> {
        self.faults.iter().filter(|g| g.verdict == Verdict::Ok)
    }

    /// Faults that never ran: they say nothing of the gate.
    pub fn untested(&self) -> impl Iterator<Item = &Gated> {
        self.faults.iter().filter(|g| !kills(g.verdict) && g.verdict != Verdict::Ok)
    }

    /// Kernels that ship and did not pass.
    pub fn alarms(&self) -> impl Iterator<Item = &Gated> {
        self.sound.iter().filter(|g| !matches!(g.verdict, Verdict::Ok | Verdict::Unoffered))
    }

    /// By op, kernel and class.
    pub fn tallies(&self) -> BTreeMap<(&'static str, String, &'static str), Tally> {
        let mut out: BTreeMap<_, Tally> = BTreeMap::new();
        for g in &self.faults {
            let tally = out.entry((g.fault.op, g.fault.kernel.clone(), g.fault.class.name())).or_default();
            tally.injected += 1;
            tally.killed += usize::from(kills(g.verdict));
        }
        out
    }

    pub fn passes(&self) -> bool {
        self.killed() == self.faults.len() && self.alarms().next().is_none() && !self.faults.is_empty()
    }
}

/// The worker's part: the full gate on a kernel with a fault, as often as its class is given tries.
///
/// # Errors
/// A fault that does not exist, or that cannot be put into today's kernels.
pub fn inject(device: &Device, name: &str, sound: bool) -> Result<Outcome, FaultError> {
    let fault = find(device.facts(), name)?;
    let catalogue = if sound { Catalogue::builtin()? } else { fault.catalogue()? };
    let candidate = fault.candidate(&catalogue, device.facts())?;
    let problem = fault.problem()?;
    let mut outcome = gate::full(device, &catalogue, &candidate, &problem);
    for _ in 1..if sound { 1 } else { fault.class.tries() } {
        if outcome.verdict != Verdict::Ok {
            break;
        }
        outcome = gate::full(device, &catalogue, &candidate, &problem);
    }
    Ok(outcome)
}

/// Gates one fault, or the kernel that it is in, in a process that may die of it.
fn gate_one(worker: &mut Untimed, device: &str, fault: &Fault, sound: bool) -> Result<Gated, WorkerError> {
    let request = Request::Inject { device: device.to_string(), fault: fault.to_string(), sound };
    let (verdict, detail) = match worker.ask(&request, LIMIT) {
        Ok(Answer::Gated { verdict, detail, .. }) => {
            // A launch that failed may have spoilt the device for whoever comes next.
            if verdict == Verdict::Launch {
                worker.retire();
            }
            (verdict, detail)
        }
        Ok(other) => return Err(WorkerError::Answer(format!("{other:?}"))),
        Err(error @ (WorkerError::Start(_) | WorkerError::Stopped | WorkerError::Refused(_))) => return Err(error),
        Err(error) => {
            let (verdict, detail) = death(&error);
            (verdict, Some(detail))
        }
    };
    Ok(Gated { fault: fault.clone(), verdict, detail })
}

/// Calls `work` for each item on `processes` workers side by side; results in the order of the items.
fn shared<T: Sync, R: Send>(
    command: &WorkerCommand,
    processes: usize,
    items: &[T],
    work: impl Fn(&mut Untimed, &T) -> Result<R, WorkerError> + Sync,
    done: &(dyn Fn(usize) + Sync),
) -> Result<Vec<R>, WorkerError> {
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let one = || -> Result<(), WorkerError> {
        let mut worker = Untimed::new(command.clone());
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(i) else { return Ok(()) };
            let result = work(&mut worker, item)?;
            let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
            results.push((i, result));
            done(results.len());
        }
    };
    std::thread::scope(|s| {
        let handles: Vec<_> = (0..processes.clamp(1, items.len().max(1))).map(|_| s.spawn(one)).collect();
        let join = |h: std::thread::ScopedJoinHandle<'_, _>| h.join().unwrap_or_else(|p| std::panic::resume_unwind(p));
        handles.into_iter().try_for_each(join)
    })?;
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(i, _)| *i);
    Ok(results.into_iter().map(|(_, r)| r).collect())
}

/// Puts each fault into its kernel and runs the gate, and gates each kernel as it ships on the same problems.
///
/// # Errors
/// A worker that does not start, a fault that cannot be put in.
pub fn faults(
    command: &WorkerCommand,
    faults: &[Fault],
    processes: usize,
    done: &(dyn Fn(usize) + Sync),
) -> Result<Report, WorkerError> {
    // One fault stands for the kernel, problem and config that it shares with others.
    let mut kernels: BTreeMap<String, &Fault> = BTreeMap::new();
    for fault in faults {
        kernels.entry(fault.place()).or_insert(fault);
    }
    let wanted: Vec<(&Fault, bool)> =
        faults.iter().map(|f| (f, false)).chain(kernels.into_values().map(|f| (f, true))).collect();
    let gate = |worker: &mut Untimed, (fault, sound): &(&Fault, bool)| gate_one(worker, &command.device, fault, *sound);
    let mut all = shared(command, processes, &wanted, gate, done)?;
    let sound = all.split_off(faults.len());
    Ok(Report { faults: all, sound })
}

/// Gates random problems on every kernel that ships.
///
/// # Errors
/// A worker that does not start or refuses; one that dies is an alarm.
pub fn clean(
    command: &WorkerCommand,
    op: Option<&str>,
    count: usize,
    processes: usize,
    done: &(dyn Fn(usize) + Sync),
) -> Result<Cleaned, WorkerError> {
    let batches: Vec<(u64, usize)> =
        (0..count).step_by(BATCH).map(|from| (secret::seed(), BATCH.min(count - from))).collect();
    let one = |worker: &mut Untimed, (seed, count): &(u64, usize)| {
        let (device, op) = (command.device.clone(), op.map(str::to_string));
        match worker.ask(&Request::Clean { device, op, seed: *seed, count: *count }, 5 * LIMIT) {
            Ok(Answer::Cleaned { result }) => {
                // A kernel that failed may have taken the device with it.
                if !result.alarms.is_empty() {
                    worker.retire();
                }
                Ok(result)
            }
            Ok(other) => Err(WorkerError::Answer(format!("{other:?}"))),
            Err(error @ (WorkerError::Start(_) | WorkerError::Stopped)) => Err(error),
            Err(error) => {
                worker.retire();
                let alarm = format!("the problems of seed {seed}: {error}");
                Ok(Cleaned { problems: *count, checks: 0, alarms: vec![alarm], ..Cleaned::default() })
            }
        }
    };
    let mut out = Cleaned::default();
    shared(command, processes, &batches, one, done)?.into_iter().for_each(|cleaned| out.absorb(cleaned));
    Ok(out)
}

/// An attack on the timer, and what was said of it.
#[derive(Clone, Debug)]
pub struct Attacked {
    pub attack: Attack,
    pub verdict: Verdict,
    pub detail: Option<String>,
    /// Why the honest kernel beside it was disqualified, if it was.
    pub honest: Option<String>,
}

impl Attacked {
    /// Caught, under its own name, and nobody else.
    pub fn is_named(&self) -> bool {
        let name = self.attack.trick.name();
        self.verdict != Verdict::Ok && self.detail.as_ref().is_some_and(|d| d.contains(name)) && self.honest.is_none()
    }
}

/// Runs every attack, each in a process of its own: it may leave threads, or memory that it writes to.
///
/// # Errors
/// A worker that does not start.
pub fn attacks(
    command: &WorkerCommand,
    processes: usize,
    done: &(dyn Fn(usize) + Sync),
) -> Result<Vec<Attacked>, WorkerError> {
    let one = |worker: &mut Untimed, attack: &Attack| {
        let request = Request::Attack { device: command.device.clone(), name: attack.name.to_string() };
        let (verdict, detail, honest) = match worker.ask(&request, ATTACK_LIMIT) {
            Ok(Answer::Attacked { verdict, detail, honest }) => (verdict, detail, honest),
            Ok(other) => return Err(WorkerError::Answer(format!("{other:?}"))),
            Err(error @ (WorkerError::Start(_) | WorkerError::Stopped)) => return Err(error),
            Err(error) => {
                let (verdict, detail) = death(&error);
                (verdict, Some(detail), None)
            }
        };
        worker.retire();
        Ok(Attacked { attack: *attack, verdict, detail, honest })
    };
    shared(command, processes, ATTACKS, one, done)
}
