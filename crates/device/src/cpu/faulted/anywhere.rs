//! Faults that a kernel of any op can have: of its writes, its state, its reads past an end, and what it
//! does to numbers that are not ordinary.

use super::{Fault, Kernel, Outcome, afterwards, array, on_inputs, positions, right, store_only};
use crate::cpu::kernel::{CpuCall, CpuKernelError};
use half::bf16;
use kernelsmith_core::DType;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

pub static FAULTS: &[Fault] = &[
    Fault { name: "none", run: right },
    Fault { name: "writes_nothing", run: |_, _| Ok(()) },
    Fault {
        name: "writes_zeros",
        run: |k, c| afterwards(k, c, |y, l| positions(l).iter().for_each(|i| y.set(*i, 0.0))),
    },
    Fault { name: "stale_output", run: stale_output },
    Fault { name: "adds_to_output", run: adds_to_output },
    Fault { name: "last_element_unwritten", run: |k, c| store_only(k, c, |i, n, at| (i + 1 < n).then(|| at[i])) },
    Fault { name: "first_element_unwritten", run: |k, c| store_only(k, c, |i, _, at| (i > 0).then(|| at[i])) },
    Fault { name: "one_in_61_unwritten", run: |k, c| store_only(k, c, |i, _, at| (i % 61 != 60).then(|| at[i])) },
    Fault { name: "second_half_unwritten", run: |k, c| store_only(k, c, |i, n, at| (2 * i < n).then(|| at[i])) },
    Fault { name: "stores_shifted_by_one", run: |k, c| store_only(k, c, |i, n, at| Some(at[(i + 1) % n])) },
    Fault {
        name: "neighbours_swapped",
        run: |k, c| store_only(k, c, |i, n, at| Some(at[if i ^ 1 < n { i ^ 1 } else { i }])),
    },
    Fault { name: "one_element_off", run: one_element_off },
    Fault { name: "rounds_to_bf16", run: rounds_to_bf16 },
    Fault { name: "loses_low_bits", run: loses_low_bits },
    Fault { name: "swallows_nan", run: |k, c| replaces(k, c, f64::is_nan, 0.0) },
    Fault { name: "nan_becomes_infinity", run: |k, c| replaces(k, c, f64::is_nan, f64::INFINITY) },
    Fault { name: "clamps_infinity", run: |k, c| replaces(k, c, f64::is_infinite, 1e4) },
    Fault { name: "reads_nan_as_zero", run: reads_nan_as_zero },
    Fault { name: "needs_poison", run: needs_poison },
    Fault { name: "needs_uniform_output", run: needs_uniform_output },
    Fault { name: "scribbles_between_rows", run: scribbles_between_rows },
    Fault { name: "changes_input", run: changes_input },
    Fault { name: "differs_each_run", run: differs_each_run },
    Fault { name: "reads_past_the_end", run: reads_past_the_end },
    Fault { name: "writes_past_the_end", run: writes_past_the_end },
];

/// Leaves what the launch before computed, where that was of the same size.
fn stale_output(kernel: Kernel, call: &mut CpuCall) -> Outcome {
    static BEFORE: Mutex<Vec<u8>> = Mutex::new(Vec::new());
    right(kernel, call)?;
    let mut before = BEFORE.lock().map_err(|e| CpuKernelError(e.to_string()))?;
    let now = call.output.to_vec();
    if before.len() == now.len() {
        call.output.copy_from_slice(&before);
    }
    *before = now;
    Ok(())
}

/// Adds to what was there, as a kernel does that expects zeros.
fn adds_to_output(kernel: Kernel, call: &mut CpuCall) -> Outcome {
    let old = array(&call.problem.output(), call.output);
    afterwards(kernel, call, |y, l| positions(l).iter().for_each(|i| y.set(*i, y.get(*i) + old.get(*i))))
}

/// One element in the middle, by a thousandth or by one.
fn one_element_off(kernel: Kernel, call: &mut CpuCall) -> Outcome {
    let float = call.problem.output().dtype.is_float();
    afterwards(kernel, call, |y, l| {
        let at = positions(l)[l.len() / 2];
        let x = y.get(at);
        y.set(at, if !float { x + 1.0 } else { x + 0.02 * x.abs().max(1e-3) });
    })
}

