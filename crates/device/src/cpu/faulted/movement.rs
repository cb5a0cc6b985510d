//! Faults of movements along an axis: gather and scatter-add.

use super::{Fault, Kernel, Outcome, array, on, on_inputs, positions, right};
use crate::cpu::kernel::CpuCall;
use half::f16;
use kernelsmith_core::ops::Leaf;
use kernelsmith_core::ops::gather::{GatherProblem, Movement};
use kernelsmith_core::{HostArray, Layout, Problem};

pub static FAULTS: &[Fault] = &[
    Fault { name: "index_clamped", run: |k, c| indexed(k, c, |x, n| x.clamp(0.0, n - 1.0)) },
    Fault { name: "index_wraps", run: |k, c| indexed(k, c, |x, n| (x + n) % n) },
    Fault { name: "index_off_by_one", run: |k, c| indexed(k, c, |x, n| if x + 1.0 < n { x + 1.0 } else { 0.0 }) },
    Fault { name: "index_of_zero", run: |k, c| indexed(k, c, |_, _| 0.0) },
    Fault { name: "last_index_refused", run: |k, c| indexed(k, c, |x, n| if x + 1.0 == n { -1.0 } else { x }) },
    Fault { name: "index_of_eight_bits", run: |k, c| indexed(k, c, |x, _| if x < 0.0 { x } else { x % 256.0 }) },
    Fault { name: "index_shifted", run: index_shifted },
    Fault { name: "moves_all_but_the_last", run: moves_all_but_the_last },
    Fault { name: "wrong_stride_of_x", run: |k, c| edited(k, c, |p| creeping(&mut p.x)) },
    Fault { name: "offset_of_x_ignored", run: |k, c| edited(k, c, |p| unmoved(&mut p.x)) },
    Fault { name: "last_term_wins", run: last_term_wins },
    Fault { name: "terms_added_in_f16", run: terms_added_in_f16 },
    Fault { name: "equal_neighbours_once", run: equal_neighbours_once },
    Fault { name: "result_not_cleared", run: result_not_cleared },
];

fn problem<'a>(call: &CpuCall<'a>) -> Option<&'a GatherProblem> {
    call.problem.downcast::<GatherProblem>()
}

fn edited(kernel: Kernel, call: &mut CpuCall, edit: impl FnOnce(&mut GatherProblem) -> Option<()>) -> Outcome {
    on(kernel, call, |problem| {
        let mut p = problem.downcast::<GatherProblem>()?.clone();
        edit(&mut p)?;
        Some(Problem::new(p))
    })
}

/// With each index, and the number of them that there are, made another.
fn indexed(kernel: Kernel, call: &mut CpuCall, change: fn(f64, f64) -> f64) -> Outcome {
    let Some(size) = problem(call).map(|p| p.size() as f64) else { return right(kernel, call) };
    on_inputs(kernel, call, |i, o, x| {
        if i == 1 {
            // An index that many elements share lies once in the buffer.
            let mut at = positions(&o.layout);
            at.sort_unstable();
            at.dedup();
            at.iter().for_each(|j| x.set(*j, change(x.get(*j), size)));
        }
    })
}

/// Each element goes by its neighbour's index.
fn index_shifted(kernel: Kernel, call: &mut CpuCall) -> Outcome {
    on_inputs(kernel, call, |i, o, x| {
        if i == 1 {
            let mut at = positions(&o.layout);
            at.sort_unstable();
            at.dedup();
            let old: Vec<f64> = at.iter().map(|j| x.get(*j)).collect();
            at.iter().enumerate().for_each(|(n, j)| x.set(*j, old[(n + 1) % old.len()]));
        }
    })
}

