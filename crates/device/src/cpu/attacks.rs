//! Attacks on the timer: products that are right when they are looked at closely and seem faster than
//! they are when they are timed. No manifest that ships names them; the lab's tests do, to prove that
//! each is caught and named.

use super::kernel::{CpuCall, CpuEntry, CpuKernelError};
use kernelsmith_core::Problem;
use kernelsmith_kernels::Config;
use std::collections::HashMap;
use std::sync::mpsc::{Sender, channel};
use std::sync::{LazyLock, Mutex, MutexGuard, OnceLock};
use std::thread::JoinHandle;

type Outcome = Result<(), CpuKernelError>;

const SOURCE: &str = include_str!("attacks.rs");

macro_rules! entries {
    ($($name:literal => $run:expr),* $(,)?) => { &[$(CpuEntry { name: $name, run: $run, source: SOURCE }),*] };
}

pub static KERNELS: &[CpuEntry] = entries! {
    "attack_none" => compute,
    "attack_another_thread" => another_thread,
    "attack_another_stream" => another_stream,
    "attack_late_when_fresh" => late_when_fresh,
    "attack_cached_result" => cached_result,
    "attack_folded_calls" => folded_calls,
    "attack_memoised_address" => memoised_address,
    "attack_memoised_content" => memoised_content,
    "attack_needs_poison" => needs_poison,
    "attack_outside_window" => outside_window,
    "attack_changes_input" => changes_input,
};

/// Launches on each address that an attack is honest for: more than the gate makes.
const HONEST: u32 = 4;

/// The product itself.
fn compute(call: &mut CpuCall) -> Outcome {
    let entry = super::kernel::find("blocked").ok_or_else(|| CpuKernelError("there is no blocked".to_string()))?;
    let config = Config::new([("THREADS".to_string(), 1)]);
    let (problem, inputs, output) = (call.problem, call.inputs, &mut *call.output);
    (entry.run)(&mut CpuCall { problem, config: &config, inputs, output })
}

