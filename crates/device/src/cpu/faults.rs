//! Planted faults: kernels that are wrong on purpose, most of them products. No manifest that ships names them;
//! the lab's tests reach them through `--kernels`, to prove that each one gets its verdict.

use super::kernel::{CpuCall, CpuEntry, CpuKernelError};
use kernelsmith_core::ops::OpProblem;
use kernelsmith_core::ops::gather::GatherProblem;
use kernelsmith_core::ops::gemm::GemmProblem;
use kernelsmith_core::ops::leaf::Leaf;
use kernelsmith_core::ops::reduce::ReduceProblem;
use std::sync::atomic::{AtomicU64, Ordering};

type Outcome = Result<(), CpuKernelError>;

const SOURCE: &str = include_str!("faults.rs");

macro_rules! entries {
    ($($name:literal => $run:expr),* $(,)?) => { &[$(CpuEntry { name: $name, run: $run, source: SOURCE }),*] };
}

pub static KERNELS: &[CpuEntry] = entries! {
    "fault_none" => |c| product(c, |_| {}),
    "fault_writes_nothing" => |_| Ok(()),
    "fault_skips_k_tail" => |c| product(c, |p| p.k = p.k.saturating_sub(1)),
    "fault_returns_zeros" => returns_zeros,
    "fault_hangs" => |_| loop { std::thread::sleep(std::time::Duration::from_secs(1)) },
    "fault_crashes" => |_| std::process::abort(),
    "fault_panics" => |_| panic!("planted"),
    "fault_reads_out_of_bounds" => reads_out_of_bounds,
    "fault_needs_poison" => needs_poison,
    "fault_writes_outside" => writes_outside,
    "fault_changes_input" => changes_input,
    "fault_differs_each_run" => differs_each_run,
    "fault_swallows_nan" => swallows_nan,
    "fault_partial_write" => |c| product(c, |p| p.n = p.n.saturating_sub(1).max(1)),
    "fault_half_accumulation" => half_accumulation,
    "fault_caches_result" => caches_result,
    "fault_skips_repeats" => skips_repeats,
    "fault_map_swallows_nan" => map_swallows_nan,
    "fault_reduce_skips_tail" => reduce_skips_tail,
    "fault_scatter_overwrites" => scatter_overwrites,
};

fn problem(call: &CpuCall) -> Result<GemmProblem, CpuKernelError> {
    let p = call.problem.downcast::<GemmProblem>().cloned();
    p.filter(|p| p.dtype == kernelsmith_core::DType::F32)
        .ok_or_else(|| CpuKernelError("faults are f32 products".to_string()))
}

