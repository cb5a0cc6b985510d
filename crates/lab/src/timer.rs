//! The timer: device events around graph replays, cold and hot, with a self-test.
//!
//! *Cold*: launches rotate through input sets that together are at least twice the last-level
//! cache, so that a set has left the cache before it is used again; where sets are too small for
//! that, or one sample covers only part of the rotation, the cache is flushed before each sample and
//! no set repeats within it. *Hot*: one set.

use crate::awake::held_awake;
use crate::evidence::{TelemetryRecord, TimerRecord};
use crate::secret;
use crate::work::Work;
use kernelsmith_core::inputs::Inputs;
use kernelsmith_core::ops::OracleBudget;
use kernelsmith_core::reference::Reference;
use kernelsmith_core::{HostArray, Operand, Problem};
use kernelsmith_device::{Buffer, Device, DeviceError, DeviceId, Executable, Graph, Queue};
use kernelsmith_kernels::facts::Target;
use kernelsmith_kernels::{Candidate, Catalogue, Config, manifest};
use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// Cold or hot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Cold,
    Hot,
}

impl Mode {
    pub const ALL: [Mode; 2] = [Mode::Cold, Mode::Hot];

    pub fn name(self) -> &'static str {
        match self {
            Mode::Cold => "cold",
            Mode::Hot => "hot",
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum TimerError {
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error("the timer's self-test failed on {device}: {reason}; no time from it can be trusted")]
    SelfTest { device: String, reason: String },
}

/// Outputs of hot launches may take up this share of the last-level cache: one part in so many.
pub const HOT_SHARE: usize = 8;

/// Sets at most: more would only cost memory for graph nodes.
const MAX_SETS: usize = 512;

/// Work of more operations for each byte of a set than this is not worth a rotation through a very
/// large cache, but this many sets and a flush.
const LONG_INTENSITY: f64 = 16.0;
const LONG_SETS: usize = 16;

/// Bytes of sets and flush together that are aimed at on a device with a very large cache.
const MOST_BYTES: usize = 1 << 30;

/// Input sets that cold launches rotate through.
pub struct Sets {
    /// Set → step → operands.
    operands: Vec<Vec<Vec<Buffer>>>,
    /// Set → step → seeds of the input operands (0 where an operand is the step before's output).
    seeds: Vec<Vec<Vec<u64>>>,
    /// What the output of a set must be, once it was asked for: inputs stay as they are.
    references: Vec<OnceLock<Reference>>,
    /// Elements of those.
    kept: AtomicUsize,
    work: Work,
    pub bytes: usize,
    /// Whether the sets together are twice the cache.
    rotates: bool,
    /// Written before a cold sample where rotation is not enough; made on first use.
    flush: OnceLock<Buffer>,
    flush_bytes: usize,
}

impl Sets {
    /// Fresh random inputs: enough sets for cold timing, at least two.
    pub fn new(device: &Device, work: &Work) -> Result<Self, DeviceError> {
        let one: usize = work.steps().iter().flat_map(|p| p.operands()).map(|o| o.bytes()).sum();
        let goal = 2 * device.facts().l2_bytes.max(1) as usize;
        // A rotation of long launches is not covered by one sample, hence flushed: more sets would
        // only cost a large cache's worth of random numbers.
        let long = goal > MOST_BYTES / 2 && work.flops() > LONG_INTENSITY * one as f64;
        let most = if long { LONG_SETS } else { MAX_SETS };
        let count = goal.div_ceil(one.max(1)).clamp(2, most);
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get()).min(count);
        let some =
            |t: usize| (t..count).step_by(threads).map(|_| fill_set(device, work)).collect::<Result<Vec<_>, _>>();
        let filled: Vec<Result<Vec<FilledSet>, DeviceError>> = std::thread::scope(|s| {
            let handles: Vec<_> = (0..threads).map(|t| s.spawn(move || some(t))).collect();
            let join =
                |h: std::thread::ScopedJoinHandle<'_, _>| h.join().unwrap_or_else(|p| std::panic::resume_unwind(p));
            handles.into_iter().map(join).collect()
        });
        let (mut operands, mut seeds) = (Vec::new(), Vec::new());
        for (buffers, set_seeds) in filled.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten() {
            operands.push(buffers);
            seeds.push(set_seeds);
        }
        let bytes = one * count;
        let rotates = bytes >= goal;
        // Rotation has done most of it already: where memory is short, once the cache will do.
        let flush_bytes = if rotates { goal.min((goal / 2).max(MOST_BYTES.saturating_sub(bytes))) } else { goal };
        let references = (0..count).map(|_| OnceLock::new()).collect();
        Ok(Sets {
            operands,
            seeds,
            references,
            kept: AtomicUsize::new(0),
            work: work.clone(),
            bytes,
            rotates,
            flush: OnceLock::new(),
            flush_bytes,
        })
    }

