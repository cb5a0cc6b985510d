//! The device that tensors live on: memory, dispatch, and the plans made so far.

use crate::error::Result;
use crate::plan::PlanCache;
use kernelsmith_device::{Device as RawDevice, DeviceId, Dispatcher, PoolStats, Queue, Report};
use kernelsmith_kernels::Catalogue;
use kernelsmith_kernels::tuned::TunedTable;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) struct Inner {
    pub raw: RawDevice,
    pub queue: Queue,
    /// For what need not wait for the work on the other.
    pub aside: Queue,
    pub dispatcher: Dispatcher,
    pub plans: PlanCache,
    copies_forbidden: AtomicBool,
}

/// A device that tensors live on; cheap to clone. Two openings of one device do not share tensors.
#[derive(Clone)]
pub struct Device(pub(crate) Arc<Inner>);

impl Device {
    /// Opens `cpu`, `cuda:N` or `wgpu:N`.
    ///
    /// # Errors
    /// An unknown name, a device that is not there (with the reason in one line), a damaged tuned table.
    pub fn open(name: &str) -> Result<Device> {
        Self::with_kernels(name.parse()?, None)
    }

    /// Opens the first CUDA device that is there, else the first GPU through wgpu, else the CPU;
    /// `KERNELSMITH_DEVICE` picks another.
    ///
    /// # Errors
    /// As [`Device::open`].
    pub fn best() -> Result<Device> {
        match std::env::var("KERNELSMITH_DEVICE") {
            Ok(name) if !name.is_empty() => Self::open(&name),
            _ => Self::with_kernels(RawDevice::preferred().0, None),
        }
    }

    /// Opens a device with a folder of kernels over the built-in ones.
    ///
    /// # Errors
    /// As [`Device::open`], and for a folder with a damaged manifest.
    pub fn with_kernels(id: DeviceId, kernels: Option<&Path>) -> Result<Device> {
        let raw = RawDevice::open(id)?;
        let mut catalogue = Catalogue::builtin()?;
        let folder = kernels.map(Path::to_path_buf).or_else(|| std::env::var_os("KERNELSMITH_KERNELS").map(Into::into));
        if let Some(folder) = folder {
            catalogue = catalogue.overlay(&folder)?;
        }
        let table = TunedTable::load(raw.facts(), TunedTable::user_folder().as_deref())?;
        let dispatcher = Dispatcher::new(raw.clone(), Arc::new(catalogue), table);
        Ok(Device(Arc::new(Inner {
            queue: raw.queue(),
            aside: raw.new_queue()?,
            raw,
            dispatcher,
            plans: PlanCache::default(),
            copies_forbidden: AtomicBool::new(false),
        })))
    }

    /// Its name, as [`Device::open`] takes it.
    pub fn name(&self) -> String {
        self.0.raw.id().to_string()
    }

    /// The device below: buffers, queues, dispatch.
    pub fn raw(&self) -> &RawDevice {
        &self.0.raw
    }

    /// Waits until everything launched so far is done.
    ///
    /// # Errors
    /// What the device reports of earlier launches.
    pub fn synchronize(&self) -> Result<()> {
        Ok(self.0.queue.synchronize()?)
    }

    /// Counters of the buffer pool.
    pub fn pool_stats(&self) -> PoolStats {
        self.0.raw.pool_stats()
    }

    /// Gives memory that no tensor uses back to the system. Returns the bytes.
    pub fn shrink_to_fit(&self) -> usize {
        self.0.raw.trim()
    }

    /// Whether a plan that needs a copy to change a layout is an error from now on.
    pub fn forbid_copies(&self, forbid: bool) {
        self.0.copies_forbidden.store(forbid, Ordering::Relaxed);
    }

    pub(crate) fn copies_are_forbidden(&self) -> bool {
        self.0.copies_forbidden.load(Ordering::Relaxed)
    }

    /// Which candidates dispatch has picked since the last call, and why.
    pub fn take_reports(&self) -> Vec<Report> {
        self.0.dispatcher.take_reports()
    }

    pub(crate) fn is(&self, other: &Device) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({})", self.name())
    }
}
