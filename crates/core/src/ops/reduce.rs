//! Reductions: out\[o\] = post(reduce over i of expr(x0\[o, i\], x1\[o, i\], …)).
//!
//! The space is outer dimensions, then inner ones; the inner ones are reduced. `expr` is the fused
//! prologue, `post` the fused epilogue; both read the same inputs (`post` at inner position 0, so
//! its inputs are broadcast over the inner dimensions).

use super::fields::{Fields, is_input, shape_text};
use super::leaf::{Leaf, arithmetic, check_arrays, check_expr, check_output, collapse, expr_flops};
use super::map::{ORACLE_FLOPS, lanes, quads, sample, unravel, vector};
use super::{OpProblem, Operand, OracleBudget, Problem, ProblemError, Role, Var};
use crate::expr::{Binary, Bounded, Expr, Number};
use crate::inputs::{Inputs, hash};
use crate::reference::{ExactSum, Reference, stored};
use crate::{DType, HostArray, Layout};
use rayon::prelude::*;
use std::any::Any;

/// What becomes of the elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReduceKind {
    Sum,
    /// NaN wins.
    Max,
    /// NaN wins.
    Min,
    /// Position of the first largest element in the inner space; the first NaN wins.
    ArgMax,
    /// Position of the first smallest element in the inner space; the first NaN wins.
    ArgMin,
}

impl ReduceKind {
    pub const ALL: [ReduceKind; 5] =
        [ReduceKind::Sum, ReduceKind::Max, ReduceKind::Min, ReduceKind::ArgMax, ReduceKind::ArgMin];

    pub const fn name(self) -> &'static str {
        match self {
            ReduceKind::Sum => "sum",
            ReduceKind::Max => "max",
            ReduceKind::Min => "min",
            ReduceKind::ArgMax => "argmax",
            ReduceKind::ArgMin => "argmin",
        }
    }

    pub const fn is_position(self) -> bool {
        matches!(self, ReduceKind::ArgMax | ReduceKind::ArgMin)
    }
}

/// One reduction with what is fused around it.
#[derive(Clone, Debug, PartialEq)]
pub struct ReduceProblem {
    pub kind: ReduceKind,
    /// Leading dimensions of the space that are kept; the rest is reduced.
    pub outer: usize,
    pub expr: Expr,
    pub post: Expr,
    /// Over the whole space.
    pub inputs: Vec<Leaf>,
    /// Over the outer dimensions.
    pub out: Leaf,
    shape: Vec<usize>,
}

impl ReduceProblem {
    /// A reduction of the dimensions of `shape` from `outer` on.
    ///
    /// # Errors
    /// Arrays of another shape, an expression that reads what is not there, a `post` that reads
    /// an input along the inner dimensions, an empty space, overlapping outputs.
    pub fn new(
        kind: ReduceKind,
        shape: &[usize],
        outer: usize,
        (expr, post): (Expr, Expr),
        inputs: Vec<Leaf>,
        out: Leaf,
    ) -> Result<Self, ProblemError> {
        let problem = ReduceProblem { kind, outer, expr, post, inputs, out, shape: shape.to_vec() };
        let invalid = |reason: String| ProblemError::Invalid { problem: problem.text(), reason };
        if outer > shape.len() {
            return Err(invalid(format!("{outer} outer dimensions in a space of rank {}", shape.len())));
        }
        if shape.contains(&0) {
            return Err(invalid("the space is empty: there is nothing to reduce".to_string()));
        }
        let named = problem.inputs.iter().enumerate().map(|(i, l)| (format!("x{i}"), l, shape));
        let arrays: Vec<_> = named.chain([("out".to_string(), &problem.out, &shape[..outer])]).collect();
        check_arrays(&arrays, &invalid)?;
        check_expr(&problem.expr, "expr", problem.inputs.len(), shape.len(), false, &invalid)?;
        check_expr(&problem.post, "post", problem.inputs.len(), outer, true, &invalid)?;
        let moves = |l: &Leaf| (outer..shape.len()).any(|d| shape[d] > 1 && l.layout.strides()[d] != 0);
        let read = |i: usize| problem.post.any(&|x| *x == Expr::Input(i));
        if let Some(i) = (0..problem.inputs.len()).find(|&i| read(i) && moves(&problem.inputs[i])) {
            return Err(invalid(format!("post reads x{i}, which varies along the reduced dimensions")));
        }
        check_output(&problem.out.layout, &invalid)?;
        Ok(problem)
    }

