//! The gradient rule of every node op, and of views.

use super::derivative::{derivative, is_zero, mul};
use crate::error::{Error, Result};
use crate::node::{Node, NodeOp};
use crate::plan::compose;
use crate::tensor::{Tensor, lowest};
use kernelsmith_core::ops::reduce::ReduceKind;
use kernelsmith_core::ops::row::RowKind;
use kernelsmith_core::{DType, Expr, Layout};
use std::sync::Arc;

/// What the gradient `g` of a node, whose value is `y`, adds to those of its inputs: pairs of an
/// input (the view that the node reads) and a gradient of its shape.
pub(super) fn pull(node: &Arc<Node>, op: &NodeOp, g: &Tensor, y: &Tensor) -> Result<Vec<(Tensor, Tensor)>> {
    let refuse = |why: &str| Err(Error::NoGradient { op: node.name, why: why.to_string() });
    match op {
        NodeOp::Map { expr, inputs } => map(expr, inputs, g, y),
        NodeOp::Copy { input, .. } | NodeOp::Alias { input } => Ok(vec![(input.clone(), g.clone())]),
        NodeOp::Matmul { a, b } => {
            let mut out = Vec::new();
            // An operand that lies transposed gets its gradient transposed: seen from its buffer
            // it is straight, and what follows can join the product.
            if a.node().tracked {
                let straight = !a.layout().is_transposed();
                out.push((a.clone(), if straight { g.matmul(&b.t()?)? } else { b.matmul(&g.t()?)?.t()? }));
            }
            if b.node().tracked {
                let straight = !b.layout().is_transposed();
                out.push((b.clone(), if straight { a.t()?.matmul(g)? } else { g.t()?.matmul(a)?.t()? }));
            }
            Ok(out)
        }
        NodeOp::Reduce { kind, outer, input } => {
            let spread = |t: &Tensor| -> Result<Tensor> {
                let mut t = t.clone();
                for _ in *outer..input.rank() {
                    t = t.unsqueeze(-1)?;
                }
                t.broadcast_to(input.shape())
            };
            let g = match kind {
                ReduceKind::Sum => spread(g)?,
                ReduceKind::Max | ReduceKind::Min => {
                    // Elements that are the extreme share the gradient.
                    let hit = input.eq(&spread(y)?)?.cast(g.dtype())?;
                    let inner: Vec<isize> = (*outer as isize..input.rank() as isize).collect();
                    let count = if inner.is_empty() { hit.clone() } else { hit.sum(&inner)? };
                    hit.mul(&spread(&g.div(&count)?)?)?
                }
                ReduceKind::ArgMax | ReduceKind::ArgMin => return refuse("a position does not change smoothly"),
            };
            // Sums of truths and bytes arrive in i32: nothing flows on.
            Ok(vec![(input.clone(), g)])
        }
        NodeOp::Row { kind, eps, input, label } => {
            Ok(vec![(input.clone(), row(*kind, *eps, input, label.as_ref(), g, y)?)])
        }
        NodeOp::Gather { axis, x, index } => {
            Ok(vec![(x.clone(), g.scatter_add(*axis as isize, index, x.shape()[*axis])?)])
        }
        NodeOp::ScatterAdd { axis, x, index } => Ok(vec![(x.clone(), g.gather(*axis as isize, index)?)]),
        NodeOp::Place { parts, .. } => {
            let tracked = parts.iter().filter(|(t, _)| t.node().tracked);
            tracked.map(|(part, place)| Ok((part.clone(), seen(g, place)?))).collect()
        }
    }
}

fn map(expr: &Expr, inputs: &[Tensor], g: &Tensor, y: &Tensor) -> Result<Vec<(Tensor, Tensor)>> {
    let n = inputs.len();
    let mut out = Vec::new();
    for (i, input) in inputs.iter().enumerate().filter(|(_, t)| t.node().tracked) {
        let d = derivative(expr, i, &Expr::Input(n));
        if is_zero(&d) {
            continue;
        }
        let whole = mul(Expr::Input(n + 1), d);
        // Only what the derivative reads becomes an input.
        let mut reads: Vec<&Tensor> = Vec::new();
        let mut renamed = vec![0; n + 2];
        for (j, tensor) in inputs.iter().chain([y, g]).enumerate() {
            if whole.any(&|e| *e == Expr::Input(j)) {
                renamed[j] = reads.len();
                reads.push(tensor);
            }
        }
        let whole = whole.replace(&|leaf| match leaf {
            Expr::Input(j) => Expr::Input(renamed[*j]),
            other => other.clone(),
        });
        let part = if whole == Expr::Input(0) && reads[0].dtype() == input.dtype() {
            reads[0].clone()
        } else {
            Tensor::map("gradient", whole, &reads, if input.dtype().is_float() { input.dtype() } else { g.dtype() })?
        };
        out.push((input.clone(), part));
    }
    Ok(out)
}

