//! Dispatch on the device that `KERNELSMITH_DEVICE` names (the CPU when it names none).

use kernelsmith_core::inputs::Inputs;
use kernelsmith_core::ops::OracleBudget;
use kernelsmith_core::{HostArray, Problem};
use kernelsmith_device::dispatch::Report;
use kernelsmith_device::executable::{allocate_operands, source_hash};
use kernelsmith_device::{Device, DeviceId, Dispatcher};
use kernelsmith_kernels::tuned::{TunedEntry, TunedTable};
use kernelsmith_kernels::{Candidate, Catalogue, manifest};
use std::sync::Arc;

fn device() -> Device {
    let name = std::env::var("KERNELSMITH_DEVICE").unwrap_or_else(|_| "cpu".to_string());
    Device::open(name.parse::<DeviceId>().unwrap()).unwrap()
}

fn gemm(text: &str) -> Problem {
    Problem::parse("gemm", text).unwrap()
}

/// A variant that every device has, other than the one that comes first.
fn other(device: &Device) -> &'static str {
    if device.id() == DeviceId::Cpu { "blocked" } else { "naive" }
}

fn candidate(catalogue: &Catalogue, device: &Device, name: &str, problem: &Problem) -> Candidate {
    let variant = catalogue.variant("gemm", device.facts().target, name).unwrap();
    let config = variant.fallback(problem, device.facts()).unwrap().unwrap();
    Candidate { variant: name.to_string(), config }
}

fn entry(catalogue: &Catalogue, device: &Device, name: &str, problem: &Problem) -> TunedEntry {
    let candidate = candidate(catalogue, device, name, problem);
    let variant = catalogue.variant("gemm", device.facts().target, name).unwrap();
    TunedEntry {
        op: "gemm".into(),
        problem: problem.text(),
        mode: "cold".into(),
        candidate: candidate.to_string(),
        us: 1.0,
        baseline: "none".into(),
        ratio: 1.0,
        error: 0.1,
        vendor_error: None,
        source_hash: source_hash(catalogue, variant, &candidate, problem, device).unwrap(),
        driver: device.facts().driver.clone(),
        toolchain: device.facts().toolchain.clone(),
        run: "test".into(),
    }
}

fn table(entries: Vec<TunedEntry>) -> TunedTable {
    let mut table = TunedTable::default();
    entries.into_iter().for_each(|e| table.insert(e));
    table
}

/// Runs a problem on fresh inputs and compares with the oracle.
fn run_and_check(dispatcher: &Dispatcher, device: &Device, problem: &Problem) {
    let queue = device.queue();
    let operands = allocate_operands(device, problem).unwrap();
    let arrays: Vec<HostArray> = problem
        .inputs()
        .iter()
        .enumerate()
        .map(|(i, o)| Inputs::Normal.fill(i as u64 + 5, o.dtype, &o.layout))
        .collect();
    for (buffer, array) in operands.iter().zip(&arrays) {
        queue.write(buffer, 0, array.as_bytes()).unwrap();
    }
    dispatcher.run(&queue, problem, &operands).unwrap();
    let output = problem.output();
    let mut got = HostArray::zeros(output.dtype, output.layout.span());
    queue.read(operands.last().unwrap(), 0, got.as_bytes_mut()).unwrap();
    let refs: Vec<&HostArray> = arrays.iter().collect();
    let found = problem.reference(&refs, Inputs::Normal, OracleBudget::default()).compare(&got, &output.layout);
    assert!(found.passes(), "{problem}: {found:?}");
}

#[test]
fn the_tuned_winner_runs_then_the_nearest_then_the_default() {
    let (device, catalogue) = (device(), Catalogue::builtin().unwrap());
    let tuned = gemm("m=40,n=48,k=56,dtype=f32");
    let entries = table(vec![entry(&catalogue, &device, other(&device), &tuned)]);
    let dispatcher = Dispatcher::new(device.clone(), Arc::new(catalogue), entries);
    let near = gemm("m=44,n=48,k=60,dtype=f32");
    let far = gemm("m=40,n=48,k=56,dtype=f64,layout=tt,epilogue=bias+gelu");
    for (problem, why) in [(&tuned, "tuned for this problem"), (&near, "powers of two away"), (&far, "default")] {
        run_and_check(&dispatcher, &device, problem);
        let reports = dispatcher.take_reports();
        assert!(
            reports.iter().any(|r| matches!(r, Report::Picked { why: w, .. } if w.contains(why))),
            "{problem}: {reports:?}"
        );
        run_and_check(&dispatcher, &device, problem);
        assert!(dispatcher.take_reports().is_empty(), "the second launch looked everything up again");
    }
}

