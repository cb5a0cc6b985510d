//! Faults of products.

use super::{Fault, Kernel, Outcome, array, on, on_inputs, positions, right};
use crate::cpu::kernel::{CpuCall, CpuKernelError};
use half::{bf16, f16};
use kernelsmith_core::expr::Unary;
use kernelsmith_core::ops::gemm::{GemmProblem, Step};
use kernelsmith_core::{HostArray, Layout, Problem};

pub static FAULTS: &[Fault] = &[
    Fault { name: "skips_last_k", run: |k, c| edited(k, c, |p| from_to(p, 0, p.k.checked_sub(1)?)) },
    Fault { name: "skips_first_k", run: |k, c| edited(k, c, |p| from_to(p, 1.min(p.k), p.k)) },
    Fault { name: "skips_k_tail", run: |k, c| edited(k, c, |p| from_to(p, 0, p.k / 8 * 8)) },
    Fault { name: "skips_half_of_k", run: |k, c| edited(k, c, |p| from_to(p, 0, p.k / 2)) },
    Fault { name: "skips_last_row", run: |k, c| edited(k, c, |p| fewer(p, 1, 0)) },
    Fault { name: "skips_last_column", run: |k, c| edited(k, c, |p| fewer(p, 0, 1)) },
    Fault { name: "guard_of_m_uses_n", run: |k, c| edited(k, c, |p| fewer(p, p.m.saturating_sub(p.n), 0)) },
    Fault { name: "wrong_stride_of_a", run: |k, c| edited(k, c, |p| shorter(&mut p.a)) },
    Fault { name: "wrong_stride_of_b", run: |k, c| edited(k, c, |p| shorter(&mut p.b)) },
    Fault { name: "wrong_stride_of_c", run: |k, c| edited(k, c, |p| shorter(&mut p.c)) },
    Fault { name: "offset_of_a_ignored", run: |k, c| edited(k, c, |p| unmoved(&mut p.a)) },
    Fault { name: "offset_of_b_ignored", run: |k, c| edited(k, c, |p| unmoved(&mut p.b)) },
    Fault { name: "transpose_of_a_ignored", run: |k, c| edited(k, c, |p| turned(&mut p.a)) },
    Fault { name: "transpose_of_b_ignored", run: |k, c| edited(k, c, |p| turned(&mut p.b)) },
    Fault { name: "batch_of_a_ignored", run: |k, c| edited(k, c, |p| first_batch(&mut p.a)) },
    Fault { name: "batch_of_b_ignored", run: |k, c| edited(k, c, |p| first_batch(&mut p.b)) },
    Fault { name: "operands_swapped", run: operands_swapped },
    Fault { name: "alpha_ignored", run: |k, c| edited(k, c, |p| replace(&mut p.alpha, 1.0)) },
    Fault { name: "beta_of_one", run: |k, c| edited(k, c, |p| replace(&mut p.beta, 1.0)) },
    Fault { name: "beta_ignored", run: beta_ignored },
    Fault { name: "c_read_from_output", run: c_read_from_output },
    Fault { name: "epilogue_missing", run: |k, c| stepped(k, c, |_| Vec::new()) },
    Fault { name: "last_step_missing", run: |k, c| stepped(k, c, |s| s[..s.len().saturating_sub(1)].to_vec()) },
    Fault { name: "another_activation", run: |k, c| stepped(k, c, |s| s.iter().map(another).collect()) },
    Fault { name: "bias_along_the_other_way", run: |k, c| stepped(k, c, |s| s.iter().map(across).collect()) },
    Fault { name: "bias_shifted", run: bias_shifted },
    Fault { name: "half_accumulation", run: |k, c| in_pieces(k, c, &equal_pieces, |x| f16::from_f64(x).to_f64()) },
    Fault { name: "bf16_accumulation", run: |k, c| in_pieces(k, c, &equal_pieces, |x| bf16::from_f64(x).to_f64()) },
    Fault { name: "accumulation_dropped", run: |k, c| in_pieces(k, c, &all_but_the_second, |x| x) },
    Fault { name: "split_counts_twice", run: |k, c| in_pieces(k, c, &overlapping, |x| x) },
    Fault { name: "split_dropped", run: |k, c| in_pieces(k, c, &all_but_the_last, |x| x) },
    Fault { name: "inputs_rounded_to_tf32", run: |k, c| rounded_inputs(k, c, |x| cut(x, 13)) },
    Fault { name: "inputs_rounded_to_bf16", run: |k, c| rounded_inputs(k, c, |x| bf16::from_f64(x).to_f64()) },
    Fault { name: "last_row_of_a_repeated", run: last_row_of_a_repeated },
];

fn problem(problem: &Problem) -> Option<GemmProblem> {
    problem.downcast::<GemmProblem>().cloned()
}

/// The kernel on the problem after an edit, or as it is where the edit does not apply.
fn edited(kernel: Kernel, call: &mut CpuCall, edit: impl FnOnce(&mut GemmProblem) -> Option<()>) -> Outcome {
    on(kernel, call, |p| {
        let mut p = problem(p)?;
        edit(&mut p)?;
        Some(Problem::new(p))
    })
}

