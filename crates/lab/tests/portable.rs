//! The gate on the portable backend: the adapter that `KERNELSMITH_DEVICE` names, else `wgpu:0`.
#![cfg(feature = "portable")]

use kernelsmith_device::{Device, DeviceId};
use kernelsmith_kernels::Catalogue;
use kernelsmith_lab::evidence::Verdict;
use kernelsmith_lab::gate_test::run::inject;
use kernelsmith_lab::gate_test::{Fault, clean, faults, kills};
use std::collections::BTreeSet;

/// `None` where no device was named and there is none; the test then says so and ends.
fn adapter() -> Option<Device> {
    let named = std::env::var("KERNELSMITH_DEVICE").ok().filter(|n| n.starts_with("wgpu"));
    let name = named.clone().unwrap_or_else(|| "wgpu:0".to_string());
    match Device::open(name.parse::<DeviceId>().unwrap()) {
        Ok(device) => Some(device),
        Err(error) if named.is_none() => {
            eprintln!("NOT TESTED: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn random_problems_raise_no_alarm_on_an_adapter() {
    let Some(device) = adapter() else { return };
    let cleaned = clean::batch(&device, &Catalogue::builtin().unwrap(), None, 11, 48).unwrap();
    assert_eq!(cleaned.problems, 48);
    assert!(cleaned.alarms.is_empty(), "{}", cleaned.alarms.join("\n"));
}

#[test]
fn there_are_faults_in_every_wgsl_kernel() {
    let Some(device) = adapter() else { return };
    let all = faults(device.facts(), None).unwrap();
    let names: BTreeSet<String> = all.iter().map(Fault::to_string).collect();
    assert_eq!(names.len(), all.len(), "two faults of one name");
    for variant in Catalogue::builtin().unwrap().all().iter().filter(|v| v.target == device.facts().target) {
        if !variant.is_offered(device.facts()) {
            continue;
        }
        let count = all.iter().filter(|f| f.op == variant.op && f.kernel == variant.name).count();
        assert!(count >= 5, "{count} faults in {}/{}", variant.op, variant.name);
    }
    // CI brings a lavapipe that has them.
    if std::env::var_os("KERNELSMITH_REQUIRE_MATRICES").is_some() {
        assert!(all.iter().any(|f| f.kernel == "matrix"), "no cooperative matrices: {:?}", device.facts().adapter);
    }
}

#[test]
fn the_gate_finds_every_fault_on_an_adapter() {
    let Some(device) = adapter() else { return };
    let faults = faults(device.facts(), None).unwrap();
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
