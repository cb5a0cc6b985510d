//! The measuring side: one device, one piece of work at a time. It runs inside a worker process.

use crate::evidence::{TelemetryRecord, Verdict};
use crate::gate::{self, Fixture, Outcome};
use crate::inspection::{LARGE_SET, Trick, inspect};
use crate::peer::{Peer, PeerError, PeerReport};
use crate::timer::{Bench, HOT_SHARE, Mode, Sets, Timer, TimerError, floor_us};
use crate::work::Work;
use kernelsmith_core::Problem;
use kernelsmith_core::inputs::{Inputs, hash};
use kernelsmith_core::ops::OracleBudget;
use kernelsmith_device::{Device, DeviceError, Executable};
use kernelsmith_kernels::{Candidate, Catalogue};
use serde::{Deserialize, Serialize};
use std::cell::OnceCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Outcome of screening one candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Screened {
    pub verdict: Verdict,
    pub detail: Option<String>,
    pub max_error_over_bound: Option<f64>,
    pub samples_us: Vec<f64>,
    pub launches_per_sample: usize,
    pub source_hash: Option<String>,
    pub registers: Option<u32>,
    pub spill_bytes: Option<u32>,
    pub telemetry: TelemetryRecord,
    pub seconds: f64,
}

impl Screened {
    /// A verdict with nothing measured.
    pub fn failed(verdict: Verdict, detail: String) -> Self {
        Screened {
            verdict,
            detail: Some(detail),
            max_error_over_bound: None,
            samples_us: Vec::new(),
            launches_per_sample: 0,
            source_hash: None,
            registers: None,
            spill_bytes: None,
            telemetry: TelemetryRecord::default(),
            seconds: 0.0,
        }
    }
}

/// Outcome of a race in one mode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Raced {
    /// Contender → block → µs a launch; the peers that took part come after the contenders.
    pub samples_us: Vec<Vec<f64>>,
    pub peers: Vec<PeerReport>,
    /// Peers that did not, and why.
    pub left_out: Vec<String>,
    /// Contenders whose timed launches were wrong or implausible, and why.
    pub disqualified: Vec<(usize, Verdict, String)>,
    pub launches_per_sample: usize,
    pub sets: usize,
    pub set_bytes: usize,
    pub flushed: bool,
    pub telemetry: TelemetryRecord,
}

/// A device with its timer, and what is prepared for the work at hand.
pub struct BenchSession {
    device: Device,
    catalogue: Catalogue,
    timer: Timer,
    state: Option<State>,
    /// External programs that raced before; they stay, for their libraries take long to load.
    peers: Vec<Peer>,
}

struct State {
    work: Work,
    /// Of the short gate; made when something is screened.
    fixtures: OnceCell<Vec<Fixture>>,
    sets: Sets,
}

/// Samples of a screening at least and at most.
const SCREEN_SAMPLES: (usize, usize) = (3, 7);
/// Time that screening samples may take beyond the least.
const SCREEN_TIME: Duration = Duration::from_millis(40);
/// A candidate this much slower than the best so far is sampled once.
const HOPELESS: f64 = 4.0;

impl BenchSession {
    /// Opens the timer; refuses where its self-test fails.
    pub fn new(device: Device, catalogue: Catalogue) -> Result<Self, TimerError> {
        let timer = Timer::new(&device)?;
        Ok(BenchSession { device, catalogue, timer, state: None, peers: Vec::new() })
    }

    /// A session whose times nobody publishes: for the gate, and for attacks on the timer.
    pub(crate) fn untimed(device: Device, catalogue: Catalogue) -> Self {
        let timer = Timer::without_self_test(&device);
        BenchSession { device, catalogue, timer, state: None, peers: Vec::new() }
    }

    pub fn timer(&self) -> &Timer {
        &self.timer
    }

    pub fn device(&self) -> &Device {
        &self.device
    }

