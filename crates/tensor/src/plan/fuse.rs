//! From a graph to steps: what becomes one launch, and what needs a buffer of its own.
//!
//! Every item is one of: *held* in a slot (a source, or computed by an earlier step), or
//! *pending*: an expression over slots that has not been given a launch yet. A pending item may
//! have a *head*, the product, reduction or row operation whose result it finishes. An
//! element-wise item absorbs the pending items it reads; a head absorbs the pending input of its
//! prologue; whatever cannot be absorbed gets its launch first.

use super::compose::compose;
use super::graph::{Edge, Graph, Item};
use super::{Plan, Read, Slot, Step, join};
use crate::error::{Error, Result};
use crate::node::NodeOp;
use crate::tensor::lowest;
use kernelsmith_core::expr::{Expr, Unary};
use kernelsmith_core::layout::MAX_RANK;
use kernelsmith_core::ops::gather::{GatherProblem, Movement};
use kernelsmith_core::ops::gemm::{GemmProblem, GemmShape, Storage};
use kernelsmith_core::ops::leaf::{Leaf, MAX_INPUTS, collapse};
use kernelsmith_core::ops::map::MapProblem;
use kernelsmith_core::ops::reduce::ReduceProblem;
use kernelsmith_core::ops::row::{RowProblem, RowSpec};
use kernelsmith_core::{DType, Layout, Problem};

/// Nodes of one launch's expression at most.
const MAX_NODES: usize = 96;
/// An expression that several items read is computed again by each where it is this small.
const CHEAP_NODES: usize = 4;

/// A slot seen through a layout.
#[derive(Clone, Copy)]
struct Source {
    read: Read,
    leaf: Leaf,
}

impl Source {
    /// Moves whole vectors of the layout's offset into the read, so that the problem does not have them.
    fn settled(mut self) -> Source {
        let layout = &self.leaf.layout;
        let first = layout.offset() - lowest(layout);
        let single = layout.shape().iter().zip(layout.strides()).all(|(n, s)| *n == 1 || *s == 0);
        let unit = if single { 1 } else { 16 / self.read.element };
        let base = first - first % unit;
        if let Ok(moved) = Layout::strided(layout.shape(), layout.strides(), layout.offset() - base) {
            self.leaf.layout = moved;
            self.read.base += base;
        }
        self
    }

    fn is(&self, other: &Source) -> bool {
        self.read == other.read && self.leaf == other.leaf
    }
}

/// Work that has no launch yet. Its space is the item's shape.
#[derive(Clone)]
struct Pending {
    expr: Expr,
    sources: Vec<Source>,
    /// The item whose result is `Value`.
    head: Option<usize>,
    ops: Vec<&'static str>,
    copy: Option<&'static str>,
}

enum State {
    Held(usize),
    Pending(Box<Pending>),
}

struct Builder<'a> {
    graph: &'a Graph,
    /// How many reads each item has.
    uses: Vec<usize>,
    states: Vec<State>,
    steps: Vec<Step>,
    slots: Vec<Slot>,
    copies_forbidden: bool,
}

pub(super) fn plan(graph: &Graph, copies_forbidden: bool) -> Result<Plan> {
    let mut uses = vec![0; graph.items.len()];
    for edge in &graph.edges {
        uses[edge.item] += 1;
    }
    let mut builder =
        Builder { graph, uses, states: Vec::new(), steps: Vec::new(), slots: Vec::new(), copies_forbidden };
    for at in 0..graph.items.len() {
        let state = builder.item(at)?;
        builder.states.push(state);
        if graph.roots.contains(&at) {
            builder.hold(at)?;
        }
    }
    let roots = graph.roots.iter().map(|r| builder.hold(*r)).collect::<Result<Vec<_>>>()?;
    let Builder { mut steps, mut slots, .. } = builder;
    join::join(&mut steps, &mut slots, &roots);
    for (i, step) in steps.iter().enumerate() {
        for read in &step.reads {
            // Whoever reads a piece needs the whole.
            let mut slot = Some(read.slot);
            while let Some(at) = slot {
                slots[at].last_read = Some(i);
                slot = slots[at].inside.map(|inside| inside.slot);
            }
        }
    }
    for root in &roots {
        slots[*root].last_read = None;
    }
    let whole = |e: &&Edge| {
        let node = &graph.items[e.item].node;
        e.base != 0 || e.layout != node.layout
    };
    let views = graph.edges.iter().filter(whole).count();
    Ok(Plan { steps, slots, roots, views })
}

