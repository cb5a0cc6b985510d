//! The index space of an element-wise, reducing, row or gathering problem as its kernels see it:
//! what is fixed when they are compiled, and what their `Arrays` argument holds.
//!
//! `render/elementwise.rs` prints the first, `geometry.rs` passes the second on; both take it from
//! here, so that they agree. `kernels/include/elementwise.cuh` declares the struct.

use crate::render::expression::{Leaves, expression};
use kernelsmith_core::ops::Leaf;
use kernelsmith_core::ops::gather::GatherProblem;
use kernelsmith_core::ops::map::{MapProblem, lanes};
use kernelsmith_core::ops::reduce::{ReduceKind, ReduceProblem};
use kernelsmith_core::ops::row::{RowKind, RowProblem};
use kernelsmith_core::{DType, Expr, Problem};
use std::collections::BTreeSet;

/// A space with its arrays and expressions.
pub struct Frame {
    /// Sizes, outer dimensions first. At least one dimension, and one that is not an outer one.
    pub shape: Vec<usize>,
    pub outer: usize,
    pub arrays: Vec<Array>,
    /// Index of the output in `arrays`.
    pub out: usize,
    pub arithmetic: DType,
    /// Whether indices or strides need 64 bits.
    pub wide: bool,
    /// Elements that a thread moves as one along the last dimension.
    pub lanes: usize,
    /// Of these, those before a row's start in its first vector.
    pub shift: usize,
    /// The same as `lanes` along the last outer dimension, for a reduction.
    pub column_lanes: Option<usize>,
    pub functions: Vec<Function>,
    /// Constants that the op's own kernels name, as (name, value).
    pub named: Vec<(&'static str, i64)>,
    /// Whether elements are only moved.
    pub copies: bool,
    dialect: Dialect,
    constants: Vec<f64>,
    seeds: Vec<u64>,
    /// The dimension along which an index says where an array is read or written: anywhere, also where the
    /// space has size 1.
    indexed: Option<usize>,
}

/// The language that expressions are printed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Cuda,
    Wgsl,
}

/// One array: strides are in elements, one a dimension of the space.
pub struct Array {
    pub dtype: DType,
    pub strides: Vec<isize>,
    pub offset: usize,
}

/// An expression as an inline function.
pub struct Function {
    pub name: &'static str,
    pub takes_value: bool,
    pub inputs: BTreeSet<usize>,
    pub indices: BTreeSet<usize>,
    pub body: String,
}

/// A member of the `Arrays` argument, in the order of its declaration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Field {
    Pointer { operand: usize, byte_offset: usize },
    U64(u64),
    I64(i64),
    U32(u32),
    I32(i32),
    F32(f32),
    F64(f64),
}

/// Indices stay this far below 2³¹, so that a step past the end of the space does not wrap.
const SLACK: usize = 1 << 24;

impl Frame {
    /// The frame of a problem whose kernels use one, for CUDA.
    pub fn of(problem: &Problem) -> Option<Frame> {
        Frame::with(problem, Dialect::Cuda)
    }

