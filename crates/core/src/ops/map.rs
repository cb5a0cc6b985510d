//! Element-wise work: out\[i\] = expr(x0\[i\], x1\[i\], …, i) at every point of an index space.
//!
//! Inputs are broadcast, transposed, sliced or flipped by their layouts; the output may be any
//! layout whose elements do not overlap. Also what copies, casts, fills and draws random numbers.

use super::fields::{Fields, is_input, shape_text};
use super::leaf::{Leaf, arithmetic, check_arrays, check_expr, check_output, collapse, expr_flops};
use super::{OpProblem, Operand, OracleBudget, Problem, ProblemError, Role, Var};
use crate::expr::{Bounded, Expr};
use crate::inputs::{Inputs, hash};
use crate::reference::{Reference, stored};
use crate::{DType, HostArray, Layout};
use rayon::prelude::*;
use std::any::Any;

/// Flops of a product that take as long as one node of an expression with its error bound.
pub(super) const ORACLE_FLOPS: f64 = 32.0;

/// One element-wise kernel's work.
#[derive(Clone, Debug, PartialEq)]
pub struct MapProblem {
    pub expr: Expr,
    pub inputs: Vec<Leaf>,
    pub out: Leaf,
}

impl MapProblem {
    /// Element-wise `expr` over the space of `out`.
    ///
    /// # Errors
    /// An input of another shape, an expression that reads what is not there, an output whose
    /// elements overlap, an empty space, too many inputs.
    pub fn new(expr: Expr, inputs: Vec<Leaf>, out: Leaf) -> Result<Self, ProblemError> {
        let problem = MapProblem { expr, inputs, out };
        let invalid = |reason: String| ProblemError::Invalid { problem: problem.text(), reason };
        let shape = problem.shape().to_vec();
        if problem.out.layout.is_empty() {
            return Err(invalid("the space is empty: there is nothing to compute".to_string()));
        }
        let named = problem.inputs.iter().enumerate().map(|(i, l)| (format!("x{i}"), l, shape.as_slice()));
        let arrays: Vec<_> = named.chain([("out".to_string(), &problem.out, shape.as_slice())]).collect();
        check_arrays(&arrays, &invalid)?;
        check_expr(&problem.expr, "expr", problem.inputs.len(), shape.len(), false, &invalid)?;
        check_output(&problem.out.layout, &invalid)?;
        Ok(problem)
    }

    /// The same work over as few dimensions as its layouts allow: what kernels are chosen by.
    pub fn canonical(self) -> Self {
        let layouts: Vec<Layout> = self.inputs.iter().chain([&self.out]).map(|l| l.layout).collect();
        let (layouts, mut exprs, _) = collapse(&layouts, &[&self.expr], &[self.shape().len()]);
        let leaf = |(l, layout): (&Leaf, &Layout)| Leaf::new(l.dtype, *layout);
        let inputs = self.inputs.iter().zip(&layouts).map(leaf).collect();
        let out = leaf((&self.out, &layouts[layouts.len() - 1]));
        MapProblem { expr: exprs.pop().unwrap_or(self.expr), inputs, out }
    }

    pub fn shape(&self) -> &[usize] {
        self.out.layout.shape()
    }

    /// Whether elements are only moved.
    pub fn is_copy(&self) -> bool {
        matches!((&self.expr, &self.inputs[..]), (Expr::Input(0), [x]) if x.dtype == self.out.dtype)
    }

    /// The dtype that the expression is computed in: f32 or f64.
    pub fn arithmetic(&self) -> DType {
        let arrays: Vec<Leaf> = self.inputs.iter().chain([&self.out]).copied().collect();
        arithmetic(&arrays, &[&self.expr], self.shape())
    }
}