impl<'a> Builder<'a> {
    fn edges(&self, item: &Item) -> &'a [Edge] {
        &self.graph.edges[item.edges.clone()]
    }

    fn new_slot(&mut self, item: &Item, source: Option<usize>) -> usize {
        let bytes = item.node.layout.len().saturating_mul(item.node.dtype.bytes());
        self.slots.push(Slot { bytes, source, last_read: None, inside: None });
        self.slots.len() - 1
    }

    fn item(&mut self, at: usize) -> Result<State> {
        let graph = self.graph;
        let item = &graph.items[at];
        let Some(op) = &item.op else {
            let slot = self.new_slot(item, Some(at));
            return Ok(State::Held(slot));
        };
        if item.node.layout.is_empty() {
            return Ok(State::Held(self.new_slot(item, None)));
        }
        let edges = self.edges(item);
        let shape = item.node.layout.shape();
        match &**op {
            NodeOp::Map { expr, .. } => {
                let pending = self.absorb(expr, edges, shape, Some(item))?;
                self.keep(at, pending.named(item.node.name))
            }
            NodeOp::Copy { why, .. } => {
                if self.copies_forbidden {
                    let bytes = item.node.layout.len().saturating_mul(item.node.dtype.bytes());
                    let (op, shape) = (item.node.name, shape.to_vec());
                    return Err(Error::CopyForbidden { op, shape, bytes, why });
                }
                // A copy of something that has no buffer yet is that something in another order.
                let pending = self.absorb(&Expr::Input(0), edges, shape, None)?;
                let only_copies = pending.expr == Expr::Input(0);
                let pending = Pending { copy: only_copies.then_some(*why), ..pending.named(item.node.name) };
                Ok(State::Held(self.launch(at, pending)?))
            }
            NodeOp::Reduce { .. } | NodeOp::Matmul { .. } | NodeOp::Row { .. } => {
                let pending = Pending {
                    expr: Expr::Value,
                    sources: Vec::new(),
                    head: Some(at),
                    ops: vec![item.node.name],
                    copy: None,
                };
                self.hold_heads(edges)?;
                // With one reader the launch waits: it may finish more.
                if self.uses[at] == 1 && !graph.roots.contains(&at) {
                    return Ok(State::Pending(Box::new(pending)));
                }
                Ok(State::Held(self.launch(at, pending)?))
            }
            NodeOp::Alias { .. } => Ok(State::Held(self.hold(edges[0].item)?)),
            NodeOp::Gather { axis, .. } => self.movement(item, Movement::Gather, *axis, edges),
            NodeOp::ScatterAdd { axis, .. } => self.movement(item, Movement::ScatterAdd, *axis, edges),
            NodeOp::Place { parts, covered } => {
                let slot = self.new_slot(item, None);
                let name = item.node.name;
                let dtype = item.node.dtype;
                if !covered {
                    let out = Leaf::new(dtype, item.node.layout);
                    let problem = MapProblem::new(Expr::Const(0.0), Vec::new(), out)?.canonical();
                    self.push(Problem::new(problem), &[], slot, vec![name], None);
                }
                for (edge, (_, place)) in edges.iter().zip(parts) {
                    let pending = self
                        .absorb(&Expr::Input(0), std::slice::from_ref(edge), place.shape(), None)?
                        .named(name)
                        .settled();
                    let inputs = pending.sources.iter().map(|s| s.leaf).collect();
                    let problem = MapProblem::new(pending.expr, inputs, Leaf::new(dtype, *place))?.canonical();
                    self.push(Problem::new(problem), &pending.sources, slot, pending.ops, None);
                }
                Ok(State::Held(slot))
            }
        }
    }

    /// Whether a pending element-wise item waits for its readers or gets its launch now.
    fn keep(&mut self, at: usize, pending: Pending) -> Result<State> {
        let uses = self.uses[at];
        let cheap = pending.head.is_none() && pending.expr.size() <= CHEAP_NODES && pending.sources.len() <= 1;
        let waits = uses == 1 || (uses > 1 && cheap);
        if waits && !self.graph.roots.contains(&at) {
            return Ok(State::Pending(Box::new(pending)));
        }
        Ok(State::Held(self.launch(at, pending)?))
    }

    /// Launches the heads that a head reads, which it cannot take in: a launch that waits then
    /// only waits for element-wise work, and chains of heads need no recursion.
    fn hold_heads(&mut self, edges: &[Edge]) -> Result<()> {
        for edge in edges {
            if matches!(&self.states[edge.item], State::Pending(p) if p.head.is_some()) {
                self.hold(edge.item)?;
            }
        }
        Ok(())
    }

    /// The slot of an item, launching what it waits for.
    fn hold(&mut self, at: usize) -> Result<usize> {
        let pending = match &self.states[at] {
            State::Held(slot) => return Ok(*slot),
            State::Pending(pending) => (**pending).clone(),
        };
        let slot = self.launch(at, pending)?;
        self.states[at] = State::Held(slot);
        Ok(slot)
    }

    /// An edge's view of the slot of what it reads.
    fn held(&mut self, edge: &Edge) -> Result<Source> {
        let slot = self.hold(edge.item)?;
        Ok(self.source(edge, slot))
    }

    fn source(&self, edge: &Edge, slot: usize) -> Source {
        let item = &self.graph.items[edge.item];
        let dynamic = item.op.is_none().then_some(edge.alias);
        let dtype = item.node.dtype;
        let read = Read { slot, edge: dynamic, base: 0, element: dtype.bytes() };
        Source { read, leaf: Leaf::new(dtype, edge.layout) }
    }

    /// `expr` over the edges, with every pending item that can be part of it taken in. Only an
    /// element-wise `reader` may take in a head.
    fn absorb(&mut self, expr: &Expr, edges: &[Edge], shape: &[usize], reader: Option<&Item>) -> Result<Pending> {
        let mut out = Pending { expr: Expr::Const(0.0), sources: Vec::new(), head: None, ops: Vec::new(), copy: None };
        let mut inputs: Vec<Expr> = Vec::with_capacity(edges.len());
        let mut size = expr.size();
        for (i, edge) in edges.iter().enumerate() {
            // The inputs that are still to come take a source each.
            let room = MAX_INPUTS - (edges.len() - 1 - i).min(MAX_INPUTS);
            let taken = match &self.states[edge.item] {
                State::Held(_) => None,
                State::Pending(p) => {
                    let seen = self.seen(p, edge, shape, reader.filter(|_| out.head.is_none()));
                    let fits = |p: &Pending| {
                        let fresh = p.sources.iter().filter(|s| !out.sources.iter().any(|o| o.is(s))).count();
                        size + p.expr.size() <= MAX_NODES && out.sources.len() + fresh <= room
                    };
                    seen.filter(fits)
                }
            };
            let Some(taken) = taken else {
                let source = self.held(edge)?;
                inputs.push(out.input(source));
                continue;
            };
            size += taken.expr.size();
            let renamed: Vec<Expr> = taken.sources.iter().map(|s| out.input(*s)).collect();
            let part = taken.expr.replace(&|leaf| match leaf {
                Expr::Input(i) => renamed[*i].clone(),
                other => other.clone(),
            });
            inputs.push(part);
            out.head = out.head.or(taken.head);
            out.ops.extend(taken.ops);
        }
        out.expr = expr.replace(&|leaf| match leaf {
            Expr::Input(i) => inputs[*i].clone(),
            other => other.clone(),
        });
        // What joins a head must be readable over the head's own space.
        if let (Some(head), Some(reader)) = (out.head, reader)
            && !self.finishes(head, &out, reader)
        {
            let with_head =
                edges.iter().position(|e| matches!(&self.states[e.item], State::Pending(p) if p.head == Some(head)));
            if let Some(i) = with_head {
                self.hold(edges[i].item)?;
                return self.absorb(expr, edges, shape, Some(reader));
            }
        }
        Ok(out)
    }

    /// A pending item as it looks through an edge, over the reader's space; `None` where it must
    /// be computed first.
    fn seen(&self, p: &Pending, edge: &Edge, shape: &[usize], reader: Option<&Item>) -> Option<Pending> {
        let item = &self.graph.items[edge.item];
        let node = &item.node;
        let mut out = p.clone();
        // What a stored number would have lost is lost here too, where it matters.
        let rounds = !node.dtype.is_float() && !is_truth(&p.expr);
        // Nothing else would tell that it is to be computed in f64.
        let widens = node.dtype == DType::F64
            && p.head.is_none()
            && p.sources.iter().all(|s| s.leaf.dtype != DType::F64)
            && !matches!(p.expr, Expr::Const(_))
            && !is_truth(&p.expr);
        if (rounds || widens) && !matches!(p.expr, Expr::Round(..)) {
            out.expr = Expr::Round(node.dtype, Box::new(out.expr));
        }
        if p.head.is_some() {
            let whole =
                edge.layout.is_contiguous() && edge.layout.offset() == 0 && edge.layout.len() == node.layout.len();
            let moved = edge.layout.shape() != node.layout.shape();
            if !whole || reader.is_none() || (moved && asks_position(&p.expr)) || edge.layout.shape() != shape {
                return None;
            }
            for source in &mut out.sources {
                source.leaf.layout = reshape(&source.leaf.layout, shape)?;
            }
            return Some(out);
        }
        if edge.layout == node.layout && node.layout.shape() == shape {
            return Some(out);
        }
        // Fewer, longer dimensions let more views through.
        let mut layouts: Vec<Layout> = out.sources.iter().map(|s| s.leaf.layout).collect();
        layouts.push(node.layout);
        let (layouts, exprs, _) = collapse(&layouts, &[&out.expr], &[node.layout.rank()]);
        let (space, leaves) = layouts.split_last()?;
        let composed = compose(&edge.layout, space.shape())?;
        for (source, leaf) in out.sources.iter_mut().zip(leaves) {
            source.leaf.layout = composed.layout(leaf)?;
        }
        out.expr = composed.expr(exprs.first()?);
        Some(out)
    }

    /// Whether a head can finish with an expression over `reader`'s space.
    fn finishes(&self, head: usize, p: &Pending, reader: &Item) -> bool {
        let item = &self.graph.items[head];
        let Some(op) = &item.op else { return false };
        let same_shape = item.node.layout.shape() == reader.node.layout.shape();
        if asks_position(&p.expr) && (!same_shape || matches!(**op, NodeOp::Matmul { .. })) {
            return false;
        }
        if p.expr.any(&|e| matches!(e, Expr::Random(..))) {
            return false;
        }
        let room = match &**op {
            // Products finish in their own dtype.
            NodeOp::Matmul { .. } => {
                let dtype = item.node.dtype;
                if reader.node.dtype != dtype || p.sources.iter().any(|s| s.leaf.dtype != dtype) {
                    return false;
                }
                MAX_INPUTS
            }
            // Their prologue has inputs as well, at least one of them and a label.
            _ => MAX_INPUTS - 4,
        };
        p.sources.len() <= room && p.sources.iter().all(|s| reshape(&s.leaf.layout, item.node.layout.shape()).is_some())
    }

    fn push(
        &mut self,
        problem: Problem,
        sources: &[Source],
        writes: usize,
        ops: Vec<&'static str>,
        copy: Option<&'static str>,
    ) {
        let reads = sources.iter().map(|s| s.read).collect();
        self.steps.push(Step { problem, reads, writes, ops, copy });
    }

    /// Gives a pending item its launch and its slot.
    fn launch(&mut self, at: usize, pending: Pending) -> Result<usize> {
        let graph = self.graph;
        let item = &graph.items[at];
        let out = Leaf::new(item.node.dtype, item.node.layout);
        let pending = pending.settled();
        let Some(head) = pending.head else {
            let inputs = pending.sources.iter().map(|s| s.leaf).collect();
            let problem = MapProblem::new(pending.expr, inputs, out)?.canonical();
            let slot = self.new_slot(item, None);
            self.push(Problem::new(problem), &pending.sources, slot, pending.ops, pending.copy);
            return Ok(slot);
        };
        let head = &graph.items[head];
        let missing = || Error::Invalid { op: "plan", reason: "a head without an op".to_string() };
        let op = head.op.as_ref().ok_or_else(missing)?;
        let edges = self.edges(head);
        let space = head.node.layout.shape();
        // The epilogue's sources over the head's own space.
        let mut post = pending.sources.clone();
        for source in &mut post {
            source.leaf.layout = reshape(&source.leaf.layout, space).ok_or_else(missing)?;
        }
        let out = Leaf::new(item.node.dtype, head.node.layout);
        let (problem, reads, before) = match &**op {
            NodeOp::Matmul { .. } => {
                let (a, b) = (self.held(&edges[0])?.settled(), self.held(&edges[1])?.settled());
                let problem = product(&a.leaf, &b.leaf, &pending.expr, &post, out.dtype)?;
                let reads: Vec<Source> = [a, b].into_iter().chain(post).collect();
                (Problem::new(problem), reads, Vec::new())
            }
            NodeOp::Reduce { kind, outer, .. } => {
                let shape = edges[0].layout.shape();
                let prologue = self.prologue(&edges[0], MAX_INPUTS - post.len())?.settled();
                let (reads, epilogue) = join(prologue.sources, post, &pending.expr, |l| widen(l, shape))?;
                let leaves = reads.iter().map(|s| s.leaf).collect();
                let exprs = (prologue.expr, epilogue);
                let problem = ReduceProblem::new(*kind, shape, *outer, exprs, leaves, out)?.canonical();
                (Problem::new(problem), reads, prologue.ops)
            }
            NodeOp::Row { kind, eps, .. } => {
                let shape = edges[0].layout.shape();
                let label = edges.get(1).map(|e| self.held(e)).transpose()?.map(Source::settled);
                let room = MAX_INPUTS - post.len() - usize::from(label.is_some());
                let prologue = self.prologue(&edges[0], room)?.settled();
                let spread = |l: &Layout| if kind.reduces() { widen(l, shape) } else { Some(*l) };
                let (mut reads, epilogue) = join(prologue.sources, post, &pending.expr, spread)?;
                let label = match label {
                    None => None,
                    Some(mut label) => {
                        label.leaf.layout = widen(&label.leaf.layout, shape).ok_or_else(missing)?;
                        reads.push(label);
                        Some(reads.len() - 1)
                    }
                };
                let leaves = reads.iter().map(|s| s.leaf).collect();
                let spec = RowSpec { kind: *kind, eps: *eps, expr: prologue.expr, post: epilogue, label };
                let problem = RowProblem::new(spec, shape, leaves, out)?.canonical();
                (Problem::new(problem), reads, prologue.ops)
            }
            _ => return Err(missing()),
        };
        let slot = self.new_slot(item, None);
        let ops = before.into_iter().chain(pending.ops).collect();
        self.push(problem, &reads, slot, ops, None);
        Ok(slot)
    }

    /// The pending input of a reduction or row operation as its prologue, or a read of its slot.
    fn prologue(&mut self, edge: &Edge, room: usize) -> Result<Pending> {
        let shape = edge.layout.shape();
        let pending = self.absorb(&Expr::Input(0), std::slice::from_ref(edge), shape, None)?;
        if pending.sources.len() <= room {
            return Ok(pending);
        }
        self.hold(edge.item)?;
        self.absorb(&Expr::Input(0), std::slice::from_ref(edge), shape, None)
    }

    fn movement(&mut self, item: &Item, movement: Movement, axis: usize, edges: &[Edge]) -> Result<State> {
        let (x, index) = (self.held(&edges[0])?.settled(), self.held(&edges[1])?.settled());
        let out = Leaf::new(item.node.dtype, item.node.layout);
        let problem = GatherProblem::new(movement, axis, x.leaf, index.leaf, out)?;
        let slot = self.new_slot(item, None);
        self.push(Problem::new(problem), &[x, index], slot, vec![item.node.name], None);
        Ok(State::Held(slot))
    }
}

