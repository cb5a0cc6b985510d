//! Faults of ops over an index space: maps, reductions and row operations.

use super::{Fault, Kernel, Outcome, afterwards, array, on, on_inputs, positions, right};
use crate::cpu::kernel::CpuCall;
use half::f16;
use kernelsmith_core::expr::{Binary, Stream, Unary};
use kernelsmith_core::ops::Leaf;
use kernelsmith_core::ops::map::MapProblem;
use kernelsmith_core::ops::reduce::{ReduceKind, ReduceProblem};
use kernelsmith_core::ops::row::{RowKind, RowProblem, RowSpec};
use kernelsmith_core::{DType, Expr, HostArray, Layout, Problem};

pub static FAULTS: &[Fault] = &[
    // Expressions.
    Fault { name: "expression_missing", run: |k, c| expressed(k, c, &bare, &|e| e.clone()) },
    Fault { name: "post_missing", run: |k, c| expressed(k, c, &|e| e.clone(), &|_| Expr::Value) },
    Fault { name: "constant_off", run: |k, c| everywhere(k, c, &constant_off) },
    Fault { name: "operands_exchanged", run: |k, c| everywhere(k, c, &exchanged) },
    Fault { name: "indices_exchanged", run: |k, c| everywhere(k, c, &indices_exchanged) },
    Fault { name: "another_seed", run: |k, c| everywhere(k, c, &another_seed) },
    Fault { name: "gelu_by_tanh", run: |k, c| everywhere(k, c, &|e| unary(e, Unary::Gelu, Unary::GeluTanh)) },
    Fault { name: "max_loses_nan", run: |k, c| everywhere(k, c, &max_loses_nan) },
    Fault { name: "relu_loses_nan", run: |k, c| everywhere(k, c, &relu_loses_nan) },
    Fault { name: "less_or_equal", run: |k, c| everywhere(k, c, &|e| binary(e, Binary::Lt, Binary::Le)) },
    Fault { name: "select_reversed", run: |k, c| everywhere(k, c, &select_reversed) },
    Fault { name: "casts_ignored", run: |k, c| everywhere(k, c, &casts_ignored) },
    Fault { name: "difference_reversed", run: |k, c| everywhere(k, c, &difference_reversed) },
    // How arrays lie.
    Fault {
        name: "skips_tail",
        run: |k, c| shaped(k, c, |l, d| l.slice(d, 0, l.shape()[d].saturating_sub(1).max(1), 1).ok()),
    },
    Fault {
        name: "skips_head",
        run: |k, c| shaped(k, c, |l, d| l.slice(d, usize::from(l.shape()[d] > 1), l.shape()[d], 1).ok()),
    },
    Fault {
        name: "skips_to_vectors",
        run: |k, c| shaped(k, c, |l, d| l.slice(d, 0, (l.shape()[d] / 8 * 8).max(1), 1).ok()),
    },
    Fault { name: "wrong_stride", run: |k, c| laid(k, c, 0, shorter) },
    Fault { name: "wrong_stride_of_second", run: |k, c| laid(k, c, 1, shorter) },
    Fault { name: "offset_ignored", run: |k, c| laid(k, c, 0, unmoved) },
    Fault { name: "flip_ignored", run: |k, c| laid(k, c, 0, unflipped) },
    Fault { name: "taken_as_contiguous", run: |k, c| laid(k, c, 0, |l| Layout::contiguous(l.shape()).ok()) },
    Fault { name: "taken_as_broadcast", run: |k, c| laid(k, c, 0, |l| along_last(l, |_| 0)) },
    // Reductions.
    Fault { name: "identity_of_zero", run: identity_of_zero },
    Fault { name: "last_of_equals", run: last_of_equals },
    Fault { name: "position_off_by_one", run: position_off_by_one },
    Fault { name: "another_kind", run: another_kind },
    Fault { name: "sums_in_f16", run: sums_in_f16 },
    Fault { name: "input_nan_skipped", run: input_nan_skipped },
    // Rows.
    Fault { name: "wrong_eps", run: |k, c| rowed(k, c, |p| scale(&mut p.eps, 100.0)) },
    Fault { name: "eps_ignored", run: |k, c| rowed(k, c, |p| scale(&mut p.eps, 0.0)) },
    Fault { name: "variance_of_a_sample", run: |k, c| rowed(k, c, variance_of_a_sample) },
    Fault { name: "mean_kept", run: |k, c| rowed(k, c, |p| kind(p, RowKind::LayerNorm, RowKind::RmsNorm)) },
    Fault { name: "logarithm_missing", run: |k, c| rowed(k, c, |p| kind(p, RowKind::LogSoftmax, RowKind::Softmax)) },
    Fault { name: "overflows_without_shift", run: overflows_without_shift },
    Fault { name: "normalises_columns", run: |k, c| rowed(k, c, normalises_columns) },
    Fault { name: "label_ignored", run: label_ignored },
    Fault { name: "label_off_by_one", run: |k, c| labelled(k, c, |x, n| (x + 1.0) % n) },
    Fault { name: "label_clamped", run: |k, c| labelled(k, c, |x, n| x.clamp(0.0, n - 1.0)) },
    Fault { name: "row_of_nan_is_zero", run: |k, c| afterwards(k, c, rows_of_nan_are_zero) },
];

