//! Devices and their buffers.

#[cfg(feature = "cuda")]
use crate::cache::CompileCache;
use crate::cpu;
#[cfg(feature = "cuda")]
use crate::cuda;
use crate::error::{DeviceError, Result};
use crate::pool::{Block, Pool, PoolStats, QueueSet, RawMemory};
use crate::queue::Queue;
#[cfg(feature = "portable")]
use crate::wgpu;
use kernelsmith_kernels::DeviceFacts;
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Which device: `cpu`, `cuda:N` or `wgpu:N`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceId {
    Cpu,
    Cuda(usize),
    Wgpu(usize),
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceId::Cpu => f.write_str("cpu"),
            DeviceId::Cuda(n) => write!(f, "cuda:{n}"),
            DeviceId::Wgpu(n) => write!(f, "wgpu:{n}"),
        }
    }
}

impl FromStr for DeviceId {
    type Err = DeviceError;
    fn from_str(s: &str) -> Result<Self> {
        match s {
            "cpu" => Ok(DeviceId::Cpu),
            "cuda" => Ok(DeviceId::Cuda(0)),
            "wgpu" => Ok(DeviceId::Wgpu(0)),
            _ => {
                let numbered = |prefix: &str| s.strip_prefix(prefix).and_then(|n| n.parse().ok());
                let cuda = numbered("cuda:").map(DeviceId::Cuda);
                cuda.or_else(|| numbered("wgpu:").map(DeviceId::Wgpu))
                    .ok_or_else(|| DeviceError::UnknownDevice(s.to_string()))
            }
        }
    }
}

pub(crate) enum Backend {
    Cpu,
    #[cfg(feature = "cuda")]
    Cuda(Box<cuda::CudaDevice>),
    #[cfg(feature = "portable")]
    Wgpu(Box<wgpu::WgpuDevice>),
}

impl RawMemory for Backend {
    fn allocate(&self, bytes: usize) -> Option<u64> {
        match self {
            Backend::Cpu => cpu::memory::allocate(bytes),
            #[cfg(feature = "cuda")]
            Backend::Cuda(d) => d.allocate(bytes),
            #[cfg(feature = "portable")]
            Backend::Wgpu(d) => d.allocate(bytes),
        }
    }

    fn free(&self, address: u64, bytes: usize) {
        match self {
            Backend::Cpu => cpu::memory::free(address, bytes),
            #[cfg(feature = "cuda")]
            Backend::Cuda(d) => d.free(address),
            #[cfg(feature = "portable")]
            Backend::Wgpu(d) => d.free(address),
        }
        let _ = bytes;
    }

    fn are_drained(&self, queues: QueueSet) -> bool {
        let _ = queues;
        match self {
            // The CPU finishes a launch before it returns.
            Backend::Cpu => true,
            #[cfg(feature = "cuda")]
            Backend::Cuda(d) => d.are_drained(queues),
            #[cfg(feature = "portable")]
            Backend::Wgpu(d) => d.are_drained(queues),
        }
    }

    fn drain(&self) {
        match self {
            Backend::Cpu => {}
            #[cfg(feature = "cuda")]
            Backend::Cuda(d) => d.drain(),
            #[cfg(feature = "portable")]
            Backend::Wgpu(d) => d.drain(),
        }
    }
}

pub(crate) struct DeviceInner {
    pub id: DeviceId,
    pub facts: DeviceFacts,
    pub backend: Backend,
    #[cfg(feature = "cuda")]
    pub cache: Option<CompileCache>,
    pool: Pool,
    /// Serialises work on the CPU: one queue runs at a time, so buffers are never raced.
    pub cpu_turn: Mutex<()>,
    warnings: Mutex<Vec<String>>,
}

impl Drop for DeviceInner {
    fn drop(&mut self) {
        self.pool.trim(&self.backend);
    }
}

/// A device that is open; cheap to clone.
#[derive(Clone)]
pub struct Device(pub(crate) Arc<DeviceInner>);

impl Device {
    /// Opens a device.
    ///
    /// # Errors
    /// [`DeviceError::Unavailable`] with the reason in one line.
    pub fn open(id: DeviceId) -> Result<Device> {
        let (facts, backend) = match id {
            DeviceId::Cpu => (cpu::facts::facts(), Backend::Cpu),
            #[cfg(feature = "cuda")]
            DeviceId::Cuda(n) => {
                let device = cuda::CudaDevice::open(n)?;
                (device.facts(), Backend::Cuda(Box::new(device)))
            }
            #[cfg(not(feature = "cuda"))]
            DeviceId::Cuda(_) => {
                let reason = "this build has no `cuda` feature".to_string();
                return Err(DeviceError::Unavailable { device: id.to_string(), reason });
            }
            #[cfg(feature = "portable")]
            DeviceId::Wgpu(n) => {
                let device = wgpu::WgpuDevice::open(n)?;
                (device.facts(), Backend::Wgpu(Box::new(device)))
            }
            #[cfg(not(feature = "portable"))]
            DeviceId::Wgpu(_) => {
                let reason = "this build has no `portable` feature".to_string();
                return Err(DeviceError::Unavailable { device: id.to_string(), reason });
            }
        };
        Ok(Device(Arc::new(DeviceInner {
            id,
            facts,
            backend,
            #[cfg(feature = "cuda")]
            cache: CompileCache::default_folder().map(CompileCache::at),
            pool: Pool::default(),
            cpu_turn: Mutex::new(()),
            warnings: Mutex::default(),
        })))
    }

