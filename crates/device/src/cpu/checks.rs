//! What the kernels' tests share: a kernel against the oracle, on every configuration and family.

use super::kernel::{CpuCall, CpuEntry};
use kernelsmith_core::inputs::Inputs;
use kernelsmith_core::ops::OracleBudget;
use kernelsmith_core::{HostArray, Problem};
use kernelsmith_kernels::Config;

/// A kernel and the configs to test it with.
pub struct Tested {
    pub entry: &'static CpuEntry,
    pub configs: &'static [&'static str],
}

/// Inputs of a family for every input operand.
pub fn inputs(problem: &Problem, family: Inputs, seed: u64) -> Vec<HostArray> {
    let fill = |(i, o): (usize, &kernelsmith_core::Operand)| o.fill(family, seed.wrapping_mul(31) + i as u64);
    problem.inputs().iter().enumerate().map(fill).collect()
}

/// Runs a kernel on random inputs of a family and compares every element, written or not.
pub fn check(entry: &CpuEntry, config: &Config, problem: &Problem, family: Inputs, seed: u64) {
    let inputs = inputs(problem, family, seed);
    let arrays: Vec<&HostArray> = inputs.iter().collect();
    let output = problem.output();
    // The elements outside the layout must keep what they held.
    let poison =
        HostArray::from_fn(output.dtype, output.layout.span(), |_| if output.dtype.is_float() { -7.5e3 } else { 93.0 });
    let mut got = poison.clone();
    let slices: Vec<&[u8]> = inputs.iter().map(|a| a.as_bytes()).collect();
    let mut call = CpuCall { problem, config, inputs: &slices, output: got.as_bytes_mut() };
    let what = || format!("{}[{config}] on {problem}, {family:?}", entry.name);
    (entry.run)(&mut call).unwrap_or_else(|e| panic!("{}: {e}", what()));
    let want = problem.reference(&arrays, family, OracleBudget { full_flops: f64::INFINITY, samples: 0 });
    let found = want.compare(&got, &output.layout);
    assert!(found.passes() && found.max_error_over_bound <= 1.0, "{}: {found:?}", what());
    let mut inside = vec![false; got.len()];
    want.positions.iter().for_each(|&p| inside[p] = true);
    let stray = (0..got.len()).find(|&i| !inside[i] && got.get(i) != poison.get(i));
    assert_eq!(stray, None, "{}: an element outside the layout was written", what());
}

/// Every kernel and config on a problem.
pub fn check_all(kernels: &[Tested], problem: &Problem, families: &[Inputs], seed: u64) {
    for kernel in kernels {
        for config in kernel.configs {
            for &family in families {
                check(kernel.entry, &config.parse().unwrap(), problem, family, seed);
            }
        }
    }
}

/// Each problem with every family, its edge cases with `Normal` and a family that varies.
pub fn check_with_edges(kernels: &[Tested], op: &str, texts: &[String]) {
    for (t, text) in texts.iter().enumerate() {
        let problem = Problem::parse(op, text).unwrap_or_else(|e| panic!("{e}"));
        check_all(kernels, &problem, &Inputs::ALL, t as u64 + 1);
        for (i, edge) in problem.edge_cases().into_iter().enumerate() {
            let family = Inputs::ALL[(i + t) % Inputs::ALL.len()];
            check_all(kernels, &edge, &[Inputs::Normal, Inputs::Integer, Inputs::Special, family], i as u64);
        }
    }
}

/// Repeated runs and any number of threads give the same bits.
pub fn check_bits(kernels: &[Tested], problem: &Problem, ignore: &str) {
    let inputs = inputs(problem, Inputs::Normal, 11);
    let slices: Vec<&[u8]> = inputs.iter().map(|a| a.as_bytes()).collect();
    let run = |entry: &CpuEntry, config: &Config| {
        let output = problem.output();
        let mut out = HostArray::zeros(output.dtype, output.layout.span());
        let mut call = CpuCall { problem, config, inputs: &slices, output: out.as_bytes_mut() };
        (entry.run)(&mut call).unwrap();
        out
    };
    for kernel in kernels {
        for text in kernel.configs {
            let config: Config = text.parse().unwrap();
            let first = run(kernel.entry, &config);
            for threads in [1, 2, 3, 1, 2, 3] {
                let config = if config.get(ignore).is_some() { config.with(ignore, threads) } else { config.clone() };
                let again = run(kernel.entry, &config);
                assert!(again.as_bytes() == first.as_bytes(), "{}[{config}] on {problem}", kernel.entry.name);
            }
        }
    }
}

/// Buffers of a wrong size or number are errors, not panics.
pub fn check_wrong_buffers(kernels: &[Tested], problem: &Problem) {
    let inputs = inputs(problem, Inputs::Normal, 1);
    let slices: Vec<&[u8]> = inputs.iter().map(|a| a.as_bytes()).collect();
    let output = problem.output();
    let mut out = HostArray::zeros(output.dtype, output.layout.span());
    for kernel in kernels {
        let config: Config = kernel.configs[0].parse().unwrap();
        let size = output.dtype.bytes();
        let whole = out.as_bytes_mut();
        let len = whole.len();
        let fails = |inputs: &[&[u8]], output: &mut [u8], needle: &str| {
            let error = (kernel.entry.run)(&mut CpuCall { problem, config: &config, inputs, output }).unwrap_err();
            assert!(error.0.contains(needle), "{}: {error}", kernel.entry.name);
        };
        fails(&slices[1..], whole, "inputs were given, expected");
        fails(&slices, &mut whole[..len - size], "operand out has");
        let mut short = slices.clone();
        let first = short[0].len() - problem.inputs()[0].dtype.bytes();
        short[0] = &short[0][..first];
        fails(&short, whole, "its layout reaches");
        if problem.inputs()[0].dtype.bytes() > 1 {
            short[0] = &slices[0][..first + 1];
            fails(&short, whole, "cannot be viewed as");
        }
    }
}