/// Expressions (the one before the op, the one after it) and arrays of a problem, taken apart.
struct Parts {
    expr: Expr,
    post: Expr,
    inputs: Vec<Leaf>,
    out: Leaf,
    shape: Vec<usize>,
}

fn parts(problem: &Problem) -> Option<Parts> {
    if let Some(p) = problem.downcast::<MapProblem>() {
        let (expr, shape) = (p.expr.clone(), p.shape().to_vec());
        return Some(Parts { expr, post: Expr::Value, inputs: p.inputs.clone(), out: p.out, shape });
    }
    if let Some(p) = problem.downcast::<ReduceProblem>() {
        let (expr, post, shape) = (p.expr.clone(), p.post.clone(), p.shape().to_vec());
        return Some(Parts { expr, post, inputs: p.inputs.clone(), out: p.out, shape });
    }
    let p = problem.downcast::<RowProblem>()?;
    let (expr, post, shape) = (p.expr.clone(), p.post.clone(), p.shape().to_vec());
    Some(Parts { expr, post, inputs: p.inputs.clone(), out: p.out, shape })
}

/// The same op on other parts, if that makes sense.
fn rebuilt(problem: &Problem, t: Parts) -> Option<Problem> {
    if problem.downcast::<MapProblem>().is_some() {
        return MapProblem::new(t.expr, t.inputs, t.out).ok().map(Problem::new);
    }
    if let Some(p) = problem.downcast::<ReduceProblem>() {
        let made = ReduceProblem::new(p.kind, &t.shape, p.outer, (t.expr, t.post), t.inputs, t.out);
        return made.ok().map(Problem::new);
    }
    let p = problem.downcast::<RowProblem>()?;
    let spec = RowSpec { kind: p.kind, eps: p.eps, expr: t.expr, post: t.post, label: p.label };
    RowProblem::new(spec, &t.shape, t.inputs, t.out).ok().map(Problem::new)
}

type Rewrite<'a> = &'a dyn Fn(&Expr) -> Expr;

fn expressed(kernel: Kernel, call: &mut CpuCall, expr: Rewrite, post: Rewrite) -> Outcome {
    on(kernel, call, |p| {
        let mut t = parts(p)?;
        (t.expr, t.post) = (expr(&t.expr), post(&t.post));
        rebuilt(p, t)
    })
}

/// Every node of both expressions, from the leaves up.
fn everywhere(kernel: Kernel, call: &mut CpuCall, node: Rewrite) -> Outcome {
    expressed(kernel, call, &|e| walk(e, node), &|e| walk(e, node))
}

fn walk(e: &Expr, node: Rewrite) -> Expr {
    let inner = |x: &Expr| Box::new(walk(x, node));
    node(&match e {
        Expr::Unary(op, x) => Expr::Unary(*op, inner(x)),
        Expr::Binary(op, x, y) => Expr::Binary(*op, inner(x), inner(y)),
        Expr::Select(c, x, y) => Expr::Select(inner(c), inner(x), inner(y)),
        Expr::Round(dtype, x) => Expr::Round(*dtype, inner(x)),
        Expr::Random(stream, x) => Expr::Random(*stream, inner(x)),
        leaf => leaf.clone(),
    })
}

/// The first input as it is.
fn bare(e: &Expr) -> Expr {
    if e.any(&|x| matches!(x, Expr::Input(0))) { Expr::Input(0) } else { e.clone() }
}

fn constant_off(e: &Expr) -> Expr {
    match e {
        Expr::Const(c) => Expr::Const(c * 1.01 + if *c == 0.0 { 0.01 } else { 0.0 }),
        other => other.clone(),
    }
}

fn exchanged(e: &Expr) -> Expr {
    match e {
        Expr::Input(i @ 0..=1) => Expr::Input(1 - i),
        other => other.clone(),
    }
}

