//! What keeps an NVIDIA GPU's clock up while it is timed through Vulkan.

use kernelsmith_device::{Device, DeviceId};
use kernelsmith_kernels::Target;

/// CUDA devices looked at.
const MOST: usize = 16;

/// A CUDA context on the GPU that an adapter is, where there is CUDA. A program that has only Vulkan on an H200
/// finds it at 345 MHz between bursts of work that are as short as samples, and launches take three to five
/// times as long as at 1980 MHz; while a CUDA context is there the clock stays, as it does in measurements of
/// the CUDA backend.
pub fn held_awake(device: &Device) -> Option<Device> {
    let facts = device.facts();
    if facts.target != Target::Wgsl || facts.adapter.software || !facts.name.contains("NVIDIA") {
        return None;
    }
    let mut devices = (0..MOST).map_while(|n| Device::open(DeviceId::Cuda(n)).ok());
    devices.find(|cuda| cuda.facts().name == facts.name)
}