    /// Overwrites the cache.
    fn flush(&self, queue: &Queue) -> Result<(), DeviceError> {
        if self.flush.get().is_none() {
            let buffer = queue.device().alloc(self.flush_bytes)?;
            // Memory that was never written is slow the first time.
            queue.fill(&buffer, 0)?;
            let _ = self.flush.set(buffer);
        }
        self.flush.get().map_or(Ok(()), |buffer| queue.fill(buffer, secret::poison()))
    }

    pub fn len(&self) -> usize {
        self.operands.len()
    }

    pub fn is_empty(&self) -> bool {
        self.operands.is_empty()
    }

    pub fn is_flushed(&self) -> bool {
        !self.rotates
    }

    /// Overwrites every output, so that what a timed launch leaves is its own.
    pub fn poison(&self, queue: &Queue) -> Result<(), DeviceError> {
        let byte = secret::poison();
        let outputs = self.operands.iter().flatten().filter_map(|step| step.last());
        outputs.into_iter().try_for_each(|output| queue.fill(output, byte))
    }

    /// The input buffers of a set that are no step's output, with what was written to them.
    pub(crate) fn inputs(&self, set: usize) -> Vec<(Buffer, Operand, u64)> {
        let mut out = Vec::new();
        for (s, problem) in self.work.steps().iter().enumerate() {
            let (buffers, seeds) = (&self.operands[set][s], &self.seeds[set][s]);
            let inputs = problem.inputs().into_iter().zip(buffers.iter().cloned().zip(seeds.iter().copied()));
            out.extend(inputs.filter(|(_, (_, seed))| *seed != 0).map(|(o, (buffer, seed))| (buffer, o, seed)));
        }
        out
    }

    /// The name of an input of the set that is not what was written to it, if there is one.
    pub fn changed_input(&self, queue: &Queue, set: usize) -> Result<Option<String>, DeviceError> {
        for (buffer, operand, seed) in self.inputs(set) {
            let wrote = operand.fill(Inputs::Normal, seed);
            let mut now = HostArray::zeros(operand.dtype, wrote.len());
            queue.read(&buffer, 0, now.as_bytes_mut())?;
            if now.as_bytes() != wrote.as_bytes() {
                return Ok(Some(operand.name));
            }
        }
        Ok(None)
    }

    /// Writes the inputs of a set again.
    pub fn restore(&self, queue: &Queue, set: usize) -> Result<(), DeviceError> {
        for (buffer, operand, seed) in self.inputs(set) {
            queue.write(&buffer, 0, operand.fill(Inputs::Normal, seed).as_bytes())?;
        }
        Ok(())
    }

    /// The last step's output of a set.
    pub(crate) fn output(&self, set: usize) -> Option<&Buffer> {
        self.operands[set].last().and_then(|step| step.last())
    }

    pub fn work(&self) -> &Work {
        &self.work
    }

    /// The launches of one set.
    pub(crate) fn launches(&self, set: usize, steps: &[Arc<Executable>]) -> Vec<(Arc<Executable>, Vec<Buffer>)> {
        steps.iter().cloned().zip(self.operands[set].iter().cloned()).collect()
    }

    /// The launches of the first set, with another buffer for the last step's output.
    fn launches_into(&self, output: &Buffer, steps: &[Arc<Executable>]) -> Vec<(Arc<Executable>, Vec<Buffer>)> {
        let mut launches = self.launches(0, steps);
        if let Some(last) = launches.last_mut().and_then(|(_, operands)| operands.last_mut()) {
            *last = output.clone();
        }
        launches
    }

    /// Outputs for `launches` hot launches, one each while they are a small part of the cache.
    fn hot_outputs(&self, device: &Device, launches: usize) -> Result<Vec<Buffer>, DeviceError> {
        let bytes = self.work.steps().last().map_or(0, |p| p.output().bytes()).max(1);
        let fit = device.facts().l2_bytes.max(1) as usize / HOT_SHARE / bytes;
        (0..launches.min(fit).max(1)).map(|_| device.alloc(bytes)).collect()
    }

