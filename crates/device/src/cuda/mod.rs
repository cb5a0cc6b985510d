//! The CUDA backend, over the driver API.
//!
//! Streams never are the null stream; graphs are captured in thread-local mode, on a stream that
//! does nothing else.

pub mod compile;
mod cublaslt;
mod launch;

use crate::dataflow::Place;
use crate::device::Telemetry;
use crate::error::{DeviceError, Result};
use crate::libraries::preload;
use crate::pool::QueueSet;
use cudarc::driver::sys::{self, CUresult, CUstream};
use kernelsmith_kernels::{DeviceFacts, Target};
use std::cell::Cell;
use std::panic::catch_unwind;
use std::sync::{Mutex, OnceLock, PoisonError, RwLock};

pub use cublaslt::CublasLtProduct;
pub use launch::CudaProgram;

/// Turns a driver status into an error that names the call.
pub(crate) fn check(call: &'static str, status: CUresult) -> Result<()> {
    status.result().map_err(|e| {
        let text = |s: std::result::Result<&std::ffi::CStr, _>| s.ok().map(|s| s.to_string_lossy().into_owned());
        let reason = match (text(e.error_name()), text(e.error_string())) {
            (Some(name), Some(words)) => format!("{name}: {words}"),
            _ => format!("{e:?}"),
        };
        DeviceError::Driver { call, reason }
    })
}

/// Number of CUDA devices, or in one line why there is none.
pub fn count() -> std::result::Result<usize, String> {
    // SAFETY: only tries to open the driver's library.
    if !unsafe { sys::is_culib_present() } {
        return Err("no NVIDIA driver (libcuda was not found)".to_string());
    }
    // A driver that lacks a symbol panics inside cudarc.
    let init = catch_unwind(|| {
        cudarc::driver::result::init()?;
        cudarc::driver::result::device::get_count()
    });
    match init {
        Ok(Ok(0)) => Err("the driver sees no device".to_string()),
        Ok(Ok(n)) => Ok(n as usize),
        Ok(Err(e)) => Err(format!("the driver does not start: {e}")),
        Err(_) => Err("the driver is too old for CUDA 13".to_string()),
    }
}

/// The driver's handle of a stream.
pub(crate) type RawStream = CUstream;

struct Stream(CUstream);

// SAFETY: a CUstream is a handle that the driver lets any thread use.
unsafe impl Send for Stream {}
// SAFETY: as above.
unsafe impl Sync for Stream {}

/// One CUDA device with its primary context.
pub struct CudaDevice {
    ordinal: usize,
    device: sys::CUdevice,
    context: sys::CUcontext,
    streams: RwLock<Vec<Stream>>,
    /// Graphs are captured on these, one at a time: a launch that another thread makes on a queue
    /// meanwhile is no part of them.
    capture: Mutex<Vec<Stream>>,
    facts: DeviceFacts,
    cublaslt: OnceLock<std::result::Result<cublaslt::Handle, String>>,
    programs: Mutex<launch::ModuleCache>,
    nvml: OnceLock<Option<nvml_wrapper::Nvml>>,
    pci_bus: String,
}

// SAFETY: the raw handles in it (context, device) are usable from any thread; each call binds the
// context to its thread first.
unsafe impl Send for CudaDevice {}
// SAFETY: as above.
unsafe impl Sync for CudaDevice {}

thread_local! {
    /// The context that this thread bound last.
    static BOUND: Cell<usize> = const { Cell::new(0) };
}

