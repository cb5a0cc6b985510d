//! Row operations: softmax, log-softmax, layer norm, RMS norm, cross-entropy. Each row (the last
//! dimension) of expr(x0, x1, …) is reduced and rescaled, then `post` follows element by element.

use super::fields::{Fields, is_input, shape_text};
use super::leaf::{Leaf, arithmetic, check_arrays, check_expr, check_output, collapse, expr_flops};
use super::map::{ORACLE_FLOPS, lanes, sample, unravel, vector};
use super::{OpProblem, Operand, OracleBudget, Problem, ProblemError, Role, Var};
use crate::expr::{Binary, Bounded, Expr, Number, Unary};
use crate::inputs::{Inputs, hash};
use crate::reference::{ExactSum, Reference, stored};
use crate::{DType, HostArray, Layout};
use rayon::prelude::*;
use std::any::Any;

/// What happens to a row x of n elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RowKind {
    /// exp(x − max) / Σ exp(x − max); minus 1 at the label's position where there is a label.
    Softmax,
    /// x − max − ln Σ exp(x − max).
    LogSoftmax,
    /// (x − mean) / √(variance + eps), the variance with 1/n.
    LayerNorm,
    /// x / √(Σ x² / n + eps).
    RmsNorm,
    /// One number a row: ln Σ exp(x) − x\[label\]; without a label ln Σ exp(x).
    CrossEntropy,
}

impl RowKind {
    pub const ALL: [RowKind; 5] =
        [RowKind::Softmax, RowKind::LogSoftmax, RowKind::LayerNorm, RowKind::RmsNorm, RowKind::CrossEntropy];

    pub const fn name(self) -> &'static str {
        match self {
            RowKind::Softmax => "softmax",
            RowKind::LogSoftmax => "log_softmax",
            RowKind::LayerNorm => "layer_norm",
            RowKind::RmsNorm => "rms_norm",
            RowKind::CrossEntropy => "cross_entropy",
        }
    }

    /// Whether a row gives one number.
    pub const fn reduces(self) -> bool {
        matches!(self, RowKind::CrossEntropy)
    }

    const fn takes_label(self) -> bool {
        matches!(self, RowKind::Softmax | RowKind::CrossEntropy)
    }
}

/// One row operation with what is fused around it.
#[derive(Clone, Debug, PartialEq)]
pub struct RowProblem {
    pub kind: RowKind,
    pub eps: f64,
    pub expr: Expr,
    pub post: Expr,
    /// Over the whole space, whose last dimension is the row.
    pub inputs: Vec<Leaf>,
    /// The input that holds each row's label (i32, the same along the row). A label outside the
    /// row gives NaN in `CrossEntropy` and subtracts nothing in `Softmax`.
    pub label: Option<usize>,
    /// Over the whole space, or over the rows for a kind that reduces.
    pub out: Leaf,
    shape: Vec<usize>,
}

/// What a row operation is, besides its arrays.
#[derive(Clone, Debug, PartialEq)]
pub struct RowSpec {
    pub kind: RowKind,
    pub eps: f64,
    pub expr: Expr,
    pub post: Expr,
    pub label: Option<usize>,
}

