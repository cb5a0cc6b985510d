//! The queue: commands are gathered and submitted together, before anything is waited for.

use super::record::{Bound, Command, encode};
use super::{WgpuDevice, timing::WgpuEvent};
use crate::error::{DeviceError, Result};
use crate::pool::QueueSet;
use ::wgpu::{BufferUsages, MapMode, PollType};
use std::sync::{Arc, PoisonError};

/// Commands that are not submitted yet.
#[derive(Default)]
pub(super) struct Pending(Vec<Command>);

/// Commands that are gathered at most.
const MOST: usize = 64;
/// Bytes of the staging buffer that is kept.
const STAGING: u64 = 1 << 20;
/// Writes of more bytes than this are submitted at once, so that their staging memory is freed.
const LARGE: usize = 64 << 10;

impl WgpuDevice {
    /// Submits what is gathered.
    pub(super) fn flush(&self) -> Result<()> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        self.submit(&mut pending)
    }

    /// Under the lock: what is gathered first is submitted first.
    fn submit(&self, pending: &mut Pending) -> Result<()> {
        if pending.0.is_empty() {
            return Ok(());
        }
        let commands = std::mem::take(&mut pending.0);
        self.scoped("submit", || {
            let mut encoder = self.device.create_command_encoder(&Default::default());
            encode(&mut encoder, &commands, self.stamps.as_ref().map(|s| s.set()));
            self.queue.submit([encoder.finish()]);
        })
    }

    /// Adds commands.
    fn push(&self, commands: impl Iterator<Item = Command>) -> Result<()> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.0.extend(commands);
        if pending.0.len() >= MOST { self.submit(&mut pending) } else { Ok(()) }
    }

    /// Launches what is bound, after everything before it.
    pub fn dispatch(&self, bound: &[Arc<Bound>]) -> Result<()> {
        self.push(bound.iter().cloned().map(Command::Dispatch))
    }

    /// Replays a graph: one submission, together with a time stamp before it, which waits for the one
    /// after it.
    pub fn replay(&self, bound: &[Arc<Bound>]) -> Result<()> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let timed = matches!(pending.0.last(), Some(Command::Stamp(_)));
        pending.0.extend(bound.iter().cloned().map(Command::Dispatch));
        if timed { Ok(()) } else { self.submit(&mut pending) }
    }

    /// Marks this point of the queue; without time stamps it waits and reads the host's clock.
    pub fn record(&self) -> Result<WgpuEvent> {
        match self.stamps.as_ref().and_then(|s| s.take()) {
            Some(slot) => {
                self.push(std::iter::once(Command::Stamp(slot.index())))?;
                Ok(WgpuEvent::Stamp(slot))
            }
            None => {
                self.synchronize()?;
                Ok(WgpuEvent::Host(std::time::Instant::now()))
            }
        }
    }

    /// Waits for everything submitted and gathered.
    pub fn synchronize(&self) -> Result<()> {
        self.flush()?;
        let waited = self.device.poll(PollType::wait_indefinitely());
        waited.map_err(|e| DeviceError::Driver { call: "poll", reason: e.to_string() })?;
        self.escaped()
    }

    pub fn drain(&self) {
        // What fails here shows again at the next call.
        let _ = self.synchronize();
    }

    pub fn are_drained(&self, queues: QueueSet) -> bool {
        // There is one queue.
        if queues.is_empty() {
            return true;
        }
        let nothing_gathered = self.pending.lock().unwrap_or_else(PoisonError::into_inner).0.is_empty();
        nothing_gathered && self.device.poll(PollType::Poll).is_ok_and(|s| s.is_queue_empty())
    }

    fn buffer(&self, address: u64) -> Result<(::wgpu::Buffer, u64)> {
        self.memory.at(address).ok_or_else(|| DeviceError::Driver {
            call: "a look-up of memory",
            reason: format!("nothing is at {address:#x}"),
        })
    }

    /// Copies host bytes to an address, after everything before it. Copies are of whole words: words
    /// that are written in part are read first.
    pub fn upload(&self, address: u64, data: &[u8]) -> Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        let (buffer, offset) = self.buffer(address)?;
        self.flush()?;
        let before = (offset % 4) as usize;
        let end = before + data.len();
        let write = |at: u64, bytes: &[u8]| {
            self.scoped("write_buffer", || {
                self.queue.write_buffer(&buffer, at, bytes);
                if bytes.len() > LARGE {
                    self.queue.submit([]);
                }
            })
        };
        if before == 0 && end.is_multiple_of(4) {
            return write(offset, data);
        }
        let start = offset - before as u64;
        let mut words = vec![0u8; end.next_multiple_of(4)];
        let last = words.len() - 4;
        self.download(address - before as u64, &mut words[..4])?;
        if last > 0 && !end.is_multiple_of(4) {
            self.download(address - before as u64 + last as u64, &mut words[last..])?;
        }
        words[before..end].copy_from_slice(data);
        write(start, &words)
    }

    /// Copies bytes at an address to the host, after everything before it.
    pub fn download(&self, address: u64, out: &mut [u8]) -> Result<()> {
        if out.is_empty() {
            return self.synchronize();
        }
        let (buffer, offset) = self.buffer(address)?;
        self.flush()?;
        let before = offset % 4;
        let bytes = (before + out.len() as u64).next_multiple_of(4);
        let mut kept = self.staging.lock().unwrap_or_else(PoisonError::into_inner);
        let staging = match kept.take() {
            Some(staging) if staging.size() >= bytes => staging,
            _ => {
                let size = bytes.max(STAGING);
                let usage = BufferUsages::MAP_READ | BufferUsages::COPY_DST;
                let descriptor = ::wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
                self.scoped("create_buffer", || self.device.create_buffer(&descriptor))?
            }
        };
        self.scoped("copy_buffer_to_buffer", || {
            let mut encoder = self.device.create_command_encoder(&Default::default());
            encoder.copy_buffer_to_buffer(&buffer, offset - before, &staging, 0, bytes);
            self.queue.submit([encoder.finish()]);
        })?;
        let slice = staging.slice(..bytes);
        let (send, receive) = std::sync::mpsc::channel();
        slice.map_async(MapMode::Read, move |mapped| drop(send.send(mapped)));
        self.synchronize()?;
        let fail = |reason: String| DeviceError::Driver { call: "map_async", reason };
        match receive.try_recv() {
            Ok(Ok(())) => {}
            Ok(Err(e)) => return Err(fail(e.to_string())),
            Err(_) => return Err(fail("the buffer was not mapped after a wait".to_string())),
        }
        {
            let view = slice.get_mapped_range().map_err(|e| fail(e.to_string()))?;
            out.copy_from_slice(&view[before as usize..before as usize + out.len()]);
        }
        staging.unmap();
        if staging.size() <= STAGING {
            *kept = Some(staging);
        }
        Ok(())
    }

    /// Sets every byte of a range.
    pub fn fill(&self, address: u64, bytes: usize, byte: u8) -> Result<()> {
        let (_, offset) = self.buffer(address)?;
        let head = ((4 - offset % 4) % 4) as usize;
        let head = head.min(bytes);
        let words = (bytes - head) / 4;
        let tail = bytes - head - 4 * words;
        self.upload(address, &vec![byte; head])?;
        self.fill_words(address + head as u64, words, u32::from_ne_bytes([byte; 4]))?;
        self.upload(address + (head + 4 * words) as u64, &vec![byte; tail])
    }
}