impl CudaDevice {
    pub fn open(ordinal: usize) -> Result<CudaDevice> {
        let name = format!("cuda:{ordinal}");
        let unavailable = |reason: String| DeviceError::Unavailable { device: name.clone(), reason };
        let devices = count().map_err(unavailable)?;
        if ordinal >= devices {
            return Err(unavailable(format!("there are {devices} devices, counted from 0")));
        }
        let driver = |e: cudarc::driver::DriverError| unavailable(e.to_string());
        let device = cudarc::driver::result::device::get(ordinal as i32).map_err(driver)?;
        // SAFETY: `device` came from the driver; released in `drop`.
        let context = unsafe { cudarc::driver::result::primary_ctx::retain(device) }.map_err(driver)?;
        let mut out = CudaDevice {
            ordinal,
            device,
            context,
            streams: RwLock::default(),
            capture: Mutex::default(),
            facts: DeviceFacts::h200(),
            cublaslt: OnceLock::new(),
            programs: Mutex::default(),
            nvml: OnceLock::new(),
            pci_bus: String::new(),
        };
        out.bind()?;
        out.read_facts()?;
        out.create_stream()?;
        Ok(out)
    }

    /// Makes this device's context current for the calling thread.
    pub(crate) fn bind(&self) -> Result<()> {
        let key = self.context as usize;
        if BOUND.get() != key {
            // SAFETY: the context is retained for as long as `self` lives.
            check("cuCtxSetCurrent", unsafe { sys::cuCtxSetCurrent(self.context) })?;
            BOUND.set(key);
        }
        Ok(())
    }

    fn attribute(&self, which: sys::CUdevice_attribute) -> Result<i64> {
        let mut value = 0;
        // SAFETY: writes one int.
        check("cuDeviceGetAttribute", unsafe { sys::cuDeviceGetAttribute(&mut value, which, self.device) })?;
        Ok(value as i64)
    }

