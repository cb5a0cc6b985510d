//! Gather and scatter-add along one axis.
//!
//! `gather`: out\[p\] = x\[p with p\[axis\] replaced by index\[p\]\]: rows of a table where the index is
//! broadcast along the other dimensions, single elements where it is not.
//! `scatter_add`: out\[q\] = Σ x\[p\] over the points p with (p with p\[axis\] replaced by index\[p\]) = q.
//! An index outside the axis gathers NaN (0 for whole numbers) and scatters nothing.

use super::fields::{Fields, shape_text};
use super::leaf::{Leaf, check_arrays, check_output};
use super::map::{lanes, sample, unravel, vector};
use super::{OpProblem, Operand, OracleBudget, Problem, ProblemError, Role, Var};
use crate::expr::{Bounded, Expr};
use crate::inputs::{Inputs, hash};
use crate::reference::{ExactSum, Reference, stored};
use crate::{DType, HostArray};
use std::any::Any;
use std::collections::HashMap;

/// The direction of the movement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Movement {
    Gather,
    ScatterAdd,
}

/// One movement along an axis.
#[derive(Clone, Debug, PartialEq)]
pub struct GatherProblem {
    pub movement: Movement,
    /// The dimension that the index replaces.
    pub axis: usize,
    /// `Gather`: over the space, but `axis` has the table's size. `ScatterAdd`: over the space.
    pub x: Leaf,
    /// i32, over the space.
    pub index: Leaf,
    /// `Gather`: over the space. `ScatterAdd`: over the space, but `axis` has the result's size.
    pub out: Leaf,
}

impl GatherProblem {
    /// # Errors
    /// Shapes that differ in more than the axis, an index that is no i32, different dtypes of
    /// input and output, empty spaces, overlapping outputs.
    pub fn new(movement: Movement, axis: usize, x: Leaf, index: Leaf, out: Leaf) -> Result<Self, ProblemError> {
        let problem = GatherProblem { movement, axis, x, index, out };
        let invalid = |reason: String| ProblemError::Invalid { problem: problem.text(), reason };
        let shape = problem.shape().to_vec();
        if axis >= shape.len() {
            return Err(invalid(format!("axis {axis} in a space of rank {}", shape.len())));
        }
        if shape.contains(&0) || problem.size() == 0 {
            return Err(invalid("the space is empty: there is nothing to move".to_string()));
        }
        let mut sized = shape.clone();
        sized[axis] = problem.size();
        let (from, to) = if movement == Movement::Gather { (&sized, &shape) } else { (&shape, &sized) };
        let named = |name: &str| name.to_string();
        check_arrays(
            &[
                (named("x"), &problem.x, from),
                (named("index"), &problem.index, &shape),
                (named("out"), &problem.out, to),
            ],
            &invalid,
        )?;
        if index.dtype != DType::I32 {
            return Err(invalid(format!("index has dtype {}, expected i32", index.dtype)));
        }
        if x.dtype != out.dtype {
            return Err(invalid(format!("x has dtype {}, out has {}: expected the same", x.dtype, out.dtype)));
        }
        if movement == Movement::ScatterAdd && !x.dtype.is_float() {
            return Err(invalid(format!("sums are not defined for dtype {}", x.dtype)));
        }
        check_output(&out.layout, &invalid)?;
        Ok(problem)
    }

    /// The space: the shape of the index.
    pub fn shape(&self) -> &[usize] {
        self.index.layout.shape()
    }

    /// What an index must be below.
    pub fn size(&self) -> usize {
        let sized = if self.movement == Movement::Gather { &self.x } else { &self.out };
        sized.layout.shape().get(self.axis).copied().unwrap_or(0)
    }

    /// Whether the index is the same along every dimension but the axis: whole rows are moved.
    pub fn moves_rows(&self) -> bool {
        let s = self.index.layout.strides();
        (0..s.len()).all(|d| d == self.axis || self.shape()[d] == 1 || s[d] == 0)
    }

