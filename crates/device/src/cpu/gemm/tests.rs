//! Every kernel against the oracle: dtypes × layouts × edge cases × input families.

use super::{KERNELS, openblas, small_m, tiled};
use crate::cpu::checks::check;
use crate::cpu::kernel::{CpuCall, CpuEntry};
use kernelsmith_core::inputs::Inputs;
use kernelsmith_core::ops::gemm::{GemmProblem, parse};
use kernelsmith_core::{DType, HostArray, Problem};
use kernelsmith_kernels::Config;

/// Every kernel, and those of instruction sets that this CPU does not choose.
fn kernels() -> impl Iterator<Item = &'static CpuEntry> {
    static OTHER_SETS: &[CpuEntry] = &[
        CpuEntry { name: "small_m", run: small_m::run_avx2, source: "" },
        CpuEntry { name: "small_m", run: small_m::run_portable, source: "" },
        CpuEntry { name: "tiled", run: tiled::run_avx2, source: "" },
        CpuEntry { name: "tiled", run: tiled::run_portable, source: "" },
    ];
    KERNELS.iter().chain(OTHER_SETS)
}

fn configs(name: &str) -> Vec<Config> {
    let texts: &[&str] = match name {
        "blocked" => &["MC=64,NC=256,KC=256,THREADS=1", "MC=7,NC=20,KC=33,THREADS=2"],
        "fp8" => &["MC=64,NC=256,KC=256,THREADS=1", "MC=7,NC=20,KC=33,THREADS=0"],
        "gemm_crate" => &["THREADS=1", "THREADS=0", "THREADS=2"],
        "openblas" => &["CALL=0,THREADS=1", "CALL=1,THREADS=2"],
        "small_m" => &[
            "ROWS=1,UNROLL=4,THREADS=1",
            "ROWS=2,UNROLL=2,THREADS=2",
            "ROWS=4,UNROLL=1,THREADS=1",
            "ROWS=4,UNROLL=2,THREADS=3",
            "ROWS=8,UNROLL=1,THREADS=0",
            "ROWS=16,UNROLL=1,THREADS=2",
        ],
        "tiled" => &[
            "MC=24,NC=256,KC=1024,PACK_A=0,THREADS=1",
            "MC=17,NC=32,KC=33,PACK_A=1,THREADS=2",
            "MC=48,NC=64,KC=100,PACK_A=0,THREADS=3",
        ],
        other => panic!("no configs for {other}: add them here"),
    };
    texts.iter().map(|t| t.parse().unwrap()).collect()
}

const STORAGES: [&str; 4] = ["nn", "nt", "tn", "tt"];
const DTYPES: [&str; 4] = ["f32", "f64", "f16", "bf16"];

/// Whether BLAS has words for an operand: what the manifest's predicate says.
fn expressible(p: &GemmProblem) -> bool {
    let stride_fits = |layout: &kernelsmith_core::Layout| {
        let (shape, strides) = (layout.shape(), layout.strides());
        match GemmProblem::inner(layout) {
            0 => shape[1] == 1 || strides[1] >= shape[2] as isize,
            1 => shape[2] == 1 || strides[2] >= shape[1] as isize,
            _ => false,
        }
    };
    [&p.a, &p.b, &p.d].into_iter().all(stride_fits)
}

fn supports(entry: &CpuEntry, problem: &Problem) -> bool {
    let p = problem.downcast::<GemmProblem>().unwrap();
    if p.is_fp8() || entry.name == "fp8" {
        return p.is_fp8() && entry.name == "fp8";
    }
    match entry.name {
        "openblas" => {
            openblas::library().is_some()
                && matches!(p.dtype, DType::F32 | DType::F64)
                && p.alpha != 0.0
                && expressible(p)
        }
        "small_m" => p.m <= 32,
        _ => true,
    }
}

fn check_all(entry: &CpuEntry, problem: &Problem, families: &[Inputs], seed: u64) {
    if supports(entry, problem) {
        for config in configs(entry.name) {
            for &family in families {
                check(entry, &config, problem, family, seed);
            }
        }
    }
}

const SPECIALS: [&str; 3] = ["", ",alpha=-0.5,beta=0.75", ",alpha=0.3,beta=-1.0,epilogue=bias+gelu+residual+bias_row"];

/// Every special on every storage, in two families; where PROPTEST_CASES is set, as under valgrind, one special
/// a storage, in one family: what is read and written where depends on no number.
fn edge_cases(dtype: &str) {
    let few = std::env::var_os("PROPTEST_CASES").is_some();
    for (t, storage) in STORAGES.into_iter().enumerate() {
        for (s, special) in SPECIALS.iter().enumerate().filter(|(s, _)| !few || t % SPECIALS.len() == *s) {
            for m in [5, 100] {
                let base = parse(&format!("m={m},n=64,k=64,dtype={dtype},layout={storage}{special}")).unwrap();
                for (i, problem) in kernelsmith_core::ops::OpProblem::edge_cases(&base).into_iter().enumerate() {
                    for entry in kernels() {
                        let family = Inputs::ALL[(i + s + m) % Inputs::ALL.len()];
                        let families = [Inputs::Normal, family];
                        check_all(entry, &problem, &families[..if few { 1 } else { 2 }], i as u64 + 1);
                    }
                }
            }
        }
    }
}