    fn read_facts(&mut self) -> Result<()> {
        use sys::CUdevice_attribute::*;
        let name = cudarc::driver::result::device::get_name(self.device)
            .map_err(|e| DeviceError::Driver { call: "cuDeviceGetName", reason: e.to_string() })?;
        let (mut free, mut total) = (0usize, 0usize);
        // SAFETY: writes two sizes; the context is bound.
        check("cuMemGetInfo", unsafe { sys::cuMemGetInfo_v2(&mut free, &mut total) })?;
        let mut version = 0;
        // SAFETY: writes one int.
        check("cuDriverGetVersion", unsafe { sys::cuDriverGetVersion(&mut version) })?;
        let mut bus = [0 as std::ffi::c_char; 32];
        // SAFETY: writes at most 32 bytes, zero-terminated.
        check("cuDeviceGetPCIBusId", unsafe { sys::cuDeviceGetPCIBusId(bus.as_mut_ptr(), 32, self.device) })?;
        // SAFETY: the driver terminated the string.
        self.pci_bus = unsafe { std::ffi::CStr::from_ptr(bus.as_ptr()) }.to_string_lossy().into_owned();
        let nvml_version = self.nvml().and_then(|n| n.sys_driver_version().ok());
        let toolchain =
            compile::version().map_or_else(|e| format!("no NVRTC: {e}"), |v| format!("NVRTC {}.{}", v.0, v.1));
        let mut libraries = Vec::new();
        if self.cublaslt_handle().is_ok() {
            libraries.push("cublaslt".to_string());
        }
        self.facts = DeviceFacts {
            target: Target::Cuda,
            name,
            cc: self.attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)? * 10
                + self.attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
            sms: self.attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
            shared_max: self.attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?,
            l2_bytes: self.attribute(CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)?,
            memory_bytes: total as i64,
            // Clock in kHz, two transfers a cycle, width in bits.
            memory_bandwidth: 2e3
                * self.attribute(CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE)? as f64
                * self.attribute(CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH)? as f64
                / 8.0,
            threads: std::thread::available_parallelism().map_or(1, |n| n.get()) as i64,
            libraries,
            driver: format!("{} (CUDA {}.{})", nvml_version.unwrap_or_default(), version / 1000, version % 1000 / 10),
            toolchain,
            adapter: Default::default(),
        };
        Ok(())
    }

    pub fn facts(&self) -> DeviceFacts {
        self.facts.clone()
    }

    fn nvml(&self) -> Option<&nvml_wrapper::Nvml> {
        self.nvml.get_or_init(|| nvml_wrapper::Nvml::init().ok()).as_ref()
    }

    pub fn telemetry(&self) -> Telemetry {
        use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor};
        let Some(nvml) = self.nvml() else { return Telemetry::default() };
        let by_bus = nvml.device_by_pci_bus_id(self.pci_bus.as_str());
        let Ok(device) = by_bus.or_else(|_| nvml.device_by_index(self.ordinal as u32)) else {
            return Telemetry::default();
        };
        Telemetry {
            clock_mhz: device.clock_info(Clock::SM).ok().map(f64::from),
            clock_max_mhz: device.max_clock_info(Clock::SM).ok().map(f64::from),
            temperature_c: device.temperature(TemperatureSensor::Gpu).ok().map(f64::from),
            power_w: device.power_usage().ok().map(|mw| f64::from(mw) / 1000.0),
        }
    }

    fn new_stream(&self) -> Result<Stream> {
        self.bind()?;
        let mut stream = std::ptr::null_mut();
        let flags = sys::CUstream_flags::CU_STREAM_NON_BLOCKING as u32;
        // SAFETY: writes one handle; destroyed in `drop`.
        check("cuStreamCreate", unsafe { sys::cuStreamCreate(&mut stream, flags) })?;
        Ok(Stream(stream))
    }

    pub fn create_stream(&self) -> Result<u32> {
        let stream = self.new_stream()?;
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        streams.push(stream);
        Ok(streams.len() as u32 - 1)
    }

    pub(crate) fn stream(&self, queue: u32) -> CUstream {
        let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        // Queue handles are made only by `create_stream`.
        streams[queue as usize].0
    }

    pub fn allocate(&self, bytes: usize) -> Option<u64> {
        self.bind().ok()?;
        let mut address = 0;
        // SAFETY: writes one address; freed by `free`.
        let status = unsafe { sys::cuMemAlloc_v2(&mut address, bytes.max(1)) };
        check("cuMemAlloc", status).ok().map(|()| address)
    }

    pub fn free(&self, address: u64) {
        if self.bind().is_ok() {
            // SAFETY: the pool frees each block once, after draining the queues.
            let _ = unsafe { sys::cuMemFree_v2(address) };
        }
    }

    pub fn are_drained(&self, queues: QueueSet) -> bool {
        let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the stream lives as long as the device.
        let is_drained = |s: &Stream| unsafe { sys::cuStreamQuery(s.0) } == CUresult::CUDA_SUCCESS;
        self.bind().is_ok() && streams.iter().enumerate().all(|(i, s)| !queues.contains(i as u32) || is_drained(s))
    }

    pub fn drain(&self) {
        if self.bind().is_ok() {
            // SAFETY: waits for the bound context. An error here shows again at the next call.
            let _ = unsafe { sys::cuCtxSynchronize() };
        }
    }

    pub fn synchronize(&self, queue: u32) -> Result<()> {
        self.bind()?;
        // SAFETY: the stream lives as long as the device.
        check("cuStreamSynchronize", unsafe { sys::cuStreamSynchronize(self.stream(queue)) })
    }

    pub fn upload(&self, queue: u32, address: u64, data: &[u8]) -> Result<()> {
        self.bind()?;
        let stream = self.stream(queue);
        // SAFETY: the caller checked the device range; `data` outlives the copy, which is waited for.
        check("cuMemcpyHtoDAsync", unsafe {
            sys::cuMemcpyHtoDAsync_v2(address, data.as_ptr().cast(), data.len(), stream)
        })?;
        self.synchronize(queue)
    }

    pub fn download(&self, queue: u32, address: u64, out: &mut [u8]) -> Result<()> {
        self.bind()?;
        let stream = self.stream(queue);
        // SAFETY: as in `upload`.
        check("cuMemcpyDtoHAsync", unsafe {
            sys::cuMemcpyDtoHAsync_v2(out.as_mut_ptr().cast(), address, out.len(), stream)
        })?;
        self.synchronize(queue)
    }

    pub fn fill(&self, queue: u32, address: u64, bytes: usize, byte: u8) -> Result<()> {
        self.bind()?;
        // SAFETY: exactly a live buffer's range.
        check("cuMemsetD8Async", unsafe { sys::cuMemsetD8Async(address, byte, bytes, self.stream(queue)) })
    }

    pub fn record(&self, queue: u32) -> Result<CudaEvent> {
        self.bind()?;
        let mut event = std::ptr::null_mut();
        // SAFETY: writes one handle; destroyed when the event is dropped.
        check("cuEventCreate", unsafe { sys::cuEventCreate(&mut event, 0) })?;
        let event = CudaEvent(event);
        // SAFETY: both handles are alive.
        check("cuEventRecord", unsafe { sys::cuEventRecord(event.0, self.stream(queue)) })?;
        Ok(event)
    }

    /// Captures one launch for each place: `launch(i, stream)` is called in order. Nothing runs.
    pub fn capture(
        &self,
        places: &[Place],
        launch: &mut dyn FnMut(usize, RawStream) -> Result<()>,
    ) -> Result<CudaGraph> {
        self.bind()?;
        let mut capture = self.capture.lock().unwrap_or_else(PoisonError::into_inner);
        let lanes = places.iter().map(|p| p.lane + 1).max().unwrap_or(1);
        while capture.len() < lanes {
            capture.push(self.new_stream()?);
        }
        let streams: Vec<RawStream> = capture[..lanes].iter().map(|s| s.0).collect();
        let stream = streams[0];
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: a stream of our own, never the null stream, under its lock until the capture ends.
        check("cuStreamBeginCapture", unsafe { sys::cuStreamBeginCapture_v2(stream, mode) })?;
        let outcome = self.capture_lanes(places, &streams, launch);
        let mut graph = std::ptr::null_mut();
        // SAFETY: ends the capture begun above whatever the body did.
        let ended = check("cuStreamEndCapture", unsafe { sys::cuStreamEndCapture(stream, &mut graph) });
        if let Err(error) = outcome.and(ended) {
            if !graph.is_null() {
                // SAFETY: captured above and not used.
                unsafe { sys::cuGraphDestroy(graph) };
            }
            return Err(error);
        }
        let mut exec = std::ptr::null_mut();
        // SAFETY: `graph` was just captured; it is destroyed once instantiated.
        let made = check("cuGraphInstantiate", unsafe { sys::cuGraphInstantiateWithFlags(&mut exec, graph, 0) });
        // SAFETY: instantiation copied it.
        unsafe { sys::cuGraphDestroy(graph) };
        made?;
        Ok(CudaGraph(exec))
    }

    /// The launches on their lanes' streams, with an event wherever one waits for another.
    fn capture_lanes(
        &self,
        places: &[Place],
        streams: &[RawStream],
        launch: &mut dyn FnMut(usize, RawStream) -> Result<()>,
    ) -> Result<()> {
        let mark = |stream: RawStream| -> Result<CudaEvent> {
            let mut event = std::ptr::null_mut();
            let flags = sys::CUevent_flags::CU_EVENT_DISABLE_TIMING as u32;
            // SAFETY: writes one handle; destroyed in `drop`.
            check("cuEventCreate", unsafe { sys::cuEventCreate(&mut event, flags) })?;
            let event = CudaEvent(event);
            // SAFETY: both handles are alive.
            check("cuEventRecord", unsafe { sys::cuEventRecord(event.0, stream) })?;
            Ok(event)
        };
        // SAFETY: both handles are alive.
        let wait = |stream: RawStream, event: &CudaEvent| {
            check("cuStreamWaitEvent", unsafe { sys::cuStreamWaitEvent(stream, event.0, 0) })
        };
        // A lane joins the capture by waiting for its start.
        if streams.len() > 1 {
            let start = mark(streams[0])?;
            streams[1..].iter().try_for_each(|s| wait(*s, &start))?;
        }
        let mut awaited = vec![false; places.len()];
        places.iter().flat_map(|p| &p.waits).for_each(|w| awaited[*w] = true);
        let mut events: Vec<Option<CudaEvent>> = Vec::with_capacity(places.len());
        for (i, place) in places.iter().enumerate() {
            let stream = streams[place.lane];
            for event in place.waits.iter().filter_map(|w| events[*w].as_ref()) {
                wait(stream, event)?;
            }
            launch(i, stream)?;
            events.push(if awaited[i] { Some(mark(stream)?) } else { None });
        }
        // The capture ends on the first lane, after all others.
        for stream in &streams[1..] {
            wait(streams[0], &mark(*stream)?)?;
        }
        Ok(())
    }

    pub fn replay(&self, queue: u32, graph: &CudaGraph) -> Result<()> {
        self.bind()?;
        // SAFETY: both handles are alive.
        check("cuGraphLaunch", unsafe { sys::cuGraphLaunch(graph.0, self.stream(queue)) })
    }

    fn cublaslt_handle(&self) -> std::result::Result<&cublaslt::Handle, String> {
        let make = || {
            preload(&["libcublasLt.so.13", "libcublasLt.so"]);
            cublaslt::Handle::new(self)
        };
        self.cublaslt.get_or_init(make).as_ref().map_err(String::clone)
    }

    /// cuBLASLt's version, where it was found: 10000·major + 100·minor + patch.
    pub fn cublaslt_version(&self) -> Option<usize> {
        self.cublaslt_handle().ok().map(|h| h.version())
    }
}

