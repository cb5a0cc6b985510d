//! The timer: device events around graph replays, cold and hot, with a self-test.
//!
//! *Cold*: launches rotate through input sets that together are at least twice the last-level
//! cache, so that a set has left the cache before it is used again; where sets are too small for
//! that, the cache is flushed before each sample and no set repeats within it. *Hot*: one set.

use crate::evidence::{TelemetryRecord, TimerRecord};
use crate::secret;
use crate::work::Work;
use kernelsmith_core::inputs::Inputs;
use kernelsmith_core::ops::OracleBudget;
use kernelsmith_core::{HostArray, Problem};
use kernelsmith_device::{Buffer, Device, DeviceError, DeviceId, Executable, Graph, Queue};
use kernelsmith_kernels::facts::Target;
use kernelsmith_kernels::{Candidate, Catalogue, Config, manifest};
use std::sync::Arc;

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

/// Sets at most: more would only cost memory for graph nodes.
const MAX_SETS: usize = 512;

/// Input sets that cold launches rotate through.
pub struct Sets {
    /// Set → step → operands.
    operands: Vec<Vec<Vec<Buffer>>>,
    /// Set → step → seeds of the input operands (0 where an operand is the step before's output).
    seeds: Vec<Vec<Vec<u64>>>,
    work: Work,
    pub bytes: usize,
    /// Whether the sets together are twice the cache.
    rotates: bool,
    /// A buffer of twice the cache, written before a cold sample where rotation is not enough.
    flush: Buffer,
}

impl Sets {
    /// Fresh random inputs: enough sets for cold timing, at least two.
    pub fn new(device: &Device, work: &Work) -> Result<Self, DeviceError> {
        let one: usize = work.steps().iter().flat_map(|p| p.operands()).map(|o| o.bytes()).sum();
        let goal = 2 * device.facts().l2_bytes.max(1) as usize;
        let count = goal.div_ceil(one.max(1)).clamp(2, MAX_SETS);
        let (mut operands, mut seeds) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let (mut set, mut set_seeds): (Vec<Vec<Buffer>>, Vec<Vec<u64>>) = (Vec::new(), Vec::new());
            for problem in work.steps() {
                let carried = set.last().and_then(|step| step.last()).cloned();
                let (buffers, step_seeds) = fill_step(device, problem, carried)?;
                set.push(buffers);
                set_seeds.push(step_seeds);
            }
            operands.push(set);
            seeds.push(set_seeds);
        }
        let bytes = one * count;
        let flush = device.alloc(goal)?;
        Ok(Sets { operands, seeds, work: work.clone(), bytes, rotates: bytes >= goal, flush })
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

    /// The launches of one set.
    fn launches(&self, set: usize, steps: &[Arc<Executable>]) -> Vec<(Arc<Executable>, Vec<Buffer>)> {
        steps.iter().cloned().zip(self.operands[set].iter().cloned()).collect()
    }