impl Pending {
    fn settled(mut self) -> Self {
        self.sources = self.sources.into_iter().map(Source::settled).collect();
        self
    }

    fn named(mut self, name: &'static str) -> Self {
        self.ops.push(name);
        self
    }

    /// The input that reads a source, which is shared where it is there already.
    fn input(&mut self, source: Source) -> Expr {
        Expr::Input(input_of(&mut self.sources, source))
    }
}

fn input_of(sources: &mut Vec<Source>, source: Source) -> usize {
    let found = sources.iter().position(|s| s.is(&source));
    found.unwrap_or_else(|| {
        sources.push(source);
        sources.len() - 1
    })
}

/// The sources of a prologue and of an epilogue as one list, and the epilogue with its inputs renamed.
fn join(
    before: Vec<Source>,
    after: Vec<Source>,
    epilogue: &Expr,
    spread: impl Fn(&Layout) -> Option<Layout>,
) -> Result<(Vec<Source>, Expr)> {
    let mut all = before;
    let mut renamed = Vec::with_capacity(after.len());
    for mut source in after {
        let missing = || Error::Invalid { op: "plan", reason: "an epilogue over another space".to_string() };
        source.leaf.layout = spread(&source.leaf.layout).ok_or_else(missing)?;
        renamed.push(input_of(&mut all, source));
    }
    let epilogue = epilogue.replace(&|leaf| match leaf {
        Expr::Input(i) => Expr::Input(renamed[*i]),
        other => other.clone(),
    });
    Ok((all, epilogue))
}

