//! The gate against faults in the CPU's kernels, and against kernels that are right.

use kernelsmith_device::{Device, DeviceId};
use kernelsmith_kernels::Catalogue;
use kernelsmith_lab::evidence::Verdict;
use kernelsmith_lab::gate_test::run::inject;
use kernelsmith_lab::gate_test::{Class, Fault, attack, clean, faults, kills};
use kernelsmith_lab::protocol::Answer;
use std::collections::BTreeSet;

fn cpu() -> Device {
    Device::open(DeviceId::Cpu).unwrap()
}

fn all(device: &Device) -> Vec<Fault> {
    faults(device.facts(), None).unwrap()
}

#[test]
fn there_are_enough_faults_in_enough_kernels() {
    let device = cpu();
    let all = all(&device);
    let names: BTreeSet<String> = all.iter().map(Fault::to_string).collect();
    assert_eq!(names.len(), all.len(), "two faults of one name");
    let kernels: BTreeSet<(&str, &str)> = all.iter().map(|f| (f.op, f.kernel.as_str())).collect();
    let kinds: BTreeSet<&str> = all.iter().map(|f| f.name).collect();
    assert!(kinds.len() >= 60 && kernels.len() >= 6, "{} kinds in {} kernels", kinds.len(), kernels.len());
    let classes: BTreeSet<Class> = all.iter().map(|f| f.class).collect();
    assert!(classes.len() >= 15, "{classes:?}");
}

/// Faults that touch what lies around operands end the process: the CLI's test has them in workers.
#[test]
fn the_gate_finds_every_fault() {
    let device = cpu();
    let faults: Vec<Fault> = all(&device).into_iter().filter(|f| f.class != Class::Memory).collect();
    let mut survivors = Vec::new();
    for fault in &faults {
        let outcome = inject(&device, &fault.to_string(), false).unwrap();
        // A kernel that refuses to run was not put to the test.
        if !kills(outcome.verdict) || outcome.verdict == Verdict::Launch {
            survivors.push(format!("{fault}: {} {}", outcome.verdict.name(), outcome.detail.unwrap_or_default()));
        }
    }
    println!("{} faults", faults.len());
    assert!(survivors.is_empty(), "{} of {}:\n{}", survivors.len(), faults.len(), survivors.join("\n"));
}

/// The same kernels without their faults, on the same problems.
#[test]
fn the_gate_finds_nothing_in_kernels_as_they_ship() {
    let device = cpu();
    let mut seen = BTreeSet::new();
    for fault in all(&device).into_iter().filter(|f| f.op != "gemm" || f.class == Class::Tail) {
        if seen.insert(fault.place()) {
            let outcome = inject(&device, &fault.to_string(), true).unwrap();
            assert_eq!(outcome.verdict, Verdict::Ok, "{}: {:?}", fault.place(), outcome.detail);
        }
    }
}

#[test]
fn random_problems_raise_no_alarm() {
    let device = cpu();
    let catalogue = Catalogue::builtin().unwrap();
    let cleaned = clean::batch(&device, &catalogue, None, 7, 120).unwrap();
    assert_eq!(cleaned.problems, 120);
    assert!(cleaned.checks > 120 * 9 * 2 * 2, "{} checks", cleaned.checks);
    assert!(cleaned.alarms.is_empty(), "{}", cleaned.alarms.join("\n"));
}

#[test]
fn an_unknown_fault_is_an_error() {
    assert!(inject(&cpu(), "gemm/tiled/nothing_like_it/m=1", false).is_err());
}

/// Screening and getting ready leave inputs spoilt that the honest kernel reads first in half of the races.
#[test]
fn an_honest_kernel_is_not_blamed_for_inputs_that_another_spoilt() {
    let device = Device::open(DeviceId::Cpu).unwrap();
    for _ in 0..8 {
        let Answer::Attacked { verdict, honest, .. } = attack::run(&device, "changes_input").unwrap() else {
            panic!("another answer");
        };
        assert_eq!((verdict, honest), (Verdict::Wrong, None));
    }
}