    /// Keeps what a set's output must be, while there is room and it follows from the set alone.
    fn keep(&self, set: usize, reference: Reference) -> Cow<'_, Reference> {
        let elements = reference.positions.len();
        if self.work.is_chain() || self.kept.fetch_add(elements, Ordering::Relaxed) + elements > MOST_KEPT {
            return Cow::Owned(reference);
        }
        Cow::Borrowed(self.references[set].get_or_init(|| reference))
    }

    /// Checks what timed launches left in one set's outputs, each step on what it really read.
    /// `last` is where the last step's output went, if not to the set's own.
    pub fn check(&self, queue: &Queue, set: usize, last: Option<&Buffer>) -> Result<Result<(), String>, DeviceError> {
        let budget = OracleBudget { full_flops: 2e8, samples: 1024 };
        let mut carried: Option<HostArray> = None;
        for (s, problem) in self.work.steps().iter().enumerate() {
            let made = |previous: Option<HostArray>| {
                let mut arrays: Vec<HostArray> = problem
                    .inputs()
                    .iter()
                    .zip(&self.seeds[set][s])
                    .map(|(o, seed)| o.fill(Inputs::Normal, *seed))
                    .collect();
                if let Some(previous) = previous {
                    arrays[0] = previous;
                }
                let refs: Vec<&HostArray> = arrays.iter().collect();
                problem.reference(&refs, Inputs::Normal, budget)
            };
            // A race asks for the same again and again, and the oracle takes far longer than a launch.
            let kept = self.references[set].get();
            let reference = match kept {
                Some(reference) => Cow::Borrowed(reference),
                None => self.keep(set, made(carried.take())),
            };
            let output = problem.output();
            let mut got = HostArray::zeros(output.dtype, output.layout.span());
            let own = self.operands[set][s].last();
            if let Some(buffer) = last.filter(|_| s + 1 == self.work.steps().len()).or(own) {
                queue.read(buffer, 0, got.as_bytes_mut())?;
            }
            let comparison = reference.compare(&got, &output.layout);
            if !comparison.passes() {
                return Ok(Err(format!(
                    "a timed launch left a wrong result: {}",
                    comparison.worst.unwrap_or_default()
                )));
            }
            carried = Some(got);
        }
        Ok(Ok(()))
    }
}

/// Step → operands, and step → seeds of the inputs.
type FilledSet = (Vec<Vec<Buffer>>, Vec<Vec<u64>>);

/// One set of fresh inputs.
fn fill_set(device: &Device, work: &Work) -> Result<FilledSet, DeviceError> {
    let (mut set, mut seeds): FilledSet = (Vec::new(), Vec::new());
    for problem in work.steps() {
        let carried = set.last().and_then(|step| step.last()).cloned();
        let (buffers, step_seeds) = fill_step(device, problem, carried)?;
        set.push(buffers);
        seeds.push(step_seeds);
    }
    Ok((set, seeds))
}

/// Fresh inputs for one step; `carried` takes the place of its first operand.
fn fill_step(
    device: &Device,
    problem: &Problem,
    carried: Option<Buffer>,
) -> Result<(Vec<Buffer>, Vec<u64>), DeviceError> {
    let queue = device.queue();
    let (mut buffers, mut seeds) = (Vec::new(), Vec::new());
    for (i, operand) in problem.inputs().iter().enumerate() {
        if let (0, Some(buffer)) = (i, &carried) {
            buffers.push(buffer.clone());
            seeds.push(0);
            continue;
        }
        let seed = secret::seed();
        let array = operand.fill(Inputs::Normal, seed);
        let buffer = device.alloc(operand.bytes())?;
        queue.write(&buffer, 0, array.as_bytes())?;
        buffers.push(buffer);
        seeds.push(seed);
    }
    buffers.push(device.alloc(problem.output().bytes())?);
    Ok((buffers, seeds))
}

/// One executable ready to be timed.
pub struct Bench {
    cold: Vec<Graph>,
    /// The end of the rotation, where one sample covers all of it: replayed untimed before it.
    cold_end: Option<Graph>,
    hot: Graph,
    pub cold_launches: usize,
    pub hot_launches: usize,
    /// Time of a launch as first seen, warm, µs.
    pub estimate_us: f64,
    /// Whether the cache is flushed before a cold sample.
    pub flushed: bool,
    cursor: usize,
    /// Outputs of the hot launches, in turn: each launch must be right, not only one of them.
    hot_outputs: Vec<Buffer>,
    /// What is looked at after the last sample: a set, and an output where it was a hot one.
    last: (usize, Option<Buffer>),
    steps: Vec<Arc<Executable>>,
}

