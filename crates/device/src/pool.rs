//! The buffer pool: size classes, reuse in queue order, counters.
//!
//! A freed block remembers every queue it was used on. A queue may have it again at once where it
//! was the only one, since work on a queue is ordered; else only when the others have drained.
//! Blocks are always allocated at their class's full size.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Queues by number, as bits. The last bit stands for its own queue and all after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueSet(pub u64);

impl QueueSet {
    const LAST: u32 = u64::BITS - 1;

    pub fn of(queue: u32) -> Self {
        QueueSet(1 << queue.min(Self::LAST))
    }

    pub fn contains(self, queue: u32) -> bool {
        self.0 & Self::of(queue).0 != 0
    }

    /// What must have drained before `queue` may use the memory.
    pub fn but(self, queue: u32) -> Self {
        // Behind the last bit there may be others than this one.
        if queue >= Self::LAST { self } else { QueueSet(self.0 & !Self::of(queue).0) }
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Raw device memory behind a pool.
pub trait RawMemory {
    /// Allocates `bytes`, or `None` where the device has no room.
    fn allocate(&self, bytes: usize) -> Option<u64>;
    fn free(&self, address: u64, bytes: usize);
    /// Whether everything submitted to these queues is done.
    fn are_drained(&self, queues: QueueSet) -> bool;
    /// Waits until everything submitted to every queue is done.
    fn drain(&self);
}

/// A piece of device memory. `bytes` is its class's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    pub address: u64,
    pub bytes: usize,
}

/// Counters of a pool since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Requests served by a block that was held.
    pub hits: u64,
    /// Requests that allocated.
    pub misses: u64,
    /// Bytes in buffers that are alive, in classes.
    pub bytes_live: usize,
    /// Bytes in blocks waiting for reuse.
    pub bytes_held: usize,
    /// Highest bytes live and held together.
    pub bytes_peak: usize,
}

#[derive(Default)]
struct State {
    /// Class size → blocks with the queues they were used on, newest last.
    free: BTreeMap<usize, Vec<(Block, QueueSet)>>,
    stats: PoolStats,
}

#[derive(Default)]
pub struct Pool {
    state: Mutex<State>,
}

/// Smallest class in bytes.
const SMALLEST: usize = 512;
/// Classes above this are multiples of it instead of fractions of a power of two.
const LARGE: usize = 64 << 20;

