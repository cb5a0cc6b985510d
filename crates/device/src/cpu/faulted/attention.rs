//! Faults of attention.

use super::{Fault, Kernel, Outcome, array, on, on_inputs, positions, right};
use crate::cpu::kernel::CpuCall;
use kernelsmith_core::ops::attention::AttentionProblem;
use kernelsmith_core::{HostArray, Layout, Problem};

pub static FAULTS: &[Fault] = &[
    Fault { name: "triangle_ignored", run: |k, c| edited(k, c, triangle_ignored) },
    Fault { name: "triangle_at_the_upper_left", run: |k, c| edited(k, c, triangle_at_the_upper_left) },
    Fault { name: "scores_not_scaled", run: |k, c| edited(k, c, |p| scaled(p, 1.0)) },
    Fault { name: "scaled_by_the_head", run: |k, c| edited(k, c, scaled_by_the_head) },
    Fault { name: "first_key_hidden", run: |k, c| edited(k, c, |p| keys_from(p, 1)) },
    Fault { name: "last_key_hidden", run: |k, c| edited(k, c, last_key_hidden) },
    Fault { name: "heads_of_keys_reversed", run: |k, c| edited(k, c, heads_of_keys_reversed) },
    Fault { name: "batch_of_k_ignored", run: |k, c| edited(k, c, |p| repeated(&mut p.k, 0)) },
    Fault { name: "batch_of_v_ignored", run: |k, c| edited(k, c, |p| repeated(&mut p.v, 0)) },
    Fault { name: "head_of_v_ignored", run: |k, c| edited(k, c, |p| repeated(&mut p.v, 1)) },
    Fault { name: "offset_of_q_ignored", run: |k, c| edited(k, c, |p| unmoved(&mut p.q)) },
    Fault { name: "rows_of_k_of_the_head", run: |k, c| edited(k, c, rows_of_k_of_the_head) },
    Fault { name: "keys_taken_for_values", run: keys_taken_for_values },
    Fault { name: "last_number_not_scored", run: last_number_not_scored },
    Fault { name: "halves_not_weighed", run: halves_not_weighed },
];

fn edited(kernel: Kernel, call: &mut CpuCall, edit: impl FnOnce(&mut AttentionProblem) -> Option<()>) -> Outcome {
    on(kernel, call, |problem| {
        let mut p = problem.downcast::<AttentionProblem>()?.clone();
        edit(&mut p)?;
        Some(Problem::new(p))
    })
}

fn triangle_ignored(p: &mut AttentionProblem) -> Option<()> {
    p.causal.then_some(())?;
    p.causal = false;
    Some(())
}

/// Each query sees as many keys as it has number in its row, whatever lies behind a cache.
fn triangle_at_the_upper_left(p: &mut AttentionProblem) -> Option<()> {
    (p.causal && p.shape.queries < p.shape.keys).then_some(())?;
    cut_keys(p, 0, p.shape.queries)
}

fn scaled(p: &mut AttentionProblem, scale: f64) -> Option<()> {
    p.scale = scale;
    Some(())
}

/// 1/head, not its root.
fn scaled_by_the_head(p: &mut AttentionProblem) -> Option<()> {
    scaled(p, 1.0 / p.shape.head as f64)
}

fn cut_keys(p: &mut AttentionProblem, from: usize, to: usize) -> Option<()> {
    for layout in [&mut p.k, &mut p.v] {
        *layout = layout.slice(2, from, to, 1).ok()?;
    }
    p.shape.keys = to - from;
    Some(())
}

fn keys_from(p: &mut AttentionProblem, from: usize) -> Option<()> {
    (p.shape.keys > from && !(p.causal && p.shape.queries + from > p.shape.keys)).then_some(())?;
    cut_keys(p, from, p.shape.keys)
}

fn last_key_hidden(p: &mut AttentionProblem) -> Option<()> {
    (p.shape.keys > 1 && !(p.causal && p.shape.queries + 1 > p.shape.keys)).then_some(())?;
    cut_keys(p, 0, p.shape.keys - 1)
}

fn heads_of_keys_reversed(p: &mut AttentionProblem) -> Option<()> {
    for layout in [&mut p.k, &mut p.v] {
        *layout = layout.flip(1).ok()?;
    }
    Some(())
}

/// The first index along a dimension, whichever is asked for.
fn repeated(layout: &mut Layout, dim: usize) -> Option<()> {
    let mut strides = layout.strides().to_vec();
    strides[dim] = 0;
    *layout = Layout::strided(layout.shape(), &strides, layout.offset()).ok()?;
    Some(())
}

fn unmoved(layout: &mut Layout) -> Option<()> {
    *layout = Layout::strided(layout.shape(), layout.strides(), 0).ok()?;
    Some(())
}

/// Rows as far apart as a head is long, where they are further.
fn rows_of_k_of_the_head(p: &mut AttentionProblem) -> Option<()> {
    let mut strides = p.k.strides().to_vec();
    strides[2] = strides[2].min(p.shape.head as isize);
    p.k = Layout::strided(p.k.shape(), &strides, p.k.offset()).ok()?;
    Some(())
}

fn keys_taken_for_values(kernel: Kernel, call: &mut CpuCall) -> Outcome {
    let Some(p) = call.problem.downcast::<AttentionProblem>() else { return right(kernel, call) };
    let mut p = p.clone();
    (p.k, p.v) = (p.v, p.k);
    let [q, k, v] = call.inputs else { return right(kernel, call) };
    let (problem, config, output) = (Problem::new(p), call.config, &mut *call.output);
    (kernel.run)(&mut CpuCall { problem: &problem, config, inputs: &[q, v, k], output })
}

fn last_number_not_scored(kernel: Kernel, call: &mut CpuCall) -> Outcome {
    let head = call.problem.output().layout.shape().last().copied().unwrap_or(1);
    on_inputs(kernel, call, |i, o, x| {
        if i == 0 {
            positions(&o.layout).iter().skip(head - 1).step_by(head).for_each(|at| x.set(*at, 0.0));
        }
    })
}

/// The keys in two halves that are averaged as if both had the same maximum and sum.
fn halves_not_weighed(kernel: Kernel, call: &mut CpuCall) -> Outcome {
    let Some(whole) = call.problem.downcast::<AttentionProblem>().filter(|p| !p.causal && p.shape.keys > 1) else {
        return right(kernel, call);
    };
    let out = call.problem.output();
    let places = positions(&out.layout);
    let mut total = vec![0.0; places.len()];
    let (middle, keys) = (whole.shape.keys / 2, whole.shape.keys);
    for (from, to) in [(0, middle), (middle, keys)] {
        let mut p = whole.clone();
        let Some(()) = cut_keys(&mut p, from, to) else { return right(kernel, call) };
        let problem = Problem::new(p);
        let mut own = HostArray::zeros(out.dtype, call.output.len() / out.dtype.bytes());
        let (config, inputs) = (call.config, call.inputs);
        (kernel.run)(&mut CpuCall { problem: &problem, config, inputs, output: own.as_bytes_mut() })?;
        total.iter_mut().zip(&places).for_each(|(t, at)| *t += own.get(*at) / 2.0);
    }
    let mut y = array(&out, call.output);
    places.iter().zip(total).for_each(|(at, t)| y.set(*at, t));
    call.output[..y.as_bytes().len()].copy_from_slice(y.as_bytes());
    Ok(())
}