/// Whether kernels run on the CPU's cores: its own, or those of a software adapter.
fn on_cores(device: &Device) -> bool {
    device.id() == DeviceId::Cpu || device.facts().adapter.software
}

/// Elements of outputs that are kept with what they must be, 24 bytes each.
const MOST_KEPT: usize = 1 << 23;

/// Length of a timed sample that is aimed at, µs.
fn target_us(device: &Device) -> f64 {
    if on_cores(device) { 3000.0 } else { 150.0 }
}

/// Length that a sample may have where it then covers the whole rotation, µs: a flush costs as much.
fn longest_us(device: &Device) -> f64 {
    if on_cores(device) { 150_000.0 } else { 600.0 }
}

impl Bench {
    /// Warms up, estimates the time of a launch and records the graphs. `steps` has one
    /// executable for each step of the work.
    pub fn new(timer: &Timer, steps: &[Arc<Executable>], sets: &Sets) -> Result<Self, DeviceError> {
        let queue = timer.device.queue();
        let single = queue.capture(sets.launches(0, steps))?;
        queue.replay(&single)?;
        queue.synchronize()?;
        let estimate = (0..2).map(|_| timer.time(&single)).collect::<Result<Vec<f64>, _>>()?;
        let estimate_us = estimate.into_iter().fold(f64::INFINITY, f64::min).max(0.3);
        let wanted = (target_us(&timer.device) / estimate_us).ceil() as usize;
        // A rotation that one sample does not cover is shared with other contenders, which leave
        // its next sets in the cache: a flush then. Covering it is better where that is cheap.
        let covers = sets.rotates && sets.len() as f64 * estimate_us <= longest_us(&timer.device);
        let cold_launches = if covers { sets.len() } else { wanted.clamp(1, sets.len()) };
        let flushed = !sets.rotates || cold_launches < sets.len();
        let hot_launches = wanted.clamp(1, 256);
        // Rotation holds at least as many launches as sets; the last group wraps around.
        let groups = sets.len().div_ceil(cold_launches);
        let group = |g: usize| {
            let pick = |j: usize| sets.launches((g * cold_launches + j) % sets.len(), steps);
            queue.capture((0..cold_launches).flat_map(pick).collect())
        };
        let cold = (0..groups).map(group).collect::<Result<Vec<_>, _>>()?;
        let end = |_| {
            queue.capture(
                (sets.len() - wanted.min(sets.len())..sets.len()).flat_map(|s| sets.launches(s, steps)).collect(),
            )
        };
        let cold_end = (cold.len() == 1).then_some(()).map(end).transpose()?;
        let hot_outputs = sets.hot_outputs(&timer.device, hot_launches)?;
        let into = |j: usize| sets.launches_into(&hot_outputs[j % hot_outputs.len()], steps);
        let hot = queue.capture((0..hot_launches).flat_map(into).collect())?;
        let last = (0, None);
        Ok(Bench {
            cold,
            cold_end,
            hot,
            cold_launches,
            hot_launches,
            estimate_us,
            flushed,
            cursor: 0,
            hot_outputs,
            last,
            steps: steps.to_vec(),
        })
    }

    /// One sample, µs a launch.
    pub fn sample(&mut self, timer: &Timer, sets: &Sets, mode: Mode) -> Result<f64, DeviceError> {
        let queue = timer.device.queue();
        let group = self.cursor % self.cold.len();
        let graph = match mode {
            Mode::Cold => &self.cold[group],
            Mode::Hot => &self.hot,
        };
        if timer.device.id() == DeviceId::Cpu {
            // After a pause cores sleep and threads must find their places again: an untimed
            // replay first. Cold rotation stays as long: what was just used comes last.
            timer.device.settle();
            let before = match mode {
                Mode::Cold => match &self.cold_end {
                    Some(end) => end,
                    None => &self.cold[(self.cursor + self.cold.len() - 1) % self.cold.len()],
                },
                Mode::Hot => &self.hot,
            };
            queue.replay(before)?;
        }
        let any = secret::seed() as usize;
        if mode == Mode::Cold {
            self.cursor += 1;
            self.last = ((group * self.cold_launches + any % self.cold_launches) % sets.len(), None);
        } else {
            self.last = (0, Some(self.hot_outputs[any % self.hot_outputs.len()].clone()));
        }
        // After the untimed replay: what is checked later is what the timed launches wrote.
        sets.poison(&queue)?;
        let byte = secret::poison();
        self.hot_outputs.iter().try_for_each(|output| queue.fill(output, byte))?;
        if mode == Mode::Cold && self.flushed {
            sets.flush(&queue)?;
        }
        Ok(timer.time(graph)? / self.launches(mode) as f64)
    }

