//! A cost from the problem and the device alone: the time at the roofline over what a launch's
//! geometry leaves of the device. It ranks configs; it predicts no times.

use super::prior::Source;
use kernelsmith_core::Problem;
use kernelsmith_kernels::geometry::Launch;
use kernelsmith_kernels::{Candidate, DeviceFacts, Variant};

/// Threads of a multiprocessor, and blocks (CUDA programming guide, compute capability 9.0).
const THREADS: f64 = 2048.0;
const BLOCKS: f64 = 32.0;
/// Threads of a multiprocessor from which on latencies hide, where each has several loads in flight.
const ENOUGH: f64 = 512.0;
/// What each launch adds, µs.
pub(super) const LAUNCH_US: f64 = 2.0;
/// Bytes a second where the device does not say.
const BANDWIDTH: f64 = 1e12;
/// Points beyond which geometry is not worth its time.
const MOST: usize = 4096;

/// The source for these candidates; none where no launch has a geometry, as on the CPU.
pub fn analytic(candidates: &[(&Variant, &Candidate)], problem: &Problem, facts: &DeviceFacts) -> Option<Source> {
    if candidates.len() > MOST || facts.sms <= 0 {
        return None;
    }
    let bandwidth = if facts.memory_bandwidth > 0.0 { facts.memory_bandwidth } else { BANDWIDTH };
    let roofline_us = problem.bytes() / bandwidth * 1e6;
    let cost = |(variant, candidate): &(&Variant, &Candidate)| {
        let launches = variant.launches(&candidate.config, problem, facts).ok().filter(|l| !l.is_empty())?;
        let first = launches.iter().map(|l| 1.0 / share(l, facts)).fold(0.0, f64::max);
        Some(roofline_us * first + LAUNCH_US * launches.len() as f64)
    };
    let costs: Vec<f64> = candidates.iter().map(|c| cost(c).unwrap_or(f64::NAN)).collect();
    let best = costs.iter().copied().filter(|c| !c.is_nan()).fold(f64::INFINITY, f64::min);
    let slowdown = costs.iter().map(|c| (c / best).ln()).collect();
    // Weak beside anything that was measured.
    best.is_finite().then(|| Source { name: "analytic".into(), weight: 0.2, slowdown })
}

/// The share of the device that a launch keeps busy: full waves, and threads enough to hide
/// latency.
pub(super) fn share(launch: &Launch, facts: &DeviceFacts) -> f64 {
    let count = |d: [u32; 3]| d.iter().map(|x| f64::from(*x)).product::<f64>();
    let (blocks, threads) = (count(launch.grid), count(launch.block));
    let by_shared =
        if launch.shared > 0 { (facts.shared_max as f64 / f64::from(launch.shared)).floor() } else { BLOCKS };
    let resident = (THREADS / threads).floor().min(by_shared).clamp(1.0, BLOCKS);
    let sms = facts.sms as f64;
    let waves = blocks / (sms * resident);
    let full = if waves > 1.0 { waves / waves.ceil() } else { 1.0 };
    let running = blocks.min(sms * resident) * threads;
    full * (running / (sms * ENOUGH)).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(grid: u32, block: u32, shared: u32) -> Launch {
        let (grid, block) = ([grid, 1, 1], [block, 1, 1]);
        Launch { entry: "e".into(), grid, block, cluster: None, shared, overlap: false, args: Vec::new() }
    }

    #[test]
    fn idle_multiprocessors_and_ragged_waves_cost() {
        let facts = DeviceFacts::h200();
        let of = |grid, block, shared| share(&launch(grid, block, shared), &facts);
        assert_eq!(of(132 * 4, 512, 0), 1.0);
        assert_eq!(of(66, 512, 0), 0.5, "half of the multiprocessors");
        // One block a multiprocessor: a second wave for one block more.
        let shared = facts.shared_max as u32;
        assert!((of(133, 512, shared) - 133.0 / 264.0).abs() < 1e-12);
        assert!(of(132, 64, shared) < of(132, 512, shared));
    }
}
