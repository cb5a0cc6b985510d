//! What element-wise expressions read: arrays over an op's index space.

use super::fields::shape_text;
use super::{Operand, ProblemError, Role};
use crate::expr::{Binary, Expr};
use crate::layout::MAX_RANK;
use crate::{DType, Layout};
use std::fmt;

/// An array that an expression reads, or that receives its values, at each point of an index space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Leaf {
    pub dtype: DType,
    /// Its shape is the space's; dimensions that the array does not have are broadcast (stride 0).
    pub layout: Layout,
}

impl Leaf {
    pub fn new(dtype: DType, layout: Layout) -> Self {
        Leaf { dtype, layout }
    }

    pub fn operand(&self, name: impl Into<String>, role: Role) -> Operand {
        Operand { name: name.into(), dtype: self.dtype, layout: self.layout, role, below: None }
    }

    /// Bytes of the distinct elements: each is moved once.
    pub fn bytes(&self) -> f64 {
        let sizes = self.layout.shape().iter().zip(self.layout.strides());
        let distinct: f64 = sizes.filter(|(_, s)| **s != 0).map(|(n, _)| *n as f64).product();
        distinct * self.dtype.bytes() as f64
    }
}

/// `f32`, or `f32@offset:stride:…` where the layout is not the contiguous one.
impl fmt::Display for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.dtype)?;
        if Layout::contiguous(self.layout.shape()).is_ok_and(|l| l == self.layout) {
            return Ok(());
        }
        write!(f, "@{}", self.layout.offset())?;
        self.layout.strides().iter().try_for_each(|s| write!(f, ":{s}"))
    }
}

/// The dtype that expressions are computed in: f64 where an array or a cast on the way is f64, or
/// where whole numbers must stay exact beyond 2²⁴ (i32 arrays and casts, positions that large),
/// else f32.
pub fn arithmetic(arrays: &[Leaf], exprs: &[&Expr], space: &[usize]) -> DType {
    let is_wide = |d: DType| matches!(d, DType::F64 | DType::I32);
    let wide = arrays.iter().any(|l| is_wide(l.dtype));
    let casts = |x: &Expr| matches!(x, Expr::Round(d, _) if is_wide(*d));
    let counts = |x: &Expr| match x {
        Expr::Random(_, counter) => reach(counter, space) > EXACT,
        _ if asks_position(x) => reach(x, space) > EXACT,
        _ => false,
    };
    let any = |e: &&Expr| e.any(&|x| casts(x) || counts(x));
    if wide || exprs.iter().any(any) { DType::F64 } else { DType::F32 }
}

/// Whole numbers up to this are exact in f32.
const EXACT: f64 = 16_777_216.0;

/// Whether an expression is a position: indices, multiplied and moved.
fn asks_position(expr: &Expr) -> bool {
    match expr {
        Expr::Index(_) => true,
        Expr::Binary(Binary::Add | Binary::Sub | Binary::Mul, x, y) => {
            let constant = |e: &Expr| matches!(e, Expr::Const(c) if c.fract() == 0.0);
            (asks_position(x) || constant(x)) && (asks_position(y) || constant(y))
        }
        _ => false,
    }
}

/// The largest magnitude that a position, or a part of it, takes within a space.
fn reach(expr: &Expr, space: &[usize]) -> f64 {
    match expr {
        Expr::Const(c) => c.abs(),
        Expr::Index(d) => space.get(*d).map_or(0.0, |n| n.saturating_sub(1) as f64),
        Expr::Binary(Binary::Add | Binary::Sub, x, y) => reach(x, space) + reach(y, space),
        Expr::Binary(Binary::Mul, x, y) => reach(x, space) * reach(y, space),
        _ => f64::INFINITY,
    }
}

/// Floating-point operations of one evaluation, each node of the tree one.
pub fn expr_flops(expr: &Expr) -> f64 {
    let own = matches!(expr, Expr::Unary(..) | Expr::Binary(..) | Expr::Select(..) | Expr::Random(..));
    f64::from(u8::from(own)) + expr.parts().map(expr_flops).sum::<f64>()
}

/// Inputs that a problem may have at most: their pointers and strides must fit a launch.
pub const MAX_INPUTS: usize = 12;

/// Checks an expression against the space and inputs that it is evaluated over.
pub fn check_expr(
    expr: &Expr,
    what: &str,
    inputs: usize,
    rank: usize,
    value: bool,
    invalid: &dyn Fn(String) -> ProblemError,
) -> Result<(), ProblemError> {
    let mut bad = None;
    let look = |x: &Expr| match x {
        Expr::Input(i) if *i >= inputs => Some(format!("{what} `{expr}` reads x{i}, there are {inputs} inputs")),
        Expr::Index(d) if *d >= rank => Some(format!("{what} `{expr}` reads i{d}, the space has rank {rank}")),
        Expr::Value if !value => Some(format!("{what} `{expr}` reads v, there is no result yet")),
        _ => None,
    };
    visit(expr, &mut |x| bad = bad.take().or_else(|| look(x)));
    match bad {
        Some(reason) => Err(invalid(reason)),
        None => Ok(()),
    }
}

