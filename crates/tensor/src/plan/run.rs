//! Running a plan: buffers from the pool, launches in order, temporaries given back in order.

use super::graph::Graph;
use super::{Plan, Slot, Step};
use crate::device::Device;
use crate::error::Result;
use kernelsmith_device::{Buffer, Executable};
use std::collections::HashMap;
use std::sync::Arc;

/// Launches with their buffers, ready to be captured.
#[derive(Default)]
pub(crate) struct Launches(pub Vec<(Arc<Executable>, Vec<Buffer>)>);

/// The operands of a step: what it reads, then what it writes.
fn operands(graph: &Graph, step: &Step, slots: &[Option<Buffer>]) -> Result<Vec<Buffer>> {
    let mut out = Vec::with_capacity(step.reads.len() + 1);
    for read in &step.reads {
        let Some(buffer) = &slots[read.slot] else { continue };
        let moved = read.edge.map_or(0, |e| graph.edges[e].base);
        let base = (read.base + moved) * read.element;
        out.push(if base == 0 { buffer.clone() } else { buffer.slice(base, buffer.bytes() - base)? });
    }
    out.extend(slots[step.writes].clone());
    Ok(out)
}

fn sources(graph: &Graph, plan: &Plan) -> Vec<Option<Buffer>> {
    plan.slots.iter().map(|s| s.source.and_then(|item| graph.items[item].node.buffer().cloned())).collect()
}

/// Makes the buffer of a slot, or of what it is a piece of, where there is none yet.
fn provide(
    plan: &Plan,
    slots: &mut [Option<Buffer>],
    slot: usize,
    alloc: &mut dyn FnMut(usize) -> Result<Buffer>,
) -> Result<Buffer> {
    if let Some(buffer) = &slots[slot] {
        return Ok(buffer.clone());
    }
    let buffer = match plan.slots[slot].inside {
        Some(inside) => provide(plan, slots, inside.slot, alloc)?.slice(inside.offset, plan.slots[slot].bytes)?,
        None => alloc(slot)?,
    };
    slots[slot] = Some(buffer.clone());
    Ok(buffer)
}

/// Launches every step and hands the results to the nodes that were asked for.
pub(super) fn run(graph: &Graph, plan: &Plan, device: &Device) -> Result<()> {
    let mut slots = sources(graph, plan);
    for (i, step) in plan.steps.iter().enumerate() {
        provide(plan, &mut slots, step.writes, &mut |slot| Ok(device.0.raw.alloc(plan.slots[slot].bytes)?))?;
        device.0.dispatcher.run(&device.0.queue, &step.problem, &operands(graph, step, &slots)?)?;
        // The pool hands the memory out again in the queue's order.
        for read in &step.reads {
            if plan.slots[read.slot].last_read == Some(i) {
                slots[read.slot] = None;
            }
        }
    }
    fulfil(graph, plan, slots, device)
}

fn fulfil(graph: &Graph, plan: &Plan, slots: Vec<Option<Buffer>>, device: &Device) -> Result<()> {
    for (item, slot) in graph.roots.iter().zip(&plan.roots) {
        let buffer = match &slots[*slot] {
            Some(buffer) => buffer.clone(),
            // An empty tensor, which no step wrote.
            None => device.0.raw.alloc(plan.slots[*slot].bytes)?,
        };
        graph.items[*item].node.fulfil(buffer);
    }
    Ok(())
}

/// Resolves every step's executable and buffers without launching. Temporaries share memory as
/// they do when a plan runs. The nodes that were asked for get their buffers, which hold nothing
/// before the launches have run.
pub(super) fn record(graph: &Graph, plan: &Plan, device: &Device) -> Result<Launches> {
    let mut slots = sources(graph, plan);
    let mut free: HashMap<usize, Vec<Buffer>> = HashMap::new();
    let mut launches = Vec::with_capacity(plan.steps.len());
    for (i, step) in plan.steps.iter().enumerate() {
        provide(plan, &mut slots, step.writes, &mut |slot| {
            let Slot { bytes, last_read, .. } = plan.slots[slot];
            let reused = if last_read.is_none() { None } else { free.get_mut(&bytes).and_then(Vec::pop) };
            reused.map_or_else(|| Ok(device.0.raw.alloc(bytes)?), Ok)
        })?;
        launches.push((device.0.dispatcher.executable(&step.problem)?, operands(graph, step, &slots)?));
        for read in &step.reads {
            let slot = &plan.slots[read.slot];
            if slot.last_read == Some(i)
                && let Some(buffer) = slots[read.slot].take()
                && slot.source.is_none()
                && slot.inside.is_none()
            {
                free.entry(slot.bytes).or_default().push(buffer);
            }
        }
    }
    fulfil(graph, plan, slots, device)?;
    Ok(Launches(launches))
}