    /// The same with expressions in another language.
    pub fn with(problem: &Problem, dialect: Dialect) -> Option<Frame> {
        if let Some(p) = problem.downcast::<MapProblem>() {
            let rank = p.shape().len().max(1);
            let mut frame = Frame::new(p.shape(), rank - 1, p.inputs.iter().chain([&p.out]), p.arithmetic(), dialect);
            frame.lead(frame.out);
            frame.function("expr", &p.expr, false);
            frame.copies = p.is_copy();
            Some(frame)
        } else if let Some(p) = problem.downcast::<ReduceProblem>() {
            let mut frame = Frame::new(p.shape(), p.outer, p.inputs.iter().chain([&p.out]), p.arithmetic(), dialect);
            frame.set_lanes(lanes(p.inputs.iter(), frame.shape.len() - 1));
            let moves = |a: &Array| a.strides.last().is_some_and(|s| *s != 0);
            if let Some(first) = frame.arrays[..p.inputs.len()].iter().position(moves) {
                frame.lead(first);
            }
            frame.column_lanes = p.outer.checked_sub(1).map(|d| lanes(p.inputs.iter(), d).min(8));
            frame.function("expr", &p.expr, false);
            frame.function("post", &p.post, true);
            let kind = ReduceKind::ALL.iter().position(|k| *k == p.kind).unwrap_or(0);
            frame.named.push(("KIND", kind as i64));
            frame.named.push(("POST_IS_VALUE", i64::from(p.post.is_identity())));
            Some(frame)
        } else if let Some(p) = problem.downcast::<RowProblem>() {
            let mut frame =
                Frame::new(p.shape(), p.shape().len() - 1, p.inputs.iter().chain([&p.out]), p.arithmetic(), dialect);
            let moves = |a: &Array| a.strides.last().is_some_and(|s| *s != 0);
            if !p.kind.reduces() {
                frame.lead(frame.out);
            } else if let Some(first) = frame.arrays[..p.inputs.len()].iter().position(moves) {
                frame.lead(first);
            }
            frame.function("expr", &p.expr, false);
            frame.function("post", &p.post, true);
            let kind = RowKind::ALL.iter().position(|k| *k == p.kind).unwrap_or(0);
            frame.named.push(("KIND", kind as i64));
            let whole = frame.shift == 0 && p.columns().is_multiple_of(frame.lanes);
            frame.named.push(("WHOLE_ROWS", i64::from(whole)));
            frame.named.push(("LABEL", p.label.map_or(-1, |l| l as i64)));
            frame.named.push(("EXPR_IS_INPUT", i64::from(matches!(p.expr, Expr::Input(_)))));
            frame.named.push(("EPS", frame.constants.len() as i64));
            frame.constants.push(p.eps);
            Some(frame)
        } else {
            let p = problem.downcast::<GatherProblem>()?;
            let arithmetic = if p.x.dtype == DType::F64 { DType::F64 } else { DType::F32 };
            let mut frame =
                Frame::new(p.shape(), p.shape().len() - 1, [&p.x, &p.index, &p.out].into_iter(), arithmetic, dialect);
            frame.set_lanes(lanes([&p.x, &p.out].into_iter(), p.shape().len() - 1));
            frame.indexed = Some(p.axis);
            if p.axis + 1 < p.shape().len() {
                frame.lead(frame.out);
            }
            frame.named.push(("AXIS", p.axis as i64));
            Some(frame)
        }
    }