fn indices_exchanged(e: &Expr) -> Expr {
    match e {
        Expr::Index(d @ 0..=1) => Expr::Index(1 - d),
        other => other.clone(),
    }
}

fn another_seed(e: &Expr) -> Expr {
    match e {
        Expr::Random(s, x) => Expr::Random(Stream { seed: s.seed ^ 1, ..*s }, x.clone()),
        other => other.clone(),
    }
}

fn unary(e: &Expr, from: Unary, to: Unary) -> Expr {
    match e {
        Expr::Unary(op, x) if *op == from => Expr::Unary(to, x.clone()),
        other => other.clone(),
    }
}

fn binary(e: &Expr, from: Binary, to: Binary) -> Expr {
    match e {
        Expr::Binary(op, x, y) if *op == from => Expr::Binary(to, x.clone(), y.clone()),
        other => other.clone(),
    }
}

/// `a > b ? a : b`, in which a NaN on the left is lost.
fn max_loses_nan(e: &Expr) -> Expr {
    match e {
        Expr::Binary(Binary::Max, x, y) => {
            let larger = Expr::Binary(Binary::Lt, y.clone(), x.clone());
            Expr::Select(Box::new(larger), x.clone(), y.clone())
        }
        other => other.clone(),
    }
}

/// `x > 0 ? x : 0`.
fn relu_loses_nan(e: &Expr) -> Expr {
    match e {
        Expr::Unary(Unary::Relu, x) => {
            let above = Expr::Binary(Binary::Lt, Box::new(Expr::Const(0.0)), x.clone());
            Expr::Select(Box::new(above), x.clone(), Box::new(Expr::Const(0.0)))
        }
        other => other.clone(),
    }
}

fn select_reversed(e: &Expr) -> Expr {
    match e {
        Expr::Select(c, x, y) => Expr::Select(c.clone(), y.clone(), x.clone()),
        other => other.clone(),
    }
}

fn casts_ignored(e: &Expr) -> Expr {
    match e {
        Expr::Round(_, x) => (**x).clone(),
        other => other.clone(),
    }
}

fn difference_reversed(e: &Expr) -> Expr {
    match e {
        Expr::Binary(Binary::Sub, x, y) => Expr::Binary(Binary::Sub, y.clone(), x.clone()),
        other => other.clone(),
    }
}

/// The last dimension of the space shortened in every array; what is no longer written stays as it was.
fn shaped(kernel: Kernel, call: &mut CpuCall, cut: impl Fn(&Layout, usize) -> Option<Layout>) -> Outcome {
    on(kernel, call, |p| {
        let mut t = parts(p)?;
        let last = t.shape.len().checked_sub(1)?;
        let whole = t.out.layout.shape().len() == t.shape.len();
        for leaf in &mut t.inputs {
            leaf.layout = cut(&leaf.layout, last)?;
        }
        if whole {
            t.out.layout = cut(&t.out.layout, last)?;
        }
        t.shape[last] = cut(&Layout::contiguous(&t.shape).ok()?, last)?.shape()[last];
        rebuilt(p, t)
    })
}

/// One input seen through another layout of the same shape and within the same memory.
fn laid(kernel: Kernel, call: &mut CpuCall, input: usize, change: impl Fn(&Layout) -> Option<Layout>) -> Outcome {
    on(kernel, call, |p| {
        let mut t = parts(p)?;
        let leaf = t.inputs.get_mut(input)?;
        leaf.layout = change(&leaf.layout).filter(|l| l.span() <= leaf.layout.span())?;
        rebuilt(p, t)
    })
}

/// The largest stride one less: rows creep.
fn shorter(l: &Layout) -> Option<Layout> {
    let mut strides = l.strides().to_vec();
    let largest = strides.iter_mut().max()?;
    *largest = if *largest > 1 { *largest - 1 } else { return None };
    Layout::strided(l.shape(), &strides, l.offset()).ok()
}

fn unmoved(l: &Layout) -> Option<Layout> {
    (l.offset() > 0 && l.strides().iter().all(|s| *s >= 0)).then_some(())?;
    Layout::strided(l.shape(), l.strides(), 0).ok()
}

fn unflipped(l: &Layout) -> Option<Layout> {
    let backwards: isize = l.shape().iter().zip(l.strides()).map(|(n, s)| (*n as isize - 1) * (*s).min(0)).sum();
    (backwards < 0).then_some(())?;
    let strides: Vec<isize> = l.strides().iter().map(|s| s.abs()).collect();
    Layout::strided(l.shape(), &strides, (l.offset() as isize + backwards) as usize).ok()
}