#[test]
fn an_entry_made_with_another_source_driver_or_toolchain_never_runs_silently() {
    let (device, catalogue) = (device(), Arc::new(Catalogue::builtin().unwrap()));
    let problem = gemm("m=40,n=48,k=56,dtype=f32");
    let fresh = entry(&catalogue, &device, other(&device), &problem);
    let stale = [
        ("source", TunedEntry { source_hash: "00".into(), ..fresh.clone() }),
        ("driver", TunedEntry { driver: "another".into(), ..fresh.clone() }),
        ("toolchain", TunedEntry { toolchain: "another".into(), ..fresh }),
    ];
    for (what, entry) in stale {
        let dispatcher = Dispatcher::new(device.clone(), catalogue.clone(), table(vec![entry]));
        run_and_check(&dispatcher, &device, &problem);
        let reports = dispatcher.take_reports();
        assert!(
            reports.iter().any(|r| matches!(r, Report::Stale { changed, .. } if *changed == what)),
            "{what}: {reports:?}"
        );
    }
}

#[test]
fn a_near_entry_that_cannot_take_the_problem_is_passed_over() {
    let (device, catalogue) = (device(), Catalogue::builtin().unwrap());
    let entries = table(vec![entry(&catalogue, &device, "small_m", &gemm("m=8,n=64,k=64,dtype=f32"))]);
    let dispatcher = Dispatcher::new(device.clone(), Arc::new(catalogue), entries);
    run_and_check(&dispatcher, &device, &gemm("m=80,n=64,k=64,dtype=f32"));
    let reports = dispatcher.take_reports();
    assert!(!reports.iter().any(|r| matches!(r, Report::Failed { .. })), "{reports:?}");
}

/// Only the CPU has a kernel that can fail at launch without harm to the process.
#[test]
fn a_launch_failure_falls_to_the_next_candidate_and_is_reported() {
    let device = Device::open(DeviceId::Cpu).unwrap();
    let text = "[[variant]]\nname = \"broken\"\nabout = \"panics\"\ntarget = \"cpu\"\nsource = \"fault_panics\"\n";
    let catalogue = Catalogue::builtin().unwrap().with(manifest::parse("gemm", "m", text, &|_| None).unwrap());
    let problem = gemm("m=40,n=48,k=56,dtype=f32");
    let entries = table(vec![entry(&catalogue, &device, "broken", &problem)]);
    let dispatcher = Dispatcher::new(device.clone(), Arc::new(catalogue), entries);
    run_and_check(&dispatcher, &device, &problem);
    let reports = dispatcher.take_reports();
    let failed = |r: &Report| matches!(r, Report::Failed { candidate, reason, .. } if candidate == "broken" && reason.contains("planted"));
    assert!(reports.iter().any(failed), "{reports:?}");
    run_and_check(&dispatcher, &device, &problem);
    assert!(dispatcher.take_reports().is_empty(), "the failed candidate was tried again");
}

#[test]
fn operands_that_do_not_fit_are_errors() {
    let (device, catalogue) = (device(), Catalogue::builtin().unwrap());
    let dispatcher = Dispatcher::new(device.clone(), Arc::new(catalogue), TunedTable::default());
    let problem = gemm("m=40,n=48,k=56,dtype=f32");
    let operands = allocate_operands(&device, &problem).unwrap();
    let queue = device.queue();
    let says = |operands: &[kernelsmith_device::Buffer], needle: &str| {
        let error = dispatcher.run(&queue, &problem, operands).unwrap_err().to_string();
        assert!(error.contains(needle), "{error}");
    };
    says(&operands[..2], "expected 3");
    says(&[operands[0].clone(), operands[0].clone(), operands[2].clone()], "expected at least");
    says(&[operands[0].clone(), operands[1].clone(), operands[1].clone()], "overlaps the output");
}

#[test]
fn memory_that_the_device_does_not_have_is_refused() {
    let device = device();
    let error = device.alloc(usize::MAX / 4).unwrap_err().to_string();
    assert!(error.contains("out of memory"), "{error}");
}
