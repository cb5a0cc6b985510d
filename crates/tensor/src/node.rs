//! Nodes of the expression graph: what a tensor's buffer will hold, or holds.
//!
//! A node's buffer is contiguous in the node's shape. Views are not nodes: a tensor is a node and
//! a layout over its buffer.

use crate::device::Device;
use crate::tensor::Tensor;
use kernelsmith_core::ops::reduce::ReduceKind;
use kernelsmith_core::ops::row::RowKind;
use kernelsmith_core::{DType, Expr, Layout};
use kernelsmith_device::Buffer;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// What a node computes.
#[derive(Debug)]
pub(crate) enum NodeOp {
    /// Element-wise; inputs have the node's shape.
    Map { expr: Expr, inputs: Vec<Tensor> },
    /// The same elements in the node's contiguous order, with why a view would not do.
    Copy { input: Tensor, why: &'static str },
    /// Over the dimensions of `input` from `outer` on.
    Reduce { kind: ReduceKind, outer: usize, input: Tensor },
    /// \[batch, m, k\] by \[batch, k, n\].
    Matmul { a: Tensor, b: Tensor },
    /// Along the last dimension; the label has the shape of the rows.
    Row { kind: RowKind, eps: f64, input: Tensor, label: Option<Tensor> },
    /// `index` has the node's shape; `x` has it but for the axis.
    Gather { axis: usize, x: Tensor, index: Tensor },
    /// `x` and `index` have one shape; the node has it but for the axis.
    ScatterAdd { axis: usize, x: Tensor, index: Tensor },
    /// The same elements in the same buffer: a variable of something that is not computed yet.
    Alias { input: Tensor },
    /// Parts laid into the node's buffer, which hold zeros elsewhere unless the parts cover it.
    Place { parts: Vec<(Tensor, Layout)>, covered: bool },
}

impl NodeOp {
    /// The `i`-th tensor that it reads.
    pub fn input(&self, i: usize) -> Option<&Tensor> {
        let pair = |first, second| [Some(first), second].get(i).copied().flatten();
        match self {
            NodeOp::Map { inputs, .. } => inputs.get(i),
            NodeOp::Copy { input, .. } | NodeOp::Reduce { input, .. } | NodeOp::Alias { input } => pair(input, None),
            NodeOp::Matmul { a, b } => pair(a, Some(b)),
            NodeOp::Row { input, label, .. } => pair(input, label.as_ref()),
            NodeOp::Gather { x, index, .. } | NodeOp::ScatterAdd { x, index, .. } => pair(x, Some(index)),
            NodeOp::Place { parts, .. } => parts.get(i).map(|(t, _)| t),
        }
    }

    /// The tensors that it reads, in order.
    pub fn inputs(&self) -> impl Iterator<Item = &Tensor> {
        (0..).map_while(|i| self.input(i))
    }

    fn into_inputs(self) -> Vec<Tensor> {
        match self {
            NodeOp::Map { inputs, .. } => inputs,
            NodeOp::Copy { input, .. } | NodeOp::Reduce { input, .. } | NodeOp::Alias { input } => vec![input],
            NodeOp::Matmul { a, b } => vec![a, b],
            NodeOp::Row { input, label, .. } => std::iter::once(input).chain(label).collect(),
            NodeOp::Gather { x, index, .. } | NodeOp::ScatterAdd { x, index, .. } => vec![x, index],
            NodeOp::Place { parts, .. } => parts.into_iter().map(|(t, _)| t).collect(),
        }
    }
}

/// The least and the largest element of a tensor of whole numbers, known without reading it.
pub(crate) type Range = (i64, i64);

pub(crate) struct Node {
    /// The method that made it, for plans and errors.
    pub name: &'static str,
    pub dtype: DType,
    /// Contiguous.
    pub layout: Layout,
    pub device: Device,
    /// Whether gradients can be asked for through it, so that its op is kept after it was computed.
    pub tracked: bool,
    /// Whether gradients end here: what led to it is not differentiated.
    pub variable: bool,
    /// Bounds on the elements, for indices.
    pub range: OnceLock<Range>,
    op: Mutex<Option<Arc<NodeOp>>>,
    buffer: OnceLock<Buffer>,
}

impl Node {
    pub fn lazy(name: &'static str, dtype: DType, layout: Layout, device: &Device, op: NodeOp) -> Arc<Node> {
        Node::of(name, dtype, layout, device, op, false)
    }

    /// A parameter that is still to be computed.
    pub fn variable(dtype: DType, layout: Layout, device: &Device, op: NodeOp) -> Arc<Node> {
        Node::of("variable", dtype, layout, device, op, true)
    }

    fn of(name: &'static str, dtype: DType, layout: Layout, device: &Device, op: NodeOp, variable: bool) -> Arc<Node> {
        let tracked = op.inputs().any(|t| t.node().tracked);
        Arc::new(Node {
            name,
            dtype,
            layout,
            device: device.clone(),
            tracked: tracked || variable,
            variable,
            range: OnceLock::new(),
            op: Mutex::new(Some(Arc::new(op))),
            buffer: OnceLock::new(),
        })
    }

    /// A node that holds its elements already.
    pub fn source(dtype: DType, layout: Layout, device: &Device, buffer: Buffer, tracked: bool) -> Arc<Node> {
        Arc::new(Node {
            name: "source",
            dtype,
            layout,
            device: device.clone(),
            tracked,
            variable: tracked,
            range: OnceLock::new(),
            op: Mutex::new(None),
            buffer: OnceLock::from(buffer),
        })
    }

    pub fn buffer(&self) -> Option<&Buffer> {
        self.buffer.get()
    }

    /// What it computes; `None` for sources, and for computed nodes that are not tracked.
    pub fn op(&self) -> Option<Arc<NodeOp>> {
        self.op.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes the computed elements. Without a gradient to come, what led to them is let go.
    pub fn fulfil(&self, buffer: Buffer) {
        let _ = self.buffer.set(buffer);
        if !self.tracked || self.variable {
            let op = self.op.lock().unwrap_or_else(PoisonError::into_inner).take();
            release(op);
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        release(self.op.get_mut().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// Drops an op and whatever it alone keeps alive, without recursion: graphs can be very deep.
fn release(op: Option<Arc<NodeOp>>) {
    let mut open: Vec<Arc<NodeOp>> = op.into_iter().collect();
    while let Some(op) = open.pop() {
        let Some(op) = Arc::into_inner(op) else { continue };
        for tensor in op.into_inputs() {
            if let Some(mut node) = Arc::into_inner(tensor.into_node()) {
                open.extend(node.op.get_mut().unwrap_or_else(PoisonError::into_inner).take());
            }
        }
    }
}