    fn target(&self, index: &HostArray, point: &[usize]) -> Option<usize> {
        let at = index.get(self.index.layout.at(point));
        (at >= 0.0 && at < self.size() as f64).then_some(at as usize)
    }

    fn gather(&self, arrays: &[&HostArray], budget: OracleBudget) -> Reference {
        let shape = self.shape();
        let n: usize = shape.iter().product();
        let picked =
            if n as f64 > budget.full_flops / 4.0 { sample(arrays, n, budget.samples) } else { (0..n).collect() };
        let missing = if self.out.dtype.is_float() { f64::NAN } else { 0.0 };
        let one = |i: usize| {
            let mut point = unravel(i, shape);
            let at = self.out.layout.at(&point[..shape.len()]);
            let value = self.target(arrays[1], &point[..shape.len()]).map_or(missing, |to| {
                point[self.axis] = to;
                arrays[0].get(self.x.layout.at(&point[..shape.len()]))
            });
            (at, value, 0.0)
        };
        Reference::collect(picked.into_iter().map(one).collect())
    }

    fn scatter(&self, arrays: &[&HostArray], inputs: Inputs) -> Reference {
        let (shape, rank) = (self.shape(), self.shape().len());
        let n: usize = shape.iter().product();
        let unit = self.x.dtype.accumulator().unit_roundoff();
        // Sum, sum of magnitudes and number of terms at each position that receives something.
        let mut sums: HashMap<usize, (ExactSum, f64, usize)> = HashMap::new();
        for i in 0..n {
            let mut point = unravel(i, shape);
            let value = arrays[0].get(self.x.layout.at(&point[..rank]));
            if let Some(to) = self.target(arrays[1], &point[..rank]) {
                point[self.axis] = to;
                let sum = sums.entry(self.out.layout.at(&point[..rank])).or_default();
                sum.0.add(value);
                *sum = (sum.0, sum.1 + value.abs(), sum.2 + 1);
            }
        }
        let out = self.out.layout.shape();
        let one = |i: usize| {
            let at = self.out.layout.at(&unravel(i, out)[..rank]);
            let (value, magnitude, count) = sums.get(&at).copied().unwrap_or_default();
            let value = value.value();
            let gamma = if inputs.sums_are_exact() { 0.0 } else { 2.0 * count as f64 * unit };
            let error = if value.is_finite() { gamma * magnitude } else { 0.0 };
            let (value, bound) = stored(self.out.dtype, Bounded { value, error, unit });
            (at, value, bound)
        };
        Reference::collect((0..self.out.layout.len()).map(one).collect())
    }
}