    /// The executables, one for each step of the work.
    pub(crate) fn steps(&self) -> &[Arc<Executable>] {
        &self.steps
    }

    /// The set that the last sample is checked on.
    pub fn checked_set(&self) -> usize {
        self.last.0
    }

    /// Checks one launch of the last sample, picked at random.
    pub fn check(&self, timer: &Timer, sets: &Sets) -> Result<Result<(), String>, DeviceError> {
        sets.check(&timer.device.queue(), self.last.0, self.last.1.as_ref())
    }

    pub fn launches(&self, mode: Mode) -> usize {
        match mode {
            Mode::Cold => self.cold_launches,
            Mode::Hot => self.hot_launches,
        }
    }
}

/// A timer that has passed its self-test.
pub struct Timer {
    device: Device,
    /// Keeps a GPU busy while the sample's commands are queued behind it, where they go off one by one.
    blocker: Option<Graph>,
    /// What holds an adapter's clock.
    awake: Option<Device>,
    pub record: TimerRecord,
}

const SPIN: &str = r#"
[[variant]]
name = "spin_cpu"
about = "busy for a known time"
target = "cpu"
source = "spin"
params = { NANOSECONDS = [0, 30000, 60000, 260000, 1000000, 3000000] }
default = { NANOSECONDS = 60000 }
[[variant]]
name = "spin_cuda"
about = "busy for a known time"
target = "cuda"
source = "spin.cu"
params = { NANOSECONDS = [0, 30000, 60000, 260000, 1000000, 3000000] }
default = { NANOSECONDS = 60000 }
[[variant.launch]]
entry = "spin"
grid = "1"
block = "1"
args = []
"#;

const SPIN_CUDA: &str = r#"
__device__ __forceinline__ unsigned long long now() {
    unsigned long long t;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(t));
    return t;
}
extern "C" __global__ void spin() {
    if (NANOSECONDS == 0) return;
    const unsigned long long start = now();
    while (now() - start < NANOSECONDS) { }
}
"#;

/// WGSL has no clock: the kernel counts, and what a round takes is measured by the host's clock. A round
/// is many steps, since a driver may end loops after 65535 iterations.
const SPIN_WGSL: &str = r#"
@compute @workgroup_size(1)
fn spin() {
    var x = u32(args.m) + args.zero;
    for (var i = 0u; i < ROUNDS; i++) { STEPS }
    if (x == 0u) { store_d(0, Acc(0)); }
}
"#;

/// One step of a round: each needs the one before it.
const STEP: &str = "x = (x ^ (x >> 15u)) * 1664525u + i; ";

/// What an adapter's stamps and a launch may take, µs: an H200 through Vulkan takes 7.
const MOST_OVERHEAD_US: f64 = 10.0;

/// Rounds of the two spins that a round's time is taken from.
const ROUNDS: [i64; 2] = [4_000, 20_000];

impl Timer {
    /// Makes a timer and tests it against kernels of known duration.
    ///
    /// # Errors
    /// [`TimerError::SelfTest`] where a known duration is not measured as what it is.
    pub fn new(device: &Device) -> Result<Self, TimerError> {
        let mut timer = Timer { awake: held_awake(device), ..Timer::without_self_test(device) };
        timer.record.clock_held = timer.awake.is_some();
        timer.self_test()?;
        Ok(timer)
    }

    /// A timer whose times nobody publishes: for attacks on it, on a machine that may be busy.
    pub(crate) fn without_self_test(device: &Device) -> Self {
        Timer { device: device.clone(), blocker: None, awake: None, record: TimerRecord::default() }
    }

    /// The queue that is timed.
    pub(crate) fn queue(&self) -> Queue {
        self.device.queue()
    }

    /// A kernel that counts so many rounds, for adapters.
    fn count(&self, rounds: i64, launches: usize) -> Result<Graph, DeviceError> {
        let read = |name: &str| (name == "spin.wgsl").then(|| SPIN_WGSL.replace("STEPS", &STEP.repeat(64)));
        let manifest = format!(
            r#"
[[variant]]
name = "spin_wgsl"
about = "busy for a known number of rounds"
target = "wgsl"
source = "spin.wgsl"
params = {{ ROUNDS = [{rounds}] }}
default = {{ ROUNDS = {rounds} }}
[[variant.launch]]
entry = "spin"
grid = "1"
block = "1"
args = [{{ matrix = "a" }}, {{ matrix = "b" }}, {{ matrix = "c" }}, {{ matrix = "d" }}, {{ i32 = "m" }}, {{ acc = "alpha" }}]
"#
        );
        self.repeat(&manifest, &read, "spin_wgsl", ("ROUNDS", rounds), launches)
    }

