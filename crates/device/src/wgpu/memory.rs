//! Device memory: one wgpu buffer a block of the pool, with an address that nothing points to.
//!
//! The upper bits of an address number the buffer, the lower ones are the offset in it. Numbers are
//! never used twice, so that what was bound for a freed block is never taken for another.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Bits of an address that are the offset.
const OFFSET_BITS: u32 = 40;

#[derive(Default)]
pub struct Memory {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last: u64,
    buffers: BTreeMap<u64, ::wgpu::Buffer>,
}

impl Memory {
    /// Takes a buffer in; its address.
    pub fn insert(&self, buffer: ::wgpu::Buffer) -> u64 {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.last += 1;
        let number = state.last;
        state.buffers.insert(number, buffer);
        number << OFFSET_BITS
    }

    /// Frees the buffer at an address. What is submitted already still has it.
    pub fn remove(&self, address: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(buffer) = state.buffers.remove(&(address >> OFFSET_BITS)) {
            buffer.destroy();
        }
    }

    /// The buffer that holds an address, and the offset in it.
    pub fn at(&self, address: u64) -> Option<(::wgpu::Buffer, u64)> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let buffer = state.buffers.get(&(address >> OFFSET_BITS))?;
        Some((buffer.clone(), address & ((1 << OFFSET_BITS) - 1)))
    }
}
