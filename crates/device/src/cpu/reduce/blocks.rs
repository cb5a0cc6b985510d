//! Reductions over blocks that stay in the first-level cache, along rows or down columns.
//!
//! Idea: the prologue is a tape over blocks of BLOCK points. Where neighbours in memory lie along
//! the reduced dimensions, each block is folded to a number in 64 chains; where they lie along an
//! outer dimension, rows are taken into a row of running results, so that memory is read in order
//! either way. A long reduction is cut into chunks of a fixed size; their results are joined in
//! order, so the bits do not depend on THREADS. The epilogue runs over all outputs at the end.
//!
//! Bound: memory, each input once.
//!
//! `smith bench reduce --problem kind=sum,outer=4096,inner=1024,x0=f32,out=f32 --candidate blocks`

use crate::cpu::evaluator::Evaluator;
use crate::cpu::fold::{Running, take_rows, worst};
use crate::cpu::kernel::{CpuCall, CpuKernelError};
use crate::cpu::launch::{self, Buffers, Checks, Shared};
use crate::cpu::space::{Access, Space};
use crate::cpu::tape::convert::Stored;
use crate::cpu::tape::lane::Values;
use crate::cpu::tape::level::Level;
use crate::cpu::{operands, prepared, scratch};
use kernelsmith_core::ops::OpProblem;
use kernelsmith_core::ops::leaf::Leaf;
use kernelsmith_core::ops::reduce::{ReduceKind, ReduceProblem};
use kernelsmith_core::{DType, Expr, Layout};

/// Points of a chunk: what one thread does at least.
const CHUNK: usize = 1 << 16;
/// Rows that are added to one running row before it joins the next: chains stay short.
const GROUP: usize = 64;
/// Columns of a running row.
const WIDTH: usize = 2048;

struct Plan {
    checks: Checks,
    kind: ReduceKind,
    /// Over outer and inner dimensions; in `columns` mode the last outer one is walked first.
    prologue: Evaluator,
    epilogue: Evaluator,
    out: Access,
    inner: usize,
    outer: usize,
    /// Columns of a row in `columns` mode.
    columns: Option<usize>,
    double: bool,
    level: Level,
}

/// How the work of phase one is cut.
struct Cut {
    /// Chunks of each reduction.
    chunks: usize,
    /// Points (or rows of columns) of a chunk.
    step: usize,
}

impl Plan {
    fn new(problem: &ReduceProblem, level: Level) -> Result<Plan, CpuKernelError> {
        let checks = Checks::new(problem.operands())?;
        let p = problem.clone().canonical();
        let (shape, outer) = (p.shape(), p.outer);
        let columns = reads_columns(&p);
        // Outer dimensions but the last, inner ones, the last outer one.
        let mut axes: Vec<usize> = (0..shape.len()).collect();
        if columns {
            axes[outer - 1..].rotate_left(1);
        }
        let fail = |e: kernelsmith_core::LayoutError| CpuKernelError(e.to_string());
        let turn = |l: &Leaf| Ok(Leaf::new(l.dtype, l.layout.permute(&axes).map_err(fail)?));
        let inputs = p.inputs.iter().map(turn).collect::<Result<Vec<_>, CpuKernelError>>()?;
        let turned: Vec<usize> = axes.iter().map(|a| shape[*a]).collect();
        let expr = p.expr.replace(&|leaf| match leaf {
            Expr::Index(d) => Expr::Index(axes.iter().position(|a| a == d).unwrap_or(*d)),
            other => other.clone(),
        });
        // The epilogue reads its inputs at the first inner position.
        let first = |l: &Leaf| {
            let layout = Layout::strided(&shape[..outer], &l.layout.strides()[..outer], l.layout.offset());
            Ok(Leaf::new(l.dtype, layout.map_err(fail)?))
        };
        let firsts = p.inputs.iter().map(first).collect::<Result<Vec<_>, CpuKernelError>>()?;
        let outer_space = Space::new(&shape[..outer]);
        Ok(Plan {
            checks,
            kind: p.kind,
            prologue: Evaluator::new(&expr, Space::new(&turned), &inputs),
            out: outer_space.access(p.out.dtype, &p.out.layout),
            epilogue: Evaluator::new(&p.post, outer_space, &firsts),
            inner: p.inner_len(),
            outer: p.outer_len(),
            columns: columns.then(|| shape[outer - 1]),
            double: problem.arithmetic() == DType::F64,
            level,
        })
    }

    fn cut(&self) -> Cut {
        let step = match self.columns {
            None => CHUNK,
            Some(columns) => (CHUNK / columns.min(WIDTH)).next_multiple_of(GROUP),
        };
        Cut { chunks: self.inner.div_ceil(step), step: step.min(self.inner) }
    }
}

/// Whether the inputs' neighbours lie along the last outer dimension.
fn reads_columns(p: &ReduceProblem) -> bool {
    let (outer, rank) = (p.outer, p.shape().len());
    if outer == 0 || outer == rank {
        return false;
    }
    let reach = |d: usize| -> usize {
        // What is read nowhere else than at one place does not matter.
        p.inputs.iter().map(|l| l.layout.strides()[d].unsigned_abs().min(64)).sum()
    };
    p.shape()[outer - 1] >= 4 && reach(outer - 1) < reach(rank - 1)
}