    fn prepare_state(&mut self, work: &Work) -> Result<(), DeviceError> {
        if self.state.as_ref().is_some_and(|s| s.work == *work) {
            return Ok(());
        }
        self.state = None;
        let need = 2 * work.buffer_bytes();
        let total = self.device.facts().memory_bytes.max(0) as usize;
        // 0 is unknown: what does not fit is then refused when it is allocated.
        if total > 0 && need > total {
            return Err(DeviceError::OutOfMemory {
                device: self.device.id().to_string(),
                requested: need,
                live: 0,
                held: 0,
                total,
            });
        }
        // Another problem's buffers are of other sizes: give them back first.
        self.device.trim();
        let sets = Sets::new(&self.device, work)?;
        self.state = Some(State { work: work.clone(), fixtures: OnceCell::new(), sets });
        Ok(())
    }

    /// The short gate and a short cold timing.
    pub fn screen(&mut self, problem: &Problem, candidate: &Candidate, best_us: Option<f64>) -> Screened {
        let start = Instant::now();
        let mut out = match self.try_screen(problem, candidate, best_us) {
            Ok(out) => out,
            Err(error) => Screened::failed(gate::verdict_of(&error), error.to_string()),
        };
        out.seconds = start.elapsed().as_secs_f64();
        out
    }

    fn try_screen(
        &mut self,
        problem: &Problem,
        candidate: &Candidate,
        best_us: Option<f64>,
    ) -> Result<Screened, DeviceError> {
        let work = Work::from(problem.clone());
        let executable = Arc::new(Executable::prepare(&self.device, &self.catalogue, candidate, problem)?);
        self.prepare_state(&work)?;
        let Some(state) = &self.state else { return Ok(Screened::failed(Verdict::Launch, "no state".to_string())) };
        let (registers, spill_bytes) = compiler_facts(executable.compiler_log());
        let mut out = Screened {
            source_hash: Some(executable.source_hash().to_string()),
            registers,
            spill_bytes,
            ..Screened::failed(Verdict::Ok, String::new())
        };
        out.detail = None;
        let mut error: f64 = 0.0;
        if state.fixtures.get().is_none() {
            let made = |f: &Inputs| Fixture::new(&self.device, problem, *f, OracleBudget::default(), false);
            let fixtures = gate::screen(problem).iter().map(made).collect::<Result<Vec<_>, _>>()?;
            let _ = state.fixtures.set(fixtures);
        }
        for fixture in state.fixtures.get().into_iter().flatten() {
            let outcome = fixture.check(&self.device, &executable);
            error = error.max(outcome.max_error_over_bound);
            if outcome.verdict != Verdict::Ok {
                (out.verdict, out.detail) = (outcome.verdict, outcome.detail);
                out.max_error_over_bound = error.is_finite().then_some(error);
                return Ok(out);
            }
        }
        out.max_error_over_bound = Some(error);
        let mut bench = Bench::new(&self.timer, std::slice::from_ref(&executable), &state.sets)?;
        out.launches_per_sample = bench.cold_launches;
        let hopeless = best_us.is_some_and(|best| bench.estimate_us > HOPELESS * best.max(1.0));
        let start = Instant::now();
        while out.samples_us.len() < SCREEN_SAMPLES.0
            || (out.samples_us.len() < SCREEN_SAMPLES.1 && start.elapsed() < SCREEN_TIME)
        {
            out.samples_us.push(bench.sample(&self.timer, &state.sets, Mode::Cold)?);
            if hopeless {
                break;
            }
        }
        out.telemetry = self.timer.telemetry();
        if let Some(reason) = implausible(&out.samples_us, floor_us(&self.device, &work, Mode::Cold)) {
            (out.verdict, out.detail) = (Verdict::Implausible, Some(reason));
            out.samples_us.clear();
        } else if let Err(reason) = bench.check(&self.timer, &state.sets)? {
            let trick = inspect(&self.timer, &bench, &state.sets)?;
            (out.verdict, out.detail) = (Verdict::Wrong, Some(named(trick, reason)));
            out.samples_us.clear();
        }
        Ok(out)
    }

    /// The full gate.
    pub fn gate(&self, problem: &Problem, candidate: &Candidate, brief: bool) -> Outcome {
        let gate = if brief { gate::brief } else { gate::full };
        gate(&self.device, &self.catalogue, candidate, problem)
    }