    /// Checks what timed launches left in one set's outputs, each step on what it really read.
    pub fn check(&self, queue: &Queue, set: usize) -> Result<Result<(), String>, DeviceError> {
        let budget = OracleBudget { full_flops: 2e8, samples: 1024 };
        let mut carried: Option<HostArray> = None;
        for (s, problem) in self.work.steps().iter().enumerate() {
            let mut arrays: Vec<HostArray> = problem
                .inputs()
                .iter()
                .zip(&self.seeds[set][s])
                .map(|(o, seed)| o.fill(Inputs::Normal, *seed))
                .collect();
            if let Some(previous) = carried.take() {
                arrays[0] = previous;
            }
            let refs: Vec<&HostArray> = arrays.iter().collect();
            let reference = problem.reference(&refs, Inputs::Normal, budget);
            let output = problem.output();
            let mut got = HostArray::zeros(output.dtype, output.layout.span());
            if let Some(buffer) = self.operands[set][s].last() {
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
    hot: Graph,
    pub cold_launches: usize,
    pub hot_launches: usize,
    /// Time of a launch as first seen, warm, µs.
    pub estimate_us: f64,
    cursor: usize,
    /// Sets of the last cold sample.
    last_set: usize,
}

/// Length of a timed sample that is aimed at, µs.
fn target_us(device: &Device) -> f64 {
    match device.id() {
        DeviceId::Cpu => 3000.0,
        DeviceId::Cuda(_) => 150.0,
    }
}

impl Bench {
    /// Warms up, estimates the time of a launch and records the graphs. `steps` has one
    /// executable for each step of the work.
    pub fn new(timer: &Timer, steps: &[Arc<Executable>], sets: &Sets) -> Result<Self, DeviceError> {
        let queue = timer.device.queue();
        let repeat = |launches: usize| queue.capture((0..launches).flat_map(|_| sets.launches(0, steps)).collect());
        let single = repeat(1)?;
        queue.replay(&single)?;
        queue.synchronize()?;
        let estimate = (0..2).map(|_| timer.time(&single)).collect::<Result<Vec<f64>, _>>()?;
        let estimate_us = estimate.into_iter().fold(f64::INFINITY, f64::min).max(0.3);
        let wanted = (target_us(&timer.device) / estimate_us).ceil() as usize;
        let cold_launches = wanted.clamp(1, sets.len());
        let hot_launches = wanted.clamp(1, 256);
        // Rotation holds at least as many launches as sets; the last group wraps around.
        let groups = sets.len().div_ceil(cold_launches);
        let group = |g: usize| {
            let pick = |j: usize| sets.launches((g * cold_launches + j) % sets.len(), steps);
            queue.capture((0..cold_launches).flat_map(pick).collect())
        };
        let cold = (0..groups).map(group).collect::<Result<Vec<_>, _>>()?;
        Ok(Bench { cold, hot: repeat(hot_launches)?, cold_launches, hot_launches, estimate_us, cursor: 0, last_set: 0 })
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
                Mode::Cold => &self.cold[(self.cursor + self.cold.len() - 1) % self.cold.len()],
                Mode::Hot => &self.hot,
            };
            queue.replay(before)?;
        }
        self.last_set = 0;
        if mode == Mode::Cold {
            self.cursor += 1;
            self.last_set = (group * self.cold_launches + secret::seed() as usize % self.cold_launches) % sets.len();
        }
        // After the untimed replay: what is checked later is what the timed launches wrote.
        sets.poison(&queue)?;
        if mode == Mode::Cold && self.is_flushed(sets) {
            queue.fill(&sets.flush, secret::poison())?;
        }
        Ok(timer.time(graph)? / self.launches(mode) as f64)
    }

    /// Whether cold samples need a flush: a rotation that one sample does not cover is shared
    /// with other contenders, which leave its next sets in the cache.
    pub fn is_flushed(&self, sets: &Sets) -> bool {
        sets.is_flushed() || self.cold.len() > 1
    }

    /// A set that the last sample wrote, picked at random after the fact.
    pub fn last_set(&self) -> usize {
        self.last_set
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
    /// Keeps a GPU busy while the sample's commands are queued behind it.
    blocker: Option<Graph>,
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

impl Timer {
    /// Makes a timer and tests it against kernels of known duration.
    ///
    /// # Errors
    /// [`TimerError::SelfTest`] where a known duration is not measured as what it is.
    pub fn new(device: &Device) -> Result<Self, TimerError> {
        let mut timer = Timer { device: device.clone(), blocker: None, record: TimerRecord::default() };
        timer.self_test()?;
        Ok(timer)
    }

    fn spin(&self, nanoseconds: i64, launches: usize) -> Result<Graph, DeviceError> {
        let read = |name: &str| (name == "spin.cu").then(|| SPIN_CUDA.to_string());
        let variants = manifest::parse("gemm", "the timer's kernel", SPIN, &read)
            .map_err(kernelsmith_kernels::CatalogueError::from)?;
        let catalogue = Catalogue::builtin()?.with(variants);
        let problem = Problem::parse("gemm", "m=1,n=1,k=1,dtype=f32")
            .map_err(|e| DeviceError::NotOffered { what: "the timer's kernel".to_string(), reason: e.to_string() })?;
        let name = match self.device.facts().target {
            Target::Cpu => "spin_cpu",
            _ => "spin_cuda",
        };
        let config = Config::new([("NANOSECONDS".to_string(), nanoseconds)]);
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
        let on_cpu = self.device.id() == DeviceId::Cpu;
        let (short, long) = if on_cpu { (1_000_000, 3_000_000) } else { (60_000, 260_000) };
        if !on_cpu {
            self.blocker = Some(self.spin(30_000, 1)?);
        }
        self.record.empty_us = self.median_of(&self.spin(0, 16)?, 9)? / 16.0;
        // A shared machine can lose its core for a while: three tries, all recorded.
        let mut reason = String::new();
        for _ in 0..3 {
            let mut us = Vec::new();
            for (nanoseconds, launches) in [(short, 1), (long, 1), (short, 4)] {
                let measured = self.median_of(&self.spin(nanoseconds, launches)?, 9)?;
                self.record.checks.push((nanoseconds * launches as i64, measured));
                us.push(measured);
            }
            let want = (long - short) as f64 / 1e3;
            let error = (us[1] - us[0]) / want - 1.0;
            let single = us[0] / (short as f64 / 1e3) - 1.0;
            let four = us[2] / (4.0 * short as f64 / 1e3) - 1.0;
            if error.abs() < 0.03 && (-0.01..0.12).contains(&single) && (-0.01..0.12).contains(&four) {
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
    let bandwidth = if facts.memory_bandwidth > 0.0 { 1.1 * facts.memory_bandwidth } else { 2e12 };
    let flops = match facts.target {
        // 64 f32 flops a cycle and core at 6 GHz; matrix units would be above that.
        Target::Cpu => facts.threads as f64 * 6e9 * 64.0 * (8.0 / dtype.bytes() as f64),
        // Dense tensor rate of one multiprocessor at 2 GHz (Hopper), for every dtype.
        _ => facts.sms as f64 * 2e9 * 4096.0 * (2.0 / dtype.bytes() as f64).min(1.0),
    };
    let memory = if mode == Mode::Cold { problem.bytes() / bandwidth } else { 0.0 };
    memory.max(problem.flops() / flops) * 1e6
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
    let tensor =
        problem.variables().iter().any(|(n, v)| n == "compute" && *v == kernelsmith_core::Var::Text("tf32".into()));
    // Hopper, flops a cycle and multiprocessor: dense tensor for 16-bit and tf32, FMA otherwise.
    let rate = match problem.output().dtype.bytes() {
        2 => 4096.0,
        4 if tensor => 2048.0,
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
        let timer = Timer { device: device.clone(), blocker: None, record: TimerRecord::default() };
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
        assert_eq!(sets.check(&device.queue(), bench.last_set()).unwrap(), Ok(()));
        sets.poison(&device.queue()).unwrap();
        assert!(sets.check(&device.queue(), 0).unwrap().is_err(), "poison passed for a result");
    }

    #[test]
    fn the_floor_grows_with_work() {
        let device = cpu();
        let at = |t: &str| floor_us(&device, &Work::parse("gemm", t).unwrap(), Mode::Cold);
        assert!(at("m=1024,n=1024,k=1024,dtype=f32") > at("m=64,n=64,k=64,dtype=f32"));
    }
}