    fn new<'a>(
        shape: &[usize],
        outer: usize,
        leaves: impl Iterator<Item = &'a Leaf>,
        arithmetic: DType,
        dialect: Dialect,
    ) -> Frame {
        let mut sizes = shape.to_vec();
        if sizes.len() == outer || sizes.is_empty() {
            sizes.push(1);
        }
        let leaves: Vec<&Leaf> = leaves.collect();
        let array = |leaf: &&Leaf| {
            let mut strides = leaf.layout.strides().to_vec();
            strides.resize(sizes.len(), 0);
            Array { dtype: leaf.dtype, strides, offset: leaf.layout.offset() }
        };
        let arrays: Vec<Array> = leaves.iter().map(array).collect();
        // Dimensions of any array: what a gather reads may be longer than the space.
        let points = |l: &&Leaf| l.layout.shape().iter().try_fold(1usize, |p, n| p.checked_mul(*n));
        let narrow = |n: Option<usize>| n.is_some_and(|n| n < (1 << 31) - SLACK);
        let space = sizes.iter().try_fold(1usize, |p, n| p.checked_mul(*n));
        let counts = narrow(space) && leaves.iter().all(|l| narrow(points(l)));
        let strides = arrays.iter().flat_map(|a| &a.strides).all(|s| i32::try_from(*s).is_ok());
        let moving: Vec<Leaf> = leaves.iter().map(|l| **l).filter(|l| l.layout.rank() == sizes.len()).collect();
        Frame {
            lanes: lanes(moving.iter(), sizes.len() - 1),
            out: arrays.len() - 1,
            shape: sizes,
            outer,
            arrays,
            arithmetic,
            wide: !(counts && strides),
            shift: 0,
            column_lanes: None,
            functions: Vec::new(),
            named: Vec::new(),
            copies: false,
            dialect,
            constants: Vec::new(),
            seeds: Vec::new(),
            indexed: None,
        }
    }

    /// Whether arrays are only ever used at 0 along a dimension, so that their stride along it does not matter.
    fn stands(&self, dim: usize) -> bool {
        self.shape[dim] == 1 && self.indexed != Some(dim)
    }

    fn set_lanes(&mut self, lanes: usize) {
        self.lanes = lanes;
    }

    /// Chooses the shift that aligns one array's vectors, where every row of it can be aligned.
    fn lead(&mut self, array: usize) {
        let last = self.shape.len() - 1;
        let a = &self.arrays[array];
        let even = |d: usize| self.stands(d) || a.strides[d].unsigned_abs().is_multiple_of(self.lanes);
        if a.strides[last] == 1 && (0..last).all(even) {
            self.shift = a.offset % self.lanes;
        }
    }

    fn function(&mut self, name: &'static str, expr: &Expr, takes_value: bool) {
        let mut arguments = Arguments { frame: self, inputs: BTreeSet::new(), indices: BTreeSet::new() };
        let body = expression(expr, &mut arguments);
        let Arguments { inputs, indices, .. } = arguments;
        self.functions.push(Function { name, takes_value, inputs, indices, body });
    }

    pub fn last(&self) -> usize {
        self.shape.len() - 1
    }

    /// 0 where the array is the same along a dimension, 1 where it is contiguous, 2 otherwise.
    pub fn step(&self, array: usize, dim: usize) -> usize {
        match self.arrays[array].strides[dim] {
            0 => 0,
            1 => 1,
            _ => 2,
        }
    }

    /// Elements of an array that one aligned access along a dimension moves, where vectors start at
    /// multiples of `lanes`, less `shift`.
    pub fn piece(&self, array: usize, dim: usize, lanes: usize, shift: usize) -> usize {
        let a = &self.arrays[array];
        if a.strides[dim] != 1 {
            return 1;
        }
        let others = (0..self.shape.len()).filter(|d| *d != dim && !self.stands(*d));
        let bits = others.fold(a.offset.wrapping_sub(shift), |bits, d| bits | a.strides[d].unsigned_abs());
        let aligned = if bits == 0 { lanes } else { 1 << bits.trailing_zeros().min(4) };
        aligned.min(lanes).min(16 / a.dtype.bytes())
    }

    /// Number of constants and of seeds that the argument has room for.
    pub fn room(&self) -> (usize, usize) {
        (self.constants.len().max(1), self.seeds.len().max(1))
    }

    /// Constants of the expressions that are arguments.
    pub fn constants(&self) -> &[f64] {
        &self.constants
    }

    /// Seeds of the expressions.
    pub fn seeds(&self) -> &[u64] {
        &self.seeds
    }

    /// The members of the `Arrays` argument.
    pub fn fields(&self) -> Vec<Field> {
        let mut out = Vec::new();
        for (operand, a) in self.arrays.iter().enumerate() {
            out.push(Field::Pointer { operand, byte_offset: a.offset * a.dtype.bytes() });
        }
        let (constants, seeds) = self.room();
        out.extend((0..seeds).map(|i| Field::U64(self.seeds.get(i).copied().unwrap_or(0))));
        out.extend((0..constants).map(|i| {
            let c = self.constants.get(i).copied().unwrap_or(0.0);
            if self.arithmetic == DType::F64 { Field::F64(c) } else { Field::F32(c as f32) }
        }));
        let stride = |s: &isize| if self.wide { Field::I64(*s as i64) } else { Field::I32(*s as i32) };
        out.extend(self.arrays.iter().flat_map(|a| &a.strides).map(stride));
        self.shape.iter().for_each(|n| self.divisor(*n, &mut out));
        self.divisor((self.shape[self.last()] + self.shift).div_ceil(self.lanes), &mut out);
        let columns = self.column_lanes.map_or(1, |l| self.shape[self.outer - 1].div_ceil(l));
        self.divisor(columns, &mut out);
        for dims in [&self.shape[..self.outer], &self.shape[self.outer..]] {
            let n = dims.iter().product();
            out.push(self.index(n));
        }
        let rows: usize = self.shape[..self.outer.saturating_sub(1)].iter().product();
        out.push(self.index(rows * columns));
        out
    }

    fn index(&self, n: usize) -> Field {
        if self.wide { Field::U64(n as u64) } else { Field::U32(n as u32) }
    }

    /// A divisor with its magic number (Granlund & Montgomery 1994).
    fn divisor(&self, n: usize, out: &mut Vec<Field>) {
        out.push(self.index(n));
        if !self.wide {
            let (magic, shift) = magic(n as u32);
            out.extend([Field::U32(magic), Field::U32(shift)]);
        }
    }
}

/// (m, s) with ⌊x / n⌋ = (⌊x·m / 2³²⌋ + x) / 2ˢ for every x below 2³¹.
fn magic(n: u32) -> (u32, u32) {
    let shift = 32 - n.saturating_sub(1).leading_zeros();
    let m = (((1u64 << shift) - u64::from(n)) << 32) / u64::from(n.max(1)) + 1;
    (m as u32, shift)
}

/// Names of the leaves in kernels; collects what becomes an argument.
struct Arguments<'a> {
    frame: &'a mut Frame,
    inputs: BTreeSet<usize>,
    indices: BTreeSet<usize>,
}