fn along_last(l: &Layout, change: impl Fn(isize) -> isize) -> Option<Layout> {
    let mut strides = l.strides().to_vec();
    let last = strides.last_mut()?;
    *last = change(*last);
    Layout::strided(l.shape(), &strides, l.offset()).ok()
}

fn reduction<'a>(call: &CpuCall<'a>) -> Option<&'a ReduceProblem> {
    call.problem.downcast::<ReduceProblem>()
}

/// Extremes that start from 0 and not from an infinity.
fn identity_of_zero(kernel: Kernel, call: &mut CpuCall) -> Outcome {
    let kind = reduction(call).map(|p| p.kind);
    afterwards(kernel, call, |y, l| {
        for i in positions(l) {
            let x = y.get(i);
            let clamped = match kind {
                Some(ReduceKind::Max) if !x.is_nan() => x.max(0.0),
                Some(ReduceKind::Min) if !x.is_nan() => x.min(0.0),
                _ => x,
            };
            y.set(i, clamped);
        }
    })
}

/// The position of the last of equal extremes: the search runs the other way.
fn last_of_equals(kernel: Kernel, call: &mut CpuCall) -> Outcome {
    let Some(p) = reduction(call).filter(|p| p.kind.is_position() && p.post == Expr::Value) else {
        return right(kernel, call);
    };
    let n = p.inner_len();
    on(kernel, call, |problem| {
        let mut t = parts(problem)?;
        for d in p.outer..t.shape.len() {
            for leaf in &mut t.inputs {
                leaf.layout = leaf.layout.flip(d).ok()?;
            }
        }
        rebuilt(problem, t)
    })?;
    let out = call.problem.output();
    let mut y = array(&out, call.output);
    positions(&out.layout).iter().for_each(|i| y.set(*i, (n - 1) as f64 - y.get(*i)));
    call.output[..y.as_bytes().len()].copy_from_slice(y.as_bytes());
    Ok(())
}

fn position_off_by_one(kernel: Kernel, call: &mut CpuCall) -> Outcome {
    let by = if reduction(call).is_some_and(|p| p.kind.is_position()) { 1.0 } else { 0.0 };
    afterwards(kernel, call, |y, l| positions(l).iter().for_each(|i| y.set(*i, y.get(*i) + by)))
}

fn another_kind(kernel: Kernel, call: &mut CpuCall) -> Outcome {
    on(kernel, call, |problem| {
        let mut p = problem.downcast::<ReduceProblem>()?.clone();
        p.kind = match p.kind {
            ReduceKind::Sum => ReduceKind::Max,
            ReduceKind::Max => ReduceKind::Min,
            ReduceKind::Min => ReduceKind::Max,
            ReduceKind::ArgMax => ReduceKind::ArgMin,
            ReduceKind::ArgMin => ReduceKind::ArgMax,
        };
        Some(Problem::new(p))
    })
}

/// A sum over pieces of the last dimension, added up here in 16 bits.
fn sums_in_f16(kernel: Kernel, call: &mut CpuCall) -> Outcome {
    let plain = |p: &&ReduceProblem| p.kind == ReduceKind::Sum && p.post == Expr::Value && p.outer < p.shape().len();
    let Some(p) = reduction(call).filter(plain) else { return right(kernel, call) };
    let (last, out) = (p.shape().len() - 1, call.problem.output());
    let n = p.shape()[last];
    let places = positions(&out.layout);
    let mut total = vec![0.0; places.len()];
    for from in (0..n).step_by(4) {
        let piece = |l: &Leaf| Some(Leaf::new(l.dtype, l.layout.slice(last, from, n.min(from + 4), 1).ok()?));
        let inputs: Option<Vec<Leaf>> = p.inputs.iter().map(piece).collect();
        let mut shape = p.shape().to_vec();
        shape[last] = n.min(from + 4) - from;
        let exprs = (p.expr.clone(), p.post.clone());
        let made = inputs.and_then(|i| ReduceProblem::new(p.kind, &shape, p.outer, exprs, i, p.out).ok());
        let Some(problem) = made.map(Problem::new) else { return right(kernel, call) };
        let mut own = HostArray::zeros(out.dtype, call.output.len() / out.dtype.bytes());
        let (config, inputs) = (call.config, call.inputs);
        (kernel.run)(&mut CpuCall { problem: &problem, config, inputs, output: own.as_bytes_mut() })?;
        let add = |(t, at): (&mut f64, &usize)| *t = f16::from_f64(*t + own.get(*at)).to_f64();
        total.iter_mut().zip(&places).for_each(add);
    }
    let mut y = array(&out, call.output);
    places.iter().zip(total).for_each(|(at, t)| y.set(*at, t));
    call.output[..y.as_bytes().len()].copy_from_slice(y.as_bytes());
    Ok(())
}

