//! Where threads run. The scheduler likes to wake a helper on its caller's core, where the two
//! would take turns of milliseconds in work of microseconds; a helper that finds itself there
//! moves away.

/// The processor that this thread runs on, where the system tells.
#[cfg(target_os = "linux")]
pub fn current() -> Option<usize> {
    // SAFETY: takes nothing, returns a number or −1.
    usize::try_from(unsafe { libc::sched_getcpu() }).ok()
}

/// Moves this thread to another processor than `processor` if it may run on one; it may be moved
/// again after that.
#[cfg(target_os = "linux")]
pub fn leave(processor: usize) {
    let size = std::mem::size_of::<libc::cpu_set_t>();
    // SAFETY: a set of processors is plain bits; zero is the empty set.
    let mut allowed: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: writes the calling thread's set, of the size given.
    if unsafe { libc::sched_getaffinity(0, size, &mut allowed) } != 0 || processor >= libc::CPU_SETSIZE as usize {
        return;
    }
    let mut others = allowed;
    // SAFETY: the processor's number is below the set's size; both calls touch only the set.
    let rest = unsafe {
        libc::CPU_CLR(processor, &mut others);
        libc::CPU_COUNT(&others)
    };
    if rest > 0 {
        // SAFETY: sets the calling thread's own affinity, first without the processor, which moves
        // it at once, then as it was.
        unsafe {
            libc::sched_setaffinity(0, size, &others);
            libc::sched_setaffinity(0, size, &allowed);
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub fn current() -> Option<usize> {
    None
}

#[cfg(not(target_os = "linux"))]
pub fn leave(_processor: usize) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_leaves_may_still_run_anywhere() {
        let Some(before) = current() else { return };
        for _ in 0..10 {
            leave(before);
        }
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
        leave(current().unwrap_or(before));
        assert_eq!(std::thread::available_parallelism().map_or(1, |n| n.get()), threads);
    }
}