impl Leaves for Arguments<'_> {
    fn input(&mut self, i: usize) -> String {
        self.inputs.insert(i);
        format!("x{i}")
    }

    /// In CUDA small whole numbers and halves are literals, since code may be better for knowing them;
    /// all others are arguments, so that one that changes at each step compiles nothing.
    fn constant(&mut self, c: f64) -> String {
        let at = self.frame.constants.len();
        if self.frame.dialect == Dialect::Wgsl {
            // Never a literal: WGSL refuses to divide by a literal zero, or to overflow with one.
            self.frame.constants.push(c);
            return format!("args.c{at}");
        }
        if c.abs() <= 16.0 && (c * 2.0).fract() == 0.0 {
            return format!("Acc({c:?})");
        }
        self.frame.constants.push(c);
        format!("a.constants[{at}]")
    }

    fn index(&mut self, d: usize) -> String {
        self.indices.insert(d);
        format!("i{d}")
    }

    fn seed(&mut self, seed: u64) -> String {
        let at = self.frame.seeds.len();
        self.frame.seeds.push(seed);
        match self.frame.dialect {
            Dialect::Cuda => format!("a.seeds[{at}]"),
            Dialect::Wgsl => format!("vec2<u32>(args.seed{at}_low, args.seed{at}_high)"),
        }
    }

    fn random(&self, distribution: &str, seed: &str, counter: &str) -> String {
        match self.frame.dialect {
            Dialect::Cuda => format!("Acc(ks_{distribution}({seed}, (unsigned long long)({counter})))"),
            Dialect::Wgsl => format!("Acc(ks_{distribution}({seed}, counter_of({counter})))"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn magic_numbers_divide(n in 1u32..1 << 31, x in 0u32..1 << 31, small in 1u32..1000) {
            for n in [n, small] {
                for x in [x, x / n * n, (x / n * n).saturating_sub(1)] {
                    let (m, s) = magic(n);
                    let high = ((u64::from(x) * u64::from(m)) >> 32) as u32;
                    prop_assert_eq!((high + x) >> s, x / n, "{} / {}", x, n);
                }
            }
        }
    }

    fn frame(op: &str, text: &str) -> Frame {
        Frame::of(&Problem::parse(op, text).unwrap()).unwrap()
    }

    #[test]
    fn vectors_are_aligned_by_a_shift_where_they_can_be() {
        let f = frame("map", "shape=1001,expr=add(x0,x1),x0=f16@3:1,x1=f16@4:1,out=f16@11:1");
        assert_eq!((f.lanes, f.shift), (8, 3));
        let piece = |f: &Frame, i| f.piece(i, f.last(), f.lanes, f.shift);
        assert_eq!((piece(&f, 0), piece(&f, 1), piece(&f, 2)), (8, 1, 8));
        let padded = frame("map", "shape=10x30,expr=x0,x0=f32@0:34:1,out=f32");
        assert_eq!((padded.lanes, padded.shift, piece(&padded, 0), piece(&padded, 1)), (4, 0, 2, 2));
        let mixed = frame("map", "shape=64,expr=x0,x0=u8,out=f32");
        assert_eq!((mixed.lanes, piece(&mixed, 0)), (4, 4));
    }

    /// A row of 35 halves picked from a table by a single index was read by 16 bytes: where it starts is
    /// not known, though the space has one row.
    #[test]
    fn an_index_reaches_all_rows_of_a_table_though_there_is_one_index() {
        let piece = |text: &str, op: &str, array| {
            let f = frame(op, text);
            f.piece(array, f.last(), f.lanes, f.shift)
        };
        assert_eq!(piece("shape=1x35,axis=0,size=300,x=f16,index=i32@0:1:0,out=f16", "gather", 0), 1);
        assert_eq!(piece("shape=1x36,axis=0,size=300,x=f16,index=i32@0:1:0,out=f16", "gather", 0), 4);
        assert_eq!(piece("shape=1x40,axis=0,size=300,x=f16,index=i32@0:1:0,out=f16", "gather", 0), 8);
        assert_eq!(piece("shape=1x35,axis=0,size=300,x=f16,index=i32@0:1:0,out=f16", "scatter_add", 2), 1);
    }

    #[test]
    fn constants_and_seeds_are_arguments_and_small_numbers_literals() {
        let one = frame("map", "shape=8,expr=add(mul(x0,0.1),add(1.5,uniform(7,i0))),x0=f32,out=f32");
        let two = frame("map", "shape=8,expr=add(mul(x0,0.2),add(1.5,uniform(9,i0))),x0=f32,out=f32");
        assert_eq!(one.functions[0].body, two.functions[0].body);
        assert!(one.functions[0].body.contains("Acc(1.5)"));
        assert!(one.fields().contains(&Field::F32(0.1)) && two.fields().contains(&Field::U64(9)));
    }
}
