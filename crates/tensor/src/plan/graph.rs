//! A snapshot of what must be computed, in an order in which it can be, and a key that is equal
//! for graphs that the same plan computes.

use crate::node::{Node, NodeOp};
use crate::tensor::{Tensor, lowest};
use kernelsmith_core::inputs::hash;
use kernelsmith_core::{Expr, Layout};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

/// One node of the snapshot.
pub(super) struct Item {
    pub node: Arc<Node>,
    /// `None` where the elements are there already.
    pub op: Option<Arc<NodeOp>>,
    /// Ends of this node's range in [`Graph::edges`]; it starts where the one before ends.
    pub edges: std::ops::Range<usize>,
}

/// A read of a node through a view.
pub(super) struct Edge {
    pub item: usize,
    /// The view; for a source its offset is less than 16 bytes, the rest is in `base`.
    pub layout: Layout,
    /// Elements between the buffer's start and where `layout` begins: not part of the key, so
    /// that steps over the batches of a data set share a plan.
    pub base: usize,
    /// The first edge that reads the same elements in the same way.
    pub alias: usize,
}

pub(super) struct Graph {
    pub items: Vec<Item>,
    pub edges: Vec<Edge>,
    /// Items that were asked for.
    pub roots: Vec<usize>,
    pub key: (u64, u64),
}

/// Addresses are their own hash.
#[derive(Default)]
struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|b| self.write_u64(u64::from(*b)));
    }
    fn write_u64(&mut self, x: u64) {
        self.0 = (self.0 ^ x).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }
    fn write_usize(&mut self, x: usize) {
        self.write_u64(x as u64);
    }
}

type Found = HashMap<usize, usize, BuildHasherDefault<AddressHasher>>;

/// A running 128-bit hash.
struct Key(u64, u64);

impl Key {
    fn add(&mut self, x: u64) {
        self.0 = (self.0.rotate_left(5) ^ x).wrapping_mul(0x517c_c1b7_2722_0a95);
        self.1 = (self.1.rotate_left(23) ^ x).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn layout(&mut self, l: &Layout) {
        self.add(l.rank() as u64 | (l.offset() as u64) << 8);
        for (n, s) in l.shape().iter().zip(l.strides()) {
            self.add(*n as u64);
            self.add(*s as u64);
        }
    }

    fn expr(&mut self, e: &Expr) {
        match e {
            Expr::Value => self.add(1),
            Expr::Input(i) => self.add(2 | (*i as u64) << 8),
            Expr::Const(c) => {
                self.add(3);
                self.add(c.to_bits());
            }
            Expr::Index(d) => self.add(4 | (*d as u64) << 8),
            Expr::Unary(op, _) => self.add(5 | (*op as u64) << 8),
            Expr::Binary(op, ..) => self.add(6 | (*op as u64) << 8),
            Expr::Select(..) => self.add(7),
            Expr::Round(d, _) => self.add(8 | (*d as u64) << 8),
            Expr::Random(s, _) => {
                self.add(9 | (s.distribution as u64) << 8);
                self.add(s.seed);
            }
        }
        e.parts().for_each(|p| self.expr(p));
    }

    fn op(&mut self, op: &NodeOp) {
        match op {
            NodeOp::Map { expr, .. } => {
                self.add(10);
                self.expr(expr);
            }
            NodeOp::Copy { .. } => self.add(11),
            NodeOp::Reduce { kind, outer, .. } => self.add(12 | (*kind as u64) << 8 | (*outer as u64) << 16),
            NodeOp::Matmul { .. } => self.add(13),
            NodeOp::Row { kind, eps, label, .. } => {
                self.add(14 | (*kind as u64) << 8 | u64::from(label.is_some()) << 16);
                self.add(eps.to_bits());
            }
            NodeOp::Gather { axis, .. } => self.add(15 | (*axis as u64) << 8),
            NodeOp::ScatterAdd { axis, .. } => self.add(16 | (*axis as u64) << 8),
            NodeOp::Alias { .. } => self.add(18),
            NodeOp::Place { parts, covered } => {
                self.add(17 | u64::from(*covered) << 8);
                parts.iter().for_each(|(_, l)| self.layout(l));
            }
        }
    }
}

impl Graph {
    /// Everything that `roots` need, sources included.
    pub fn of(roots: &[&Tensor]) -> Graph {
        let (items, edges) = (Vec::with_capacity(16), Vec::with_capacity(32));
        let mut graph = Graph { items, edges, roots: Vec::with_capacity(roots.len()), key: (0, 0) };
        let mut found = Found::with_capacity_and_hasher(32, Default::default());
        let mut key = Key(hash(1, roots.len() as u64), 2);
        for root in roots {
            let item = graph.visit(root.node(), &mut found, &mut key);
            graph.roots.push(item);
            key.add(item as u64);
        }
        graph.key = (key.0, key.1);
        graph
    }

    /// Adds a node after everything it reads, without recursion: graphs can be very deep.
    fn visit(&mut self, root: &Arc<Node>, found: &mut Found, key: &mut Key) -> usize {
        let address = |n: &Arc<Node>| Arc::as_ptr(n) as usize;
        if let Some(item) = found.get(&address(root)) {
            return *item;
        }
        /// A node whose inputs are being looked at.
        struct Open {
            node: Arc<Node>,
            op: Option<Arc<NodeOp>>,
            next: usize,
        }
        let open = |node: &Arc<Node>| {
            let op = if node.buffer().is_some() { None } else { node.op() };
            Open { node: node.clone(), op, next: 0 }
        };
        let mut stack = vec![open(root)];
        while let Some(top) = stack.last_mut() {
            let waiting = top.op.as_ref().and_then(|op| {
                while let Some(input) = op.input(top.next) {
                    top.next += 1;
                    if !found.contains_key(&address(input.node())) {
                        return Some(open(input.node()));
                    }
                }
                None
            });
            if let Some(next) = waiting {
                stack.push(next);
                continue;
            }
            let Some(done) = stack.pop() else { break };
            if found.contains_key(&address(&done.node)) {
                continue;
            }
            found.insert(address(&done.node), self.items.len());
            self.finish(done.node, done.op, found, key);
        }
        self.items.len() - 1
    }

    fn finish(&mut self, node: Arc<Node>, op: Option<Arc<NodeOp>>, found: &Found, key: &mut Key) {
        let start = self.edges.len();
        key.add(node.dtype as u64 | u64::from(op.is_some()) << 8);
        if let Some(op) = &op {
            key.op(op);
            key.layout(&node.layout);
            for tensor in op.inputs() {
                let item = found[&(Arc::as_ptr(tensor.node()) as usize)];
                let (mut layout, mut base) = (*tensor.layout(), 0);
                if self.items[item].op.is_none() && !layout.is_empty() {
                    let unit = 16 / tensor.dtype().bytes();
                    let first = layout.offset() - lowest(&layout);
                    base = first - first % unit;
                    let moved = Layout::strided(layout.shape(), layout.strides(), layout.offset() - base);
                    match moved {
                        Ok(moved) => layout = moved,
                        Err(_) => base = 0,
                    }
                }
                let same = |e: &Edge| e.item == item && e.base == base && e.layout == layout;
                // Far back there is little to gain and much to search.
                let recent = self.edges.len().saturating_sub(32);
                let alias = self.edges[recent..].iter().position(same).map_or(self.edges.len(), |i| recent + i);
                key.add(item as u64 | (alias as u64) << 32);
                key.layout(&layout);
                self.edges.push(Edge { item, layout, base, alias });
            }
        }
        self.items.push(Item { node, op, edges: start..self.edges.len() });
    }
}