pub fn run(call: &mut CpuCall<'_>) -> Result<(), CpuKernelError> {
    let problem: &ReduceProblem = operands::problem(call, "reduce")?;
    let plan = prepared::plan(call.problem, || Plan::new(problem, Level::best()))?;
    let buffers = plan.checks.buffers(call)?;
    let (threads, block) = (launch::threads(call), launch::parameter(call, "BLOCK", 4096));
    let cut = plan.cut();
    scratch::with::<f64, ()>(2 * plan.outer * cut.chunks, |room| {
        // Values of chunk 0 of every output, of chunk 1, …; then the positions in the same order.
        let (values, positions) = room.split_at_mut(plan.outer * cut.chunks);
        let partial = Partial { values: Shared::new(values), positions: Shared::new(positions) };
        if plan.double {
            plan.reduce::<f64>(&buffers, &cut, threads, block, &partial);
        } else {
            plan.reduce::<f32>(&buffers, &cut, threads, block, &partial);
        }
        plan.finish(&buffers, &cut, threads, &partial);
    });
    Ok(())
}

/// Results of chunks.
struct Partial<'a> {
    values: Shared<'a, f64>,
    positions: Shared<'a, f64>,
}

impl Plan {
    fn reduce<N: Stored>(&self, buffers: &Buffers, cut: &Cut, threads: usize, block: usize, partial: &Partial) {
        let Some(columns) = self.columns else {
            if self.inner > block / 2 {
                return launch::share(threads, self.outer * cut.chunks, CHUNK / cut.step, &|from, to| {
                    (from..to).for_each(|unit| self.long::<N>(buffers, cut, block, unit, partial));
                });
            }
            // Several short reductions in one block.
            let group = block / self.inner;
            return launch::share(threads, self.outer.div_ceil(group), CHUNK / block, &|from, to| {
                (from..to).for_each(|unit| self.short::<N>(buffers, group, unit, partial));
            });
        };
        let bands = columns.div_ceil(WIDTH);
        let units = self.outer / columns * cut.chunks * bands;
        let points = cut.step * columns.min(WIDTH);
        launch::share(threads, units, CHUNK / points.max(1), &|from, to| {
            (from..to).for_each(|unit| self.down::<N>(buffers, cut, block, (columns, bands), unit, partial));
        });
    }

    /// One chunk of one reduction.
    fn long<N: Stored>(&self, buffers: &Buffers, cut: &Cut, block: usize, unit: usize, partial: &Partial) {
        let (output, chunk) = (unit / cut.chunks, unit % cut.chunks);
        let first = chunk * cut.step;
        let last = self.inner.min(first + cut.step);
        let mut running = Running { at: first as f64, ..Running::new(self.kind) };
        self.walk::<N>(buffers, block, output * self.inner + first..output * self.inner + last, &mut |start, run| {
            running.take(self.level, self.kind, start - output * self.inner, run);
        });
        let at = chunk * self.outer + output;
        // SAFETY: each unit has an element of its own.
        unsafe {
            partial.values.set(at, running.value);
            partial.positions.set(at, running.at);
        }
    }

    /// A group of short reductions.
    fn short<N: Stored>(&self, buffers: &Buffers, group: usize, unit: usize, partial: &Partial) {
        let (from, to) = (unit * group, self.outer.min((unit + 1) * group));
        self.walk::<N>(buffers, group * self.inner, from * self.inner..to * self.inner, &mut |start, run| {
            for (i, x) in run.chunks_exact(self.inner).enumerate() {
                let mut running = Running::new(self.kind);
                running.take(self.level, self.kind, 0, x);
                let at = start / self.inner + i;
                // SAFETY: each reduction has an element of its own.
                unsafe {
                    partial.values.set(at, running.value);
                    partial.positions.set(at, running.at);
                }
            }
        });
    }

