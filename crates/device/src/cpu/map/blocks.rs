//! Element-wise work over blocks that stay in the first-level cache.
//!
//! Idea: the tree is compiled to a tape once for a problem; a launch runs it over blocks of BLOCK
//! points, each step one vector loop. Inputs that lie in order are read where they are, the last
//! step writes to the output; other dtypes and strides go through a block of numbers. The walk
//! follows the output's memory. THREADS share pieces of some 32 Ki points; less runs at once.
//!
//! Bound: memory, each array once (add of f32: 12 bytes a point); functions of a transcendental
//! kind some 10 instructions a vector.
//!
//! `smith bench map --problem shape=1048576,expr=add(x0,x1),x0=f32,x1=f32,out=f32 --candidate blocks`

use crate::cpu::evaluator::Evaluator;
use crate::cpu::kernel::{CpuCall, CpuKernelError};
use crate::cpu::launch::{self, Buffers, Checks};
use crate::cpu::space::{Access, Blocks, Space};
use crate::cpu::tape::convert::Stored;
use crate::cpu::tape::lane::Values;
use crate::cpu::tape::level::Level;
use crate::cpu::{operands, prepared, scratch};
use kernelsmith_core::ops::OpProblem;
use kernelsmith_core::ops::leaf::Leaf;
use kernelsmith_core::ops::map::MapProblem;
use kernelsmith_core::{DType, Expr};

/// Points that are worth another thread.
const GRAIN: usize = 1 << 15;

struct Plan {
    checks: Checks,
    evaluator: Evaluator,
    out: Access,
    double: bool,
    level: Level,
}

impl Plan {
    fn new(problem: &MapProblem, level: Level) -> Result<Plan, CpuKernelError> {
        let checks = Checks::new(problem.operands())?;
        let walked = along_output(problem)?.canonical();
        let space = Space::new(walked.shape());
        let out = space.access(walked.out.dtype, &walked.out.layout);
        let evaluator = Evaluator::new(&walked.expr, space, &walked.inputs);
        Ok(Plan { checks, evaluator, out, double: problem.arithmetic() == DType::F64, level })
    }
}

/// The same work with the dimensions in the order of the output's memory.
fn along_output(p: &MapProblem) -> Result<MapProblem, CpuKernelError> {
    let mut axes: Vec<usize> = (0..p.shape().len()).collect();
    axes.sort_by_key(|d| std::cmp::Reverse((p.out.layout.strides()[*d].unsigned_abs(), p.shape()[*d] > 1)));
    let turn = |l: &Leaf| {
        let layout = l.layout.permute(&axes).map_err(|e| CpuKernelError(e.to_string()))?;
        Ok::<_, CpuKernelError>(Leaf::new(l.dtype, layout))
    };
    let expr = p.expr.replace(&|leaf| match leaf {
        Expr::Index(d) => Expr::Index(axes.iter().position(|a| a == d).unwrap_or(*d)),
        other => other.clone(),
    });
    let inputs = p.inputs.iter().map(turn).collect::<Result<_, _>>()?;
    MapProblem::new(expr, inputs, turn(&p.out)?).map_err(|e| CpuKernelError(e.to_string()))
}

pub fn run(call: &mut CpuCall<'_>) -> Result<(), CpuKernelError> {
    let problem: &MapProblem = operands::problem(call, "map")?;
    let plan = prepared::plan(call.problem, || Plan::new(problem, Level::best()))?;
    let buffers = plan.checks.buffers(call)?;
    let (threads, block) = (launch::threads(call), launch::parameter(call, "BLOCK", 1024));
    if plan.double {
        plan.run::<f64>(&buffers, threads, block)
    } else {
        plan.run::<f32>(&buffers, threads, block)
    }
    Ok(())
}

impl Plan {
    fn run<N: Stored>(&self, buffers: &Buffers, threads: usize, block: usize) {
        if let Some(i) = self.copies() {
            return self.copy(self.evaluator.input(i), buffers, i, threads);
        }
        let (space, tape) = (&self.evaluator.space, &self.evaluator.tape);
        let turned = tape.inputs.iter().any(|i| space.is_turned(self.evaluator.input(*i)));
        let tiles = if turned { space.tiles(block) } else { None };
        let blocks = tiles.unwrap_or_else(|| space.blocks(block));
        let each = GRAIN / blocks.largest().max(1);
        launch::share(threads, blocks.count, each, &|from, to| self.piece::<N>(buffers, &blocks, from, to));
    }

    /// The input that the output is a plain copy of.
    fn copies(&self) -> Option<usize> {
        let i = self.evaluator.tape.is_input()?;
        let input = self.evaluator.input(i);
        (input.dtype == self.out.dtype && input.is_run() && self.out.is_run()).then_some(i)
    }

    fn copy(&self, input: &Access, buffers: &Buffers, i: usize, threads: usize) {
        let (size, len) = (input.dtype.bytes(), self.evaluator.space.len);
        launch::share(threads, len, GRAIN * 8, &|from, to| {
            // SAFETY: `buffers` were checked against layouts that hold the whole space as one run
            // from their offsets on; pieces are disjoint; the output is no input.
            unsafe {
                let source = buffers.inputs[i].add((input.offset() as usize + from) * size);
                let target = buffers.output.add((self.out.offset() as usize + from) * size);
                std::ptr::copy_nonoverlapping(source, target, (to - from) * size);
            }
        });
    }

    fn piece<N: Stored>(&self, buffers: &Buffers, blocks: &Blocks, from: usize, to: usize) {
        let (evaluator, level) = (&self.evaluator, self.level);
        let space = &evaluator.space;
        let block = blocks.largest().next_multiple_of(16);
        scratch::with::<N, ()>((evaluator.blocks() + 1) * block, |room| {
            let spare = room.as_mut_ptr();
            // SAFETY: there is room for one block more than the evaluator needs.
            let room = unsafe { spare.add(block) };
            for i in from..to {
                let place = space.place_of(blocks, i);
                let n = place.n;
                // SAFETY: the buffers were checked; blocks are disjoint places, so nobody else
                // writes this one's elements; the rooms hold the largest block.
                unsafe {
                    let direct = space.direct::<N>(&self.out, buffers.output, &place);
                    let target = direct.unwrap_or(spare);
                    let value = Values::One(N::ZERO);
                    let found = evaluator.evaluate(level, &buffers.inputs, &place, value, (room, block), Some(target));
                    let from = match found {
                        Values::One(x) => {
                            std::slice::from_raw_parts_mut(target, n).fill(x);
                            target.cast_const()
                        }
                        Values::Run(x) => x,
                    };
                    match direct {
                        Some(to) if from == to => {}
                        Some(to) => std::ptr::copy_nonoverlapping(from, to, n),
                        None => space.write(level, &self.out, from, &place, buffers.output),
                    }
                }
            }
        });
    }
}
