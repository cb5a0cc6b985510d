//! A team of helper threads for products that last tens of microseconds.
//!
//! A thread pool that sleeps between calls needs 5–50 µs to wake up, as long as a small layer
//! takes. Helpers here watch for work for a moment after each call before they sleep, and the
//! caller works too. Each thread starts with its own range of pieces, the same one in every call
//! of the same size, so that what it read last time may still be in its caches; then it takes
//! pieces from the ends of the others' ranges. A helper that wakes up late finds nothing left and
//! costs nothing.

use super::placement;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, TryLockError};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// How long a helper watches before it sleeps.
const WATCH: Duration = Duration::from_micros(100);
/// Most helpers that are ever started.
const MOST: usize = 255;

type Work = dyn Fn(usize) + Sync;

struct Helper {
    thread: Thread,
    asleep: Arc<AtomicBool>,
}

struct Team {
    /// What can be claimed of each thread's range; the caller's comes first.
    ranges: [Range; MOST + 1],
    /// Threads that take part in the published work, 0 while there is none.
    threads: AtomicUsize,
    /// The work that the ranges belong to. Read only between a claim and its `done`.
    work: UnsafeCell<Option<*const Work>>,
    done: AtomicUsize,
    panicked: AtomicBool,
    /// Processor of the caller when it published the work.
    caller: AtomicUsize,
    /// Held by the caller whose work is published.
    helpers: Mutex<Vec<Helper>>,
}

// SAFETY: `work` is written only by the caller that holds `helpers`, before it publishes ranges,
// and read only by threads that claimed a piece of one; the caller does not return, or write
// again, before every piece was claimed and is counted in `done`. The pointer's target is `Sync`.
unsafe impl Sync for Team {}
// SAFETY: as above; nothing in it is bound to a thread.
unsafe impl Send for Team {}

static TEAM: Team = Team {
    ranges: [const { Range(AtomicU64::new(0)) }; MOST + 1],
    threads: AtomicUsize::new(0),
    work: UnsafeCell::new(None),
    done: AtomicUsize::new(0),
    panicked: AtomicBool::new(false),
    caller: AtomicUsize::new(usize::MAX),
    helpers: Mutex::new(Vec::new()),
};

/// End (upper half) and start of the pieces left, on a cache line of its own. A claim compares
/// both, so it can only succeed on a piece that is left.
#[repr(align(64))]
struct Range(AtomicU64);

impl Range {
    fn publish(&self, start: usize, end: usize) {
        self.0.store((end as u64) << 32 | start as u64, Ordering::SeqCst);
    }

    /// Takes the first piece (the owner) or the last one (a thief).
    fn claim(&self, owner: bool) -> Option<usize> {
        let mut now = self.0.load(Ordering::SeqCst);
        loop {
            let (end, start) = (now >> 32, now & u32::MAX as u64);
            if start >= end {
                return None;
            }
            let (piece, then) = if owner { (start, now + 1) } else { (end - 1, now - (1 << 32)) };
            match self.0.compare_exchange_weak(now, then, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return Some(piece as usize),
                Err(other) => now = other,
            }
        }
    }
}

/// Calls `work(0)` … `work(pieces - 1)`, each once, on this thread and up to `threads - 1`
/// helpers. With one thread, or while another call has the team, this thread does everything.
/// `pieces` fit 31 bits.
pub fn share(threads: usize, pieces: usize, work: &(dyn Fn(usize) + Sync)) {
    assert!(i32::try_from(pieces).is_ok(), "{pieces} pieces are more than a team can share");
    let mut helpers = match (threads > 1 && pieces > 1).then(|| TEAM.helpers.try_lock()) {
        Some(Ok(helpers)) => helpers,
        Some(Err(TryLockError::Poisoned(held))) => held.into_inner(),
        Some(Err(TryLockError::WouldBlock)) | None => return (0..pieces).for_each(work),
    };
    let wanted = (threads.min(pieces) - 1).min(MOST);
    while helpers.len() < wanted {
        let Some(helper) = start(helpers.len()) else { break };
        helpers.push(helper);
    }
    let panicked = TEAM.run(&helpers, wanted, pieces, work);
    drop(helpers);
    assert!(!panicked, "a piece of shared work panicked");
}

fn start(index: usize) -> Option<Helper> {
    let asleep = Arc::new(AtomicBool::new(false));
    let flag = asleep.clone();
    let handle = std::thread::Builder::new()
        .name(format!("kernelsmith-helper-{index}"))
        .spawn(move || TEAM.help(index, &flag))
        .ok()?;
    Some(Helper { thread: handle.thread().clone(), asleep })
}

