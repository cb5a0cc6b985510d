//! Input sets that launches rotate through, and what each output must be.

use super::HOT_SHARE;
use crate::secret;
use crate::work::Work;
use kernelsmith_core::inputs::Inputs;
use kernelsmith_core::ops::OracleBudget;
use kernelsmith_core::reference::Reference;
use kernelsmith_core::{HostArray, Operand, Problem};
use kernelsmith_device::{Buffer, Device, DeviceError, Executable, Queue};
use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// Sets at most: more would only cost memory for graph nodes.
const MAX_SETS: usize = 512;

/// Work of more operations for each byte of a set than this is not worth a rotation through a very
/// large cache, but this many sets and a flush.
const LONG_INTENSITY: f64 = 16.0;
const LONG_SETS: usize = 16;

/// Bytes of sets and flush together that are aimed at on a device with a very large cache.
const MOST_BYTES: usize = 1 << 30;

/// Elements of outputs that are kept with what they must be, 24 bytes each.
const MOST_KEPT: usize = 1 << 23;

/// Input sets that cold launches rotate through.
pub struct Sets {
    /// Set → step → operands.
    operands: Vec<Vec<Vec<Buffer>>>,
    /// Set → step → seeds of the input operands (0 where an operand is taken from an earlier step).
    seeds: Vec<Vec<Vec<u64>>>,
    /// What the output of a set must be, once it was asked for: inputs stay as they are.
    references: Vec<OnceLock<Reference>>,
    /// Elements of those.
    kept: AtomicUsize,
    work: Work,
    pub bytes: usize,
    /// Whether the sets together are twice the cache.
    pub(super) rotates: bool,
    /// Written before a cold sample where rotation is not enough; made on first use.
    flush: OnceLock<Buffer>,
    flush_bytes: usize,
}