impl OpProblem for MapProblem {
    fn op(&self) -> &'static str {
        "map"
    }

    fn text(&self) -> String {
        let mut parts = vec![format!("shape={}", shape_text(self.shape())), format!("expr={}", self.expr)];
        parts.extend(self.inputs.iter().enumerate().map(|(i, l)| format!("x{i}={l}")));
        parts.push(format!("out={}", self.out));
        parts.join(",")
    }

    fn operands(&self) -> Vec<Operand> {
        let inputs = self.inputs.iter().enumerate().map(|(i, l)| l.operand(format!("x{i}"), Role::Input));
        inputs.chain([self.out.operand("out", Role::Output)]).collect()
    }

    fn flops(&self) -> f64 {
        expr_flops(&self.expr) * self.out.layout.len() as f64
    }

    fn bytes(&self) -> f64 {
        self.inputs.iter().chain([&self.out]).map(Leaf::bytes).sum()
    }

    fn variables(&self) -> Vec<(String, Var)> {
        let shape = self.shape();
        let (vec, align) = self.vector();
        let int = |name: &str, x: usize| (name.to_string(), Var::Int(x as i64));
        vec![
            int("n", self.out.layout.len()),
            int("rank", shape.len()),
            int("inner", shape.last().copied().unwrap_or(1)),
            int("inputs", self.inputs.len()),
            int("vec", vec),
            int("align", align),
            int("lanes", lanes(self.inputs.iter().chain([&self.out]), shape.len().saturating_sub(1))),
            int("quads", usize::from(self.along() == "inner" && quads(self.inputs.iter().chain([&self.out])))),
            ("along".to_string(), Var::Text(self.along().to_string())),
            int("cost", self.expr.size()),
            int("copy", usize::from(self.is_copy())),
            int("element", self.out.dtype.bytes()),
            ("dtype".to_string(), Var::Text(self.out.dtype.name().to_string())),
            ("arithmetic".to_string(), Var::Text(self.arithmetic().name().to_string())),
        ]
    }

    fn class(&self) -> String {
        let arrays: Vec<String> = self.inputs.iter().chain([&self.out]).map(access).collect();
        format!("{},rank={},{}", self.expr, self.shape().len(), arrays.join(","))
    }

    fn coordinates(&self) -> Vec<f64> {
        let inner = self.shape().last().copied().unwrap_or(1);
        vec![(self.out.layout.len() as f64).log2(), (inner as f64).log2(), (self.vector().1 as f64).log2()]
    }

    fn expr(&self) -> &Expr {
        &self.expr
    }

    fn expr_operands(&self) -> Vec<String> {
        (0..self.inputs.len()).map(|i| format!("x{i}")).collect()
    }

    fn reference(&self, arrays: &[&HostArray], _inputs: Inputs, budget: OracleBudget) -> Reference {
        let unit = self.arithmetic().unit_roundoff();
        let layout = &self.out.layout;
        let n = layout.len();
        // Element-wise work has no cheap identity: a sample where all of it is too much.
        let every = n as f64 * ORACLE_FLOPS * (1.0 + expr_flops(&self.expr)) <= budget.full_flops;
        let picked: Vec<usize> = if every { Vec::new() } else { sample(arrays, n, budget.samples) };
        let count = if every { n } else { picked.len() };
        let one = |i: usize| {
            let index = unravel(if every { i } else { picked[i] }, layout.shape());
            let read =
                |j: usize| Bounded::exact(arrays[j].get(self.inputs[j].layout.at(&index[..layout.rank()])), unit);
            let x = self.expr.eval_at(Bounded::exact(0.0, unit), &read, &|d| index[d]);
            let (value, bound) = stored(self.out.dtype, x);
            (layout.at(&index[..layout.rank()]), value, bound)
        };
        Reference::collect((0..count).into_par_iter().map(one).collect::<Vec<_>>())
    }

    fn edge_cases(&self) -> Vec<Problem> {
        super::map_edges::edge_cases(self)
    }

    fn fingerprint(&self) -> u64 {
        let mut h = hash(self.inputs.len() as u64, self.expr.size() as u64);
        for leaf in self.inputs.iter().chain([&self.out]) {
            h = hash(h ^ leaf.dtype as u64, leaf.layout.offset() as u64);
            for (n, s) in leaf.layout.shape().iter().zip(leaf.layout.strides()) {
                h = hash(h ^ *s as u64, *n as u64);
            }
        }
        h
    }

    fn same_as(&self, other: &dyn OpProblem) -> bool {
        other.as_any().downcast_ref::<MapProblem>() == Some(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl MapProblem {
    /// Elements that every array can move as one vector along the innermost dimension (1, 2, 4, …
    /// 16; broadcast arrays do not count), and the least alignment in bytes.
    pub fn vector(&self) -> (usize, usize) {
        vector(self.inputs.iter().chain([&self.out]))
    }

    /// `inner` where the output is contiguous along the last dimension and every input is contiguous
    /// or broadcast along it, else `none`.
    fn along(&self) -> &'static str {
        let stride = |l: &Leaf| l.layout.strides().last().copied().unwrap_or(1);
        let inputs = self.inputs.iter().all(|l| matches!(stride(l), 0 | 1));
        if inputs && stride(&self.out) == 1 { "inner" } else { "none" }
    }
}

/// [`MapProblem::vector`] of any arrays over one space.
pub fn vector<'a>(arrays: impl Iterator<Item = &'a Leaf>) -> (usize, usize) {
    let (mut vec, mut least) = (16usize, 16usize);
    for leaf in arrays {
        let rank = leaf.layout.rank();
        let Some(&stride) = leaf.layout.strides().last() else { return (1, leaf.dtype.bytes()) };
        if stride == 0 {
            continue;
        }
        let align = leaf.layout.alignment(leaf.dtype.bytes(), Some(rank - 1)).max(leaf.dtype.bytes());
        least = least.min(align);
        vec = if stride == 1 { vec.min((align / leaf.dtype.bytes()).max(1)) } else { 1 };
        if vec == 1 {
            break;
        }
    }
    (vec, least)
}

