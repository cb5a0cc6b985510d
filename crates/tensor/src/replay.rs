//! A step that runs again and again: traced and planned once, replayed as one device graph.

use crate::device::Device;
use crate::error::{Error, Result};
use crate::node::NodeOp;
use crate::plan;
use crate::tensor::Tensor;
use kernelsmith_core::ops::leaf::Leaf;
use kernelsmith_core::ops::map::MapProblem;
use kernelsmith_core::{Expr, Layout, Problem};
use kernelsmith_device::{Buffer, Executable, Graph, Queue};
use std::collections::HashMap;
use std::sync::Arc;

/// What a step makes of its state and inputs.
pub struct Traced {
    /// One tensor for each of the state's, of the same shape and dtype.
    pub state: Vec<Tensor>,
    pub outputs: Vec<Tensor>,
}

/// A recorded step. The state lives on the device and changes with every run; outputs can be read
/// after each.
///
/// Values that the closure reads on the host while it is traced (with `to_vec`, or as Rust
/// numbers) are what they were then: whatever must change from run to run is state or an input.
pub struct Replay {
    device: Device,
    graph: Graph,
    state: Vec<Tensor>,
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
    /// What the launches compute, and how many of them, in the order of the first.
    problems: Vec<(Problem, usize)>,
}

/// Launches of a replay that compute the same problem.
#[derive(Clone, Debug, PartialEq)]
pub struct Tally {
    pub op: &'static str,
    pub problem: String,
    pub launches: usize,
    /// The candidate that runs it, and why.
    pub candidate: String,
    pub why: String,
}

impl Replay {
    /// Traces `step` on copies of `state` and `inputs`, plans it, and records the launches. Nothing
    /// of the step is run yet.
    ///
    /// # Errors
    /// What `step` or planning fails with; a new state of another shape or dtype than the old one.
    pub fn record(
        device: &Device,
        state: &[Tensor],
        inputs: &[Tensor],
        step: impl FnOnce(&[Tensor], &[Tensor]) -> Result<Traced>,
    ) -> Result<Replay> {
        let own = |t: &Tensor| -> Result<Tensor> {
            let copy = t.duplicate()?;
            copy.realize()?;
            Ok(copy)
        };
        let state = state.iter().map(own).collect::<Result<Vec<_>>>()?;
        let inputs = inputs.iter().map(own).collect::<Result<Vec<_>>>()?;
        let traced = step(&state, &inputs)?;
        if traced.state.len() != state.len() {
            let reason = format!("{} new states for {}", traced.state.len(), state.len());
            return Err(Error::Invalid { op: "replay", reason });
        }
        for (old, new) in state.iter().zip(&traced.state) {
            if old.shape() != new.shape() || old.dtype() != new.dtype() {
                let shapes = vec![old.shape().to_vec(), new.shape().to_vec()];
                let expected = format!("the state's shape and dtype {} again", old.dtype());
                return Err(Error::Shape { op: "replay", shapes, expected });
            }
        }
        let roots: Vec<&Tensor> = traced.state.iter().chain(&traced.outputs).collect();
        let mut launches = plan::record(&roots)?.0;
        // New values leave for the old ones' places once everybody has read those.
        for (old, new) in state.iter().zip(&traced.state).filter(|(old, new)| !old.shares_buffer_with(new)) {
            launches.push(copy(device, new, old)?);
        }
        let problems = tally(launches.iter().map(|(executable, _)| executable.problem()));
        let graph = device.0.queue.capture_overlapping(launches)?;
        Ok(Replay { device: device.clone(), graph, state, inputs, outputs: traced.outputs, problems })
    }

    /// The recorded launches, and the queue that they run on: for who measures them where they are.
    pub fn graph(&self) -> (&Queue, &Graph) {
        (&self.device.0.queue, &self.graph)
    }

    /// Puts `inputs` in place and runs the step. Returns before the device is done.
    ///
    /// # Errors
    /// Inputs of another number, shape or dtype than those recorded with; what launching fails with.
    pub fn run(&self, inputs: &[Tensor]) -> Result<()> {
        if inputs.len() != self.inputs.len() {
            let reason = format!("{} inputs, recorded with {}", inputs.len(), self.inputs.len());
            return Err(Error::Invalid { op: "replay", reason });
        }
        for (own, given) in self.inputs.iter().zip(inputs) {
            if own.shape() != given.shape() || own.dtype() != given.dtype() {
                let shapes = vec![own.shape().to_vec(), given.shape().to_vec()];
                let expected = format!("what was recorded, in {}", own.dtype());
                return Err(Error::Shape { op: "replay", shapes, expected });
            }
            if own.shares_buffer_with(given) {
                continue;
            }
            given.realize()?;
            let (executable, operands) = copy(&self.device, given, own)?;
            executable.launch(&self.device.0.queue, &operands)?;
        }
        Ok(self.device.0.queue.replay(&self.graph)?)
    }

    /// The state after the last run.
    pub fn state(&self) -> &[Tensor] {
        &self.state
    }

    /// The outputs of the last run. The next run overwrites them.
    pub fn outputs(&self) -> &[Tensor] {
        &self.outputs
    }

    /// Number of launches that a run replays.
    pub fn launches(&self) -> usize {
        self.graph.len()
    }

    /// The problems that a run computes, each with its number of launches.
    ///
    /// # Errors
    /// A problem that no candidate takes any more.
    pub fn tally(&self) -> Result<Vec<Tally>> {
        let view = |(problem, launches): &(Problem, usize)| {
            let (candidate, why) = self.device.0.dispatcher.explain(problem)?;
            Ok(Tally { op: problem.op(), problem: problem.text(), launches: *launches, candidate, why })
        };
        self.problems.iter().map(view).collect()
    }
}

/// Equal problems together, in the order of the first of each.
fn tally<'a>(problems: impl Iterator<Item = &'a Problem>) -> Vec<(Problem, usize)> {
    let mut out: Vec<(Problem, usize)> = Vec::new();
    let mut places: HashMap<u64, Vec<usize>> = HashMap::new();
    for problem in problems {
        let list = places.entry(problem.fingerprint()).or_default();
        match list.iter().find(|at| out[**at].0.same_as(problem)) {
            Some(at) => out[*at].1 += 1,
            None => {
                list.push(out.len());
                out.push((problem.clone(), 1));
            }
        }
    }
    out
}

impl Tensor {
    /// A copy with a buffer of its own.
    pub(crate) fn duplicate(&self) -> Result<Tensor> {
        let op = NodeOp::Map { expr: Expr::Input(0), inputs: vec![self.clone()] };
        Tensor::lazy("duplicate", self.dtype(), self.shape(), self.device(), op)
    }
}

/// The launch that copies a computed tensor over another's buffer.
fn copy(device: &Device, from: &Tensor, to: &Tensor) -> Result<(Arc<Executable>, Vec<Buffer>)> {
    let missing = || Error::Invalid { op: "replay", reason: "a tensor without elements".to_string() };
    let (source, target) = (from.node().buffer().ok_or_else(missing)?, to.node().buffer().ok_or_else(missing)?);
    let out = Layout::contiguous(to.shape()).map_err(Error::layout("replay"))?;
    let leaf = |layout| Leaf::new(to.dtype(), layout);
    let problem = MapProblem::new(Expr::Input(0), vec![leaf(*from.layout())], leaf(out))?.canonical();
    Ok((device.0.dispatcher.executable(&Problem::new(problem))?, vec![source.clone(), target.clone()]))
}