/// Results of f32 that went through a type of eight bits.
fn rounds_to_bf16(kernel: Kernel, call: &mut CpuCall) -> Outcome {
    afterwards(kernel, call, |y, l| positions(l).iter().for_each(|i| y.set(*i, bf16::from_f64(y.get(*i)).to_f64())))
}

/// Results towards zero, with half of a float's bits.
fn loses_low_bits(kernel: Kernel, call: &mut CpuCall) -> Outcome {
    let cut = |x: f64| f64::from(f32::from_bits((x as f32).to_bits() & !0xfff));
    afterwards(kernel, call, |y, l| positions(l).iter().for_each(|i| y.set(*i, cut(y.get(*i)))))
}

fn replaces(kernel: Kernel, call: &mut CpuCall, which: fn(f64) -> bool, by: f64) -> Outcome {
    let replace = |x: f64| if which(x) { by } else { x };
    afterwards(kernel, call, |y, l| positions(l).iter().for_each(|i| y.set(*i, replace(y.get(*i)))))
}

/// NaN among the inputs count as zero, as after a maximum with zero.
fn reads_nan_as_zero(kernel: Kernel, call: &mut CpuCall) -> Outcome {
    on_inputs(kernel, call, |_, o, x| {
        for i in positions(&o.layout).into_iter().filter(|_| o.dtype.is_float()) {
            if x.get(i).is_nan() {
                x.set(i, 0.0);
            }
        }
    })
}

/// Right only where the output did not hold zeros.
fn needs_poison(kernel: Kernel, call: &mut CpuCall) -> Outcome {
    if call.output.iter().all(|b| *b == 0) { Ok(()) } else { right(kernel, call) }
}

/// Right only where the output holds one byte throughout, as poison does.
fn needs_uniform_output(kernel: Kernel, call: &mut CpuCall) -> Outcome {
    let uniform = call.output.first().is_none_or(|first| call.output.iter().all(|b| b == first));
    if uniform { right(kernel, call) } else { Ok(()) }
}

/// Writes to what lies between the rows of a strided output.
fn scribbles_between_rows(kernel: Kernel, call: &mut CpuCall) -> Outcome {
    afterwards(kernel, call, |y, l| {
        let mut inside = vec![false; y.len()];
        positions(l).iter().for_each(|i| inside[*i] = true);
        (0..y.len()).filter(|i| !inside[*i]).for_each(|i| y.set(i, 1.0));
    })
}

fn changes_input(kernel: Kernel, call: &mut CpuCall) -> Outcome {
    right(kernel, call)?;
    if let Some(first) = call.inputs.first().filter(|b| !b.is_empty()) {
        let at = first.as_ptr().cast_mut();
        // SAFETY: none: the planted fault writes to an input. The byte is one of a live buffer.
        unsafe { std::ptr::write_volatile(at, std::ptr::read_volatile(at).wrapping_add(1)) };
    }
    Ok(())
}

/// The last bit of the first element depends on how many launches there were.
fn differs_each_run(kernel: Kernel, call: &mut CpuCall) -> Outcome {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    right(kernel, call)?;
    let out = call.problem.output();
    if out.dtype == DType::F32 {
        let at = positions(&out.layout)[0] * 4;
        call.output[at] ^= (RUNS.fetch_add(1, Ordering::Relaxed) % 2) as u8;
    }
    Ok(())
}

fn reads_past_the_end(kernel: Kernel, call: &mut CpuCall) -> Outcome {
    right(kernel, call)?;
    for input in call.inputs {
        // SAFETY: none: the planted fault reads past the end of its inputs. It must not run outside of
        // a worker, which a guard page ends.
        std::hint::black_box(unsafe { std::ptr::read_volatile(input.as_ptr().wrapping_add(input.len())) });
    }
    Ok(())
}

fn writes_past_the_end(kernel: Kernel, call: &mut CpuCall) -> Outcome {
    right(kernel, call)?;
    let end = call.output.as_mut_ptr().wrapping_add(call.output.len());
    // SAFETY: none: the planted fault writes one byte past the output's end.
    unsafe { std::ptr::write_volatile(end, std::ptr::read_volatile(end).wrapping_add(1)) };
    Ok(())
}