    /// Nanoseconds of a round by the host's clock: the difference of two spins, each at its fastest.
    fn round_ns(&self) -> Result<f64, DeviceError> {
        let graphs = [self.count(ROUNDS[0], 1)?, self.count(ROUNDS[1], 1)?];
        let mut best = [f64::INFINITY; 2];
        let queue = self.device.queue();
        queue.synchronize()?;
        for _ in 0..9 {
            for (graph, best) in graphs.iter().zip(&mut best) {
                let start = std::time::Instant::now();
                queue.replay(graph)?;
                queue.synchronize()?;
                *best = best.min(start.elapsed().as_secs_f64() * 1e9);
            }
        }
        Ok((best[1] - best[0]) / (ROUNDS[1] - ROUNDS[0]) as f64)
    }

    /// A graph of launches that are busy for a known time. `round_ns` is what a round of counting takes.
    fn busy(&self, nanoseconds: i64, launches: usize, round_ns: Option<f64>) -> Result<Graph, DeviceError> {
        match round_ns {
            Some(ns) => self.count((nanoseconds as f64 / ns) as i64, launches),
            None => self.spin(nanoseconds, launches),
        }
    }

    fn spin(&self, nanoseconds: i64, launches: usize) -> Result<Graph, DeviceError> {
        let read = |name: &str| (name == "spin.cu").then(|| SPIN_CUDA.to_string());
        let name = match self.device.facts().target {
            Target::Cpu => "spin_cpu",
            _ => "spin_cuda",
        };
        self.repeat(SPIN, &read, name, ("NANOSECONDS", nanoseconds), launches)
    }

    /// A graph of launches of one kernel of the timer's own, with its one parameter.
    fn repeat(
        &self,
        manifest: &str,
        read: &dyn Fn(&str) -> Option<String>,
        name: &str,
        (parameter, value): (&str, i64),
        launches: usize,
    ) -> Result<Graph, DeviceError> {
        let variants = manifest::parse("gemm", "the timer's kernel", manifest, read)
            .map_err(kernelsmith_kernels::CatalogueError::from)?;
        let catalogue = Catalogue::builtin()?.with(variants);
        let problem = Problem::parse("gemm", "m=1,n=1,k=1,dtype=f32")
            .map_err(|e| DeviceError::NotOffered { what: "the timer's kernel".to_string(), reason: e.to_string() })?;
        let config = Config::new([(parameter.to_string(), value)]);
        let candidate = Candidate { variant: name.to_string(), config };
        let executable = Arc::new(Executable::prepare(&self.device, &catalogue, &candidate, &problem)?);
        let operands = kernelsmith_device::executable::allocate_operands(&self.device, &problem)?;
        self.device.queue().capture((0..launches).map(|_| (executable.clone(), operands.clone())).collect())
    }

    /// Microseconds that one replay takes.
    pub fn time(&self, graph: &Graph) -> Result<f64, DeviceError> {
        let queue = self.device.queue();
        if let Some(blocker) = &self.blocker {
            queue.replay(blocker)?;
        } else if self.device.facts().target == Target::Wgsl && !on_cores(&self.device) {
            // Nothing promises that a stamp waits for earlier submissions as a launch does: what fills left
            // to do must not be counted. Both stamps and the launches go off together.
            queue.synchronize()?;
        }
        let start = queue.record()?;
        queue.replay(graph)?;
        let end = queue.record()?;
        end.us_since(&start)
    }

    fn median_of(&self, graph: &Graph, samples: usize) -> Result<f64, DeviceError> {
        self.time(graph)?;
        let times = (0..samples).map(|_| self.time(graph)).collect::<Result<Vec<_>, _>>()?;
        Ok(crate::stats::median(&times))
    }

