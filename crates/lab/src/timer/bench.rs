//! One executable ready to be timed: its graphs, and the samples of them.

use super::{Mode, Sets, Timer, on_cores};
use crate::secret;
use kernelsmith_device::{Buffer, Device, DeviceError, DeviceId, Executable, Graph};
use std::sync::Arc;

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
        let single = queue.capture_dependent(sets.launches(0, steps))?;
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
            queue.capture_dependent((0..cold_launches).flat_map(pick).collect())
        };
        let cold = (0..groups).map(group).collect::<Result<Vec<_>, _>>()?;
        let end = |_| {
            queue.capture_dependent(
                (sets.len() - wanted.min(sets.len())..sets.len()).flat_map(|s| sets.launches(s, steps)).collect(),
            )
        };
        let cold_end = (cold.len() == 1).then_some(()).map(end).transpose()?;
        let hot_outputs = sets.hot_outputs(&timer.device, hot_launches)?;
        let into = |j: usize| sets.launches_into(&hot_outputs[j % hot_outputs.len()], steps);
        let hot = queue.capture_dependent((0..hot_launches).flat_map(into).collect())?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::Work;
    use kernelsmith_core::Problem;
    use kernelsmith_kernels::facts::Target;
    use kernelsmith_kernels::{Candidate, Catalogue, Config, manifest};

    fn cpu() -> Device {
        Device::open(DeviceId::Cpu).unwrap()
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
}