    /// The device that is used where none is named: CUDA, then a GPU through wgpu, then the CPU. And why
    /// no GPU is. A software adapter is used by name only.
    pub fn preferred() -> (DeviceId, Vec<String>) {
        #[cfg(feature = "cuda")]
        if cuda::count().is_ok() {
            return (DeviceId::Cuda(0), Vec::new());
        }
        let (found, missing) = Device::discover();
        (found.first().copied().unwrap_or(DeviceId::Cpu), missing)
    }

    /// Every device that is present, the preferred one first, and for each backend that is not, why.
    pub fn discover() -> (Vec<DeviceId>, Vec<String>) {
        let (gpus, software, portable) = portable_adapters();
        #[cfg(feature = "cuda")]
        let cuda = cuda::count();
        #[cfg(not(feature = "cuda"))]
        let cuda: std::result::Result<usize, String> = Err("this build has no `cuda` feature".to_string());
        let present = cuda.as_ref().copied().unwrap_or(0);
        let found = (0..present).map(DeviceId::Cuda).chain(gpus).chain([DeviceId::Cpu]).chain(software).collect();
        (found, cuda.err().map(|reason| format!("cuda: {reason}")).into_iter().chain(portable).collect())
    }

    pub fn id(&self) -> DeviceId {
        self.0.id
    }

    pub fn facts(&self) -> &DeviceFacts {
        &self.0.facts
    }

    /// The default queue. Queues are handles; this one is always the same.
    pub fn queue(&self) -> Queue {
        Queue::default_of(self)
    }

    /// A further queue, unordered with respect to others.
    pub fn new_queue(&self) -> Result<Queue> {
        Queue::create(self)
    }

    /// A buffer of at least `bytes` for use on the default queue; contents are arbitrary.
    pub fn alloc(&self, bytes: usize) -> Result<Buffer> {
        self.alloc_on(&self.queue(), bytes)
    }

    /// A buffer whose first use is on `queue`. Where another queue is to be first, this one must
    /// have drained: earlier work on it may still use the memory.
    pub fn alloc_on(&self, queue: &Queue, bytes: usize) -> Result<Buffer> {
        // 0 is unknown.
        let total = if self.0.facts.memory_bytes > 0 { self.0.facts.memory_bytes as usize } else { usize::MAX };
        #[cfg(feature = "portable")]
        if let Backend::Wgpu(d) = &self.0.backend
            && bytes as u64 > d.largest()
        {
            let reason = format!("a buffer of {bytes} bytes, {} allows at most {}", self.id(), d.largest());
            return Err(DeviceError::Driver { call: "an allocation", reason });
        }
        let full = || {
            let stats = self.0.pool.stats();
            let (live, held) = (stats.bytes_live, stats.bytes_held);
            DeviceError::OutOfMemory { device: self.id().to_string(), requested: bytes, live, held, total }
        };
        // The CPU's allocator promises memory that the machine does not have: ask first.
        let live = self.0.pool.stats().bytes_live;
        if bytes > total.saturating_sub(live) {
            self.trim();
            return Err(full());
        }
        let block = self.0.pool.acquire(bytes, queue.id(), &self.0.backend).ok_or_else(full)?;
        let storage = Storage::Pooled { block, used_on: AtomicU64::new(QueueSet::of(queue.id()).0) };
        Ok(Buffer::whole(BufferInner { device: self.clone(), address: block.address, bytes, storage }))
    }

    /// A buffer whose last byte is the last one that can be touched: a read past its end is a crash.
    /// None where the device cannot do that; the CPU on Unix can.
    pub fn alloc_fenced(&self, bytes: usize) -> Option<Buffer> {
        let (Backend::Cpu, Some(fenced)) = (&self.0.backend, cpu::memory::Fenced::new(bytes)) else { return None };
        let address = fenced.address;
        let storage = Storage::Fenced { _mapping: fenced };
        Some(Buffer::whole(BufferInner { device: self.clone(), address, bytes, storage }))
    }

    pub fn pool_stats(&self) -> PoolStats {
        self.0.pool.stats()
    }

    /// Gives held memory back to the system. Returns the bytes.
    pub fn trim(&self) -> usize {
        let bytes = self.0.pool.trim(&self.0.backend);
        cpu::memory::trim();
        bytes
    }

    /// Clocks, temperature and power now, where the device tells.
    pub fn telemetry(&self) -> Telemetry {
        match &self.0.backend {
            Backend::Cpu => Telemetry { clock_mhz: cpu::facts::clock_mhz(), ..Telemetry::default() },
            #[cfg(feature = "cuda")]
            Backend::Cuda(d) => d.telemetry(),
            #[cfg(feature = "portable")]
            Backend::Wgpu(_) => Telemetry::default(),
        }
    }