    /// Measures known durations: each alone, their difference, and four launches in one graph.
    fn self_test(&mut self) -> Result<(), TimerError> {
        let slow = on_cores(&self.device);
        let counts = self.device.facts().target == Target::Wgsl;
        let (short, long) = if slow { (1_000_000, 3_000_000) } else { (60_000, 260_000) };
        let mut round_ns = if counts { Some(self.round_ns()?) } else { None };
        if !slow && !counts {
            self.blocker = Some(self.busy(30_000, 1, round_ns)?);
        }
        self.record.empty_us = self.median_of(&self.busy(0, 16, round_ns)?, 9)? / 16.0;
        // A shared machine can lose its core for a while: three tries, all recorded.
        let mut reason = String::new();
        for attempt in 0..3 {
            let mut us = Vec::new();
            if counts && attempt > 0 {
                round_ns = Some(self.round_ns()?);
            }
            for (nanoseconds, launches) in [(short, 1), (long, 1), (short, 4)] {
                let measured = self.median_of(&self.busy(nanoseconds, launches, round_ns)?, 9)?;
                self.record.checks.push((nanoseconds * launches as i64, measured));
                us.push(measured);
            }
            let want = (long - short) as f64 / 1e3;
            let error = (us[1] - us[0]) / want - 1.0;
            let single = us[0] / (short as f64 / 1e3) - 1.0;
            let four = us[2] / (4.0 * short as f64 / 1e3) - 1.0;
            // Stamps, barriers and launches take their time, an adapter's more than CUDA's: it counts against
            // everyone alike.
            let most = if counts { (MOST_OVERHEAD_US * 1e3 / short as f64).max(0.12) } else { 0.12 };
            if error.abs() < 0.03 && (-0.01..most).contains(&single) && (-0.01..0.12).contains(&four) {
                return Ok(());
            }
            reason = format!(
                "{:.0} µs measured as {:.1}, {:.0} µs as {:.1}, four of {:.0} µs as {:.1}",
                short as f64 / 1e3,
                us[0],
                long as f64 / 1e3,
                us[1],
                short as f64 / 1e3,
                us[2]
            );
        }
        Err(TimerError::SelfTest { device: self.device.id().to_string(), reason })
    }

    pub fn telemetry(&self) -> TelemetryRecord {
        let t = self.device.telemetry();
        let throttled = matches!((t.clock_mhz, t.clock_max_mhz), (Some(now), Some(max)) if now < 0.75 * max);
        TelemetryRecord {
            clock_mhz: t.clock_mhz,
            clock_max_mhz: t.clock_max_mhz,
            temperature_c: t.temperature_c,
            power_w: t.power_w,
            throttled,
        }
    }
}

/// The least time a launch can take, µs: its flops, and when cold its bytes, at the device's peak.
/// Generous where peaks are not known: a floor catches impossible times, it ranks nothing.
pub fn floor_us(device: &Device, work: &Work, mode: Mode) -> f64 {
    work.steps().iter().map(|p| step_floor_us(device, p, mode)).sum()
}

fn step_floor_us(device: &Device, problem: &Problem, mode: Mode) -> f64 {
    let facts = device.facts();
    let dtype = problem.output().dtype;
    let unknown = if facts.target == Target::Wgsl && !facts.adapter.software { 2e13 } else { 2e12 };
    let bandwidth = if facts.memory_bandwidth > 0.0 { 1.1 * facts.memory_bandwidth } else { unknown };
    let flops = match facts.target {
        // 64 f32 flops a cycle and core at 6 GHz; matrix units would be above that.
        Target::Cpu => facts.threads as f64 * 6e9 * 64.0 * (8.0 / dtype.bytes() as f64),
        Target::Wgsl if facts.adapter.software => facts.threads as f64 * 6e9 * 64.0 * (8.0 / dtype.bytes() as f64),
        // No API tells a GPU's peak: a bound that none reaches.
        Target::Wgsl => 4e15,
        // Dense tensor rate of one multiprocessor at 2 GHz (Hopper), for every dtype.
        _ if is_fp8(problem) => facts.sms as f64 * 2e9 * 8192.0,
        _ => facts.sms as f64 * 2e9 * 4096.0 * (2.0 / dtype.bytes() as f64).min(1.0),
    };
    let memory = if mode == Mode::Cold { problem.bytes() / bandwidth } else { 0.0 };
    memory.max(problem.flops() / flops) * 1e6
}

/// Whether it multiplies eight-bit floats.
fn is_fp8(problem: &Problem) -> bool {
    problem.inputs().iter().any(|o| o.dtype.is_fp8())
}

/// Time at the roofline, µs, where the device's peak is known.
pub fn roofline_us(device: &Device, work: &Work) -> Option<f64> {
    work.steps().iter().map(|p| step_roofline_us(device, p)).sum()
}

