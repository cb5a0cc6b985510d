//! The timer: device events around graph replays, cold and hot, with a self-test.
//!
//! *Cold*: launches rotate through input sets that together are at least twice the last-level
//! cache, so that a set has left the cache before it is used again; where sets are too small for
//! that, or one sample covers only part of the rotation, the cache is flushed before each sample and
//! no set repeats within it. *Hot*: one set.

mod bench;
mod roofline;
mod sets;
mod spin;

pub use bench::Bench;
pub use roofline::{floor_us, roofline_us};
pub use sets::Sets;

use crate::awake::held_awake;
use crate::evidence::{TelemetryRecord, TimerRecord};
use kernelsmith_device::{Device, DeviceError, DeviceId, Graph, Queue};
use kernelsmith_kernels::facts::Target;

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

/// Whether kernels run on the CPU's cores: its own, or those of a software adapter.
fn on_cores(device: &Device) -> bool {
    device.id() == DeviceId::Cpu || device.facts().adapter.software
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

/// What an adapter's stamps and a launch may take, µs: an H200 through Vulkan takes 7.
const MOST_OVERHEAD_US: f64 = 10.0;

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

    /// A timer whose times nobody publishes: for the gate, and for attacks, on a machine that may be busy.
    pub(crate) fn without_self_test(device: &Device) -> Self {
        Timer { device: device.clone(), blocker: None, awake: None, record: TimerRecord::default() }
    }

    /// The queue that is timed.
    pub(crate) fn queue(&self) -> Queue {
        self.device.queue()
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
        if slow && counts {
            return self.beside_the_host();
        }
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

    /// A software adapter's self-test. Its kernels run on cores that others use too, so that a number of rounds
    /// takes another time from one moment to the next: each replay is measured by stamps and by the host's clock
    /// at once. Both must agree on how much longer a long one takes than a short one, within 3 %; and what the
    /// stamps leave out, submitting and waking the host, must be what they leave out of an empty one, within
    /// 12 % of the replay.
    fn beside_the_host(&mut self) -> Result<(), TimerError> {
        let round_ns = Some(self.round_ns()?);
        self.record.empty_us = self.median_of(&self.busy(0, 16, round_ns)?, 9)? / 16.0;
        let graphs = [(0, 1), (2_000_000, 1), (20_000_000, 1), (2_000_000, 4)]
            .map(|(nanoseconds, launches)| self.busy(nanoseconds, launches, round_ns));
        let graphs = graphs.into_iter().collect::<Result<Vec<Graph>, _>>()?;
        let mut reason = String::new();
        for _ in 0..3 {
            // Turn → graph → (host's clock, stamps), µs.
            let mut turns = Vec::new();
            for _ in 0..9 {
                let both = graphs.iter().map(|graph| {
                    let start = std::time::Instant::now();
                    let stamps = self.time(graph)?;
                    Ok((start.elapsed().as_secs_f64() * 1e6, stamps))
                });
                turns.push(both.collect::<Result<Vec<(f64, f64)>, DeviceError>>()?);
            }
            let median = |of: &dyn Fn(&[(f64, f64)]) -> f64| {
                crate::stats::median(&turns.iter().map(|turn| of(turn)).collect::<Vec<f64>>())
            };
            let longer = median(&|t| (t[2].1 - t[1].1) / (t[2].0 - t[1].0)) - 1.0;
            let left_out = [1, 2, 3].map(|i| median(&|t| ((t[i].0 - t[i].1) - (t[0].0 - t[0].1)) / t[i].0));
            for i in 1..graphs.len() {
                // Less what the host's clock takes for an empty one: the stamps never count that.
                let (host, stamps) = (median(&|t| t[i].0 - (t[0].0 - t[0].1)), median(&|t| t[i].1));
                self.record.checks.push(((host * 1e3) as i64, stamps));
            }
            if longer.abs() < 0.03 && left_out.iter().all(|share| share.abs() < 0.12) {
                return Ok(());
            }
            reason = format!(
                "what takes longer by the host's clock is measured {:.1} % off, and {:.0}, {:.0} and {:.0} % of \
                 replays are left out",
                longer * 100.0,
                left_out[0] * 100.0,
                left_out[1] * 100.0,
                left_out[2] * 100.0
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