#[test]
fn edge_cases_in_f32() {
    edge_cases("f32");
}

#[test]
fn edge_cases_in_f64() {
    edge_cases("f64");
}

#[test]
fn edge_cases_in_f16() {
    edge_cases("f16");
}

#[test]
fn edge_cases_in_bf16() {
    edge_cases("bf16");
}

#[test]
fn products_that_may_be_made_of_parts_are_plain_ones_here() {
    for storage in STORAGES {
        let text = format!("m=17,n=49,k=130,dtype=f32,compute=f32x3,layout={storage}");
        for entry in kernels() {
            check_all(entry, &Problem::parse("gemm", &text).unwrap(), &Inputs::ALL, 5);
        }
    }
}

#[test]
fn edge_cases_of_eight_bit_inputs() {
    edge_cases("f32,inputs=e4m3");
    edge_cases("bf16,inputs=e5m2:e4m3,compute=fast");
    edge_cases("f16,inputs=e5m2");
}

#[test]
fn every_input_family() {
    for dtype in DTYPES {
        for storage in STORAGES {
            for text in ["m=1,n=101,k=700", "m=17,n=49,k=130", "m=101,n=1,k=259", "m=3,n=64,k=1024,epilogue=bias"] {
                let problem = Problem::parse("gemm", &format!("{text},dtype={dtype},layout={storage}")).unwrap();
                for entry in kernels() {
                    check_all(entry, &problem, &Inputs::ALL, 5);
                }
            }
        }
    }
}

#[test]
fn alpha_of_zero_keeps_nan() {
    for dtype in DTYPES {
        let problem = Problem::parse("gemm", &format!("m=2,n=600,k=9,dtype={dtype},alpha=0.0,beta=1.0")).unwrap();
        for entry in kernels() {
            check_all(entry, &problem, &[Inputs::Normal, Inputs::Special], 9);
        }
    }
}

#[test]
fn broadcast_and_reversed_operands() {
    for dtype in DTYPES {
        for views in [
            "a=0@0:0:1",
            "a=8@0:0:-1",
            "a=0@0:1:0",
            "b=0@0:0:1",
            "b=0@0:1:0",
            "b=0@0:0:0",
            "b=450@0:-50:-1",
            "a=24@0:-9:2,d=49@0:50:-1",
        ] {
            let text = format!("m=3,n=50,k=9,dtype={dtype},{views},epilogue=bias");
            let problem = Problem::parse("gemm", &text.replace("b=450", "b=449")).unwrap();
            for entry in kernels() {
                check_all(entry, &problem, &[Inputs::Normal, Inputs::Special], 3);
            }
        }
    }
}

#[test]
fn results_do_not_change_between_runs() {
    let problem = Problem::parse("gemm", "m=6,n=700,k=900,dtype=f32,layout=nt").unwrap();
    let inputs: Vec<HostArray> =
        problem.inputs().iter().enumerate().map(|(i, o)| Inputs::Normal.fill(i as u64, o.dtype, &o.layout)).collect();
    let slices: Vec<&[u8]> = inputs.iter().map(|a| a.as_bytes()).collect();
    for entry in kernels().filter(|e| supports(e, &problem)) {
        for config in configs(entry.name) {
            let mut runs = (0..8).map(|_| {
                let mut out = HostArray::zeros(DType::F32, problem.output().layout.span());
                let mut call =
                    CpuCall { problem: &problem, config: &config, inputs: &slices, output: out.as_bytes_mut() };
                (entry.run)(&mut call).unwrap();
                out
            });
            let first = runs.next().unwrap();
            assert!(runs.all(|r| r == first), "{}[{config}]", entry.name);
        }
    }
}

#[test]
fn wrong_buffers_are_errors() {
    let problem = Problem::parse("gemm", "m=2,n=3,k=4,dtype=f32").unwrap();
    let (a, b, mut d) = ([0f32; 8], [0f32; 12], [0f32; 6]);
    let (a, b): (&[u8], &[u8]) = (bytemuck::cast_slice(&a), bytemuck::cast_slice(&b));
    for entry in kernels().filter(|e| supports(e, &problem)) {
        for (inputs, size, needle) in [
            (vec![a, &b[..44]], 24, "operand b has 11 elements, its layout reaches 12"),
            (vec![a, &b[..47]], 24, "operand b: 47 bytes cannot be viewed as f32"),
            (vec![a, b], 20, "operand d has 5 elements"),
            (vec![a], 24, "1 inputs were given, expected 2"),
        ] {
            let config = configs(entry.name).remove(0);
            let output = &mut bytemuck::cast_slice_mut(&mut d)[..size];
            let mut call = CpuCall { problem: &problem, config: &config, inputs: &inputs, output };
            let error = (entry.run)(&mut call).unwrap_err().to_string();
            assert!(error.contains(needle), "{}: {error}", entry.name);
        }
    }
}
