//! Queues, graphs and events. Work on one queue runs in order.

#[cfg(feature = "cuda")]
use crate::cuda;
use crate::dataflow::{self, Access, Place, Settled};
use crate::device::{Backend, Buffer, Device};
use crate::error::{DeviceError, Result};
use crate::executable::Executable;
#[cfg(feature = "portable")]
use crate::wgpu;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

/// Bytes on the CPU that one thread fills alone.
const FILL_ALONE: usize = 32 << 20;

/// A handle to a queue of a device.
#[derive(Clone)]
pub struct Queue {
    device: Device,
    id: u32,
}

/// A point in a queue, for timing. It keeps its device alive.
pub struct Event {
    // Dropped before the device that it belongs to.
    stamp: Stamp,
    _device: Device,
}

enum Stamp {
    Cpu(Instant),
    #[cfg(feature = "cuda")]
    Cuda(cuda::CudaEvent),
    #[cfg(feature = "portable")]
    Wgpu(wgpu::WgpuEvent),
}

/// Launches recorded once and replayed as a whole. It keeps its buffers alive.
pub struct Graph {
    // Dropped first: the captured graph before its buffers, those before the device.
    #[cfg(feature = "cuda")]
    cuda: Option<cuda::CudaGraph>,
    #[cfg(feature = "portable")]
    bound: Vec<Arc<wgpu::Bound>>,
    steps: Vec<Step>,
    recording: Recording,
    queue: u32,
    device: Device,
}

struct Step {
    executable: Arc<Executable>,
    operands: Vec<Buffer>,
}

/// What may be assumed of the launches of a graph.
#[derive(Clone, Copy, Default)]
struct Recording {
    /// Those whose memory does not touch may run side by side.
    overlapping: bool,
    /// Each one's first operand is taken as made by the one before, whether it is or not.
    dependent: bool,
}

impl Queue {
    pub(crate) fn default_of(device: &Device) -> Queue {
        Queue { device: device.clone(), id: 0 }
    }

    pub(crate) fn create(device: &Device) -> Result<Queue> {
        let id = match &device.0.backend {
            Backend::Cpu => 0,
            #[cfg(feature = "cuda")]
            Backend::Cuda(d) => d.create_stream()?,
            // A wgpu device has one queue.
            #[cfg(feature = "portable")]
            Backend::Wgpu(_) => 0,
        };
        Ok(Queue { device: device.clone(), id })
    }

