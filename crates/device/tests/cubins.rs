//! Every CUDA variant compiles for Hopper, every config at least once, with no spills, no stack
//! and no serialised matrix instructions. Needs NVRTC, not a GPU.
#![cfg(feature = "cuda")]

use kernelsmith_core::Problem;
use kernelsmith_device::cache::CompileCache;
use kernelsmith_device::cuda::compile::{compile, resources, version};
use kernelsmith_kernels::{Catalogue, Config, DeviceFacts, Target, Variant, render};
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Dtypes, layouts, alignments, epilogues and sizes that render differently.
const PROBLEMS: [&str; 18] = [
    "m=4096,n=4096,k=4096,dtype=f16",
    "m=512,n=512,k=512,dtype=f32,layout=tn,epilogue=bias+gelu",
    "m=1,n=9728,k=896,dtype=f16,layout=nt",
    "m=64,n=64,k=64,dtype=f32,layout=nt",
    "m=256,n=256,k=1024,dtype=f32,compute=tf32,layout=tt",
    "m=2048,n=2048,k=2048,dtype=bf16,layout=tn,beta=1.0",
    "m=8,n=896,k=4864,dtype=f32,layout=nt,epilogue=bias+silu",
    "m=300,n=200,k=333,dtype=f16,layout=tt,epilogue=residual+relu",
    "m=4,n=1001,k=777,dtype=bf16",
    "m=256,n=256,k=256,dtype=f64",
    "m=2,n=512,k=4096,dtype=f64,layout=nt",
    "batch=14,m=1,n=64,k=67,dtype=f16,alpha=0.125,beta=1.0",
    "m=1024,n=1024,k=1024,dtype=f32,layout=nt",
    "m=128,n=128,k=8192,dtype=f16,layout=nt",
    "m=96,n=160,k=200,dtype=f16,a=1@0:300:2,b=0@0:1:256,d=1@0:1:96",
    "m=5,n=40,k=512,dtype=f32,b=3@0:97:2,epilogue=scale(0.5)+bias_row+gelu_tanh",
    "m=4096,n=4096,k=4096,dtype=f32,compute=tf32",
    "m=1,n=128256,k=4096,dtype=bf16,layout=nt",
];

#[test]
fn every_config_compiles_without_spills_or_serialised_matrix_instructions() {
    if let Err(reason) = version() {
        assert!(std::env::var_os("KERNELSMITH_REQUIRE_NVRTC").is_none(), "NVRTC is required and not usable: {reason}");
        println!("skipped: {reason}");
        return;
    }
    let catalogue = Catalogue::builtin().unwrap();
    let facts = DeviceFacts::h200();
    let mut jobs: Vec<(Arc<Variant>, Config, Problem)> = Vec::new();
    for variant in catalogue.all().iter().filter(|v| v.target == Target::Cuda && v.source.contains('.')) {
        let mut seen = BTreeSet::new();
        for text in PROBLEMS {
            let problem = Problem::parse("gemm", text).unwrap();
            let (able, _) = catalogue.capable(&problem, &facts).unwrap();
            if !able.iter().any(|v| v.name == variant.name) {
                continue;
            }
            let fallback = variant.fallback(&problem, &facts).unwrap();
            for config in variant.space(&problem, &facts).unwrap() {
                // Each config once, and the default on every problem.
                if seen.insert(config.to_string()) || fallback.as_ref() == Some(&config) {
                    jobs.push((variant.clone(), config, problem.clone()));
                }
            }
        }
        assert!(!seen.is_empty(), "no problem here reaches {}", variant.name);
    }
    let cache = CompileCache::at(env!("CARGO_TARGET_TMPDIR"));
    let faults: Vec<String> = jobs
        .par_iter()
        .filter_map(|(variant, config, problem)| {
            let name = format!("{}[{config}] on {problem}", variant.name);
            let rendered = render::cuda(&catalogue, variant, config, problem, &facts).unwrap();
            match compile(&rendered, facts.cc, &name, Some(&cache)) {
                Err(error) => Some(error.to_string()),
                Ok((compiled, _)) => {
                    let r = resources(&compiled.log);
                    let clean = r.spill_bytes == 0 && r.stack_bytes == 0 && r.serialised == 0 && r.registers > 0;
                    (!clean).then(|| format!("{name}: {r:?}"))
                }
            }
        })
        .collect();
    println!("{} configs compiled", jobs.len());
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), jobs.len(), faults.join("\n"));
}

#[test]
fn a_compiler_error_names_the_candidate_and_carries_the_log() {
    if version().is_err() {
        return;
    }
    let rendered = render::Rendered { source: "__global__ void broken( {".into(), headers: vec![], hash: "x".into() };
    let error = compile(&rendered, 90, "broken[A=1]", None).unwrap_err().to_string();
    assert!(error.contains("broken[A=1]") && error.contains("error"), "{error}");
}