impl Sets {
    /// Fresh random inputs: enough sets for cold timing, at least two.
    pub fn new(device: &Device, work: &Work) -> Result<Self, DeviceError> {
        let one = work.buffer_bytes();
        let goal = 2 * device.facts().l2_bytes.max(1) as usize;
        // A rotation of long launches is not covered by one sample, hence flushed: more sets would
        // only cost a large cache's worth of random numbers.
        let long = goal > MOST_BYTES / 2 && work.flops() > LONG_INTENSITY * one as f64;
        let most = if long { LONG_SETS } else { MAX_SETS };
        let count = goal.div_ceil(one.max(1)).clamp(2, most);
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get()).min(count);
        let some =
            |t: usize| (t..count).step_by(threads).map(|_| fill_set(device, work)).collect::<Result<Vec<_>, _>>();
        let filled: Vec<Result<Vec<FilledSet>, DeviceError>> = std::thread::scope(|s| {
            let handles: Vec<_> = (0..threads).map(|t| s.spawn(move || some(t))).collect();
            let join =
                |h: std::thread::ScopedJoinHandle<'_, _>| h.join().unwrap_or_else(|p| std::panic::resume_unwind(p));
            handles.into_iter().map(join).collect()
        });
        let (mut operands, mut seeds) = (Vec::new(), Vec::new());
        for (buffers, set_seeds) in filled.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten() {
            operands.push(buffers);
            seeds.push(set_seeds);
        }
        let bytes = one * count;
        let rotates = bytes >= goal;
        // Rotation has done most of it already: where memory is short, once the cache will do.
        let flush_bytes = if rotates { goal.min((goal / 2).max(MOST_BYTES.saturating_sub(bytes))) } else { goal };
        let references = (0..count).map(|_| OnceLock::new()).collect();
        Ok(Sets {
            operands,
            seeds,
            references,
            kept: AtomicUsize::new(0),
            work: work.clone(),
            bytes,
            rotates,
            flush: OnceLock::new(),
            flush_bytes,
        })
    }

    /// Overwrites the cache.
    pub(super) fn flush(&self, queue: &Queue) -> Result<(), DeviceError> {
        if self.flush.get().is_none() {
            let buffer = queue.device().alloc(self.flush_bytes)?;
            // Memory that was never written is slow the first time.
            queue.fill(&buffer, 0)?;
            let _ = self.flush.set(buffer);
        }
        self.flush.get().map_or(Ok(()), |buffer| queue.fill(buffer, secret::poison()))
    }

    pub fn len(&self) -> usize {
        self.operands.len()
    }

    pub fn is_empty(&self) -> bool {
        self.operands.is_empty()
    }

    pub fn is_flushed(&self) -> bool {
        !self.rotates
    }

    /// Overwrites every output, so that what a timed launch leaves is its own.
    pub fn poison(&self, queue: &Queue) -> Result<(), DeviceError> {
        let byte = secret::poison();
        let outputs = self.operands.iter().flatten().filter_map(|step| step.last());
        outputs.into_iter().try_for_each(|output| queue.fill(output, byte))
    }

    /// The input buffers of a set that are no step's output, with what was written to them.
    pub(crate) fn inputs(&self, set: usize) -> Vec<(Buffer, Operand, u64)> {
        let mut out = Vec::new();
        for (s, problem) in self.work.steps().iter().enumerate() {
            let (buffers, seeds) = (&self.operands[set][s], &self.seeds[set][s]);
            let inputs = problem.inputs().into_iter().zip(buffers.iter().cloned().zip(seeds.iter().copied()));
            out.extend(inputs.filter(|(_, (_, seed))| *seed != 0).map(|(o, (buffer, seed))| (buffer, o, seed)));
        }
        out
    }

    /// The name of an input of the set that is not what was written to it, if there is one.
    pub fn changed_input(&self, queue: &Queue, set: usize) -> Result<Option<String>, DeviceError> {
        for (buffer, operand, seed) in self.inputs(set) {
            let wrote = operand.fill(Inputs::Normal, seed);
            let mut now = HostArray::zeros(operand.dtype, wrote.len());
            queue.read(&buffer, 0, now.as_bytes_mut())?;
            if now.as_bytes() != wrote.as_bytes() {
                return Ok(Some(operand.name));
            }
        }
        Ok(None)
    }

    /// Writes the inputs of a set again.
    pub fn restore(&self, queue: &Queue, set: usize) -> Result<(), DeviceError> {
        for (buffer, operand, seed) in self.inputs(set) {
            queue.write(&buffer, 0, operand.fill(Inputs::Normal, seed).as_bytes())?;
        }
        Ok(())
    }

    /// The last step's output of a set.
    pub(crate) fn output(&self, set: usize) -> Option<&Buffer> {
        self.operands[set].last().and_then(|step| step.last())
    }

    pub fn work(&self) -> &Work {
        &self.work
    }

    /// The launches of one set.
    pub(crate) fn launches(&self, set: usize, steps: &[Arc<Executable>]) -> Vec<(Arc<Executable>, Vec<Buffer>)> {
        steps.iter().cloned().zip(self.operands[set].iter().cloned()).collect()
    }

    /// The launches of the first set, with another buffer for the last step's output.
    pub(super) fn launches_into(
        &self,
        output: &Buffer,
        steps: &[Arc<Executable>],
    ) -> Vec<(Arc<Executable>, Vec<Buffer>)> {
        let mut launches = self.launches(0, steps);
        if let Some(last) = launches.last_mut().and_then(|(_, operands)| operands.last_mut()) {
            *last = output.clone();
        }
        launches
    }

    /// Outputs for `launches` hot launches, one each while they are a small part of the cache.
    pub(super) fn hot_outputs(&self, device: &Device, launches: usize) -> Result<Vec<Buffer>, DeviceError> {
        let bytes = self.work.steps().last().map_or(0, |p| p.output().bytes()).max(1);
        let fit = device.facts().l2_bytes.max(1) as usize / HOT_SHARE / bytes;
        (0..launches.min(fit).max(1)).map(|_| device.alloc(bytes)).collect()
    }

    /// Keeps what a set's output must be, while there is room and it follows from the set alone.
    fn keep(&self, set: usize, reference: Reference) -> Cow<'_, Reference> {
        let elements = reference.positions.len();
        if self.work.is_chain() || self.kept.fetch_add(elements, Ordering::Relaxed) + elements > MOST_KEPT {
            return Cow::Owned(reference);
        }
        Cow::Borrowed(self.references[set].get_or_init(|| reference))
    }

    /// Checks what timed launches left in one set's outputs, each step on what it really read.
    /// `last` is where the last step's output went, if not to the set's own.
    pub fn check(&self, queue: &Queue, set: usize, last: Option<&Buffer>) -> Result<Result<(), String>, DeviceError> {
        let budget = OracleBudget { full_flops: 2e8, samples: 1024 };
        // What each step read and left, the output last.
        let mut held: Vec<Vec<HostArray>> = Vec::new();
        for (s, problem) in self.work.steps().iter().enumerate() {
            let inputs = problem.inputs();
            // A race asks for the same again and again, and the oracle takes far longer than a launch.
            let (reference, mut arrays) = match self.references[set].get() {
                Some(reference) => (Cow::Borrowed(reference), Vec::new()),
                None => {
                    let fill = |(o, seed): (&Operand, &u64)| o.fill(Inputs::Normal, *seed);
                    let mut arrays: Vec<HostArray> = inputs.iter().zip(&self.seeds[set][s]).map(fill).collect();
                    for link in self.work.links(s) {
                        arrays[link.operand] = start_of(&held[link.step][link.source], &inputs[link.operand]);
                    }
                    let refs: Vec<&HostArray> = arrays.iter().collect();
                    (self.keep(set, problem.reference(&refs, Inputs::Normal, budget)), arrays)
                }
            };
            let output = problem.output();
            let mut got = HostArray::zeros(output.dtype, output.layout.span());
            let own = self.operands[set][s].last();
            if let Some(buffer) = last.filter(|_| s + 1 == self.work.steps().len()).or(own) {
                queue.read(buffer, 0, got.as_bytes_mut())?;
            }
            let comparison = reference.compare(&got, &output.layout);
            if !comparison.passes() {
                return Ok(Err(format!(
                    "a timed launch left a wrong result: {}",
                    comparison.worst.unwrap_or_default()
                )));
            }
            arrays.push(got);
            held.push(arrays);
        }
        Ok(Ok(()))
    }
}