/// Elements of the widest array that 16 bytes hold along a dimension, of those that move along it;
/// 4 where none does.
pub fn lanes<'a>(arrays: impl Iterator<Item = &'a Leaf>, dim: usize) -> usize {
    let moves = |l: &&Leaf| dim < l.layout.rank() && l.layout.strides()[dim] != 0 && l.layout.shape()[dim] > 1;
    arrays.filter(moves).map(|l| l.dtype.bytes()).max().map_or(4, |bytes| 16 / bytes)
}

/// Whether every array that moves along the last dimension can be moved in whole vectors of 16 bytes, as
/// many elements for each, and there is one.
pub fn quads<'a>(arrays: impl Iterator<Item = &'a Leaf> + Clone) -> bool {
    let Some(last) = arrays.clone().map(|l| l.layout.rank()).max().and_then(|rank| rank.checked_sub(1)) else {
        return false;
    };
    let lanes = lanes(arrays.clone(), last);
    let moving = arrays.filter(|l| l.layout.rank() == last + 1 && l.layout.strides()[last] != 0);
    let whole = |l: &Leaf| {
        let bytes = l.dtype.bytes();
        l.layout.strides()[last] == 1 && bytes * lanes == 16 && l.layout.alignment(bytes, Some(last)) >= 16
    };
    let mut some = false;
    moving.inspect(|_| some = true).all(whole) && some
}

/// How an array is walked along the innermost dimension, for classes of problems.
fn access(leaf: &Leaf) -> String {
    let kind = match leaf.layout.strides().last() {
        Some(1) => "row",
        Some(0) | None => "same",
        Some(-1) => "back",
        Some(_) => "strided",
    };
    format!("{}:{kind}", leaf.dtype)
}

/// The multi-index of the `i`-th point of a space.
pub fn unravel(i: usize, shape: &[usize]) -> [usize; crate::layout::MAX_RANK] {
    let mut index = [0; crate::layout::MAX_RANK];
    let mut rest = i;
    for d in (0..shape.len()).rev() {
        index[d] = rest % shape[d];
        rest /= shape[d];
    }
    index
}

/// A seed that depends on the inputs' values, so that what it picks cannot be guessed without them.
pub(super) fn secret(arrays: &[&HostArray]) -> u64 {
    let bytes = arrays.first().map(|a| a.as_bytes()).unwrap_or(&[]);
    let word = |c: &[u8]| c.iter().fold(0u64, |h, b| h << 8 | u64::from(*b));
    bytes.chunks(8).take(64).fold(0x5eed, |h, c| hash(h, word(c)))
}

/// Points of a space to check where all are too many: its ends, and random ones by a [`secret`].
pub fn sample(arrays: &[&HostArray], n: usize, count: usize) -> Vec<usize> {
    let seed = secret(arrays);
    let ends = (0..n.min(256)).chain(n.saturating_sub(256)..n);
    let mut points: Vec<usize> = ends.chain((0..count).map(|i| (hash(seed, i as u64) % n as u64) as usize)).collect();
    points.sort_unstable();
    points.dedup();
    points
}

/// Reads `shape=32x128,expr=relu(add(x0,x1)),x0=f32,x1=f32@0:0:1,out=f32`. Inputs and output are
/// a dtype, or `dtype@offset:stride:…` where they are not contiguous.
pub fn parse_problem(text: &str) -> Result<Problem, ProblemError> {
    let known = |k: &str| ["shape", "expr", "out"].contains(&k) || is_input(k);
    let fields = Fields::parse(text, known, "shape, expr, out, x0, x1, …")?;
    let shape = fields.shape("shape")?;
    let expr = fields.expr("expr", Expr::Input(0))?;
    let out = fields.leaf("out", fields.required("out")?, &shape)?;
    MapProblem::new(expr, fields.leaves(&shape)?, out).map(Problem::new).map_err(|e| match e {
        ProblemError::Invalid { reason, .. } => fields.invalid(reason),
        other => other,
    })
}
