//! Faults in the text of CUDA kernels: every one is there to be put in, and compiles. Needs NVRTC, no GPU.
#![cfg(feature = "cuda")]

use kernelsmith_device::cache::CompileCache;
use kernelsmith_device::cuda::compile::{compile, version};
use kernelsmith_kernels::catalogue::builtin_file;
use kernelsmith_kernels::{Catalogue, DeviceFacts, render};
use kernelsmith_lab::gate_test::text::mutations;
use kernelsmith_lab::gate_test::{Fault, faults};
use rayon::prelude::*;
use std::collections::BTreeSet;

fn all() -> Vec<Fault> {
    faults(&DeviceFacts::h200(), None).unwrap()
}

/// A kernel that changes takes its mutations with it, or says here which no longer apply.
#[test]
fn every_text_is_found_once() {
    let lost: Vec<String> = mutations()
        .filter_map(|m| {
            let found = builtin_file(m.file).map_or(0, |text| text.matches(m.find).count());
            (found != 1).then(|| format!("{} {} {}: in {} {found} times", m.op, m.kernel, m.name, m.file))
        })
        .collect();
    assert!(lost.is_empty(), "{} mutations no longer apply:\n{}", lost.len(), lost.join("\n"));
}

#[test]
fn names_are_unique_and_there_are_enough() {
    let names: BTreeSet<String> = all().iter().map(Fault::to_string).collect();
    assert_eq!(names.len(), all().len(), "two faults of one name");
    let kernels: BTreeSet<(&str, String)> = all().iter().map(|f| (f.op, f.kernel.clone())).collect();
    assert!(names.len() >= 60 && kernels.len() >= 6, "{} faults in {} kernels", names.len(), kernels.len());
    for op in ["gemm", "map", "reduce", "row", "gather", "scatter_add", "attention"] {
        assert!(kernels.iter().any(|k| k.0 == op), "no fault of {op}");
    }
}

/// What does not compile tests no gate; what renders to the kernel's own source is no fault.
#[test]
fn every_mutation_compiles_to_a_binary_of_its_own() {
    if let Err(reason) = version() {
        assert!(std::env::var_os("KERNELSMITH_REQUIRE_NVRTC").is_none(), "NVRTC is required and not usable: {reason}");
        println!("skipped: {reason}");
        return;
    }
    let facts = DeviceFacts::h200();
    let real = Catalogue::builtin().unwrap();
    let cache = CompileCache::at(env!("CARGO_TARGET_TMPDIR"));
    let faults = all();
    let broken: Vec<String> = faults
        .par_iter()
        .filter_map(|fault| {
            let attempt = || -> Result<(), String> {
                let text = |e: &dyn std::fmt::Display| format!("{fault}: {e}");
                let problem = fault.problem().map_err(|e| text(&e))?;
                let catalogue = fault.catalogue().map_err(|e| text(&e))?;
                let candidate = fault.candidate(&catalogue, &facts).map_err(|e| text(&e))?;
                let render = |catalogue: &Catalogue| {
                    let variant = catalogue.admit(&candidate, &problem, &facts).map_err(|e| text(&e))?;
                    render::cuda(catalogue, &variant, &candidate.config, &problem, &facts).map_err(|e| text(&e))
                };
                let (mutated, original) = (render(&catalogue)?, render(&real)?);
                if mutated.hash == original.hash {
                    return Err(format!("{fault}: its kernel does not include what it changes"));
                }
                let compiled = |r| compile(r, facts.cc, &fault.to_string(), Some(&cache)).map_err(|e| text(&e));
                let (mutated, original) = (compiled(&mutated)?.0, compiled(&original)?.0);
                if mutated.binary == original.binary {
                    return Err(format!("{fault}: the binary is the kernel's own"));
                }
                Ok(())
            };
            attempt().err()
        })
        .collect();
    println!("{} mutations compiled", faults.len());
    assert!(broken.is_empty(), "{} of {}:\n{}", broken.len(), faults.len(), broken.join("\n"));
}

/// The gate's own kernel is in no catalogue that other tests compile.
#[test]
fn the_kernel_that_makes_inputs_late_compiles() {
    if version().is_err() {
        return;
    }
    let facts = DeviceFacts::h200();
    let catalogue = kernelsmith_lab::late::catalogue().unwrap();
    let problem = kernelsmith_core::Problem::parse("map", "shape=1001,expr=x0,x0=u8,out=u8").unwrap();
    let variant = catalogue.variant("map", kernelsmith_kernels::Target::Cuda, "late").unwrap();
    let rendered = render::cuda(catalogue, variant, &variant.default, &problem, &facts).unwrap();
    compile(&rendered, facts.cc, "late", None).unwrap();
    assert_eq!(variant.launches(&variant.default, &problem, &facts).unwrap()[0].grid, [1, 1, 1]);
}