    /// One chunk of rows of one band of columns.
    fn down<N: Stored>(
        &self,
        buffers: &Buffers,
        cut: &Cut,
        block: usize,
        (columns, bands): (usize, usize),
        unit: usize,
        partial: &Partial,
    ) {
        let (band, rest) = (unit % bands, unit / bands);
        let (chunk, prefix) = (rest % cut.chunks, rest / cut.chunks);
        let (left, width) = (band * WIDTH, WIDTH.min(columns - band * WIDTH));
        let (top, bottom) = (chunk * cut.step, self.inner.min((chunk + 1) * cut.step));
        let max = matches!(self.kind, ReduceKind::Max | ReduceKind::ArgMax);
        let start = |row: usize| (prefix * self.inner + row) * columns + left;
        scratch::with::<N, ()>(2 * width, |room| {
            let (total, part) = room.split_at_mut(width);
            let sums = self.kind == ReduceKind::Sum;
            total.fill(if sums { N::ZERO } else { worst::<N>(max) });
            scratch::with::<u32, ()>(width, |at| {
                at.fill(top as u32);
                for group in (top..bottom).step_by(GROUP) {
                    let end = bottom.min(group + GROUP);
                    let into: &mut [N] = if sums { &mut part[..] } else { &mut total[..] };
                    if sums {
                        into.fill(N::ZERO);
                    }
                    if width == columns {
                        self.walk::<N>(buffers, block.max(width), start(group)..start(end), &mut |first, run| {
                            let row = first / columns - prefix * self.inner;
                            take_rows(self.level, self.kind, (&mut *into, &mut *at), run, row);
                        });
                    } else {
                        for row in group..end {
                            let range = start(row)..start(row) + width;
                            self.walk::<N>(buffers, WIDTH, range, &mut |_, run| {
                                take_rows(self.level, self.kind, (&mut *into, &mut *at), run, row);
                            });
                        }
                    }
                    if sums {
                        take_rows(self.level, self.kind, (&mut *total, &mut *at), part, 0);
                    }
                }
                let to = chunk * self.outer + prefix * columns + left;
                for j in 0..width {
                    // SAFETY: each unit has columns of its own.
                    unsafe {
                        partial.values.set(to + j, total[j].into());
                        partial.positions.set(to + j, f64::from(at[j]));
                    }
                }
            });
        });
    }

    /// Calls `take(first point, numbers)` with the prologue's results over a range of points. A
    /// block is whole rows of the space where `block` is at least one.
    fn walk<N: Stored>(
        &self,
        buffers: &Buffers,
        block: usize,
        range: std::ops::Range<usize>,
        take: &mut dyn FnMut(usize, &[N]),
    ) {
        let (evaluator, space) = (&self.prologue, &self.prologue.space);
        let size = block.min(range.len()).next_multiple_of(16);
        scratch::with::<N, ()>((evaluator.blocks() + 1) * size, |room| {
            let spare = room.as_mut_ptr();
            let mut start = range.start;
            while start < range.end {
                let n = space.cut(start, range.end, block);
                let place = space.place(start, n);
                // SAFETY: the buffers were checked; there is room for one block more than the
                // evaluator needs, each as long as the longest place.
                let run = unsafe {
                    let room = (spare.add(size), size);
                    let value = Values::One(N::ZERO);
                    match evaluator.evaluate(self.level, &buffers.inputs, &place, value, room, None) {
                        Values::Run(x) => std::slice::from_raw_parts(x, n),
                        Values::One(x) => {
                            let all = std::slice::from_raw_parts_mut(spare, n);
                            all.fill(x);
                            all
                        }
                    }
                };
                take(start, run);
                start += n;
            }
        });
    }

    /// Joins the chunks of every output, in order, and stores what the epilogue makes of it.
    fn finish(&self, buffers: &Buffers, cut: &Cut, threads: usize, partial: &Partial) {
        const BLOCK: usize = 512;
        launch::share(threads, self.outer, CHUNK, &|from, to| {
            let mut start = from;
            let mut joined = [0.0; BLOCK];
            while start < to {
                let n = self.epilogue.space.cut(start, to, BLOCK);
                for (j, x) in joined[..n].iter_mut().enumerate() {
                    let mut running = Running::new(self.kind);
                    for chunk in 0..cut.chunks {
                        let at = chunk * self.outer + start + j;
                        // SAFETY: phase one is over: nobody writes these any more.
                        let next = unsafe { Running { value: partial.values.get(at), at: partial.positions.get(at) } };
                        if chunk == 0 { running = next } else { running.join(self.kind, next) }
                    }
                    *x = if self.kind.is_position() { running.at } else { running.value };
                }
                // A position may be beyond what f32 holds exactly.
                if self.double || self.kind.is_position() {
                    self.store::<f64>(buffers, start, &joined[..n]);
                } else {
                    self.store::<f32>(buffers, start, &joined[..n]);
                }
                start += n;
            }
        });
    }

    /// The epilogue over outputs from number `start` on, and their stores.
    fn store<N: Stored>(&self, buffers: &Buffers, start: usize, results: &[f64]) {
        let (evaluator, n) = (&self.epilogue, results.len());
        let place = evaluator.space.place(start, n);
        let size = n.next_multiple_of(16);
        scratch::with::<N, ()>((evaluator.blocks() + 2) * size, |room| {
            let (values, rest) = room.split_at_mut(size);
            let (spare, rest) = rest.split_at_mut(size);
            values.iter_mut().zip(results).for_each(|(v, r)| *v = N::of(*r));
            // SAFETY: the buffers were checked; the rooms hold `n` numbers each; pieces are
            // disjoint, so nobody else writes this place.
            unsafe {
                let (value, room) = (Values::Run(values.as_ptr()), (rest.as_mut_ptr(), size));
                let found = evaluator.evaluate(self.level, &buffers.inputs, &place, value, room, None);
                let from = match found {
                    Values::Run(x) => x,
                    Values::One(x) => {
                        spare.fill(x);
                        spare.as_ptr()
                    }
                };
                evaluator.space.write(self.level, &self.out, from, &place, buffers.output);
            }
        });
    }
}