fn visit(expr: &Expr, f: &mut impl FnMut(&Expr)) {
    f(expr);
    expr.parts().for_each(|p| visit(p, f));
}

/// Checks the shape and the size of one array.
pub fn check_array(
    name: &str,
    leaf: &Leaf,
    shape: &[usize],
    invalid: &dyn Fn(String) -> ProblemError,
) -> Result<(), ProblemError> {
    if leaf.layout.shape() != shape {
        let found = shape_text(leaf.layout.shape());
        return Err(invalid(format!("operand {name} has shape {found}, expected {}", shape_text(shape))));
    }
    let bytes = leaf.layout.span().checked_mul(leaf.dtype.bytes());
    if bytes.is_none_or(|b| b > isize::MAX as usize) {
        return Err(invalid(format!("operand {name} is larger than the address range")));
    }
    Ok(())
}

/// Checks that no two elements of an output lie in the same place.
pub fn check_output(layout: &Layout, invalid: &dyn Fn(String) -> ProblemError) -> Result<(), ProblemError> {
    if layout.may_overlap() {
        return Err(invalid(format!("output elements overlap: strides {:?}", layout.strides())));
    }
    Ok(())
}

/// Checks shapes, sizes and number of a problem's arrays.
pub fn check_arrays(
    arrays: &[(String, &Leaf, &[usize])],
    invalid: &dyn Fn(String) -> ProblemError,
) -> Result<(), ProblemError> {
    for (name, leaf, shape) in arrays {
        check_array(name, leaf, shape, invalid)?;
    }
    if arrays.len() > MAX_INPUTS + 1 {
        return Err(invalid(format!("{} inputs, at most {MAX_INPUTS}", arrays.len() - 1)));
    }
    Ok(())
}

/// An index space as few dimensions as its arrays allow: dimensions of size 1 are dropped and
/// neighbours that every array steps through as one are merged. `groups` are runs of dimensions
/// that must stay apart (outer and inner ones of a reduction), as end positions. Expressions that
/// ask for a position keep the dimensions they name.
///
/// Returns the layouts over the new space, the expressions, and the new ends of the groups.
pub fn collapse(layouts: &[Layout], exprs: &[&Expr], groups: &[usize]) -> (Vec<Layout>, Vec<Expr>, Vec<usize>) {
    let Some(first) = layouts.first() else {
        return (Vec::new(), exprs.iter().map(|e| (*e).clone()).collect(), Vec::new());
    };
    let shape = first.shape();
    let named = |d: usize| exprs.iter().any(|e| e.any(&|x| *x == Expr::Index(d)));
    // Runs of old dimensions that become one new dimension, outermost first.
    let mut runs: Vec<(usize, usize)> = Vec::new();
    let mut ends = Vec::new();
    let mut start = 0;
    for &end in groups {
        let floor = runs.len();
        for d in (start..end).filter(|d| shape[*d] != 1) {
            let joins = runs.len() > floor && {
                let (_, last) = runs[runs.len() - 1];
                let follows = |l: &Layout| l.strides()[last] == l.strides()[d] * shape[d] as isize;
                !named(d) && !named(last) && layouts.iter().all(follows)
            };
            match runs.last_mut() {
                Some(run) if joins => run.1 = d,
                _ => runs.push((d, d)),
            }
        }
        ends.push(runs.len());
        start = end;
    }
    let pick = |l: &Layout| {
        let (mut sizes, mut strides) = ([1usize; MAX_RANK], [0isize; MAX_RANK]);
        for (i, &(from, to)) in runs.iter().enumerate() {
            sizes[i] = shape[from..=to].iter().product();
            strides[i] = l.strides()[to];
        }
        Layout::strided(&sizes[..runs.len()], &strides[..runs.len()], l.offset())
            .expect("it reaches the same elements as the layout it came from")
    };
    let rename = |e: &&Expr| {
        e.replace(&|leaf| match leaf {
            // A dimension of size 1, which may lie between two that are one now.
            Expr::Index(d) if shape[*d] == 1 => Expr::Const(0.0),
            Expr::Index(d) => {
                let run = runs.iter().position(|&(from, to)| (from..=to).contains(d));
                Expr::Index(run.expect("a dimension that is not dropped belongs to a run"))
            }
            other => other.clone(),
        })
    };
    (layouts.iter().map(pick).collect(), exprs.iter().map(rename).collect(), ends)
}

/// x + c and x · c without the operations that change nothing.
pub fn affine(x: Expr, factor: f64, shift: f64) -> Expr {
    let scaled = if factor == 1.0 { x } else { Expr::binary(Binary::Mul, x, Expr::Const(factor)) };
    if shift == 0.0 { scaled } else { Expr::binary(Binary::Add, scaled, Expr::Const(shift)) }
}
