//! Random problems of every op, from a seed.

use kernelsmith_core::expr::{Binary, Stream, Unary};
use kernelsmith_core::inputs::hash;
use kernelsmith_core::ops::attention::{AttentionProblem, AttentionShape, Order};
use kernelsmith_core::ops::gather::{GatherProblem, Movement};
use kernelsmith_core::ops::leaf::Leaf;
use kernelsmith_core::ops::map::MapProblem;
use kernelsmith_core::ops::reduce::{ReduceKind, ReduceProblem};
use kernelsmith_core::ops::row::{RowKind, RowProblem, RowSpec};
use kernelsmith_core::random::Distribution;
use kernelsmith_core::{DType, Expr, Layout};

/// Random choices that depend on a seed alone.
pub struct Choices(u64, u64);

impl Choices {
    pub fn new(seed: u64) -> Self {
        Choices(seed, 0)
    }

    pub fn below(&mut self, n: usize) -> usize {
        self.1 += 1;
        (hash(self.0, self.1) % n as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn of<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Sizes of `rank` dimensions, at most some thousand elements.
    pub fn shape(&mut self, rank: usize) -> Vec<usize> {
        (0..rank).map(|_| if self.one_in(4) { 1 } else { 1 + self.below(if rank > 3 { 4 } else { 9 }) }).collect()
    }

    /// A view of that shape: permuted, padded, sliced with a step, flipped, shifted; with
    /// `broadcast` some dimensions repeat one element.
    pub fn view(&mut self, shape: &[usize], broadcast: bool) -> Layout {
        let rank = shape.len();
        let mut axes: Vec<usize> = (0..rank).collect();
        if self.one_in(2) {
            (1..rank).for_each(|i| axes.swap(i, self.below(i + 1)));
        }
        let steps: Vec<usize> = (0..rank).map(|_| if self.one_in(5) { 2 } else { 1 }).collect();
        let pads: Vec<usize> = (0..rank).map(|_| if self.one_in(5) { self.below(3) } else { 0 }).collect();
        let thin: Vec<usize> = shape.iter().map(|n| if broadcast && self.one_in(4) { 1 } else { *n }).collect();
        // The buffer's dimensions are `axes` of the view's.
        let sizes: Vec<usize> = axes.iter().map(|&a| thin[a] * steps[a] + pads[a]).collect();
        let mut layout = Layout::contiguous(&sizes).unwrap();
        let back: Vec<usize> = (0..rank).map(|d| axes.iter().position(|a| *a == d).unwrap()).collect();
        layout = layout.permute(&back).unwrap();
        for d in 0..rank {
            let start = self.below(pads[d] + 1);
            layout = layout.slice(d, start, start + (thin[d] - 1) * steps[d] + 1, steps[d]).unwrap();
            if self.one_in(6) {
                layout = layout.flip(d).unwrap();
            }
        }
        if self.one_in(4) {
            layout = layout.shifted(self.below(9)).unwrap();
        }
        layout.broadcast(shape).unwrap()
    }

    fn leaf(&mut self, shape: &[usize], broadcast: bool) -> Leaf {
        let dtype = self.of(&[DType::F32, DType::F32, DType::F64, DType::F16, DType::BF16, DType::U8, DType::Bool]);
        Leaf::new(dtype, self.view(shape, broadcast))
    }

    /// An expression over inputs and positions.
    pub fn expr(&mut self, depth: usize, inputs: usize, rank: usize, value: bool) -> Expr {
        if depth == 0 || self.one_in(5) {
            return match self.below(8) {
                0 if rank > 0 => Expr::Index(self.below(rank)),
                1 => Expr::Const(self.of(&[0.5, -1.0, 2.0, 0.125])),
                2 if value => Expr::Value,
                _ if inputs > 0 => Expr::Input(self.below(inputs)),
                _ if value => Expr::Value,
                _ => Expr::Const(1.5),
            };
        }
        let next = |c: &mut Self| c.expr(depth - 1, inputs, rank, value);
        match self.below(10) {
            0 | 1 => {
                Expr::unary(self.of(&[Unary::Neg, Unary::Abs, Unary::Relu, Unary::Sigmoid, Unary::Tanh]), next(self))
            }
            2 => Expr::select(next(self), next(self), next(self)),
            3 => Expr::Round(self.of(&DType::ALL), Box::new(next(self))),
            4 if rank > 0 => {
                let stream = Stream { distribution: self.of(&Distribution::ALL), seed: self.below(1000) as u64 };
                Expr::Random(stream, Box::new(Expr::Index(self.below(rank))))
            }
            _ => {
                let op = self.of(&[Binary::Add, Binary::Sub, Binary::Mul, Binary::Max, Binary::Min, Binary::Lt]);
                Expr::binary(op, next(self), next(self))
            }
        }
    }
}

pub fn map(seed: u64) -> MapProblem {
    let mut c = Choices::new(seed);
    let rank = c.below(6);
    let shape = c.shape(rank);
    let inputs: Vec<Leaf> = (0..c.below(4)).map(|_| c.leaf(&shape, true)).collect();
    let expr = c.expr(3, inputs.len(), rank, false);
    let out = c.leaf(&shape, false);
    MapProblem::new(expr, inputs, out).unwrap()
}

pub fn reduce(seed: u64) -> ReduceProblem {
    let mut c = Choices::new(seed ^ 0x1000);
    let rank = 1 + c.below(4);
    let shape = c.shape(rank);
    let outer = c.below(rank + 1);
    let mut inputs: Vec<Leaf> = (0..1 + c.below(3)).map(|_| c.leaf(&shape, true)).collect();
    // The last one may be read by the epilogue: the same along the reduced dimensions.
    let thin: Vec<usize> = shape.iter().enumerate().map(|(d, n)| if d < outer { *n } else { 1 }).collect();
    let fixed = c.leaf(&thin, true);
    inputs.push(Leaf::new(fixed.dtype, fixed.layout.broadcast(&shape).unwrap()));
    let expr = c.expr(2, inputs.len(), rank, false);
    let last = inputs.len() - 1;
    let post = c.expr(2, 1, outer, true).replace(&|x| match x {
        Expr::Input(_) => Expr::Input(last),
        other => other.clone(),
    });
    let out = c.leaf(&shape[..outer], false);
    ReduceProblem::new(c.of(&ReduceKind::ALL), &shape, outer, (expr, post), inputs, out).unwrap()
}

pub fn row(seed: u64) -> RowProblem {
    let mut c = Choices::new(seed ^ 0x2000);
    let rank = 1 + c.below(4);
    let shape = c.shape(rank);
    let mut inputs: Vec<Leaf> = (0..1 + c.below(2)).map(|_| c.leaf(&shape, true)).collect();
    let kind = c.of(&RowKind::ALL);
    let takes_label = matches!(kind, RowKind::Softmax | RowKind::CrossEntropy);
    let rows = &shape[..rank - 1];
    let label = (takes_label && c.below(2) == 0).then_some(inputs.len());
    if label.is_some() {
        let thin: Vec<usize> = rows.iter().copied().chain([1]).collect();
        let layout = c.view(&thin, true).broadcast(&shape).unwrap();
        inputs.push(Leaf::new(DType::I32, layout));
    }
    let readable = if label.is_some() { inputs.len() - 1 } else { inputs.len() };
    let target = if kind.reduces() { rows } else { &shape };
    let post = if kind.reduces() { c.expr(2, 0, rank - 1, true) } else { c.expr(2, readable, rank, true) };
    let spec = RowSpec { kind, eps: c.of(&[0.0, 1e-5]), expr: c.expr(2, readable, rank, false), post, label };
    let out = c.leaf(target, false);
    RowProblem::new(spec, &shape, inputs, out).unwrap()
}

pub fn gather(seed: u64) -> GatherProblem {
    let mut c = Choices::new(seed ^ 0x3000);
    let rank = 1 + c.below(4);
    let shape = c.shape(rank);
    let movement = c.of(&[Movement::Gather, Movement::ScatterAdd]);
    let axis = c.below(rank);
    let mut sized = shape.clone();
    sized[axis] = 1 + c.below(12);
    let dtype =
        if movement == Movement::Gather { c.of(&DType::ALL) } else { c.of(&[DType::F32, DType::F64, DType::F16]) };
    let (from, to) = if movement == Movement::Gather { (&sized, &shape) } else { (&shape, &sized) };
    let x = Leaf::new(dtype, c.view(from, true));
    let index = Leaf::new(DType::I32, c.view(&shape, true));
    let out = Leaf::new(dtype, c.view(to, false));
    GatherProblem::new(movement, axis, x, index, out).unwrap()
}

pub fn attention(seed: u64) -> AttentionProblem {
    let mut c = Choices::new(seed ^ 0x4000);
    let kv_heads = 1 + c.below(3);
    let queries = 1 + c.below(6);
    let shape = AttentionShape {
        batch: 1 + c.below(3),
        heads: kv_heads * (1 + c.below(3)),
        kv_heads,
        queries,
        keys: queries + c.below(12),
        head: 1 + c.below(20),
    };
    let dtype = c.of(&[DType::F32, DType::F16, DType::BF16]);
    let mut problem = AttentionProblem::new(shape, dtype, c.of(&Order::ALL)).unwrap();
    if c.below(2) == 0 {
        problem = problem.with_causal().unwrap();
    }
    if c.one_in(3) {
        problem = problem.with_scale(c.of(&[1.0, 0.01, -0.5, 0.0, 3.0])).unwrap();
    }
    if c.below(2) == 0 {
        return problem;
    }
    let (of_queries, of_keys) = (shape.of_queries(), shape.of_keys());
    let layouts =
        [c.view(&of_queries, true), c.view(&of_keys, true), c.view(&of_keys, true), c.view(&of_queries, false)];
    problem.with_layouts(layouts).unwrap()
}