impl OpProblem for GatherProblem {
    fn op(&self) -> &'static str {
        match self.movement {
            Movement::Gather => "gather",
            Movement::ScatterAdd => "scatter_add",
        }
    }

    fn text(&self) -> String {
        format!(
            "shape={},axis={},size={},x={},index={},out={}",
            shape_text(self.shape()),
            self.axis,
            self.size(),
            self.x,
            self.index,
            self.out
        )
    }

    fn operands(&self) -> Vec<Operand> {
        let mut index = self.index.operand("index", Role::Input);
        index.below = Some(self.size());
        vec![self.x.operand("x", Role::Input), index, self.out.operand("out", Role::Output)]
    }

    fn flops(&self) -> f64 {
        if self.movement == Movement::Gather { 0.0 } else { self.index.layout.len() as f64 }
    }

    fn bytes(&self) -> f64 {
        let n = self.index.layout.len() as f64 * self.x.dtype.bytes() as f64;
        match self.movement {
            // No more of the table than is asked for.
            Movement::Gather => n.min(self.x.bytes()) + self.index.bytes() + n,
            Movement::ScatterAdd => n + self.index.bytes() + self.out.bytes(),
        }
    }

    fn variables(&self) -> Vec<(String, Var)> {
        let int = |name: &str, x: usize| (name.to_string(), Var::Int(x as i64));
        let (vec, align) = vector([&self.x, &self.out].into_iter());
        vec![
            int("n", self.index.layout.len()),
            int("out_n", self.out.layout.len()),
            int("rank", self.shape().len()),
            int("axis", self.axis),
            int("size", self.size()),
            int("inner", self.shape().last().copied().unwrap_or(1)),
            int("vec", vec),
            int("align", align),
            int("lanes", lanes([&self.x, &self.out].into_iter(), self.shape().len().saturating_sub(1))),
            int("element", self.x.dtype.bytes()),
            ("rows".to_string(), Var::Int(i64::from(self.moves_rows()))),
            ("dtype".to_string(), Var::Text(self.x.dtype.name().to_string())),
        ]
    }

    fn class(&self) -> String {
        format!("{},rank={},axis={},rows={}", self.x.dtype, self.shape().len(), self.axis, self.moves_rows())
    }

    fn coordinates(&self) -> Vec<f64> {
        vec![
            (self.index.layout.len() as f64).log2(),
            (self.out.layout.len() as f64).log2(),
            (self.size() as f64).log2(),
        ]
    }

    fn expr(&self) -> &Expr {
        &Expr::Value
    }

    fn expr_operands(&self) -> Vec<String> {
        Vec::new()
    }

    fn reference(&self, arrays: &[&HostArray], inputs: Inputs, budget: OracleBudget) -> Reference {
        match self.movement {
            Movement::Gather => self.gather(arrays, budget),
            Movement::ScatterAdd => self.scatter(arrays, inputs),
        }
    }

    fn edge_cases(&self) -> Vec<Problem> {
        super::gather_edges::edge_cases(self)
    }

    fn fingerprint(&self) -> u64 {
        let mut h = hash(self.movement as u64, self.axis as u64);
        for leaf in [&self.x, &self.index, &self.out] {
            h = hash(h ^ leaf.dtype as u64, leaf.layout.offset() as u64);
            for (n, s) in leaf.layout.shape().iter().zip(leaf.layout.strides()) {
                h = hash(h ^ *s as u64, *n as u64);
            }
        }
        h
    }

    fn same_as(&self, other: &dyn OpProblem) -> bool {
        other.as_any().downcast_ref::<GatherProblem>() == Some(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn parse(movement: Movement, text: &str) -> Result<Problem, ProblemError> {
    let keys = ["shape", "axis", "size", "x", "index", "out"];
    let fields = Fields::parse(text, |k| keys.contains(&k), "shape, axis, size, x, index, out")?;
    let shape = fields.shape("shape")?;
    let axis = fields.number("axis")?;
    let mut sized = shape.clone();
    let size = fields.size("size", None)?;
    *sized.get_mut(axis).ok_or_else(|| fields.bad("axis", &axis.to_string(), "a dimension of the shape"))? = size;
    let (from, to) = if movement == Movement::Gather { (&sized, &shape) } else { (&shape, &sized) };
    let x = fields.leaf("x", fields.required("x")?, from)?;
    let index = fields.leaf("index", fields.required("index")?, &shape)?;
    let out = fields.leaf("out", fields.required("out")?, to)?;
    GatherProblem::new(movement, axis, x, index, out).map(Problem::new).map_err(|e| match e {
        ProblemError::Invalid { reason, .. } => fields.invalid(reason),
        other => other,
    })
}

/// Reads `shape=256x784,axis=0,size=60000,x=f32,index=i32@0:1:0,out=f32`.
pub fn parse_gather(text: &str) -> Result<Problem, ProblemError> {
    parse(Movement::Gather, text)
}

/// Reads the same form; `size` is the result's.
pub fn parse_scatter_add(text: &str) -> Result<Problem, ProblemError> {
    parse(Movement::ScatterAdd, text)
}