fn value(bytes: &[u8], at: usize) -> f32 {
    bytes.get(at * 4..at * 4 + 4).map_or(f32::NAN, |b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

fn store(bytes: &mut [u8], at: usize, x: f32) {
    bytes[at * 4..at * 4 + 4].copy_from_slice(&x.to_le_bytes());
}

/// A plain product (epilogue included) after `change` has shrunk the problem.
fn product(call: &mut CpuCall, change: impl Fn(&mut GemmProblem)) -> Outcome {
    product_with(call, change, |sum, a, b| sum + a * b)
}

fn product_with(call: &mut CpuCall, change: impl Fn(&mut GemmProblem), step: impl Fn(f32, f32, f32) -> f32) -> Outcome {
    let whole = problem(call)?;
    let mut p = whole.clone();
    change(&mut p);
    let extra = whole.epilogue_inputs();
    let first = if whole.has_beta() { 3 } else { 2 };
    for b in 0..p.batch {
        for i in 0..p.m {
            for j in 0..p.n {
                let mut sum = 0.0;
                for k in 0..p.k {
                    let (x, y) = (value(call.inputs[0], p.a.at(&[b, i, k])), value(call.inputs[1], p.b.at(&[b, k, j])));
                    sum = step(sum, x, y);
                }
                sum *= p.alpha as f32;
                if p.has_beta() {
                    sum += p.beta as f32 * value(call.inputs[2], p.c.at(&[b, i, j]));
                }
                let out = whole.expr().eval(sum, &|e| value(call.inputs[first + e], extra[e].1.at(&[b, i, j])));
                store(call.output, p.d.at(&[b, i, j]), out);
            }
        }
    }
    Ok(())
}

fn returns_zeros(call: &mut CpuCall) -> Outcome {
    let p = problem(call)?;
    kernelsmith_core::inputs::for_each_position(&p.d, |_, at| store(call.output, at, 0.0));
    Ok(())
}

fn reads_out_of_bounds(call: &mut CpuCall) -> Outcome {
    product(call, |_| {})?;
    let a = call.inputs[0];
    // SAFETY: none: this is the planted fault, a read past the end of A. It must not run outside
    // the lab's worker, where a guard page ends the process.
    let stray = unsafe { std::ptr::read_volatile(a.as_ptr().wrapping_add(a.len())) };
    std::hint::black_box(stray);
    Ok(())
}

/// Right only if the output held something other than zeros before the launch.
fn needs_poison(call: &mut CpuCall) -> Outcome {
    if call.output.iter().all(|b| *b == 0) { Ok(()) } else { product(call, |_| {}) }
}

/// Writes one element after the output's last row: into the gap of a padded layout, or nowhere.
fn writes_outside(call: &mut CpuCall) -> Outcome {
    product(call, |_| {})?;
    let p = problem(call)?;
    let end = p.d.at(&[0, 0, p.n - 1]) + 1;
    let inside = (0..p.batch).any(|b| (0..p.m).any(|i| (0..p.n).any(|j| p.d.at(&[b, i, j]) == end)));
    if !inside {
        let len = call.output.len();
        if end * 4 + 4 <= len {
            store(call.output, end, 1.0);
        } else {
            // SAFETY: none: the planted fault writes past the output's end.
            unsafe { std::ptr::write_volatile(call.output.as_mut_ptr().wrapping_add(len), 1) };
        }
    }
    Ok(())
}

/// Whoever runs next with these inputs gets another result.
fn changes_input(call: &mut CpuCall) -> Outcome {
    product(call, |_| {})?;
    let a = call.inputs[0].as_ptr().cast_mut();
    // SAFETY: none: the planted fault writes to an input. The bytes are those of a live buffer.
    unsafe { std::ptr::write_volatile(a.add(3), std::ptr::read_volatile(a.add(3)).wrapping_add(1)) };
    Ok(())
}

fn differs_each_run(call: &mut CpuCall) -> Outcome {
    static RUNS: AtomicU64 = AtomicU64::new(0);
    product(call, |_| {})?;
    let p = problem(call)?;
    let at = p.d.at(&[0, 0, 0]);
    let x = value(call.output, at);
    let ulp = (RUNS.fetch_add(1, Ordering::Relaxed) % 2) as u32;
    store(call.output, at, f32::from_bits(x.to_bits() ^ ulp));
    Ok(())
}

fn swallows_nan(call: &mut CpuCall) -> Outcome {
    product_with(call, |_| {}, |sum, a, b| if (a * b).is_nan() { sum } else { sum + a * b })
}

fn half_accumulation(call: &mut CpuCall) -> Outcome {
    product_with(call, |_| {}, |sum, a, b| half::f16::from_f32(sum + a * b).to_f32())
}

/// Computes once for an address and replays the bytes after that.
fn caches_result(call: &mut CpuCall) -> Outcome {
    use std::collections::HashMap;
    use std::sync::Mutex;
    static SEEN: Mutex<Option<HashMap<usize, Vec<u8>>>> = Mutex::new(None);
    let key = call.inputs[0].as_ptr() as usize;
    let mut seen = SEEN.lock().map_err(|e| CpuKernelError(e.to_string()))?;
    let seen = seen.get_or_insert_default();
    if let Some(bytes) = seen.get(&key).filter(|b| b.len() == call.output.len()) {
        call.output.copy_from_slice(bytes);
        return Ok(());
    }
    product(call, |_| {})?;
    seen.insert(key, call.output.to_vec());
    Ok(())
}

/// Does nothing when called again on the same inputs while its last output is as it left it.
fn skips_repeats(call: &mut CpuCall) -> Outcome {
    use std::sync::Mutex;
    static LAST: Mutex<Option<(usize, usize, u8)>> = Mutex::new(None);
    let inputs = call.inputs[0].as_ptr() as usize;
    let mut last = LAST.lock().map_err(|e| CpuKernelError(e.to_string()))?;
    if let Some((of, output, byte)) = *last
        && of == inputs
        // SAFETY: none: the planted fault reads memory that it was given in an earlier call.
        && unsafe { std::ptr::read_volatile(output as *const u8) } == byte
    {
        return Ok(());
    }
    product(call, |_| {})?;
    *last = Some((inputs, call.output.as_ptr() as usize, call.output[0]));
    Ok(())
}

fn run_reference(name: &str, call: &mut CpuCall) -> Outcome {
    super::kernel::find(name).map_or_else(|| Err(CpuKernelError(format!("there is no {name}"))), |e| (e.run)(call))
}

/// Element-wise work in f32 whose NaN become 0, as those of a maximum with 0 easily do.
fn map_swallows_nan(call: &mut CpuCall) -> Outcome {
    run_reference("map_reference", call)?;
    let out = call.problem.output();
    kernelsmith_core::inputs::for_each_position(&out.layout, |_, at| {
        if value(call.output, at).is_nan() {
            store(call.output, at, 0.0);
        }
    });
    Ok(())
}

/// A reduction that leaves out the last element along its last dimension.
fn reduce_skips_tail(call: &mut CpuCall) -> Outcome {
    let fail = |e: &dyn std::fmt::Display| CpuKernelError(e.to_string());
    let p = call.problem.downcast::<ReduceProblem>().ok_or_else(|| fail(&"no reduction"))?;
    let (last, mut shape) = (p.shape().len() - 1, p.shape().to_vec());
    shape[last] = (shape[last] - 1).max(1);
    let shrink = |l: &Leaf| l.layout.slice(last, 0, shape[last], 1).map(|layout| Leaf::new(l.dtype, layout));
    let inputs = p.inputs.iter().map(shrink).collect::<Result<Vec<_>, _>>().map_err(|e| fail(&e))?;
    let exprs = (p.expr.clone(), p.post.clone());
    let short = ReduceProblem::new(p.kind, &shape, p.outer, exprs, inputs, p.out).map_err(|e| fail(&e))?;
    let problem = kernelsmith_core::Problem::new(short);
    let (config, inputs, output) = (call.config, call.inputs, &mut *call.output);
    run_reference("reduce_reference", &mut CpuCall { problem: &problem, config, inputs, output })
}

/// A scatter-add in f32 along the first of two dimensions that loses what went to the same place before.
fn scatter_overwrites(call: &mut CpuCall) -> Outcome {
    run_reference("scatter_add_reference", call)?;
    let p = call.problem.downcast::<GatherProblem>().ok_or_else(|| CpuKernelError("no scatter".to_string()))?;
    kernelsmith_core::inputs::for_each_position(&p.index.layout, |i, at| {
        let index = i32::from_le_bytes([0, 1, 2, 3].map(|b| call.inputs[1][at * 4 + b]));
        if p.axis == 0 && p.shape().len() == 2 && (0..p.size() as i32).contains(&index) {
            let column = i % p.shape()[1];
            let x = value(call.inputs[0], p.x.layout.at(&[i / p.shape()[1], column]));
            store(call.output, p.out.layout.at(&[index as usize, column]), x);
        }
    });
    Ok(())
}
