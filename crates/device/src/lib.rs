//! Devices: buffers, queues, graphs, the pool, the compile cache and dispatch, over the CPU, CUDA and,
//! through wgpu, Vulkan, Metal and DX12.
//!
//! All of Kernelsmith's unsafe code is in this crate; each block says why it is sound.

pub mod cache;
pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod dataflow;
pub mod device;
pub mod dispatch;
pub mod error;
pub mod executable;
pub mod libraries;
pub mod pool;
pub mod queue;
#[cfg(feature = "portable")]
pub mod wgpu;

pub use device::{Buffer, Device, DeviceId, Telemetry};
pub use dispatch::{Dispatcher, Report};
pub use error::DeviceError;
pub use executable::Executable;
pub use pool::PoolStats;
pub use queue::{Event, Graph, Queue};