/// The class of a request: powers of two in four steps (at most 25 % over), 2 MiB steps above 64 MiB.
pub fn class_of(bytes: usize) -> usize {
    if bytes <= SMALLEST {
        return SMALLEST;
    }
    if bytes > LARGE {
        return bytes.checked_next_multiple_of(2 << 20).unwrap_or(usize::MAX);
    }
    let step = bytes.next_power_of_two() / 8;
    bytes.next_multiple_of(step)
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while counting leaves numbers that are still usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block of at least `bytes` for use on `queue`; `None` when the device has no room even
    /// after everything held was given back.
    pub fn acquire(&self, bytes: usize, queue: u32, memory: &dyn RawMemory) -> Option<Block> {
        let class = class_of(bytes);
        {
            let mut state = self.lock();
            let blocks = state.free.entry(class).or_default();
            let usable = |used_on: QueueSet| {
                let others = used_on.but(queue);
                others.is_empty() || memory.are_drained(others)
            };
            if let Some(at) = blocks.iter().rposition(|(_, used_on)| usable(*used_on)) {
                let (block, _) = blocks.swap_remove(at);
                state.stats.hits += 1;
                state.stats.bytes_held -= class;
                state.stats.bytes_live += class;
                return Some(block);
            }
        }
        // Not under the lock: allocation can take long and may wait for the device.
        let address = memory.allocate(class).or_else(|| {
            self.trim(memory);
            memory.allocate(class)
        })?;
        let mut state = self.lock();
        let stats = &mut state.stats;
        stats.misses += 1;
        stats.bytes_live += class;
        stats.bytes_peak = stats.bytes_peak.max(stats.bytes_live + stats.bytes_held);
        Some(Block { address, bytes: class })
    }

    /// Takes a block back that was used on these queues.
    pub fn release(&self, block: Block, used_on: QueueSet) {
        let mut state = self.lock();
        state.stats.bytes_live -= block.bytes;
        state.stats.bytes_held += block.bytes;
        state.free.entry(block.bytes).or_default().push((block, used_on));
    }

    /// Gives everything held back to the device. Returns the bytes given back.
    pub fn trim(&self, memory: &dyn RawMemory) -> usize {
        let blocks: Vec<(Block, QueueSet)> = {
            let mut state = self.lock();
            state.stats.bytes_held = 0;
            std::mem::take(&mut state.free).into_values().flatten().collect()
        };
        if blocks.is_empty() {
            return 0;
        }
        memory.drain();
        blocks
            .iter()
            .map(|(block, _)| {
                memory.free(block.address, block.bytes);
                block.bytes
            })
            .sum()
    }

    pub fn stats(&self) -> PoolStats {
        self.lock().stats
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// Memory of a fixed size that checks its callers.
    struct Fake {
        room: Mutex<(usize, u64, BTreeSet<(u64, usize)>)>,
        drained: Mutex<BTreeSet<u32>>,
    }

    impl Fake {
        fn new(room: usize) -> Self {
            Fake { room: Mutex::new((room, 0, BTreeSet::new())), drained: Mutex::default() }
        }
    }

    impl RawMemory for Fake {
        fn allocate(&self, bytes: usize) -> Option<u64> {
            let mut r = self.room.lock().unwrap();
            r.0 = r.0.checked_sub(bytes)?;
            r.1 += 1 << 40;
            let at = r.1;
            r.2.insert((at, bytes));
            Some(at)
        }
        fn free(&self, address: u64, bytes: usize) {
            let mut r = self.room.lock().unwrap();
            assert!(r.2.remove(&(address, bytes)), "freed what was not allocated");
            r.0 += bytes;
        }
        fn are_drained(&self, queues: QueueSet) -> bool {
            let drained = self.drained.lock().unwrap();
            (0..100).filter(|q| queues.contains(*q)).all(|q| drained.contains(&q))
        }
        fn drain(&self) {}
    }

    #[test]
    fn classes_cover_requests_with_little_waste() {
        for bytes in [1, 512, 513, 1000, 4096, 4097, 1 << 20, (1 << 20) + 1, 100 << 20, 3 << 30] {
            let class = class_of(bytes);
            assert!(class >= bytes && (class as f64) < bytes as f64 * 1.26 + 512.0, "{bytes} -> {class}");
            assert_eq!(class_of(class), class);
        }
    }

    #[test]
    fn another_queue_waits_until_the_block_is_no_longer_in_flight() {
        let (pool, memory) = (Pool::default(), Fake::new(1 << 20));
        let block = pool.acquire(1000, 0, &memory).unwrap();
        pool.release(block, QueueSet::of(0));
        assert_ne!(pool.acquire(1000, 1, &memory).unwrap(), block, "reused while in flight");
        assert_eq!(pool.acquire(1000, 0, &memory).unwrap(), block);
        pool.release(block, QueueSet::of(0));
        memory.drained.lock().unwrap().insert(0);
        assert_eq!(pool.acquire(1000, 1, &memory).unwrap(), block);
        let s = pool.stats();
        assert_eq!((s.hits, s.misses, s.bytes_held), (2, 2, 0));
    }

    #[test]
    fn a_block_waits_for_every_queue_it_was_used_on() {
        let (pool, memory) = (Pool::default(), Fake::new(1 << 20));
        let block = pool.acquire(1000, 0, &memory).unwrap();
        pool.release(block, QueueSet(QueueSet::of(0).0 | QueueSet::of(2).0));
        assert_ne!(pool.acquire(1000, 0, &memory).unwrap(), block, "queue 2 still uses it");
        memory.drained.lock().unwrap().insert(2);
        assert_eq!(pool.acquire(1000, 0, &memory).unwrap(), block);
    }

    #[test]
    fn queues_past_the_last_bit_are_not_taken_for_each_other() {
        let (pool, memory) = (Pool::default(), Fake::new(1 << 20));
        let block = pool.acquire(1000, 70, &memory).unwrap();
        pool.release(block, QueueSet::of(70));
        assert_ne!(pool.acquire(1000, 80, &memory).unwrap(), block, "queue 70 still uses it");
        memory.drained.lock().unwrap().extend(63..100);
        assert_eq!(pool.acquire(1000, 80, &memory).unwrap(), block);
    }

    #[test]
    fn held_memory_is_given_back_before_out_of_memory() {
        let (pool, memory) = (Pool::default(), Fake::new(10_000));
        let block = pool.acquire(8192, 0, &memory).unwrap();
        assert!(pool.acquire(8000, 0, &memory).is_none());
        pool.release(block, QueueSet::of(0));
        assert!(pool.acquire(5000, 0, &memory).is_some(), "a held block of another class was kept");
        assert_eq!(pool.stats().bytes_held, 0);
    }

    #[test]
    fn threads_share_a_pool() {
        let (pool, memory) = (Pool::default(), Fake::new(1 << 30));
        std::thread::scope(|s| {
            for t in 0..4u32 {
                let (pool, memory) = (&pool, &memory);
                s.spawn(move || {
                    for i in 0..500usize {
                        let b = pool.acquire(1 + i * 37 % 9000, t, memory).unwrap();
                        pool.release(b, QueueSet::of(t));
                    }
                });
            }
        });
        let stats = pool.stats();
        assert_eq!((stats.bytes_live, stats.hits + stats.misses), (0, 2000));
        assert_eq!(pool.trim(&memory), stats.bytes_held);
        assert!(memory.room.lock().unwrap().2.is_empty());
    }

    proptest! {
        #[test]
        fn live_blocks_never_overlap_and_counters_add_up(steps in prop::collection::vec((1usize..50_000, 0u32..3, any::<bool>()), 1..80)) {
            let (pool, memory) = (Pool::default(), Fake::new(usize::MAX / 2));
            let mut live: Vec<(Block, u32)> = Vec::new();
            for (bytes, queue, release) in steps {
                if release && !live.is_empty() {
                    let (b, q) = live.swap_remove(bytes % live.len());
                    pool.release(b, QueueSet::of(q));
                } else {
                    let b = pool.acquire(bytes, queue, &memory).unwrap();
                    prop_assert!(b.bytes >= bytes);
                    prop_assert!(live.iter().all(|(o, _)| o.address != b.address));
                    live.push((b, queue));
                }
                let sum: usize = live.iter().map(|(b, _)| b.bytes).sum();
                prop_assert_eq!(pool.stats().bytes_live, sum);
            }
        }
    }
}
