//! The portable backend: Vulkan, Metal and DX12 through wgpu, kernels in WGSL.
//!
//! A device has one queue, number 0: everything on it runs in order. Errors of validation come back
//! as errors: each call that can have one runs in an error scope, and what escapes is reported at
//! the next wait.

pub mod adapter;
mod memory;
mod own;
mod pipeline;
mod queue;
mod record;
mod timing;

pub use pipeline::WgpuProgram;
pub use record::Bound;
pub use timing::WgpuEvent;

use crate::error::{DeviceError, Result};
use ::wgpu::{BufferUsages, ErrorFilter, Features};
use adapter::ready;
use kernelsmith_kernels::DeviceFacts;
use memory::Memory;
use std::sync::{Arc, Mutex, PoisonError};

/// One adapter's device.
pub struct WgpuDevice {
    name: String,
    device: ::wgpu::Device,
    queue: ::wgpu::Queue,
    facts: DeviceFacts,
    limits: ::wgpu::Limits,
    memory: Memory,
    pending: Mutex<queue::Pending>,
    staging: Mutex<Option<::wgpu::Buffer>>,
    pipelines: Mutex<pipeline::Pipelines>,
    stamps: Option<timing::Stamps>,
    /// What no error scope caught.
    escaped: Arc<Mutex<Vec<String>>>,
}

impl WgpuDevice {
    /// Opens `wgpu:N`.
    ///
    /// # Errors
    /// An adapter that is not there or gives no device, with the reason in one line.
    pub fn open(ordinal: usize) -> Result<WgpuDevice> {
        let name = format!("wgpu:{ordinal}");
        let adapter = adapter::adapter(ordinal)?;
        let without = adapter::without().map_err(|reason| DeviceError::Unavailable { device: name.clone(), reason })?;
        let wanted = adapter::used(adapter, &without);
        let limits = adapter.limits();
        let descriptor = ::wgpu::DeviceDescriptor {
            label: Some("kernelsmith"),
            required_features: wanted,
            required_limits: limits.clone(),
            // SAFETY: the only experimental feature asked for is cooperative matrices, which are used in
            // the shapes that the adapter lists.
            experimental_features: unsafe { ::wgpu::ExperimentalFeatures::enabled() },
            memory_hints: ::wgpu::MemoryHints::Performance,
            trace: ::wgpu::Trace::Off,
        };
        let (device, queue) = ready(adapter.request_device(&descriptor))
            .map_err(|e| DeviceError::Unavailable { device: name.clone(), reason: one_line(&e.to_string()) })?;
        let escaped: Arc<Mutex<Vec<String>>> = Arc::default();
        let list = escaped.clone();
        device.on_uncaptured_error(Arc::new(move |error: ::wgpu::Error| {
            list.lock().unwrap_or_else(PoisonError::into_inner).push(one_line(&error.to_string()));
        }));
        let stamps = device
            .features()
            .contains(Features::TIMESTAMP_QUERY | Features::TIMESTAMP_QUERY_INSIDE_ENCODERS)
            .then(|| timing::Stamps::new(&device, &queue));
        let mut opened = WgpuDevice {
            name,
            facts: adapter::facts(adapter, wanted),
            limits,
            memory: Memory::default(),
            pending: Mutex::default(),
            staging: Mutex::default(),
            pipelines: Mutex::new(pipeline::Pipelines::new(&device, &adapter.get_info())),
            stamps,
            escaped,
            device,
            queue,
        };
        for (name, is_there) in adapter::SEEN.into_iter().zip([opened.keeps_subnormals()?, opened.rounds_halves()?]) {
            if is_there && !without.iter().any(|w| w == name) {
                opened.facts.adapter.features.push(name.to_string());
            }
        }
        Ok(opened)
    }

    pub fn facts(&self) -> DeviceFacts {
        self.facts.clone()
    }

    /// Runs `work` with its errors caught.
    fn scoped<T>(&self, call: &'static str, work: impl FnOnce() -> T) -> Result<T> {
        let filters = [ErrorFilter::Internal, ErrorFilter::OutOfMemory, ErrorFilter::Validation];
        let scopes = filters.map(|filter| self.device.push_error_scope(filter));
        let out = work();
        // Popped in reverse order.
        let [internal, memory, validation] = scopes;
        let errors = [ready(validation.pop()), ready(memory.pop()), ready(internal.pop())];
        match errors.into_iter().flatten().next() {
            None => Ok(out),
            Some(error) => Err(DeviceError::Driver { call, reason: one_line(&error.to_string()) }),
        }
    }

    /// What escaped since the last time, as an error.
    fn escaped(&self) -> Result<()> {
        let list = std::mem::take(&mut *self.escaped.lock().unwrap_or_else(PoisonError::into_inner));
        if list.is_empty() {
            return Ok(());
        }
        Err(DeviceError::Driver { call: "an earlier call", reason: list.join("; ") })
    }

    pub fn allocate(&self, bytes: usize) -> Option<u64> {
        let bytes = bytes.next_multiple_of(16) as u64;
        if bytes > self.limits.max_buffer_size {
            return None;
        }
        let descriptor = ::wgpu::BufferDescriptor {
            label: None,
            size: bytes,
            usage: BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        };
        let buffer = self.scoped("create_buffer", || self.device.create_buffer(&descriptor)).ok()?;
        Some(self.memory.insert(buffer))
    }

    pub fn free(&self, address: u64) {
        self.memory.remove(address);
    }

    /// The largest buffer in bytes.
    pub fn largest(&self) -> u64 {
        self.limits.max_buffer_size
    }
}

impl Drop for WgpuDevice {
    fn drop(&mut self) {
        self.drain();
        self.pipelines.get_mut().unwrap_or_else(PoisonError::into_inner).save();
    }
}

/// An error of wgpu, which is a tree of lines, as one.
fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join("; ")
}