impl RowProblem {
    /// A row operation over the last dimension of `shape`.
    ///
    /// # Errors
    /// Arrays of another shape, an expression that reads what is not there, a label that is no
    /// i32 or varies along the row, an empty space, overlapping outputs.
    pub fn new(spec: RowSpec, shape: &[usize], inputs: Vec<Leaf>, out: Leaf) -> Result<Self, ProblemError> {
        let RowSpec { kind, eps, expr, post, label } = spec;
        let problem = RowProblem { kind, eps, expr, post, inputs, label, out, shape: shape.to_vec() };
        let invalid = |reason: String| ProblemError::Invalid { problem: problem.text(), reason };
        if shape.is_empty() || shape.contains(&0) {
            return Err(invalid("a space with at least one row of at least one element is needed".to_string()));
        }
        let rows = &shape[..shape.len() - 1];
        let named = problem.inputs.iter().enumerate().map(|(i, l)| (format!("x{i}"), l, shape));
        let target = if kind.reduces() { rows } else { shape };
        let arrays: Vec<_> = named.chain([("out".to_string(), &problem.out, target)]).collect();
        check_arrays(&arrays, &invalid)?;
        check_expr(&problem.expr, "expr", problem.inputs.len(), shape.len(), false, &invalid)?;
        check_expr(&problem.post, "post", problem.inputs.len(), target.len(), true, &invalid)?;
        if !(0.0..f64::INFINITY).contains(&eps) {
            return Err(invalid(format!("eps={eps}: expected a number that is not negative")));
        }
        if let Some(label) = label {
            let leaf = problem.inputs.get(label).ok_or_else(|| invalid(format!("label=x{label} does not exist")))?;
            let fixed = shape[shape.len() - 1] == 1 || leaf.layout.strides()[shape.len() - 1] == 0;
            if leaf.dtype != DType::I32 || !fixed || !kind.takes_label() {
                return Err(invalid(format!(
                    "label=x{label}: expected an i32 input that is the same along the row, for softmax or cross_entropy"
                )));
            }
        }
        if kind.reduces() {
            let moves =
                |i: usize| shape[shape.len() - 1] > 1 && problem.inputs[i].layout.strides()[shape.len() - 1] != 0;
            let read = |i: usize| problem.post.any(&|x| *x == Expr::Input(i));
            if let Some(i) = (0..problem.inputs.len()).find(|&i| read(i) && moves(i)) {
                return Err(invalid(format!("post reads x{i}, which varies along the row")));
            }
        }
        check_output(&problem.out.layout, &invalid)?;
        Ok(problem)
    }

    /// The same work with as few dimensions of rows as its layouts allow; the row stays the last one.
    pub fn canonical(self) -> Self {
        let rank = self.shape.len();
        let out = if self.kind.reduces() {
            let mut strides = self.out.layout.strides().to_vec();
            strides.push(0);
            match Layout::strided(&self.shape, &strides, self.out.layout.offset()) {
                Ok(l) => l,
                Err(_) => return self,
            }
        } else {
            self.out.layout
        };
        if self.shape[rank - 1] == 1 {
            // The row would be dropped with the other dimensions of size 1.
            return self;
        }
        let layouts: Vec<Layout> = self.inputs.iter().map(|l| l.layout).chain([out]).collect();
        let (layouts, exprs, _) = collapse(&layouts, &[&self.expr, &self.post], &[rank - 1, rank]);
        let last = &layouts[layouts.len() - 1];
        let kept = if self.kind.reduces() { last.rank() - 1 } else { last.rank() };
        let out = Layout::strided(&last.shape()[..kept], &last.strides()[..kept], last.offset());
        let (Ok(out), [expr, post]) = (out, &exprs[..]) else { return self };
        RowProblem {
            expr: expr.clone(),
            post: post.clone(),
            inputs: self.inputs.iter().zip(&layouts).map(|(l, layout)| Leaf::new(l.dtype, *layout)).collect(),
            out: Leaf::new(self.out.dtype, out),
            shape: last.shape().to_vec(),
            ..self
        }
    }

    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    pub fn columns(&self) -> usize {
        self.shape[self.shape.len() - 1]
    }

    pub fn rows(&self) -> usize {
        self.shape[..self.shape.len() - 1].iter().product()
    }

    /// The dtype that it is computed in: f32 or f64.
    pub fn arithmetic(&self) -> DType {
        // A label is compared as a whole number: its dtype does not widen the arithmetic.
        let values = self.inputs.iter().enumerate().filter(|(i, _)| Some(*i) != self.label).map(|(_, l)| *l);
        let arrays: Vec<Leaf> = values.chain([self.out]).collect();
        arithmetic(&arrays, &[&self.expr, &self.post], &self.shape)
    }