    pub fn device(&self) -> &Device {
        &self.device
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Waits for everything submitted so far.
    pub fn synchronize(&self) -> Result<()> {
        match &self.device.0.backend {
            Backend::Cpu => Ok(()),
            #[cfg(feature = "cuda")]
            Backend::Cuda(d) => d.synchronize(self.id),
            #[cfg(feature = "portable")]
            Backend::Wgpu(d) => d.synchronize(),
        }
    }

    /// Checks a range, and notes the use of the buffer on this queue.
    fn claim(&self, buffer: &Buffer, offset: usize, bytes: usize, what: &str) -> Result<()> {
        if !Arc::ptr_eq(&buffer.device().0, &self.device.0) {
            return Err(DeviceError::Operand {
                what: what.to_string(),
                index: 0,
                reason: format!(
                    "the buffer is on another opening of {}, the queue on {}",
                    buffer.device().id(),
                    self.device.id()
                ),
            });
        }
        if offset.checked_add(bytes).is_none_or(|end| end > buffer.bytes()) {
            return Err(DeviceError::Operand {
                what: what.to_string(),
                index: 0,
                reason: format!("{bytes} bytes at {offset} do not fit a buffer of {}", buffer.bytes()),
            });
        }
        buffer.used_on(self.id);
        Ok(())
    }

    /// Copies host bytes to `offset` in a buffer and waits.
    pub fn write(&self, buffer: &Buffer, offset: usize, data: &[u8]) -> Result<()> {
        self.claim(buffer, offset, data.len(), "a write")?;
        let address = buffer.address() + offset as u64;
        match &self.device.0.backend {
            Backend::Cpu => {
                let _turn = self.device.0.cpu_turn.lock().unwrap_or_else(PoisonError::into_inner);
                // SAFETY: the range was checked against the buffer, which is alive; the turn
                // keeps every other access to device memory out; host and device memory differ.
                unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), address as *mut u8, data.len()) };
                Ok(())
            }
            #[cfg(feature = "cuda")]
            Backend::Cuda(d) => d.upload(self.id, address, data),
            #[cfg(feature = "portable")]
            Backend::Wgpu(d) => d.upload(address, data),
        }
    }

    /// Copies bytes at `offset` of a buffer to the host, after everything before it on the queue.
    pub fn read(&self, buffer: &Buffer, offset: usize, out: &mut [u8]) -> Result<()> {
        self.claim(buffer, offset, out.len(), "a read")?;
        let address = buffer.address() + offset as u64;
        match &self.device.0.backend {
            Backend::Cpu => {
                let _turn = self.device.0.cpu_turn.lock().unwrap_or_else(PoisonError::into_inner);
                // SAFETY: as in `write`; every byte of a block is initialised (allocated zeroed).
                unsafe { std::ptr::copy_nonoverlapping(address as *const u8, out.as_mut_ptr(), out.len()) };
                Ok(())
            }
            #[cfg(feature = "cuda")]
            Backend::Cuda(d) => d.download(self.id, address, out),
            #[cfg(feature = "portable")]
            Backend::Wgpu(d) => d.download(address, out),
        }
    }

    /// Sets every byte of a buffer.
    pub fn fill(&self, buffer: &Buffer, byte: u8) -> Result<()> {
        self.claim(buffer, 0, buffer.bytes(), "a fill")?;
        match &self.device.0.backend {
            Backend::Cpu => {
                let _turn = self.device.0.cpu_turn.lock().unwrap_or_else(PoisonError::into_inner);
                // SAFETY: exactly the buffer's bytes; the turn keeps other accesses out.
                let bytes = unsafe { std::slice::from_raw_parts_mut(buffer.address() as *mut u8, buffer.bytes()) };
                // Large ones on every core: a flush of the cache must not cost more than what it is
                // for. The threads end with it, so that none is about when something is timed.
                let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
                let part = bytes.len().div_ceil(threads).max(FILL_ALONE);
                std::thread::scope(|s| {
                    let (first, rest) = bytes.split_at_mut(part.min(bytes.len()));
                    rest.chunks_mut(part).for_each(|part| drop(s.spawn(move || part.fill(byte))));
                    first.fill(byte);
                });
                Ok(())
            }
            #[cfg(feature = "cuda")]
            Backend::Cuda(d) => d.fill(self.id, buffer.address(), buffer.bytes(), byte),
            #[cfg(feature = "portable")]
            Backend::Wgpu(d) => d.fill(buffer.address(), buffer.bytes(), byte),
        }
    }

    /// Marks this point of the queue.
    pub fn record(&self) -> Result<Event> {
        let stamp = match &self.device.0.backend {
            Backend::Cpu => Stamp::Cpu(Instant::now()),
            #[cfg(feature = "cuda")]
            Backend::Cuda(d) => Stamp::Cuda(d.record(self.id)?),
            #[cfg(feature = "portable")]
            Backend::Wgpu(d) => Stamp::Wgpu(d.record()?),
        };
        Ok(Event { stamp, _device: self.device.clone() })
    }

    /// Records launches into a graph. On CUDA one graph launch replays them all, through wgpu one
    /// submission. Launches of other threads meanwhile are not recorded.
    ///
    /// Operands that no launch of the graph writes may be read before the launches ahead have ended.
    pub fn capture(&self, launches: Vec<(Arc<Executable>, Vec<Buffer>)>) -> Result<Graph> {
        self.capture_as(launches, Recording::default())
    }

    /// [`Queue::capture`], but each launch's first operand counts as made by the launch before it. So a graph of
    /// the same launch many times over is timed like steps of a network, where weights are there and
    /// activations are waited for.
    pub fn capture_dependent(&self, launches: Vec<(Arc<Executable>, Vec<Buffer>)>) -> Result<Graph> {
        self.capture_as(launches, Recording { dependent: true, ..Recording::default() })
    }

    /// [`Queue::capture`], but launches whose memory does not touch may run side by side. What they
    /// leave behind is the same.
    pub fn capture_overlapping(&self, launches: Vec<(Arc<Executable>, Vec<Buffer>)>) -> Result<Graph> {
        self.capture_as(launches, Recording { overlapping: true, ..Recording::default() })
    }

    /// A graph once more, with other executables on the same operands: `swap` says which, and
    /// `None` keeps what there is.
    ///
    /// # Errors
    /// An executable of another problem; what capturing fails with.
    pub fn recapture(
        &self,
        graph: &Graph,
        mut swap: impl FnMut(&Executable) -> Option<Arc<Executable>>,
    ) -> Result<Graph> {
        let mut launches = Vec::with_capacity(graph.len());
        for step in &graph.steps {
            let executable = swap(&step.executable).unwrap_or_else(|| step.executable.clone());
            if !executable.problem().same_as(step.executable.problem()) {
                return Err(DeviceError::Launch {
                    what: executable.candidate().to_string(),
                    reason: format!(
                        "it computes {}, what it is to replace {}",
                        executable.problem(),
                        step.executable.problem()
                    ),
                });
            }
            launches.push((executable, step.operands.clone()));
        }
        self.capture_as(launches, graph.recording)
    }

    fn capture_as(&self, launches: Vec<(Arc<Executable>, Vec<Buffer>)>, recording: Recording) -> Result<Graph> {
        for (executable, operands) in &launches {
            executable.check_queue(self)?;
            executable.check(operands)?;
            operands.iter().for_each(|b| b.used_on(self.id));
        }
        let steps: Vec<Step> =
            launches.into_iter().map(|(executable, operands)| Step { executable, operands }).collect();
        #[cfg(feature = "cuda")]
        let cuda = match &self.device.0.backend {
            Backend::Cuda(d) => {
                let access: Vec<Access> = steps.iter().map(|s| s.executable.access(&s.operands)).collect();
                let settled = settled(&access, recording);
                Some(d.capture(&places(&access, recording), &mut |i, stream| {
                    steps[i].executable.record(self, stream, &steps[i].operands, settled[i])
                })?)
            }
            _ => None,
        };
        #[cfg(feature = "portable")]
        let bound = match &self.device.0.backend {
            Backend::Wgpu(d) => {
                let lists = steps.iter().map(|s| s.executable.bind(d, &s.operands));
                lists.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect()
            }
            _ => Vec::new(),
        };
        Ok(Graph {
            #[cfg(feature = "cuda")]
            cuda,
            #[cfg(feature = "portable")]
            bound,
            steps,
            recording,
            queue: self.id,
            device: self.device.clone(),
        })
    }

    /// Replays a graph.
    pub fn replay(&self, graph: &Graph) -> Result<()> {
        if !Arc::ptr_eq(&graph.device.0, &self.device.0) || graph.queue != self.id {
            return Err(DeviceError::Launch {
                what: "a graph".to_string(),
                reason: format!("it was captured on queue {} of {}", graph.queue, graph.device.id()),
            });
        }
        #[cfg(feature = "cuda")]
        if let (Backend::Cuda(d), Some(captured)) = (&self.device.0.backend, &graph.cuda) {
            return d.replay(self.id, captured);
        }
        #[cfg(feature = "portable")]
        if let Backend::Wgpu(d) = &self.device.0.backend {
            return d.replay(&graph.bound);
        }
        graph.steps.iter().try_for_each(|s| s.executable.launch_unchecked(self, &s.operands))
    }
}