    /// Waits until the work that earlier launches left behind has stopped. Thread pools of the
    /// CPU's libraries spin for a while after a call and would slow whoever runs next.
    pub fn settle(&self) {
        if self.id() == DeviceId::Cpu {
            cpu::idle::wait_for_other_threads();
        }
    }

    /// Problems that were worked around (a cache that cannot be written); each is said once.
    pub fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.warnings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    #[cfg(feature = "cuda")]
    pub(crate) fn warn(&self, text: String) {
        let mut warnings = self.0.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if !warnings.contains(&text) {
            warnings.push(text);
        }
    }
}

/// Adapters that are GPUs, those that are programs on the CPU, and why there is none.
#[cfg(feature = "portable")]
fn portable_adapters() -> (Vec<DeviceId>, Vec<DeviceId>, Option<String>) {
    let all = wgpu::adapter::adapters();
    let gpus = all.iter().filter(|a| !wgpu::adapter::is_software(a)).count();
    let reason = match (gpus, all.len()) {
        (0, 0) => Some("wgpu: no Vulkan, Metal or DX12 adapter was found".to_string()),
        (0, _) => Some("wgpu: only a software adapter was found, which is used by name only".to_string()),
        _ => None,
    };
    let ids = |range: std::ops::Range<usize>| range.map(DeviceId::Wgpu).collect();
    (ids(0..gpus), ids(gpus..all.len()), reason)
}

#[cfg(not(feature = "portable"))]
fn portable_adapters() -> (Vec<DeviceId>, Vec<DeviceId>, Option<String>) {
    (Vec::new(), Vec::new(), Some("wgpu: this build has no `portable` feature".to_string()))
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({})", self.id())
    }
}

/// A device's state at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Telemetry {
    /// SM clock of a GPU, core clock of a CPU.
    pub clock_mhz: Option<f64>,
    /// The clock the device runs at when nothing holds it back.
    pub clock_max_mhz: Option<f64>,
    pub temperature_c: Option<f64>,
    pub power_w: Option<f64>,
}

enum Storage {
    /// `used_on` holds the bits of a [`QueueSet`].
    Pooled {
        block: Block,
        used_on: AtomicU64,
    },
    Fenced {
        _mapping: cpu::memory::Fenced,
    },
}

struct BufferInner {
    device: Device,
    address: u64,
    bytes: usize,
    storage: Storage,
}

impl Drop for BufferInner {
    fn drop(&mut self) {
        if let Storage::Pooled { block, used_on } = &mut self.storage {
            self.device.0.pool.release(*block, QueueSet(*used_on.get_mut()));
        }
    }
}

/// A range of device memory; clones share it. The memory returns to the pool when the last
/// clone is dropped.
#[derive(Clone)]
pub struct Buffer {
    inner: Arc<BufferInner>,
    offset: usize,
    bytes: usize,
}

impl Buffer {
    fn whole(inner: BufferInner) -> Buffer {
        let bytes = inner.bytes;
        Buffer { inner: Arc::new(inner), offset: 0, bytes }
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn device(&self) -> &Device {
        &self.inner.device
    }

    /// A part of this buffer.
    ///
    /// # Errors
    /// A range that is not inside.
    pub fn slice(&self, offset: usize, bytes: usize) -> Result<Buffer> {
        if offset.checked_add(bytes).is_none_or(|end| end > self.bytes) {
            let reason = format!("{bytes} bytes at {offset} do not fit a buffer of {}", self.bytes);
            return Err(DeviceError::Operand { what: "a slice".to_string(), index: 0, reason });
        }
        Ok(Buffer { inner: self.inner.clone(), offset: self.offset + offset, bytes })
    }

    /// Address on the device.
    pub(crate) fn address(&self) -> u64 {
        self.inner.address + self.offset as u64
    }

    /// Notes that work on `queue` uses this memory: the pool waits for it.
    pub(crate) fn used_on(&self, queue: u32) {
        if let Storage::Pooled { used_on, .. } = &self.inner.storage {
            let bit = QueueSet::of(queue).0;
            // Most launches are on the queue that is noted already: a load is cheaper than a store.
            if used_on.load(Ordering::Relaxed) & bit == 0 {
                used_on.fetch_or(bit, Ordering::Relaxed);
            }
        }
    }

    /// Whether two ranges share a byte.
    pub fn overlaps(&self, other: &Buffer) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
            && self.offset < other.offset + other.bytes
            && other.offset < self.offset + self.bytes
    }
}

#[cfg(test)]
impl Buffer {
    /// The queues that the pool waits for once this is dropped.
    pub(crate) fn queues(&self) -> QueueSet {
        match &self.inner.storage {
            Storage::Pooled { used_on, .. } => QueueSet(used_on.load(Ordering::Relaxed)),
            Storage::Fenced { .. } => QueueSet::default(),
        }
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} bytes on {})", self.bytes(), self.device().id())
    }
}
