//! The least time that work can take, and what a device's peaks allow.

use super::Mode;
use crate::work::Work;
use kernelsmith_core::Problem;
use kernelsmith_device::Device;
use kernelsmith_kernels::facts::Target;

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
    use kernelsmith_device::DeviceId;

    fn cpu() -> Device {
        Device::open(DeviceId::Cpu).unwrap()
    }

    #[test]
    fn the_floor_grows_with_work() {
        let device = cpu();
        let at = |t: &str| floor_us(&device, &Work::parse("gemm", t).unwrap(), Mode::Cold);
        assert!(at("m=1024,n=1024,k=1024,dtype=f32") > at("m=64,n=64,k=64,dtype=f32"));
    }
}
