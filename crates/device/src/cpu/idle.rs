//! Waiting for threads that libraries leave spinning after a call.

use std::time::Duration;

/// Longest wait; OpenBLAS's threads spin for some 26 ms.
const LONGEST: Duration = Duration::from_millis(60);
/// Time between two looks.
const SLICE: Duration = Duration::from_millis(1);

/// Waits until no other thread of this process runs.
pub fn wait_for_other_threads() {
    let looks = LONGEST.as_millis() / SLICE.as_millis();
    for _ in 0..looks {
        match others_running() {
            Some(false) => return,
            Some(true) => std::thread::sleep(SLICE),
            // The system does not tell: wait as long as the slowest is known to need.
            None => return std::thread::sleep(LONGEST / 2),
        }
    }
}

/// Whether any other thread is running or ready to run. Processor time would not tell: a thread
/// on another core is charged only at its next tick.
#[cfg(target_os = "linux")]
fn others_running() -> Option<bool> {
    // SAFETY: takes nothing, returns this thread's number.
    let own = unsafe { libc::gettid() }.to_string();
    for task in std::fs::read_dir("/proc/self/task").ok()?.flatten() {
        if task.file_name().to_string_lossy() == own {
            continue;
        }
        // The state follows the name, which ends at the last parenthesis. A thread that has just
        // ended has no file any more.
        let Ok(stat) = std::fs::read_to_string(task.path().join("stat")) else { continue };
        let state = stat.rfind(')').and_then(|at| stat[at + 1..].trim_start().chars().next());
        if state == Some('R') {
            return Some(true);
        }
    }
    Some(false)
}

#[cfg(not(target_os = "linux"))]
fn others_running() -> Option<bool> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn a_spinning_thread_is_seen() {
        let stop = AtomicBool::new(false);
        std::thread::scope(|s| {
            s.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    std::thread::yield_now();
                }
            });
            let seen = (0..1000).any(|_| others_running() == Some(true));
            stop.store(true, Ordering::Relaxed);
            assert!(seen);
        });
    }
}