    /// The checked elements of one row.
    fn row(&self, arrays: &[&HostArray], row: usize) -> Vec<(usize, f64, f64)> {
        let unit = self.arithmetic().unit_roundoff();
        let (rank, n) = (self.shape.len(), self.columns());
        let mut index = unravel(row, &self.shape[..rank - 1]);
        let read = |j: usize, index: &[usize]| Bounded::exact(arrays[j].get(self.inputs[j].layout.at(index)), unit);
        let x: Vec<Bounded> = (0..n)
            .map(|c| {
                index[rank - 1] = c;
                let index = &index[..rank];
                self.expr.eval_at(Bounded::exact(0.0, unit), &|j| read(j, index), &|d| index[d])
            })
            .collect();
        index[rank - 1] = 0;
        let label = self.label.map(|j| read(j, &index[..rank]).value);
        let y = finish(self.kind, self.eps, &x, label, unit);
        let mut out = Vec::with_capacity(y.len());
        for (c, y) in y.into_iter().enumerate() {
            index[rank - 1] = c;
            let index = &index[..rank];
            let z = self.post.eval_at(y, &|j| read(j, index), &|d| index[d]);
            let (value, bound) = stored(self.out.dtype, z);
            let at = if self.kind.reduces() { &index[..rank - 1] } else { index };
            out.push((self.out.layout.at(at), value, bound));
        }
        out
    }
}

/// The results of one row with their bounds: one a column, or one in all.
fn finish(kind: RowKind, eps: f64, x: &[Bounded], label: Option<f64>, unit: f64) -> Vec<Bounded> {
    let n = x.len() as f64;
    let exact = |value: f64| Bounded::exact(value, unit);
    // Relative error of a sum of n positive terms that kernels add in a tree or in many chains.
    let gamma = (2.0 * n * unit).min((12.0 * n.sqrt() + 8.0) * unit);
    let sum = |terms: &mut dyn Iterator<Item = Bounded>| {
        let (mut value, mut size, mut error) = (ExactSum::default(), 0.0, 0.0);
        for t in terms {
            value.add(t.value);
            size += t.value.abs();
            error += t.error;
        }
        Bounded::stored(value.value(), error * (1.0 + gamma) + gamma * size, unit)
    };
    let max = x.iter().fold(exact(f64::NEG_INFINITY), |m, v| Bounded::binary(Binary::Max, m, *v));
    let max = exact(max.value);
    let exp = |v: &Bounded| Bounded::unary(Unary::Exp, Bounded::binary(Binary::Sub, *v, max));
    match kind {
        RowKind::Softmax => {
            let total = sum(&mut x.iter().map(exp));
            let one = |(c, v): (usize, &Bounded)| {
                let p = Bounded::binary(Binary::Div, exp(v), total);
                let hit = label == Some(c as f64);
                let p = if hit { Bounded::binary(Binary::Sub, p, exact(1.0)) } else { p };
                // A probability below the smallest number may be flushed or kept.
                Bounded { error: p.error + if p.value.is_finite() { 2f64.powi(-126) } else { 0.0 }, ..p }
            };
            x.iter().enumerate().map(one).collect()
        }
        RowKind::LogSoftmax | RowKind::CrossEntropy => {
            let total = Bounded::unary(Unary::Log, sum(&mut x.iter().map(exp)));
            if kind == RowKind::LogSoftmax {
                let one = |v: &Bounded| Bounded::binary(Binary::Sub, Bounded::binary(Binary::Sub, *v, max), total);
                return x.iter().map(one).collect();
            }
            let whole = Bounded::binary(Binary::Add, max, total);
            let Some(label) = label else { return vec![whole] };
            let hit = if (0.0..n).contains(&label) { x[label as usize] } else { exact(f64::NAN) };
            // (max − hit) + ln Σ: nothing large cancels against something rounded.
            let gap = Bounded::binary(Binary::Sub, max, hit);
            let apart = Bounded::binary(Binary::Add, gap, total);
            vec![Bounded { error: apart.error + 2.0 * unit * (max.value.abs() + hit.value.abs()), ..apart }]
        }
        RowKind::LayerNorm => {
            let scale = exact(n);
            let mean = Bounded::binary(Binary::Div, sum(&mut x.iter().copied()), scale);
            let centred = |v: &Bounded| Bounded::binary(Binary::Sub, *v, mean);
            let square = |v: &Bounded| {
                let c = centred(v);
                Bounded::binary(Binary::Mul, c, c)
            };
            let variance = Bounded::binary(Binary::Div, sum(&mut x.iter().map(square)), scale);
            let root = Bounded::unary(Unary::Rsqrt, Bounded::binary(Binary::Add, variance, exact(eps)));
            x.iter().map(|v| Bounded::binary(Binary::Mul, centred(v), root)).collect()
        }
        RowKind::RmsNorm => {
            let squares = sum(&mut x.iter().map(|v| Bounded::binary(Binary::Mul, *v, *v)));
            let mean = Bounded::binary(Binary::Div, squares, exact(n));
            let root = Bounded::unary(Unary::Rsqrt, Bounded::binary(Binary::Add, mean, exact(eps)));
            x.iter().map(|v| Bounded::binary(Binary::Mul, *v, root)).collect()
        }
    }
}