/// A layout over leading dimensions, broadcast over the rest of `shape`.
fn widen(layout: &Layout, shape: &[usize]) -> Option<Layout> {
    let mut strides = [0isize; MAX_RANK];
    strides[..layout.rank()].copy_from_slice(layout.strides());
    Layout::strided(shape, &strides[..shape.len()], layout.offset()).ok()
}

fn reshape(layout: &Layout, shape: &[usize]) -> Option<Layout> {
    if layout.shape() == shape { Some(*layout) } else { layout.reshape(shape).ok() }
}

fn asks_position(expr: &Expr) -> bool {
    expr.any(&|e| matches!(e, Expr::Index(_)))
}

/// Whether an expression gives 0 or 1 whatever it is stored as.
fn is_truth(expr: &Expr) -> bool {
    use kernelsmith_core::expr::Binary::{Eq, Le, Lt, Ne};
    matches!(expr, Expr::Binary(Lt | Le | Eq | Ne, ..) | Expr::Unary(Unary::Not, _))
}

/// Strides of dimensions of size 1 are set to what a contiguous layout of the same order has:
/// the same product has one text.
fn tidy(layout: &Layout) -> Option<Layout> {
    let (shape, mut strides) = (layout.shape(), [layout.strides()[0], layout.strides()[1], layout.strides()[2]]);
    let (rows, columns) = (shape[1], shape[2]);
    match (rows, columns) {
        (1, 1) => (strides[1], strides[2]) = (1, 1),
        (1, _) => strides[1] = if strides[2] == 1 { columns as isize } else { 1 },
        (_, 1) => strides[2] = 1,
        _ => {}
    }
    if shape[0] == 1 {
        strides[0] = (1..3).map(|d| strides[d].saturating_abs().saturating_mul(shape[d] as isize)).max()?;
    }
    Layout::strided(shape, &strides, layout.offset()).ok()
}

fn product(a: &Leaf, b: &Leaf, expr: &Expr, post: &[Source], dtype: DType) -> Result<GemmProblem> {
    let (batch, m, k) = (a.layout.shape()[0], a.layout.shape()[1], a.layout.shape()[2]);
    let n = b.layout.shape()[2];
    let shape = GemmShape { batch, m, n, k, storage: Storage::ALL[0] };
    let plain = GemmProblem::new(shape, dtype)?;
    let (c, d) = (plain.c, plain.d);
    let (a, b) = (tidy(&a.layout).unwrap_or(a.layout), tidy(&b.layout).unwrap_or(b.layout));
    let inputs: Vec<Layout> = post.iter().map(|s| s.leaf.layout).collect();
    Ok(plain.with_layouts(a, b, c, d)?.with_expr(expr.clone(), &inputs)?)
}