/// An operand that begins where `array` does.
fn start_of(array: &HostArray, operand: &Operand) -> HostArray {
    let mut out = HostArray::zeros(operand.dtype, operand.layout.span());
    let bytes = operand.bytes();
    out.as_bytes_mut().copy_from_slice(&array.as_bytes()[..bytes]);
    out
}

/// Step → operands, and step → seeds of the inputs.
type FilledSet = (Vec<Vec<Buffer>>, Vec<Vec<u64>>);

/// One set of fresh inputs.
fn fill_set(device: &Device, work: &Work) -> Result<FilledSet, DeviceError> {
    let (mut set, mut seeds): FilledSet = (Vec::new(), Vec::new());
    for (s, problem) in work.steps().iter().enumerate() {
        let taken = |i: usize| {
            let link = work.links(s).iter().find(|l| l.operand == i)?;
            Some(set[link.step][link.source].clone())
        };
        let (buffers, step_seeds) = fill_step(device, problem, &taken)?;
        set.push(buffers);
        seeds.push(step_seeds);
    }
    Ok((set, seeds))
}

/// Fresh inputs for one step, save those that it takes from earlier ones.
fn fill_step(
    device: &Device,
    problem: &Problem,
    taken: &dyn Fn(usize) -> Option<Buffer>,
) -> Result<(Vec<Buffer>, Vec<u64>), DeviceError> {
    let queue = device.queue();
    let (mut buffers, mut seeds) = (Vec::new(), Vec::new());
    for (i, operand) in problem.inputs().iter().enumerate() {
        if let Some(buffer) = taken(i) {
            buffers.push(buffer);
            seeds.push(0);
            continue;
        }
        let seed = secret::seed();
        let array = operand.fill(Inputs::Normal, seed);
        let buffer = device.alloc(operand.bytes())?;
        queue.write(&buffer, 0, array.as_bytes())?;
        buffers.push(buffer);
        seeds.push(seed);
    }
    buffers.push(device.alloc(problem.output().bytes())?);
    Ok((buffers, seeds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernelsmith_device::DeviceId;

    fn cpu() -> Device {
        Device::open(DeviceId::Cpu).unwrap()
    }

    #[test]
    fn what_a_chain_leaves_is_checked_step_by_step() {
        use kernelsmith_kernels::{Candidate, Catalogue};
        let device = cpu();
        let catalogue = Catalogue::builtin().unwrap();
        // A product, the first half of its result times the second, a product of that with the first one's A added.
        let text = "m=1,n=8,k=4,dtype=f32 > map shape=4,expr=mul(x0,x1),x0=f32,x1=f32@4:1,out=f32 with x1=1 > m=1,n=4,k=4,dtype=f32,beta=1.0 with c=1.a";
        let work = Work::parse("gemm", text).unwrap();
        let sets = Sets::new(&device, &work).unwrap();
        let prepare = |p: &Problem| {
            let variant = catalogue.capable(p, device.facts()).unwrap().0.remove(0);
            let config = variant.fallback(p, device.facts()).unwrap().unwrap();
            let candidate = Candidate { variant: variant.name.clone(), config };
            Arc::new(Executable::prepare(&device, &catalogue, &candidate, p).unwrap())
        };
        let steps: Vec<_> = work.steps().iter().map(prepare).collect();
        let queue = device.queue();
        sets.poison(&queue).unwrap();
        for (executable, operands) in sets.launches(0, &steps) {
            executable.launch(&queue, &operands).unwrap();
        }
        assert_eq!(sets.check(&queue, 0, None).unwrap(), Ok(()));
        assert_eq!(sets.changed_input(&queue, 0).unwrap(), None);
        // Each step's result is held to what it really read.
        let between = sets.launches(0, &steps)[1].1[2].clone();
        queue.fill(&between, 0).unwrap();
        assert!(sets.check(&queue, 0, None).unwrap().unwrap_err().contains("wrong result"));
    }

    #[test]
    fn rotation_is_twice_the_cache_or_the_cache_is_flushed() {
        let device = cpu();
        let cache = device.facts().l2_bytes as usize;
        for text in ["m=4,n=4,k=4,dtype=f32", "m=256,n=256,k=256,dtype=f32"] {
            let problem = Problem::parse("gemm", text).unwrap();
            let sets = Sets::new(&device, &Work::from(problem.clone())).unwrap();
            assert!(sets.len() >= 2);
            assert!(sets.bytes >= 2 * cache || sets.is_flushed(), "{text}: {} bytes", sets.bytes);
        }
    }
}