impl Team {
    /// Publishes the work, takes part in it and waits for it. Whether a piece panicked.
    fn run(&self, helpers: &[Helper], wanted: usize, pieces: usize, work: &(dyn Fn(usize) + Sync)) -> bool {
        self.done.store(0, Ordering::Relaxed);
        self.panicked.store(false, Ordering::Relaxed);
        self.caller.store(placement::current().unwrap_or(usize::MAX), Ordering::Relaxed);
        // SAFETY: only the lifetime changes; nobody calls the work after this function returns,
        // because it waits for every claimed piece and leaves none to claim.
        let erased = unsafe { std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), *const Work>(work) };
        // SAFETY: the previous work's pieces are all done, so nobody reads this now.
        unsafe { *self.work.get() = Some(erased) };
        let threads = 1 + wanted.min(helpers.len());
        for thread in 0..threads {
            self.ranges[thread].publish(thread * pieces / threads, (thread + 1) * pieces / threads);
        }
        self.threads.store(threads, Ordering::SeqCst);
        for helper in helpers.iter().take(wanted) {
            if helper.asleep.swap(false, Ordering::SeqCst) {
                helper.thread.unpark();
            }
        }
        self.work_as(0);
        let mut looks = 0u32;
        while self.done.load(Ordering::Acquire) < pieces {
            looks += 1;
            // The helper may have lost its core: let it have this one.
            if looks.is_multiple_of(4096) { std::thread::yield_now() } else { std::hint::spin_loop() }
        }
        self.threads.store(0, Ordering::SeqCst);
        self.panicked.load(Ordering::Relaxed)
    }

    /// Does pieces until none is left for this thread: its own, then the others'. Whether it did any.
    fn work_as(&self, thread: usize) -> bool {
        let threads = self.threads.load(Ordering::SeqCst);
        if thread >= threads {
            return false;
        }
        let mut any = false;
        for other in (0..threads).map(|i| (thread + i) % threads) {
            while let Some(piece) = self.ranges[other].claim(other == thread) {
                self.do_piece(piece);
                any = true;
            }
        }
        any
    }

    fn do_piece(&self, piece: usize) {
        // SAFETY: a piece of the published work was claimed and is not yet counted in `done`, so
        // the work is alive and not being replaced.
        let work = unsafe { (*self.work.get()).map(|w| &*w) };
        if catch_unwind(AssertUnwindSafe(|| work.map(|w| w(piece)))).is_err() {
            self.panicked.store(true, Ordering::Relaxed);
        }
        self.done.fetch_add(1, Ordering::Release);
    }

    /// Leaves the caller's processor to the caller.
    fn make_room(&self) {
        if let Some(here) = placement::current()
            && here == self.caller.load(Ordering::Relaxed)
        {
            placement::leave(here);
        }
    }

    fn help(&self, index: usize, asleep: &AtomicBool) -> ! {
        loop {
            let mut since = Instant::now();
            while since.elapsed() < WATCH {
                self.make_room();
                for _ in 0..64 {
                    if self.work_as(index + 1) {
                        since = Instant::now();
                    }
                    std::hint::spin_loop();
                }
            }
            asleep.store(true, Ordering::SeqCst);
            // Work may have been published before the flag was seen.
            if !self.work_as(index + 1) {
                std::thread::park();
            }
            asleep.store(false, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_runs_once() {
        for round in 0..2000 {
            let (threads, pieces) = (1 + round % 5, round % 23);
            let counts: Vec<AtomicUsize> = (0..pieces).map(|_| AtomicUsize::new(0)).collect();
            share(threads, pieces, &|i| {
                counts[i].fetch_add(1, Ordering::Relaxed);
            });
            assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1));
            if round % 500 == 0 {
                // Long enough for the helpers to fall asleep.
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }

    #[test]
    fn calls_from_several_threads_do_not_mix() {
        std::thread::scope(|s| {
            for t in 0..4u64 {
                s.spawn(move || {
                    for round in 0..300u64 {
                        let total = AtomicU64::new(0);
                        share(3, 9, &|i| {
                            total.fetch_add(t * 1000 + i as u64, Ordering::Relaxed);
                        });
                        assert_eq!(total.into_inner(), 9 * t * 1000 + 36, "{round}");
                    }
                });
            }
        });
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_team_lives_on() {
        let caught = catch_unwind(|| share(2, 4, &|i| assert!(i != 2)));
        assert!(caught.is_err());
        share(2, 4, &|_| {});
    }
}