    /// A paired, interleaved race: each block runs every contender once, in random order, on
    /// freshly poisoned outputs. A contender is one candidate for each step of the work.
    pub fn race(
        &mut self,
        work: &Work,
        contenders: &[Vec<Candidate>],
        peers: &[String],
        mode: Mode,
        budget: Duration,
        seed: u64,
    ) -> Result<Raced, DeviceError> {
        self.prepare_state(work)?;
        let (mut entered, mut left_out) = (Vec::new(), Vec::new());
        for command in peers {
            match self.enter(command, work, mode) {
                Ok(peer) => entered.push(peer),
                Err(error) => left_out.push(error.to_string()),
            }
        }
        let raced = self.race_beside(work, contenders, &mut entered, mode, budget, seed);
        self.peers.extend(entered.into_iter().map(|(peer, _)| peer));
        raced.map(|raced| Raced { left_out, ..raced })
    }

    /// A peer that is ready for the work, and what was found when it was checked.
    fn enter(&mut self, command: &str, work: &Work, mode: Mode) -> Result<(Peer, PeerReport), PeerError> {
        let [problem] = work.steps() else {
            let reason = "a chain of problems".to_string();
            return Err(PeerError::Unsupported { command: command.to_string(), reason });
        };
        let mut peer = match self.peers.iter().position(|p| p.command() == command) {
            Some(at) => self.peers.swap_remove(at),
            None => Peer::start(command)?,
        };
        let cache = self.device.facts().l2_bytes.max(1) as usize;
        let entered = peer.prepare(&self.device.id().to_string(), problem, mode, (2 * cache, cache / HOT_SHARE));
        let report = entered.and_then(|name| Ok(PeerReport { name, error_over_bound: peer.check(problem)? }));
        match report {
            Ok(report) => Ok((peer, report)),
            // It said no: the next problem may suit it.
            Err(error @ PeerError::Unsupported { .. }) => {
                self.peers.push(peer);
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// The race itself, with the peers that are ready for it.
    fn race_beside(
        &mut self,
        work: &Work,
        contenders: &[Vec<Candidate>],
        peers: &mut [(Peer, PeerReport)],
        mode: Mode,
        budget: Duration,
        seed: u64,
    ) -> Result<Raced, DeviceError> {
        let Some(state) = &self.state else {
            return Err(DeviceError::NotOffered { what: work.to_string(), reason: "no state".into() });
        };
        let sets = &state.sets;
        let mut benches = Vec::new();
        for steps in contenders {
            let prepare =
                |(c, p): (&Candidate, &Problem)| Executable::prepare(&self.device, &self.catalogue, c, p).map(Arc::new);
            let executables = steps.iter().zip(work.steps()).map(prepare).collect::<Result<Vec<_>, _>>()?;
            benches.push(Bench::new(&self.timer, &executables, sets)?);
        }
        let mut out = Raced {
            samples_us: vec![Vec::new(); benches.len() + peers.len()],
            peers: peers.iter().map(|(_, report)| report.clone()).collect(),
            left_out: Vec::new(),
            disqualified: Vec::new(),
            launches_per_sample: benches.iter().map(|b| b.launches(mode)).max().unwrap_or(0),
            sets: sets.len(),
            set_bytes: sets.bytes,
            flushed: benches.iter().any(|b| b.flushed),
            telemetry: TelemetryRecord::default(),
        };
        // One contender's flush or none: what another left in the cache is no one's advantage.
        benches.iter_mut().for_each(|b| b.flushed = out.flushed);
        let floor = floor_us(&self.device, work, mode);
        let start = Instant::now();
        let mut block = 0u64;
        // Comparing large inputs would take the race's time: the inspection does it after the race.
        let small = sets.bytes / sets.len().max(1) <= LARGE_SET;
        // Those that spoil the inputs of all others.
        let mut stopped: Vec<usize> = Vec::new();
        // One extra block warms everything and is thrown away.
        while block <= MIN_BLOCKS || (block <= MAX_BLOCKS && start.elapsed() < budget) {
            let mut order: Vec<usize> = (0..benches.len() + peers.len()).collect();
            for i in (1..order.len()).rev() {
                order.swap(i, (hash(seed ^ block, i as u64) % (i as u64 + 1)) as usize);
            }
            for &c in &order {
                if stopped.contains(&c) {
                    continue;
                }
                if let Some(peer) = c.checked_sub(benches.len()) {
                    let (peer, report) = &mut peers[peer];
                    let failed =
                        |e: PeerError| DeviceError::Launch { what: report.name.clone(), reason: e.to_string() };
                    let us = peer.sample().map_err(failed)?;
                    if block > 0 {
                        out.samples_us[c].push(us);
                    }
                    continue;
                }
                let us = benches[c].sample(&self.timer, sets, mode)?;
                if block > 0 {
                    out.samples_us[c].push(us);
                }
                // The first, and later ones at random: a contender cannot know which are checked.
                let look = block == 0 || hash(seed ^ 0xc4ec, block * 64 + c as u64).is_multiple_of(8);
                if look && !out.disqualified.iter().any(|d| d.0 == c) {
                    let checked = benches[c].check(&self.timer, sets)?;
                    let blamed = block == 0 && small;
                    let queue = self.device.queue();
                    let changed = |bench: &Bench| sets.changed_input(&queue, bench.checked_set()).map(|c| c.is_some());
                    let restore = || (0..sets.len()).try_for_each(|set| sets.restore(&queue, set));
                    if (blamed || checked.is_err()) && changed(&benches[c])? {
                        restore()?;
                        // It may have been another, when that one was screened or made ready: who does
                        // it again on inputs that are right is to blame.
                        if blamed {
                            benches[c].sample(&self.timer, sets, mode)?;
                        }
                        if blamed && changed(&benches[c])? {
                            restore()?;
                            out.disqualified.push((c, Verdict::Wrong, Trick::ChangedInput.to_string()));
                            stopped.push(c);
                        }
                    } else if let Err(reason) = checked {
                        out.disqualified.push((c, Verdict::Wrong, reason));
                    }
                }
            }
            block += 1;
        }
        for (c, samples) in out.samples_us.iter().enumerate() {
            if let Some(reason) = implausible(samples, floor) {
                out.disqualified.push((c, Verdict::Implausible, reason));
            }
        }
        out.telemetry = self.timer.telemetry();
        // After the last sample: the inspection writes other inputs.
        for (c, bench) in benches.iter().enumerate().filter(|(c, _)| !stopped.contains(c)) {
            let Some(trick) = inspect(&self.timer, bench, sets)? else { continue };
            match out.disqualified.iter_mut().find(|d| d.0 == c) {
                Some((_, _, reason)) => *reason = named(Some(trick), std::mem::take(reason)),
                None => out.disqualified.push((c, Verdict::Wrong, trick.to_string())),
            }
        }
        Ok(out)
    }
}

/// A reason with the trick that explains it, if one does.
fn named(trick: Option<Trick>, reason: String) -> String {
    trick.map_or(reason.clone(), |trick| format!("{trick} ({reason})"))
}

/// Blocks of a race at least and at most.
const MIN_BLOCKS: u64 = 15;
const MAX_BLOCKS: u64 = 60;

/// Why samples cannot be true, if they cannot.
fn implausible(samples: &[f64], floor: f64) -> Option<String> {
    let bad = samples.iter().find(|t| !t.is_finite() || **t <= 0.0);
    if let Some(t) = bad {
        return Some(format!("a sample of {t} µs"));
    }
    let median = crate::stats::median(samples);
    (median < floor).then(|| format!("{median:.3} µs is below the floor of {floor:.3} µs"))
}

#[cfg(feature = "cuda")]
fn compiler_facts(log: &str) -> (Option<u32>, Option<u32>) {
    if log.is_empty() {
        return (None, None);
    }
    let r = kernelsmith_device::cuda::compile::resources(log);
    (Some(r.registers), Some(r.spill_bytes))
}

#[cfg(not(feature = "cuda"))]
fn compiler_facts(_log: &str) -> (Option<u32>, Option<u32>) {
    (None, None)
}