/// The last step along the axis is left out.
fn moves_all_but_the_last(kernel: Kernel, call: &mut CpuCall) -> Outcome {
    edited(kernel, call, |p| {
        let n = p.shape()[p.axis];
        (n > 1).then_some(())?;
        let cut = |l: &mut Leaf, axis: usize| {
            l.layout = l.layout.slice(axis, 0, n - 1, 1).ok()?;
            Some(())
        };
        let axis = p.axis;
        cut(&mut p.index, axis)?;
        cut(if p.movement == Movement::Gather { &mut p.out } else { &mut p.x }, axis)
    })
}

fn creeping(leaf: &mut Leaf) -> Option<()> {
    let mut strides = leaf.layout.strides().to_vec();
    let largest = strides.iter_mut().max()?;
    *largest = if *largest > 1 { *largest - 1 } else { return None };
    leaf.layout = Layout::strided(leaf.layout.shape(), &strides, leaf.layout.offset()).ok()?;
    Some(())
}

fn unmoved(leaf: &mut Leaf) -> Option<()> {
    (leaf.layout.offset() > 0).then_some(())?;
    leaf.layout = Layout::strided(leaf.layout.shape(), leaf.layout.strides(), 0).ok()?;
    Some(())
}

/// A scatter-add in pieces of one step along the axis, each from the kernel, joined here by `join`.
fn term_by_term(kernel: Kernel, call: &mut CpuCall, join: impl Fn(usize, f64, f64) -> f64) -> Outcome {
    let Some(whole) = problem(call).filter(|p| p.movement == Movement::ScatterAdd) else { return right(kernel, call) };
    let out = call.problem.output();
    let places = positions(&out.layout);
    let mut total = vec![0.0; places.len()];
    for step in 0..whole.shape()[whole.axis] {
        let mut p = whole.clone();
        for leaf in [&mut p.x, &mut p.index] {
            let Ok(one) = leaf.layout.slice(whole.axis, step, step + 1, 1) else { return right(kernel, call) };
            leaf.layout = one;
        }
        let problem = Problem::new(p);
        let mut own = HostArray::zeros(out.dtype, call.output.len() / out.dtype.bytes());
        let (config, inputs) = (call.config, call.inputs);
        (kernel.run)(&mut CpuCall { problem: &problem, config, inputs, output: own.as_bytes_mut() })?;
        total.iter_mut().zip(&places).for_each(|(t, at)| *t = join(step, *t, own.get(*at)));
    }
    let mut y = array(&out, call.output);
    places.iter().zip(total).for_each(|(at, t)| y.set(*at, t));
    call.output[..y.as_bytes().len()].copy_from_slice(y.as_bytes());
    Ok(())
}

/// A store instead of an addition.
fn last_term_wins(kernel: Kernel, call: &mut CpuCall) -> Outcome {
    term_by_term(kernel, call, |_, old, new| if new != 0.0 { new } else { old })
}

fn terms_added_in_f16(kernel: Kernel, call: &mut CpuCall) -> Outcome {
    term_by_term(kernel, call, |_, old, new| f16::from_f64(old + new).to_f64())
}

/// Two threads that add to one element at once, one of which is lost.
fn equal_neighbours_once(kernel: Kernel, call: &mut CpuCall) -> Outcome {
    let scatters = problem(call).is_some_and(|p| p.movement == Movement::ScatterAdd);
    if !scatters {
        return right(kernel, call);
    }
    on_inputs(kernel, call, |i, o, x| {
        if i == 1 {
            let mut at = positions(&o.layout);
            at.sort_unstable();
            at.dedup();
            for pair in at.windows(2) {
                if x.get(pair[0]) == x.get(pair[1]) {
                    x.set(pair[0], -1.0);
                }
            }
        }
    })
}

fn result_not_cleared(kernel: Kernel, call: &mut CpuCall) -> Outcome {
    let scatters = problem(call).is_some_and(|p| p.movement == Movement::ScatterAdd);
    let old = array(&call.problem.output(), call.output);
    super::afterwards(kernel, call, |y, l| {
        for i in positions(l).into_iter().filter(|_| scatters) {
            y.set(i, y.get(i) + old.get(i));
        }
    })
}