fn row(kind: RowKind, eps: f64, x: &Tensor, label: Option<&Tensor>, g: &Tensor, y: &Tensor) -> Result<Tensor> {
    let mean = |t: &Tensor| t.mean(&[-1])?.unsqueeze(-1);
    let total = |t: &Tensor| t.sum(&[-1])?.unsqueeze(-1);
    match kind {
        RowKind::Softmax => {
            // With a label the value is the probability minus a constant.
            let p = if label.is_some() { x.row("softmax", kind, 0.0, None)? } else { y.clone() };
            let weighted = g.mul(&p)?;
            weighted.sub(&p.mul(&total(&weighted)?)?)
        }
        RowKind::LogSoftmax => g.sub(&y.exp()?.mul(&total(g)?)?),
        RowKind::CrossEntropy => {
            let p = x.row("softmax", RowKind::Softmax, 0.0, label)?;
            p.mul(&g.unsqueeze(-1)?)
        }
        RowKind::LayerNorm => {
            let centred = x.sub(&mean(x)?)?;
            let variance = mean(&centred.mul(&centred)?)?;
            let scale = variance.add(eps)?.rsqrt()?;
            let inner = g.sub(&mean(g)?)?.sub(&y.mul(&mean(&g.mul(y)?)?)?)?;
            inner.mul(&scale)
        }
        RowKind::RmsNorm => {
            let scale = mean(&x.mul(x)?)?.add(eps)?.rsqrt()?;
            g.sub(&y.mul(&mean(&g.mul(y)?)?)?)?.mul(&scale)
        }
    }
}

/// `whole`, which has the shape of a node, at the elements that `view` picks of the node's buffer.
pub(super) fn seen(whole: &Tensor, view: &Layout) -> Result<Tensor> {
    let through = compose(view, whole.shape()).and_then(|c| c.layout(whole.layout()));
    if let Some(layout) = through {
        return Ok(whole.with_layout(layout));
    }
    let copy = whole.copied("view", "the gradient does not lie as its variable does")?;
    Ok(copy.with_layout(*view))
}

/// The reverse: a gradient of a view's shape as one of the node's shape. Broadcast dimensions are
/// summed, permutations and reshapes are views, what a slice leaves out is zeros.
pub(super) fn unseen(g: &Tensor, view: &Layout, node: &Arc<Node>) -> Result<Tensor> {
    let shape = node.layout.shape();
    if *view == node.layout {
        return Ok(g.clone());
    }
    if view.is_empty() {
        return Tensor::zeros(shape, g.dtype(), g.device());
    }
    let broadcast = |d: usize| view.shape()[d] > 1 && view.strides()[d] == 0;
    let repeated: Vec<isize> = (0..view.rank()).filter(|d| broadcast(*d)).map(|d| d as isize).collect();
    let mut g = if repeated.is_empty() { g.clone() } else { g.sum(&repeated)? };
    let mut dims: Vec<(usize, isize)> =
        (0..view.rank()).filter(|d| !broadcast(*d)).map(|d| (view.shape()[d], view.strides()[d])).collect();
    for d in (0..dims.len()).rev() {
        if dims[d].0 == 1 {
            g = g.squeeze(d as isize)?;
            dims.remove(d);
        } else if dims[d].1 < 0 {
            g = g.flip(d as isize)?;
            dims[d].1 = -dims[d].1;
        }
    }
    let mut order: Vec<usize> = (0..dims.len()).collect();
    order.sort_by_key(|d| std::cmp::Reverse(dims[*d].1));
    g = g.permute(&order)?;
    let sizes: Vec<usize> = order.iter().map(|d| dims[*d].0).collect();
    let strides: Vec<isize> = order.iter().map(|d| dims[*d].1).collect();
    let start = view.offset() - lowest(view);
    let place = Layout::strided(&sizes, &strides, start).map_err(Error::layout("gradient of a view"))?;
    if start == 0 && place.is_contiguous() && place.len() == node.layout.len() {
        return g.reshape(shape);
    }
    if place.may_overlap() {
        let why = format!("a view of shape {:?} reads elements more than once", view.shape());
        return Err(Error::NoGradient { op: "view", why });
    }
    debug_assert_ne!(g.dtype(), DType::Bool);
    g.placed("slice gradient", shape, place)
}
