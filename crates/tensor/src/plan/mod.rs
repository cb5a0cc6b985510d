//! Plans: the launches, copies and buffers that expressions need, printable before anything runs.
//!
//! `graph.rs` takes a snapshot of the nodes and a key; `fuse.rs` turns it into steps; `join.rs` lets
//! parts be computed where they are joined; `run.rs` allocates and launches; `show.rs` prints.

mod compose;
mod fuse;
mod graph;
mod join;
mod run;
mod show;

use crate::error::Result;
use crate::tensor::Tensor;
use graph::Graph;
use kernelsmith_core::Problem;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) use compose::compose;
pub(crate) use run::Launches;
pub use show::StepView;

/// Steps in the order they run in, over numbered buffers.
#[derive(Debug)]
pub struct Plan {
    pub(crate) steps: Vec<Step>,
    pub(crate) slots: Vec<Slot>,
    /// The slots of the tensors that were asked for, in order.
    pub(crate) roots: Vec<usize>,
    /// Reads that are views: no kernel, no copy.
    pub(crate) views: usize,
}

/// One launch.
#[derive(Debug)]
pub(crate) struct Step {
    pub problem: Problem,
    /// The buffers it reads, in the problem's order.
    pub reads: Vec<Read>,
    pub writes: usize,
    /// The methods that became this launch, in order.
    pub ops: Vec<&'static str>,
    /// Why it is a copy that only changes a layout, if it is.
    pub copy: Option<&'static str>,
}

/// A buffer that a step reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Read {
    pub slot: usize,
    /// The graph's edge whose base is added to the buffer's start; none for computed buffers.
    pub edge: Option<usize>,
    /// Elements from there to where the problem's layout begins: problems that differ only in
    /// where they begin are one.
    pub base: usize,
    /// Bytes of an element.
    pub element: usize,
}

/// A buffer of a plan.
#[derive(Debug)]
pub(crate) struct Slot {
    pub bytes: usize,
    /// The graph's item that holds the elements already.
    pub source: Option<usize>,
    /// The last step that reads it; none for what is asked for and for sources.
    pub last_read: Option<usize>,
    /// The buffer that it is a piece of.
    pub inside: Option<Inside>,
}

/// A piece of another slot's buffer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Inside {
    pub slot: usize,
    /// Bytes from its start.
    pub offset: usize,
}

/// Plans that were made, by the key of their graph.
#[derive(Default)]
pub(crate) struct PlanCache(Mutex<HashMap<(u64, u64), Arc<Plan>>>);

/// Plans kept at most; one more and all are forgotten, since a program that makes this many makes
/// a new one each time.
const MAX_PLANS: usize = 4096;

/// Checks devices and drops what is computed already.
fn pending<'a>(tensors: &[&'a Tensor]) -> Result<Vec<&'a Tensor>> {
    Tensor::same_device("realize", tensors)?;
    Ok(tensors.iter().copied().filter(|t| !t.is_realized()).collect())
}

fn prepare(tensors: &[&Tensor]) -> Result<(Graph, Arc<Plan>)> {
    let graph = Graph::of(tensors);
    let device = tensors[0].device();
    let lock = || device.0.plans.0.lock().unwrap_or_else(PoisonError::into_inner);
    let forbidden = device.copies_are_forbidden();
    let key = if forbidden { (!graph.key.0, graph.key.1) } else { graph.key };
    if let Some(plan) = lock().get(&key) {
        return Ok((graph, plan.clone()));
    }
    let plan = Arc::new(fuse::plan(&graph, forbidden)?);
    let mut plans = lock();
    if plans.len() >= MAX_PLANS {
        plans.clear();
    }
    plans.insert(key, plan.clone());
    Ok((graph, plan))
}

pub(crate) fn plan(tensors: &[&Tensor]) -> Result<Arc<Plan>> {
    let tensors = pending(tensors)?;
    if tensors.is_empty() {
        return Ok(Arc::new(Plan { steps: Vec::new(), slots: Vec::new(), roots: Vec::new(), views: 0 }));
    }
    Ok(prepare(&tensors)?.1)
}

pub(crate) fn realize(tensors: &[&Tensor]) -> Result<()> {
    let tensors = pending(tensors)?;
    if tensors.is_empty() {
        return Ok(());
    }
    let (graph, plan) = prepare(&tensors)?;
    run::run(&graph, &plan, tensors[0].device())
}

/// The launches that compute `tensors`, with every buffer in place, for a captured graph.
pub(crate) fn record(tensors: &[&Tensor]) -> Result<Launches> {
    let tensors = pending(tensors)?;
    if tensors.is_empty() {
        return Ok(Launches::default());
    }
    let (graph, plan) = prepare(&tensors)?;
    run::record(&graph, &plan, tensors[0].device())
}