impl Drop for CudaDevice {
    fn drop(&mut self) {
        if self.bind().is_err() {
            return;
        }
        self.drain();
        if let Some(Ok(handle)) = self.cublaslt.get() {
            handle.close(self);
        }
        let capture = self.capture.get_mut().unwrap_or_else(PoisonError::into_inner);
        for stream in self.streams.get_mut().unwrap_or_else(PoisonError::into_inner).iter().chain(capture.iter()) {
            // SAFETY: created by us, not used after this.
            unsafe { sys::cuStreamDestroy_v2(stream.0) };
        }
        self.programs.get_mut().unwrap_or_else(PoisonError::into_inner).unload();
        // SAFETY: retained once in `open`.
        let _ = unsafe { cudarc::driver::result::primary_ctx::release(self.device) };
        BOUND.set(0);
    }
}

/// An event with a time stamp.
pub struct CudaEvent(sys::CUevent);

// SAFETY: a handle that the driver lets any thread use.
unsafe impl Send for CudaEvent {}

impl CudaEvent {
    pub fn us_since(&self, earlier: &CudaEvent) -> Result<f64> {
        // SAFETY: both events were recorded.
        check("cuEventSynchronize", unsafe { sys::cuEventSynchronize(self.0) })?;
        let mut ms = 0f32;
        // SAFETY: writes one float.
        check("cuEventElapsedTime", unsafe { sys::cuEventElapsedTime_v2(&mut ms, earlier.0, self.0) })?;
        Ok(f64::from(ms) * 1e3)
    }
}

impl Drop for CudaEvent {
    fn drop(&mut self) {
        // SAFETY: created by us, dropped once.
        unsafe { sys::cuEventDestroy_v2(self.0) };
    }
}

/// A graph ready for launch.
pub struct CudaGraph(sys::CUgraphExec);

// SAFETY: a handle that the driver lets any thread use, one at a time; replays go through a queue.
unsafe impl Send for CudaGraph {}
// SAFETY: as above; launching does not change it.
unsafe impl Sync for CudaGraph {}

impl Drop for CudaGraph {
    fn drop(&mut self) {
        // SAFETY: instantiated by us, dropped once, before its device; the driver frees it once
        // launches in flight are done.
        unsafe { sys::cuGraphExecDestroy(self.0) };
    }
}