fn step_roofline_us(device: &Device, problem: &Problem) -> Option<f64> {
    let facts = device.facts();
    if facts.memory_bandwidth <= 0.0 || facts.target == Target::Cpu {
        return None;
    }
    let compute = |word: &str| {
        problem.variables().iter().any(|(n, v)| n == "compute" && *v == kernelsmith_core::Var::Text(word.into()))
    };
    // Hopper, flops a cycle and multiprocessor: dense tensor for 8-bit, 16-bit, tf32 and six products of parts
    // of f32, FMA otherwise.
    let rate = match problem.output().dtype.bytes() {
        _ if is_fp8(problem) => 8192.0,
        2 => 4096.0,
        4 if compute("tf32") => 2048.0,
        4 if compute("f32x3") => 4096.0 / 6.0,
        4 => 256.0,
        _ => 256.0,
    };
    let flops = facts.sms as f64 * 1.83e9 * rate;
    Some((problem.bytes() / facts.memory_bandwidth).max(problem.flops() / flops) * 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpu() -> Device {
        Device::open(DeviceId::Cpu).unwrap()
    }

    #[test]
    fn rotation_is_twice_the_cache_or_the_cache_is_flushed() {
        let device = cpu();
        let cache = device.facts().l2_bytes as usize;
        for text in ["m=4,n=4,k=4,dtype=f32", "m=256,n=256,k=256,dtype=f32"] {
            let problem = Problem::parse("gemm", text).unwrap();
            let sets = Sets::new(&device, &Work::from(problem.clone())).unwrap();
            assert!(sets.len() >= 2);
            assert!(sets.bytes >= 2 * cache || sets.is_flushed(), "{text}: {} bytes", sets.bytes);
        }
    }

    #[test]
    fn a_cold_rotation_holds_as_many_launches_as_sets() {
        let device = cpu();
        // The self-test may fail on a busy machine, and is not what is tested here.
        let timer = Timer::without_self_test(&device);
        let problem = Problem::parse("gemm", "m=64,n=64,k=64,dtype=f32").unwrap();
        let catalogue = Catalogue::builtin().unwrap();
        let variant = catalogue.variant("gemm", Target::Cpu, "gemm_crate").unwrap();
        let config = variant.fallback(&problem, device.facts()).unwrap().unwrap();
        let candidate = Candidate { variant: "gemm_crate".into(), config };
        let executable = Arc::new(Executable::prepare(&device, &catalogue, &candidate, &problem).unwrap());
        let sets = Sets::new(&device, &Work::from(problem.clone())).unwrap();
        let mut bench = Bench::new(&timer, &[executable], &sets).unwrap();
        assert!(bench.cold.len() * bench.cold_launches >= sets.len());
        assert!(bench.cold_launches <= sets.len(), "a set repeats within a sample");
        assert!(bench.sample(&timer, &sets, Mode::Cold).unwrap() > 0.0);
        assert_eq!(bench.check(&timer, &sets).unwrap(), Ok(()));
        sets.poison(&device.queue()).unwrap();
        assert!(sets.check(&device.queue(), 0, None).unwrap().is_err(), "poison passed for a result");
    }

    #[test]
    fn every_launch_of_a_hot_sample_must_be_right() {
        let device = cpu();
        let timer = Timer::without_self_test(&device);
        let problem = Problem::parse("gemm", "m=8,n=8,k=8,dtype=f32").unwrap();
        let text = "[[variant]]\nname = \"once\"\nabout = \"x\"\ntarget = \"cpu\"\nsource = \"fault_skips_repeats\"\n";
        let catalogue = Catalogue::builtin().unwrap().with(manifest::parse("gemm", "m", text, &|_| None).unwrap());
        let candidate = Candidate { variant: "once".into(), config: Config::new([]) };
        let executable = Arc::new(Executable::prepare(&device, &catalogue, &candidate, &problem).unwrap());
        let sets = Sets::new(&device, &Work::from(problem)).unwrap();
        let mut bench = Bench::new(&timer, &[executable], &sets).unwrap();
        let wrong = (0..40).any(|_| {
            bench.sample(&timer, &sets, Mode::Hot).unwrap();
            bench.check(&timer, &sets).unwrap().is_err()
        });
        assert!(wrong, "only the first launch of each sample did any work");
    }

    #[test]
    fn the_floor_grows_with_work() {
        let device = cpu();
        let at = |t: &str| floor_us(&device, &Work::parse("gemm", t).unwrap(), Mode::Cold);
        assert!(at("m=1024,n=1024,k=1024,dtype=f32") > at("m=64,n=64,k=64,dtype=f32"));
    }
}