/// Where the launches of a graph run.
#[cfg(feature = "cuda")]
fn places(access: &[Access], recording: Recording) -> Vec<Place> {
    if recording.overlapping {
        dataflow::schedule(access)
    } else {
        vec![Place { lane: 0, waits: Vec::new() }; access.len()]
    }
}

/// What each launch of a graph may read before those ahead of it have ended.
#[cfg(feature = "cuda")]
fn settled(access: &[Access], recording: Recording) -> Vec<Settled> {
    let of = |s: Settled| if recording.dependent { s.without(0) } else { s };
    dataflow::settled(access).into_iter().map(of).collect()
}

impl Graph {
    /// What is launched, in order.
    pub fn executables(&self) -> impl Iterator<Item = &Arc<Executable>> {
        self.steps.iter().map(|s| &s.executable)
    }

    /// Number of launches recorded.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

impl Event {
    /// Microseconds from `earlier` to this event; waits for this one.
    pub fn us_since(&self, earlier: &Event) -> Result<f64> {
        match (&self.stamp, &earlier.stamp) {
            (Stamp::Cpu(b), Stamp::Cpu(a)) => Ok(b.duration_since(*a).as_secs_f64() * 1e6),
            #[cfg(feature = "cuda")]
            (Stamp::Cuda(b), Stamp::Cuda(a)) => b.us_since(a),
            #[cfg(feature = "portable")]
            (Stamp::Wgpu(b), Stamp::Wgpu(a)) => match &self._device.0.backend {
                Backend::Wgpu(d) => d.us_between(a, b),
                _ => Err(DeviceError::Driver { call: "event", reason: "events of two devices".to_string() }),
            },
            #[cfg(any(feature = "cuda", feature = "portable"))]
            _ => Err(DeviceError::Driver { call: "event", reason: "events of two devices".to_string() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::DeviceId;
    use crate::executable::allocate_operands;
    use crate::pool::QueueSet;
    use kernelsmith_core::Problem;
    use kernelsmith_kernels::{Candidate, Catalogue, Target};

    #[test]
    fn an_event_keeps_its_device_alive() {
        let device = Device::open(DeviceId::Cpu).unwrap();
        let alive = Arc::downgrade(&device.0);
        let event = device.queue().record().unwrap();
        drop(device);
        assert!(alive.upgrade().is_some(), "the device went before its event");
        drop(event);
        assert!(alive.upgrade().is_none());
    }

    #[test]
    fn a_buffer_remembers_every_queue_that_used_it() {
        let device = Device::open(DeviceId::Cpu).unwrap();
        let queue = |id| Queue { device: device.clone(), id };
        let has = |b: &Buffer, ids: &[u32]| {
            assert_eq!(b.queues(), QueueSet(ids.iter().map(|q| QueueSet::of(*q).0).sum()));
        };
        let problem = Problem::parse("gemm", "m=2,n=2,k=2,dtype=f32").unwrap();
        let catalogue = Catalogue::builtin().unwrap();
        let variant = catalogue.variant("gemm", Target::Cpu, "blocked").unwrap();
        let config = variant.fallback(&problem, device.facts()).unwrap().unwrap();
        let candidate = Candidate { variant: "blocked".into(), config };
        let executable = Arc::new(Executable::prepare(&device, &catalogue, &candidate, &problem).unwrap());
        let operands = allocate_operands(&device, &problem).unwrap();
        operands.iter().for_each(|b| has(b, &[0]));
        queue(1).fill(&operands[0], 0).unwrap();
        has(&operands[0], &[0, 1]);
        executable.launch(&queue(2), &operands).unwrap();
        has(&operands[0], &[0, 1, 2]);
        has(&operands[2], &[0, 2]);
        drop(queue(3).capture(vec![(executable, operands.clone())]).unwrap());
        has(&operands[2], &[0, 2, 3]);
    }

    #[test]
    fn a_recaptured_graph_runs_other_executables_on_the_same_memory() {
        let device = Device::open(DeviceId::Cpu).unwrap();
        let catalogue = Catalogue::builtin().unwrap();
        let prepare = |name: &str, problem: &str| {
            let problem = Problem::parse("gemm", problem).unwrap();
            let variant = catalogue.variant("gemm", Target::Cpu, name).unwrap();
            let config = variant.fallback(&problem, device.facts()).unwrap().unwrap();
            let candidate = Candidate { variant: name.into(), config };
            Arc::new(Executable::prepare(&device, &catalogue, &candidate, &problem).unwrap())
        };
        let text = "m=2,n=2,k=2,dtype=f32";
        let (first, second) = (prepare("blocked", text), prepare("gemm_crate", text));
        let operands = allocate_operands(&device, first.problem()).unwrap();
        let queue = device.queue();
        for (operand, values) in operands.iter().zip([[1f32, 2.0, 3.0, 4.0], [1.0, 0.0, 0.0, 2.0]]) {
            queue.write(operand, 0, bytemuck::cast_slice(&values)).unwrap();
        }
        let graph = queue.capture(vec![(first, operands.clone())]).unwrap();
        let other = queue.recapture(&graph, |_| Some(second.clone())).unwrap();
        assert!(other.executables().all(|e| e.candidate().variant == "gemm_crate"));
        queue.replay(&other).unwrap();
        let mut got = [0f32; 4];
        queue.read(&operands[2], 0, bytemuck::cast_slice_mut(&mut got)).unwrap();
        assert_eq!(got, [1.0, 4.0, 3.0, 8.0]);
        let stranger = prepare("blocked", "m=2,n=2,k=3,dtype=f32");
        let refused = queue.recapture(&graph, |_| Some(stranger.clone())).err().unwrap().to_string();
        assert!(refused.contains("k=3") && refused.contains("k=2"), "{refused}");
    }
}
