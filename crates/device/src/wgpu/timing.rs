//! Time stamps: slots of one query set, taken and given back.

use super::WgpuDevice;
use crate::error::{DeviceError, Result};
use ::wgpu::{BufferUsages, MapMode, PollType, QuerySet, QueryType};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Slots of the set.
const SLOTS: u32 = 1024;

/// A device's query set.
pub(super) struct Stamps {
    set: QuerySet,
    resolved: ::wgpu::Buffer,
    staging: Mutex<::wgpu::Buffer>,
    free: Arc<Mutex<Vec<u32>>>,
    /// Nanoseconds a tick.
    period: f64,
}

/// A slot; given back when dropped.
pub struct Slot {
    index: u32,
    free: Arc<Mutex<Vec<u32>>>,
}

impl Slot {
    pub(super) fn index(&self) -> u32 {
        self.index
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(self.index);
    }
}

/// A point in a queue.
pub enum WgpuEvent {
    Stamp(Slot),
    /// The host's clock after a wait, where the adapter has no time stamps.
    Host(Instant),
}

impl Stamps {
    pub fn new(device: &::wgpu::Device, queue: &::wgpu::Queue) -> Stamps {
        let buffer = |usage| {
            device.create_buffer(&::wgpu::BufferDescriptor {
                label: Some("time stamps"),
                size: u64::from(SLOTS) * 8,
                usage,
                mapped_at_creation: false,
            })
        };
        Stamps {
            set: device.create_query_set(&::wgpu::QuerySetDescriptor {
                label: Some("time stamps"),
                ty: QueryType::Timestamp,
                count: SLOTS,
            }),
            resolved: buffer(BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC),
            staging: Mutex::new(buffer(BufferUsages::MAP_READ | BufferUsages::COPY_DST)),
            free: Arc::new(Mutex::new((0..SLOTS).rev().collect())),
            period: f64::from(queue.get_timestamp_period()),
        }
    }

    pub fn set(&self) -> &QuerySet {
        &self.set
    }

    /// A slot, while there is one.
    pub fn take(&self) -> Option<Slot> {
        let index = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        Some(Slot { index, free: self.free.clone() })
    }
}

impl WgpuDevice {
    /// Microseconds from one event to another; waits for both.
    pub fn us_between(&self, from: &WgpuEvent, to: &WgpuEvent) -> Result<f64> {
        match (from, to) {
            (WgpuEvent::Stamp(a), WgpuEvent::Stamp(b)) => {
                let [a, b] = [self.ticks(a)?, self.ticks(b)?];
                let period = self.stamps.as_ref().map_or(1.0, |s| s.period);
                Ok(b.wrapping_sub(a) as i64 as f64 * period / 1e3)
            }
            (WgpuEvent::Host(a), WgpuEvent::Host(b)) => Ok(b.duration_since(*a).as_secs_f64() * 1e6),
            _ => Err(DeviceError::Driver {
                call: "event",
                reason: "one event has a time stamp, the other has none: too many are alive".to_string(),
            }),
        }
    }

    fn ticks(&self, slot: &Slot) -> Result<u64> {
        let Some(stamps) = &self.stamps else { return Ok(0) };
        self.flush()?;
        let staging = stamps.staging.lock().unwrap_or_else(PoisonError::into_inner);
        let slice = staging.slice(..8);
        let (send, receive) = std::sync::mpsc::channel();
        self.scoped("resolve_query_set", || {
            let mut encoder = self.device.create_command_encoder(&Default::default());
            encoder.resolve_query_set(&stamps.set, slot.index..slot.index + 1, &stamps.resolved, 0);
            encoder.copy_buffer_to_buffer(&stamps.resolved, 0, &staging, 0, 8);
            self.queue.submit([encoder.finish()]);
            slice.map_async(MapMode::Read, move |mapped| drop(send.send(mapped)));
        })?;
        let fail = |reason: String| DeviceError::Driver { call: "a time stamp", reason };
        self.device.poll(PollType::wait_indefinitely()).map_err(|e| fail(e.to_string()))?;
        receive.try_recv().map_err(|e| fail(e.to_string()))?.map_err(|e| fail(e.to_string()))?;
        let ticks = {
            let view = slice.get_mapped_range().map_err(|e| fail(e.to_string()))?;
            u64::from_le_bytes(view[..8].try_into().unwrap_or_default())
        };
        staging.unmap();
        Ok(ticks)
    }
}