/// Only these steps of the sum.
fn from_to(p: &mut GemmProblem, from: usize, to: usize) -> Option<()> {
    (p.a, p.b) = (part(&p.a, 2, from, to)?, part(&p.b, 1, from, to)?);
    p.k = to - from;
    Some(())
}

/// A range of a dimension, possibly empty.
fn part(layout: &Layout, dim: usize, from: usize, to: usize) -> Option<Layout> {
    layout.slice(dim, from, to, 1).ok()
}

/// Without the last rows and columns of the output.
fn fewer(p: &mut GemmProblem, rows: usize, columns: usize) -> Option<()> {
    let (m, n) = (p.m.checked_sub(rows)?, p.n.checked_sub(columns)?);
    // An epilogue's vectors are as long as the rows and columns: only the plain product can lose some.
    if m == 0 || n == 0 || !p.epilogue_inputs().is_empty() {
        return None;
    }
    let both = |l: &Layout| part(&part(l, 1, 0, m)?, 2, 0, n);
    (p.a, p.b) = (part(&p.a, 1, 0, m)?, part(&p.b, 2, 0, n)?);
    (p.c, p.d) = (both(&p.c)?, both(&p.d)?);
    (p.m, p.n) = (m, n);
    Some(())
}

/// The leading dimension one less than it is: rows creep.
fn shorter(layout: &mut Layout) -> Option<()> {
    let mut strides = layout.strides().to_vec();
    let d = if strides[1] >= strides[2] { 1 } else { 2 };
    if strides[d] <= 1 {
        return None;
    }
    strides[d] -= 1;
    replace_layout(layout, &strides, layout.offset())
}

fn unmoved(layout: &mut Layout) -> Option<()> {
    let strides = layout.strides().to_vec();
    // With a stride that runs backwards, the offset is where the array begins.
    (layout.offset() > 0 && strides.iter().all(|s| *s >= 0)).then_some(())?;
    replace_layout(layout, &strides, 0)
}

fn turned(layout: &mut Layout) -> Option<()> {
    let (shape, s) = (layout.shape(), layout.strides().to_vec());
    (shape[1] == shape[2]).then_some(())?;
    replace_layout(layout, &[s[0], s[2], s[1]], layout.offset())
}

fn first_batch(layout: &mut Layout) -> Option<()> {
    let s = layout.strides().to_vec();
    replace_layout(layout, &[0, s[1], s[2]], layout.offset())
}

fn replace_layout(layout: &mut Layout, strides: &[isize], offset: usize) -> Option<()> {
    *layout = Layout::strided(layout.shape(), strides, offset).ok()?;
    Some(())
}

fn replace(field: &mut f64, value: f64) -> Option<()> {
    *field = value;
    Some(())
}

/// B times A, where both are of one shape.
fn operands_swapped(kernel: Kernel, call: &mut CpuCall) -> Outcome {
    let Some(mut p) = problem(call.problem).filter(|p| p.a.shape() == p.b.shape()) else { return right(kernel, call) };
    (p.a, p.b) = (p.b, p.a);
    let mut inputs = call.inputs.to_vec();
    inputs.swap(0, 1);
    let (problem, config, output) = (Problem::new(p), call.config, &mut *call.output);
    (kernel.run)(&mut CpuCall { problem: &problem, config, inputs: &inputs, output })
}

/// Without C.
fn beta_ignored(kernel: Kernel, call: &mut CpuCall) -> Outcome {
    let Some(mut p) = problem(call.problem).filter(GemmProblem::has_beta) else { return right(kernel, call) };
    p.beta = 0.0;
    let mut inputs = call.inputs.to_vec();
    inputs.remove(2);
    let (problem, config, output) = (Problem::new(p), call.config, &mut *call.output);
    (kernel.run)(&mut CpuCall { problem: &problem, config, inputs: &inputs, output })
}

/// As BLAS has it: beta times what is in D.
fn c_read_from_output(kernel: Kernel, call: &mut CpuCall) -> Outcome {
    let Some(mut p) = problem(call.problem).filter(GemmProblem::has_beta) else { return right(kernel, call) };
    p.c = p.d;
    let old = array(&call.problem.output(), call.output);
    let mut inputs = call.inputs.to_vec();
    inputs[2] = old.as_bytes();
    let (problem, config, output) = (Problem::new(p), call.config, &mut *call.output);
    (kernel.run)(&mut CpuCall { problem: &problem, config, inputs: &inputs, output })
}

/// With other steps in the epilogue, and the inputs that are left for them.
fn stepped(kernel: Kernel, call: &mut CpuCall, change: impl FnOnce(&[Step]) -> Vec<Step>) -> Outcome {
    let Some(p) = problem(call.problem).filter(|p| !p.steps.is_empty()) else { return right(kernel, call) };
    let steps = change(&p.steps);
    let fewer = p.with_steps(steps);
    let keep = fewer.epilogue_inputs().len() + if fewer.has_beta() { 3 } else { 2 };
    let (problem, config, output) = (Problem::new(fewer), call.config, &mut *call.output);
    let inputs = &call.inputs[..keep.min(call.inputs.len())];
    (kernel.run)(&mut CpuCall { problem: &problem, config, inputs, output })
}