fn address(call: &CpuCall) -> usize {
    call.inputs.first().map_or(0, |b| b.as_ptr() as usize)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Whether this launch is one of the first on its inputs: those may be the gate's.
fn may_be_the_gate(call: &CpuCall) -> bool {
    static SEEN: LazyLock<Mutex<HashMap<usize, u32>>> = LazyLock::new(Mutex::default);
    let mut seen = lock(&SEEN);
    let count = seen.entry(address(call)).or_default();
    *count += 1;
    *count <= HONEST
}

/// A hash of a part of the inputs.
fn content(call: &CpuCall) -> u64 {
    let words = call.inputs.iter().flat_map(|b| b.chunks_exact(8).step_by(7));
    words.fold(0u64, |h, w| {
        let word = u64::from_le_bytes([w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7]]);
        (h.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    })
}

/// Whether all bytes are one, as in memory that was poisoned.
fn is_uniform(bytes: &[u8]) -> bool {
    bytes.first().is_none_or(|first| bytes.iter().all(|b| b == first))
}

/// A launch's memory, taken to where its borrow no longer holds.
struct Stolen {
    problem: Problem,
    inputs: Vec<(usize, usize)>,
    output: (usize, usize),
}

impl Stolen {
    fn from(call: &mut CpuCall) -> Self {
        let inputs = call.inputs.iter().map(|b| (b.as_ptr() as usize, b.len())).collect();
        Stolen { problem: call.problem.clone(), inputs, output: (call.output.as_mut_ptr() as usize, call.output.len()) }
    }

    fn run(self) {
        // SAFETY: none: the planted attack uses memory after the launch that lent it. Buffers of the
        // timer live on while it measures, in a worker that is ended after the attack.
        let view = |(at, len): &(usize, usize)| unsafe { std::slice::from_raw_parts(*at as *const u8, *len) };
        let inputs: Vec<&[u8]> = self.inputs.iter().map(view).collect();
        // SAFETY: none, as above; it also races with whoever reads the output.
        let output = unsafe { std::slice::from_raw_parts_mut(self.output.0 as *mut u8, self.output.1) };
        let config = Config::new([]);
        let _ = compute(&mut CpuCall { problem: &self.problem, config: &config, inputs: &inputs, output });
    }
}

/// Leaves the work to a thread, for which only the next launch waits.
fn another_thread(call: &mut CpuCall) -> Outcome {
    static RUNNING: Mutex<Option<JoinHandle<()>>> = Mutex::new(None);
    let mut running = lock(&RUNNING);
    if let Some(thread) = running.take() {
        let _ = thread.join();
    }
    if may_be_the_gate(call) {
        return compute(call);
    }
    let work = Stolen::from(call);
    *running = Some(std::thread::spawn(move || work.run()));
    Ok(())
}

/// Puts the work into a queue of its own, beside the one that is timed, and waits for nothing.
fn another_stream(call: &mut CpuCall) -> Outcome {
    static QUEUE: OnceLock<Mutex<Sender<Stolen>>> = OnceLock::new();
    if may_be_the_gate(call) {
        return compute(call);
    }
    let queue = QUEUE.get_or_init(|| {
        let (send, receive) = channel::<Stolen>();
        std::thread::spawn(move || receive.into_iter().for_each(Stolen::run));
        Mutex::new(send)
    });
    lock(queue).send(Stolen::from(call)).map_err(|e| CpuKernelError(e.to_string()))
}

/// In time with inputs that it has met, at leisure with others: then a thread does the work, once the launch
/// is over. A look at the end finds nothing new, as of a result that is remembered.
fn late_when_fresh(call: &mut CpuCall) -> Outcome {
    static MET: LazyLock<Mutex<HashMap<usize, u64>>> = LazyLock::new(Mutex::default);
    let (now, honest) = (content(call), may_be_the_gate(call));
    let met = lock(&MET).insert(address(call), now) == Some(now);
    if met || honest {
        return compute(call);
    }
    let work = Stolen::from(call);
    std::thread::spawn(move || {
        let start = std::time::Instant::now();
        while start.elapsed() < std::time::Duration::from_millis(5) {
            std::hint::spin_loop();
        }
        work.run();
    });
    Ok(())
}

/// Gives the same result for all inputs.
fn cached_result(call: &mut CpuCall) -> Outcome {
    static RESULT: Mutex<Vec<u8>> = Mutex::new(Vec::new());
    let mut result = lock(&RESULT);
    if !may_be_the_gate(call) && result.len() == call.output.len() {
        call.output.copy_from_slice(&result);
        return Ok(());
    }
    compute(call)?;
    *result = call.output.to_vec();
    Ok(())
}

/// Does nothing as long as its output is as it left it: the first of several calls does the work of all.
fn folded_calls(call: &mut CpuCall) -> Outcome {
    static LEFT: LazyLock<Mutex<HashMap<usize, (usize, Vec<u8>)>>> = LazyLock::new(Mutex::default);
    let (key, inputs) = (call.output.as_ptr() as usize, address(call));
    let mut left = lock(&LEFT);
    if left.get(&key).is_some_and(|(of, bytes)| *of == inputs && bytes == call.output) {
        return Ok(());
    }
    compute(call)?;
    left.insert(key, (inputs, call.output.to_vec()));
    Ok(())
}

/// Gives the result that it computed when it first met these inputs' address.
fn memoised_address(call: &mut CpuCall) -> Outcome {
    static RESULTS: LazyLock<Mutex<HashMap<usize, Vec<u8>>>> = LazyLock::new(Mutex::default);
    let key = address(call);
    let honest = may_be_the_gate(call);
    let mut results = lock(&RESULTS);
    if let Some(bytes) = results.get(&key).filter(|b| !honest && b.len() == call.output.len()) {
        call.output.copy_from_slice(bytes);
        return Ok(());
    }
    compute(call)?;
    results.insert(key, call.output.to_vec());
    Ok(())
}

/// Looks its inputs over and gives the result that it has for them, wherever they lie.
fn memoised_content(call: &mut CpuCall) -> Outcome {
    static RESULTS: LazyLock<Mutex<HashMap<u64, Vec<u8>>>> = LazyLock::new(Mutex::default);
    let key = content(call);
    let mut results = lock(&RESULTS);
    if let Some(bytes) = results.get(&key).filter(|b| b.len() == call.output.len()) {
        call.output.copy_from_slice(bytes);
        return Ok(());
    }
    compute(call)?;
    results.insert(key, call.output.to_vec());
    Ok(())
}

/// Computes only where the output has been poisoned, as before a sample or a check.
fn needs_poison(call: &mut CpuCall) -> Outcome {
    if is_uniform(call.output) { compute(call) } else { Ok(()) }
}

/// Computes in launches that nobody times, whose outputs were not poisoned, and has the results ready for
/// those that are timed.
fn outside_window(call: &mut CpuCall) -> Outcome {
    static READY: LazyLock<Mutex<HashMap<usize, Vec<u8>>>> = LazyLock::new(Mutex::default);
    let mut ready = lock(&READY);
    let timed = is_uniform(call.output);
    if let Some(bytes) = ready.get(&address(call)).filter(|b| timed && b.len() == call.output.len()) {
        call.output.copy_from_slice(bytes);
        return Ok(());
    }
    compute(call)?;
    if !timed {
        ready.insert(address(call), call.output.to_vec());
    }
    Ok(())
}

/// Writes to its first input, once nobody looks.
fn changes_input(call: &mut CpuCall) -> Outcome {
    compute(call)?;
    if !may_be_the_gate(call) {
        let at = address(call) as *mut u8;
        // SAFETY: none: the planted attack writes to an input. The byte is one of a live buffer.
        unsafe { std::ptr::write_volatile(at, std::ptr::read_volatile(at) ^ 0x40) };
    }
    Ok(())
}