    /// The same work over as few dimensions as its layouts allow.
    pub fn canonical(self) -> Self {
        // The output takes part as if it were broadcast over the inner dimensions.
        let Ok(widened) = widen(&self.out.layout, &self.shape) else { return self };
        let layouts: Vec<Layout> = self.inputs.iter().map(|l| l.layout).chain([widened]).collect();
        let (layouts, exprs, ends) = collapse(&layouts, &[&self.expr, &self.post], &[self.outer, self.shape.len()]);
        let outer = ends[0];
        let inputs = self.inputs.iter().zip(&layouts).map(|(l, layout)| Leaf::new(l.dtype, *layout)).collect();
        let last = &layouts[layouts.len() - 1];
        let out = Layout::strided(&last.shape()[..outer], &last.strides()[..outer], last.offset());
        let (Ok(out), [expr, post]) = (out, &exprs[..]) else { return self };
        ReduceProblem {
            kind: self.kind,
            outer,
            expr: expr.clone(),
            post: post.clone(),
            inputs,
            out: Leaf::new(self.out.dtype, out),
            shape: last.shape().to_vec(),
        }
    }

    /// The whole space: outer dimensions, then inner ones.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Elements that are reduced to one.
    pub fn inner_len(&self) -> usize {
        self.shape[self.outer..].iter().product()
    }

    /// Elements of the result.
    pub fn outer_len(&self) -> usize {
        self.shape[..self.outer].iter().product()
    }

    /// The dtype that it is computed in: f32 or f64.
    pub fn arithmetic(&self) -> DType {
        // A position is counted in whole numbers: its dtype does not widen the arithmetic.
        let out = if self.kind.is_position() { None } else { Some(self.out) };
        let arrays: Vec<Leaf> = self.inputs.iter().copied().chain(out).collect();
        arithmetic(&arrays, &[&self.expr, &self.post], &self.shape)
    }

    fn one(&self, arrays: &[&HostArray], at: usize, inputs: Inputs) -> (usize, f64, f64) {
        let unit = self.arithmetic().unit_roundoff();
        let start = unravel(at, &self.shape[..self.outer]);
        let (rank, inner, n) = (self.shape.len(), &self.shape[self.outer..], self.inner_len());
        let part = |from: usize, to: usize| {
            let mut index = start;
            let mut sum = Sum::default();
            for i in from..to {
                let tail = unravel(i, inner);
                index[self.outer..rank].copy_from_slice(&tail[..inner.len()]);
                let read = |j: usize| Bounded::exact(arrays[j].get(self.inputs[j].layout.at(&index[..rank])), unit);
                sum.add(self.kind, i, self.expr.eval_at(Bounded::exact(0.0, unit), &read, &|d| index[d]));
            }
            sum
        };
        // One long reduction alone would keep one core busy.
        const PART: usize = 1 << 18;
        let parts: Vec<Sum> =
            (0..n.div_ceil(PART)).into_par_iter().map(|p| part(p * PART, n.min((p + 1) * PART))).collect();
        let mut parts = parts.into_iter();
        let mut sum = parts.next().unwrap_or_default();
        parts.for_each(|next| sum.join(self.kind, next));
        let reduced = sum.finish(self.kind, n, unit, inputs);
        let read = |j: usize| {
            Bounded::exact(
                arrays[j].get(self.inputs[j].layout.at(&{
                    let mut first = start;
                    first[self.outer..rank].fill(0);
                    first
                }[..rank])),
                unit,
            )
        };
        let x = self.post.eval_at(reduced, &read, &|d| start[d]);
        let (value, mut bound) = stored(self.out.dtype, x);
        if self.kind.is_position() && reduced.error > 0.0 {
            // Elements that rounding could swap: any position between them may be given.
            bound = bound.max(reduced.error);
        }
        (self.out.layout.at(&start[..self.outer]), value, bound)
    }
}

