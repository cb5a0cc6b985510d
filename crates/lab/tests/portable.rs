//! The gate on the portable backend: the adapter that `KERNELSMITH_DEVICE` names, else `wgpu:0`.
#![cfg(feature = "portable")]

use kernelsmith_device::{Device, DeviceId};
use kernelsmith_kernels::Catalogue;
use kernelsmith_lab::gate_test::clean;

#[test]
fn random_problems_raise_no_alarm_on_an_adapter() {
    let named = std::env::var("KERNELSMITH_DEVICE").ok().filter(|n| n.starts_with("wgpu"));
    let name = named.clone().unwrap_or_else(|| "wgpu:0".to_string());
    let device = match Device::open(name.parse::<DeviceId>().unwrap()) {
        Ok(device) => device,
        Err(error) if named.is_none() => return eprintln!("NOT TESTED: {error}"),
        Err(error) => panic!("{error}"),
    };
    let cleaned = clean::batch(&device, &Catalogue::builtin().unwrap(), None, 11, 48).unwrap();
    assert_eq!(cleaned.problems, 48);
    assert!(cleaned.alarms.is_empty(), "{}", cleaned.alarms.join("\n"));
}