/// Extremes over what is no NaN.
fn input_nan_skipped(kernel: Kernel, call: &mut CpuCall) -> Outcome {
    let Some(kind) = reduction(call).map(|p| p.kind) else { return right(kernel, call) };
    let least = match kind {
        ReduceKind::Sum => 0.0,
        ReduceKind::Max | ReduceKind::ArgMax => f64::NEG_INFINITY,
        ReduceKind::Min | ReduceKind::ArgMin => f64::INFINITY,
    };
    on_inputs(kernel, call, |_, o, x| {
        for i in positions(&o.layout).into_iter().filter(|_| o.dtype.is_float()) {
            if x.get(i).is_nan() {
                x.set(i, least);
            }
        }
    })
}

fn rowed(kernel: Kernel, call: &mut CpuCall, edit: impl FnOnce(&mut RowProblem) -> Option<()>) -> Outcome {
    on(kernel, call, |problem| {
        let mut p = problem.downcast::<RowProblem>()?.clone();
        edit(&mut p)?;
        Some(Problem::new(p))
    })
}

fn scale(field: &mut f64, factor: f64) -> Option<()> {
    *field *= factor;
    Some(())
}

fn kind(p: &mut RowProblem, from: RowKind, to: RowKind) -> Option<()> {
    (p.kind == from).then(|| p.kind = to)
}

/// Divided by n − 1 and not by n.
fn variance_of_a_sample(p: &mut RowProblem) -> Option<()> {
    let n = p.columns() as f64;
    let norm = matches!(p.kind, RowKind::LayerNorm | RowKind::RmsNorm) && n > 1.0;
    let scaled = Expr::binary(Binary::Mul, Expr::Value, Expr::Const(((n - 1.0) / n).sqrt()));
    norm.then(|| p.post = p.post.replace(&|e| if *e == Expr::Value { scaled.clone() } else { e.clone() }))
}

/// A row whose largest element is too large for its exponential.
fn overflows_without_shift(kernel: Kernel, call: &mut CpuCall) -> Outcome {
    let Some(p) = call.problem.downcast::<RowProblem>().filter(|p| p.kind == RowKind::Softmax) else {
        return right(kernel, call);
    };
    let x = array(&call.problem.inputs()[0], call.inputs[0]);
    let (columns, at) = (p.columns(), positions(&p.inputs[0].layout));
    let over = |row: &[usize]| row.iter().any(|i| p.expr.eval(0.0, &|_| x.get(*i)) > 88.8);
    let overflown: Vec<bool> = at.chunks(columns).map(over).collect();
    afterwards(kernel, call, |y, l| {
        let lost = positions(l).into_iter().enumerate().filter(|(i, _)| overflown[i / columns]);
        lost.for_each(|(_, at)| y.set(at, f64::NAN));
    })
}

/// Rows and columns exchanged, where there are as many of them.
fn normalises_columns(p: &mut RowProblem) -> Option<()> {
    let s = p.shape();
    (s.len() == 2 && s[0] == s[1] && !p.kind.reduces()).then_some(())?;
    for leaf in p.inputs.iter_mut().chain([&mut p.out]) {
        leaf.layout = leaf.layout.transpose(0, 1).ok()?;
    }
    Some(())
}

fn label_ignored(kernel: Kernel, call: &mut CpuCall) -> Outcome {
    labelled(kernel, call, |_, _| 0.0)
}

fn labelled(kernel: Kernel, call: &mut CpuCall, change: fn(f64, f64) -> f64) -> Outcome {
    let Some(p) = call.problem.downcast::<RowProblem>() else { return right(kernel, call) };
    let (label, columns) = (p.label, p.columns() as f64);
    on_inputs(kernel, call, |i, _, x| {
        if Some(i) == label {
            (0..x.len()).for_each(|j| x.set(j, change(x.get(j), columns)));
        }
    })
}

fn rows_of_nan_are_zero(y: &mut HostArray, l: &Layout) {
    let columns = l.shape().last().copied().unwrap_or(1);
    for row in positions(l).chunks(columns) {
        if y.dtype() != DType::I32 && row.iter().all(|i| y.get(*i).is_nan()) {
            row.iter().for_each(|i| y.set(*i, 0.0));
        }
    }
}