/// `layout` over the outer dimensions, broadcast over the rest of `shape`.
fn widen(layout: &Layout, shape: &[usize]) -> Result<Layout, crate::LayoutError> {
    let mut strides = layout.strides().to_vec();
    strides.resize(shape.len(), 0);
    Layout::strided(shape, &strides, layout.offset())
}

/// A running reduction in f64.
#[derive(Default)]
struct Sum {
    value: ExactSum,
    magnitude: f64,
    error: f64,
    best: Option<(usize, Bounded)>,
    /// The nearest other element, for positions.
    rivals: Vec<(usize, Bounded)>,
}

impl Sum {
    fn add(&mut self, kind: ReduceKind, at: usize, x: Bounded) {
        if kind == ReduceKind::Sum {
            self.value.add(x.value);
            self.magnitude += x.value.abs();
            self.error += x.error;
            return;
        }
        let op = if matches!(kind, ReduceKind::Max | ReduceKind::ArgMax) { Binary::Max } else { Binary::Min };
        let better = |x: f64, y: f64| if op == Binary::Max { x > y } else { x < y };
        match &self.best {
            Some((_, b)) if b.value.is_nan() => {}
            Some((_, b)) if !x.value.is_nan() && !better(x.value, b.value) => {
                if kind.is_position() && (x.value - b.value).abs() <= x.error + b.error && x.error + b.error > 0.0 {
                    self.rivals.push((at, x));
                }
            }
            Some((i, b)) => {
                if kind.is_position() && (x.value - b.value).abs() <= x.error + b.error && x.error + b.error > 0.0 {
                    self.rivals.push((*i, *b));
                }
                self.best = Some((at, x));
            }
            None => self.best = Some((at, x)),
        }
        self.error = self.error.max(x.error);
    }

    /// Takes in what comes after it.
    fn join(&mut self, kind: ReduceKind, next: Sum) {
        if kind == ReduceKind::Sum {
            self.value.add(next.value.value());
            self.magnitude += next.magnitude;
            self.error += next.error;
            return;
        }
        self.error = self.error.max(next.error);
        self.rivals.extend(next.rivals);
        if let Some((at, best)) = next.best {
            self.add(kind, at, best);
        }
    }

    fn finish(self, kind: ReduceKind, n: usize, unit: f64, inputs: Inputs) -> Bounded {
        match (kind, self.best) {
            (ReduceKind::Max | ReduceKind::Min, Some((_, b))) => {
                let error = if b.value.is_finite() { self.error } else { 0.0 };
                Bounded { value: b.value, error, unit }
            }
            (ReduceKind::ArgMax | ReduceKind::ArgMin, Some((at, b))) => {
                let close = |r: &&(usize, Bounded)| (r.1.value - b.value).abs() <= r.1.error + b.error;
                let reach = self.rivals.iter().filter(close).map(|r| r.0.abs_diff(at)).max().unwrap_or(0);
                Bounded { value: at as f64, error: reach as f64, unit }
            }
            _ => {
                let epsilon = 2.0 * unit;
                let k = n as f64;
                let worst = k * epsilon;
                let gamma = match (inputs.sums_are_exact() && self.error == 0.0, inputs.errors_are_independent()) {
                    (true, _) => 0.0,
                    (false, true) => worst.min((6.0 * k.sqrt() + 4.0) * epsilon),
                    // Every kernel adds in a tree or in many chains: at most 2¹⁶ additions follow one another.
                    (false, false) => worst.min(65536.0 * epsilon),
                };
                let tiny = if gamma == 0.0 { 0.0 } else { k * f64::from(f32::from_bits(1)) };
                let error = self.error * (1.0 + gamma) + gamma * self.magnitude + tiny;
                Bounded::stored(self.value.value(), error, unit)
            }
        }
    }
}