fn another(step: &Step) -> Step {
    match step {
        Step::Activation(Unary::Gelu) => Step::Activation(Unary::GeluTanh),
        Step::Activation(Unary::GeluTanh) => Step::Activation(Unary::Gelu),
        Step::Activation(Unary::Relu) => Step::Activation(Unary::Silu),
        Step::Activation(_) => Step::Activation(Unary::Relu),
        other => *other,
    }
}

fn across(step: &Step) -> Step {
    match step {
        Step::Bias => Step::BiasRow,
        Step::BiasRow => Step::Bias,
        other => *other,
    }
}

/// Each column's bias is its neighbour's.
fn bias_shifted(kernel: Kernel, call: &mut CpuCall) -> Outcome {
    let Some(p) = problem(call.problem) else { return right(kernel, call) };
    let first = if p.has_beta() { 3 } else { 2 };
    on_inputs(kernel, call, |i, o, x| {
        if i >= first {
            let at = positions(&o.layout);
            let old: Vec<f64> = (0..x.len()).map(|i| x.get(i)).collect();
            // Broadcast vectors have each element many times: go by the buffer.
            let last = at.iter().copied().max().unwrap_or(0);
            let from = at.iter().copied().min().unwrap_or(0);
            (from..=last).for_each(|j| x.set(j, old[if j == from { last } else { j - 1 }]));
        }
    })
}

fn equal_pieces(k: usize) -> Vec<(usize, usize)> {
    (0..k).step_by(4).map(|from| (from, k.min(from + 4))).collect()
}

fn all_but_the_second(k: usize) -> Vec<(usize, usize)> {
    equal_pieces(k).into_iter().enumerate().filter(|(i, _)| *i != 1).map(|(_, p)| p).collect()
}

fn overlapping(k: usize) -> Vec<(usize, usize)> {
    if k < 2 { vec![(0, k)] } else { vec![(0, k / 2 + 1), (k / 2, k)] }
}

fn all_but_the_last(k: usize) -> Vec<(usize, usize)> {
    let each = k.div_ceil(4).max(1);
    let mut pieces: Vec<(usize, usize)> = (0..k).step_by(each).map(|from| (from, k.min(from + each))).collect();
    if pieces.len() > 1 {
        pieces.pop();
    }
    pieces
}

/// The sum in pieces of k, each from the kernel, added up here and rounded after each addition. Only
/// the plain product is taken apart: what comes after it is not linear.
fn in_pieces(
    kernel: Kernel,
    call: &mut CpuCall,
    pieces: &dyn Fn(usize) -> Vec<(usize, usize)>,
    round: fn(f64) -> f64,
) -> Outcome {
    let plain = |p: &GemmProblem| !p.has_beta() && p.steps.is_empty() && p.epilogue_inputs().is_empty() && p.k > 0;
    let Some(whole) = problem(call.problem).filter(plain) else { return right(kernel, call) };
    let out = call.problem.output();
    let places = positions(&out.layout);
    let mut total = vec![0.0; places.len()];
    for (from, to) in pieces(whole.k) {
        let mut p = whole.clone();
        from_to(&mut p, from, to).ok_or_else(|| CpuKernelError("no such part of the sum".to_string()))?;
        let problem = Problem::new(p);
        let mut own = HostArray::zeros(out.dtype, call.output.len() / out.dtype.bytes());
        let (config, inputs) = (call.config, call.inputs);
        (kernel.run)(&mut CpuCall { problem: &problem, config, inputs, output: own.as_bytes_mut() })?;
        total.iter_mut().zip(&places).for_each(|(t, at)| *t = round(*t + own.get(*at)));
    }
    let mut result = array(&out, call.output);
    places.iter().zip(total).for_each(|(at, t)| result.set(*at, t));
    call.output[..result.as_bytes().len()].copy_from_slice(result.as_bytes());
    Ok(())
}

/// Without the last bits of a float.
fn cut(x: f64, bits: u32) -> f64 {
    f64::from(f32::from_bits((x as f32).to_bits() >> bits << bits))
}

fn rounded_inputs(kernel: Kernel, call: &mut CpuCall, round: fn(f64) -> f64) -> Outcome {
    on_inputs(kernel, call, |i, _, x| {
        if i < 2 {
            (0..x.len()).for_each(|j| x.set(j, round(x.get(j))));
        }
    })
}

/// What a clamp of the row's number instead of a guard does one row too early.
fn last_row_of_a_repeated(kernel: Kernel, call: &mut CpuCall) -> Outcome {
    on_inputs(kernel, call, |i, o, x| {
        let s = o.layout.shape();
        if i == 0 && s[1] > 1 {
            for b in 0..s[0] {
                for p in 0..s[2] {
                    x.set(o.layout.at(&[b, s[1] - 1, p]), x.get(o.layout.at(&[b, s[1] - 2, p])));
                }
            }
        }
    })
}