impl OpProblem for RowProblem {
    fn op(&self) -> &'static str {
        "row"
    }

    fn text(&self) -> String {
        let split = self.shape.len().saturating_sub(1);
        let mut parts = vec![
            format!("kind={}", self.kind.name()),
            format!("rows={}", shape_text(&self.shape[..split])),
            format!("columns={}", self.shape.last().copied().unwrap_or(0)),
        ];
        if self.eps != 0.0 {
            parts.push(format!("eps={:?}", self.eps));
        }
        if self.expr != Expr::Input(0) {
            parts.push(format!("expr={}", self.expr));
        }
        if self.post != Expr::Value {
            parts.push(format!("post={}", self.post));
        }
        if let Some(label) = self.label {
            parts.push(format!("label={label}"));
        }
        parts.extend(self.inputs.iter().enumerate().map(|(i, l)| format!("x{i}={l}")));
        parts.push(format!("out={}", self.out));
        parts.join(",")
    }

    fn operands(&self) -> Vec<Operand> {
        let inputs = self.inputs.iter().enumerate().map(|(i, l)| Operand {
            below: (Some(i) == self.label).then(|| self.columns()),
            ..l.operand(format!("x{i}"), Role::Input)
        });
        inputs.chain([self.out.operand("out", Role::Output)]).collect()
    }

    fn flops(&self) -> f64 {
        let each = 5.0 + expr_flops(&self.expr) + expr_flops(&self.post);
        each * self.rows() as f64 * self.columns() as f64
    }

    fn bytes(&self) -> f64 {
        self.inputs.iter().chain([&self.out]).map(Leaf::bytes).sum()
    }

    fn variables(&self) -> Vec<(String, Var)> {
        let int = |name: &str, x: usize| (name.to_string(), Var::Int(x as i64));
        let text = |name: &str, x: &str| (name.to_string(), Var::Text(x.to_string()));
        let out = (!self.kind.reduces()).then_some(&self.out);
        let (vec, align) = vector(self.inputs.iter().chain(out));
        vec![
            int("rows", self.rows()),
            int("columns", self.columns()),
            int("rank", self.shape.len()),
            int("inputs", self.inputs.len()),
            int("vec", vec),
            int("align", align),
            int("lanes", lanes(self.inputs.iter().chain(out), self.shape.len() - 1)),
            int("element", self.out.dtype.bytes()),
            text("kind", self.kind.name()),
            text("dtype", self.inputs.first().map_or(self.out.dtype, |l| l.dtype).name()),
            text("arithmetic", self.arithmetic().name()),
        ]
    }

    fn class(&self) -> String {
        let dtypes: Vec<String> = self.inputs.iter().chain([&self.out]).map(|l| l.dtype.to_string()).collect();
        format!(
            "{},{},{},{:?},rank={},{}",
            self.kind.name(),
            self.expr,
            self.post,
            self.label,
            self.shape.len(),
            dtypes.join(":")
        )
    }

    fn coordinates(&self) -> Vec<f64> {
        vec![(self.rows() as f64).log2(), (self.columns() as f64).log2()]
    }

    // What follows the op; its field of that name is what comes before.
    #[allow(clippy::misnamed_getters)]
    fn expr(&self) -> &Expr {
        &self.post
    }

    fn expr_operands(&self) -> Vec<String> {
        (0..self.inputs.len()).map(|i| format!("x{i}")).collect()
    }

    fn reference(&self, arrays: &[&HostArray], _inputs: Inputs, budget: OracleBudget) -> Reference {
        let rows = self.rows();
        let affordable = (budget.full_flops / (2.0 * ORACLE_FLOPS * rows as f64 * self.columns() as f64)).min(1.0);
        let picked = if affordable < 1.0 {
            sample(arrays, rows, (rows as f64 * affordable) as usize)
        } else {
            (0..rows).collect()
        };
        Reference::collect(picked.into_par_iter().flat_map_iter(|row| self.row(arrays, row)).collect())
    }

    fn edge_cases(&self) -> Vec<Problem> {
        super::row_edges::edge_cases(self)
    }

    fn fingerprint(&self) -> u64 {
        let mut h = hash(self.kind as u64, (self.expr.size() + 64 * self.post.size()) as u64 ^ self.eps.to_bits());
        for leaf in self.inputs.iter().chain([&self.out]) {
            h = hash(h ^ leaf.dtype as u64, leaf.layout.offset() as u64);
            for (n, s) in leaf.layout.shape().iter().zip(leaf.layout.strides()) {
                h = hash(h ^ *s as u64, *n as u64);
            }
        }
        h
    }

    fn same_as(&self, other: &dyn OpProblem) -> bool {
        other.as_any().downcast_ref::<RowProblem>() == Some(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Reads `kind=softmax,rows=4096,columns=1024,x0=f16,out=f16`, optionally with `eps`, `expr`,
/// `post` and `label` (the number of an i32 input).
pub fn parse_problem(text: &str) -> Result<Problem, ProblemError> {
    let keys = ["kind", "rows", "columns", "eps", "expr", "post", "label", "out"];
    let fields = Fields::parse(
        text,
        |k| keys.contains(&k) || is_input(k),
        "kind, rows, columns, eps, expr, post, label, out, x0, x1, …",
    )?;
    let kind = fields.required("kind")?;
    let kind = RowKind::ALL
        .into_iter()
        .find(|k| k.name() == kind)
        .ok_or_else(|| fields.bad("kind", kind, "softmax, log_softmax, layer_norm, rms_norm or cross_entropy"))?;
    let mut shape = fields.shape("rows")?;
    shape.push(fields.size("columns", None)?);
    let label = match fields.get("label") {
        None => None,
        Some(l) => Some(l.parse().map_err(|_| fields.bad("label", l, "the number of an input"))?),
    };
    let spec = RowSpec {
        kind,
        eps: fields.real("eps", 0.0)?,
        expr: fields.expr("expr", Expr::Input(0))?,
        post: fields.expr("post", Expr::Value)?,
        label,
    };
    let target = if kind.reduces() { &shape[..shape.len() - 1] } else { &shape[..] };
    let out = fields.leaf("out", fields.required("out")?, target)?;
    RowProblem::new(spec, &shape, fields.leaves(&shape)?, out).map(Problem::new).map_err(|e| match e {
        ProblemError::Invalid { reason, .. } => fields.invalid(reason),
        other => other,
    })
}