impl OpProblem for ReduceProblem {
    fn op(&self) -> &'static str {
        "reduce"
    }

    fn text(&self) -> String {
        let mut parts = vec![
            format!("kind={}", self.kind.name()),
            format!("outer={}", shape_text(&self.shape[..self.outer.min(self.shape.len())])),
            format!("inner={}", shape_text(&self.shape[self.outer.min(self.shape.len())..])),
        ];
        if self.expr != Expr::Input(0) {
            parts.push(format!("expr={}", self.expr));
        }
        if self.post != Expr::Value {
            parts.push(format!("post={}", self.post));
        }
        parts.extend(self.inputs.iter().enumerate().map(|(i, l)| format!("x{i}={l}")));
        parts.push(format!("out={}", self.out));
        parts.join(",")
    }

    fn operands(&self) -> Vec<Operand> {
        let inputs = self.inputs.iter().enumerate().map(|(i, l)| l.operand(format!("x{i}"), Role::Input));
        inputs.chain([self.out.operand("out", Role::Output)]).collect()
    }

    fn flops(&self) -> f64 {
        let (outer, inner) = (self.outer_len() as f64, self.inner_len() as f64);
        outer * (inner * (1.0 + expr_flops(&self.expr)) + expr_flops(&self.post))
    }

    fn bytes(&self) -> f64 {
        self.inputs.iter().chain([&self.out]).map(Leaf::bytes).sum()
    }

    fn variables(&self) -> Vec<(String, Var)> {
        let int = |name: &str, x: usize| (name.to_string(), Var::Int(x as i64));
        let text = |name: &str, x: &str| (name.to_string(), Var::Text(x.to_string()));
        let (vec, align) = vector(self.inputs.iter().filter(|_| self.inner_len() > 1));
        // Which dimension neighbours in memory lie along: the innermost reduced one, or an outer one.
        let along = |d: Option<usize>| d.is_some_and(|d| self.inputs.iter().all(|l| l.layout.strides()[d].abs() <= 1));
        let columns = self.outer.checked_sub(1).map_or(1, |d| lanes(self.inputs.iter(), d).min(8));
        let along_columns = self.outer.checked_sub(1).map_or(1, |d| self.shape[d]);
        let inner = along(self.shape.len().checked_sub(1).filter(|_| self.outer < self.shape.len()));
        let outer = along(self.outer.checked_sub(1));
        vec![
            int("outer", self.outer_len()),
            int("inner", self.inner_len()),
            int("outer_rank", self.outer),
            int("inner_rank", self.shape.len() - self.outer),
            int("inputs", self.inputs.len()),
            int("vec", vec),
            int("align", align),
            int("lanes", lanes(self.inputs.iter(), self.shape.len().saturating_sub(1))),
            int("quads", usize::from(inner && quads(self.inputs.iter()))),
            int("column_lanes", columns),
            int("column_vectors", self.outer_len() / along_columns * along_columns.div_ceil(columns)),
            int("cost", self.expr.size()),
            text("kind", self.kind.name()),
            text(
                "along",
                if inner {
                    "inner"
                } else if outer {
                    "outer"
                } else {
                    "none"
                },
            ),
            text("dtype", self.inputs.first().map_or(self.out.dtype, |l| l.dtype).name()),
            text("arithmetic", self.arithmetic().name()),
        ]
    }

    fn class(&self) -> String {
        let dtypes: Vec<String> = self.inputs.iter().chain([&self.out]).map(|l| l.dtype.to_string()).collect();
        let along = self.variables().into_iter().find(|(n, _)| n == "along");
        let along = along.map_or(String::new(), |(_, v)| format!("{v:?}"));
        let (o, i) = (self.outer, self.shape.len() - self.outer);
        format!("{},{},{},ranks={o}:{i},{},{along}", self.kind.name(), self.expr, self.post, dtypes.join(":"))
    }

    fn coordinates(&self) -> Vec<f64> {
        vec![(self.outer_len() as f64).log2(), (self.inner_len() as f64).log2()]
    }

    // What follows the op; its field of that name is what comes before.
    #[allow(clippy::misnamed_getters)]
    fn expr(&self) -> &Expr {
        &self.post
    }

    fn expr_operands(&self) -> Vec<String> {
        (0..self.inputs.len()).map(|i| format!("x{i}")).collect()
    }

    fn reference(&self, arrays: &[&HostArray], inputs: Inputs, budget: OracleBudget) -> Reference {
        let n = self.outer_len();
        let affordable = (budget.full_flops / (ORACLE_FLOPS * n as f64 * self.inner_len() as f64)).min(1.0);
        let picked =
            if affordable < 1.0 { sample(arrays, n, (n as f64 * affordable) as usize) } else { (0..n).collect() };
        Reference::collect(picked.into_par_iter().map(|at| self.one(arrays, at, inputs)).collect())
    }

    fn edge_cases(&self) -> Vec<Problem> {
        super::reduce_edges::edge_cases(self)
    }

    fn fingerprint(&self) -> u64 {
        let mut h =
            hash(self.kind as u64 ^ (self.outer as u64) << 8, (self.expr.size() + 64 * self.post.size()) as u64);
        for leaf in self.inputs.iter().chain([&self.out]) {
            h = hash(h ^ leaf.dtype as u64, leaf.layout.offset() as u64);
            for (n, s) in leaf.layout.shape().iter().zip(leaf.layout.strides()) {
                h = hash(h ^ *s as u64, *n as u64);
            }
        }
        h
    }

    fn same_as(&self, other: &dyn OpProblem) -> bool {
        other.as_any().downcast_ref::<ReduceProblem>() == Some(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Reads `kind=sum,outer=4096,inner=1024,expr=mul(x0,x0),post=mul(v,0.5),x0=f32,out=f32`; `expr`
/// is x0 and `post` v where they are left out.
pub fn parse_problem(text: &str) -> Result<Problem, ProblemError> {
    let known = |k: &str| ["kind", "outer", "inner", "expr", "post", "out"].contains(&k) || is_input(k);
    let fields = Fields::parse(text, known, "kind, outer, inner, expr, post, out, x0, x1, …")?;
    let kind = fields.required("kind")?;
    let kind = ReduceKind::ALL
        .into_iter()
        .find(|k| k.name() == kind)
        .ok_or_else(|| fields.bad("kind", kind, "sum, max, min, argmax or argmin"))?;
    let mut shape = fields.shape("outer")?;
    let outer = shape.len();
    shape.extend(fields.shape("inner")?);
    let out = fields.leaf("out", fields.required("out")?, &shape[..outer])?;
    let exprs = (fields.expr("expr", Expr::Input(0))?, fields.expr("post", Expr::Value)?);
    ReduceProblem::new(kind, &shape, outer, exprs, fields.leaves(&shape)?, out).map(Problem::new).map_err(|e| match e {
        ProblemError::Invalid { reason, .. } => fields.invalid(reason),
        other => other,
    })
}

/// The identity of a reduction and one step of it, in any arithmetic: what kernels and tests share.
pub fn step<N: Number>(kind: ReduceKind, a: N, b: N) -> N {
    match kind {
        ReduceKind::Sum => N::binary(Binary::Add, a, b),
        ReduceKind::Max | ReduceKind::ArgMax => N::binary(Binary::Max, a, b),
        ReduceKind::Min | ReduceKind::ArgMin => N::binary(Binary::Min, a, b),
    }
}
