//! What keeps an NVIDIA GPU awake while it is timed through Vulkan.

use kernelsmith_device::{Device, DeviceId};
use kernelsmith_kernels::Target;

/// CUDA devices looked at.
const MOST: usize = 16;

/// A CUDA context on the GPU that an adapter is, where there is CUDA. On an H200 with Vulkan alone, launches took
/// three to five times as long in some races as in others; with a CUDA context in another process they did not.
/// The likely reason is the clock, 345 MHz when idle and 1980 MHz at work: it was not read while a race was
/// slow. In measurements of the CUDA backend a context is always there.
pub fn held_awake(device: &Device) -> Option<Device> {
    let facts = device.facts();
    if facts.target != Target::Wgsl || facts.adapter.software || !facts.name.contains("NVIDIA") {
        return None;
    }
    let mut devices = (0..MOST).map_while(|n| Device::open(DeviceId::Cuda(n)).ok());
    devices.find(|cuda| cuda.facts().name == facts.name)
}
