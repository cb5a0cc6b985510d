//! An executable: one candidate made ready for one problem on one device.

use crate::cpu::kernel::{CpuCall, CpuEntry};
#[cfg(feature = "cuda")]
use crate::cuda;
use crate::dataflow::{Access, Region, Settled};
use crate::device::{Backend, Buffer, Device};
use crate::error::{DeviceError, Result};
use crate::queue::Queue;
#[cfg(feature = "portable")]
use crate::wgpu;
use kernelsmith_core::{Problem, Role};
use kernelsmith_kernels::render::{self, hex};
use kernelsmith_kernels::{Candidate, Catalogue, Target, Variant};
use sha2::{Digest, Sha256};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};

/// A launch of fixed operands, again and again.
pub type BareLaunch<'a> = Box<dyn FnMut() -> Result<()> + 'a>;

/// A candidate that can be launched.
pub struct Executable {
    candidate: Candidate,
    problem: Problem,
    deterministic: bool,
    source_hash: String,
    /// Bytes that each operand's buffer must have.
    operand_bytes: Vec<usize>,
    // Dropped before the device that it belongs to.
    body: Body,
    device: Device,
}

enum Body {
    Cpu(&'static CpuEntry),
    #[cfg(feature = "cuda")]
    Cuda(cuda::CudaProgram),
    #[cfg(feature = "cuda")]
    CublasLt(cuda::CublasLtProduct),
    #[cfg(feature = "portable")]
    Wgpu(wgpu::WgpuProgram),
}

/// The hash that makes an entry of the tuned table stale when what it measured changes: rendered
/// source and the manifest's launches, a vendor library's name and version, or the text of a CPU
/// kernel (whose vendor's version is in the device's facts).
pub fn source_hash(
    catalogue: &Catalogue,
    variant: &Variant,
    candidate: &Candidate,
    problem: &Problem,
    device: &Device,
) -> Result<String> {
    match variant.target {
        Target::Cuda if variant.source.contains('.') => {
            let rendered = render::cuda(catalogue, variant, &candidate.config, problem, device.facts())?;
            Ok(variant.source_hash(&rendered))
        }
        Target::Wgsl => {
            let portable = render::wgsl::wgsl(catalogue, variant, &candidate.config, problem, device.facts())?;
            Ok(variant.source_hash(&portable.rendered))
        }
        #[cfg(feature = "cuda")]
        Target::Cuda => {
            let version = match &device.0.backend {
                Backend::Cuda(d) if variant.source == "cublaslt" => d.cublaslt_version(),
                _ => None,
            };
            let version = version.map_or_else(|| "no version".to_string(), |v| v.to_string());
            Ok(hex(&Sha256::digest(format!("{} {version}", variant.source))))
        }
        _ => {
            let text = crate::cpu::kernel::find(&variant.source).map_or(variant.source.as_str(), |e| e.source);
            Ok(hex(&Sha256::digest(text.as_bytes())))
        }
    }
}

impl Executable {
    /// Checks capability, renders, compiles (or takes from the cache) and loads a candidate.
    ///
    /// # Errors
    /// A config or problem that the variant does not take, a compiler's error with its log, a
    /// registered name that does not exist, too little memory for scratch.
    pub fn prepare(
        device: &Device,
        catalogue: &Catalogue,
        candidate: &Candidate,
        problem: &Problem,
    ) -> Result<Executable> {
        let variant = catalogue.admit(candidate, problem, device.facts())?;
        let body = match &device.0.backend {
            Backend::Cpu => {
                let entry = crate::cpu::kernel::find(&variant.source).ok_or_else(|| DeviceError::NotOffered {
                    what: candidate.to_string(),
                    reason: format!("no Rust function is registered as `{}`", variant.source),
                })?;
                Body::Cpu(entry)
            }
            #[cfg(feature = "cuda")]
            Backend::Cuda(d) if variant.source.contains('.') => {
                Body::Cuda(d.program(device, catalogue, &variant, candidate, problem)?)
            }
            #[cfg(feature = "cuda")]
            Backend::Cuda(d) if variant.source == "cublaslt" => Body::CublasLt(d.cublaslt(candidate, problem)?),
            #[cfg(feature = "portable")]
            Backend::Wgpu(d) => Body::Wgpu(d.program(device, catalogue, &variant, candidate, problem)?),
            #[cfg(feature = "cuda")]
            Backend::Cuda(_) => {
                return Err(DeviceError::NotOffered {
                    what: candidate.to_string(),
                    reason: format!("no library is known as `{}`", variant.source),
                });
            }
        };
        Ok(Executable {
            candidate: candidate.clone(),
            problem: problem.clone(),
            deterministic: variant.deterministic,
            source_hash: source_hash(catalogue, &variant, candidate, problem, device)?,
            operand_bytes: problem.operands().iter().map(|o| o.bytes()).collect(),
            device: device.clone(),
            body,
        })
    }

    pub fn candidate(&self) -> &Candidate {
        &self.candidate
    }

    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// Whether the manifest says that repeated runs give the same bits.
    pub fn is_deterministic(&self) -> bool {
        self.deterministic
    }

    /// Whether a launch may start before the one ahead of it has ended.
    pub fn overlaps(&self) -> bool {
        match &self.body {
            #[cfg(feature = "cuda")]
            Body::Cuda(program) => program.overlaps(),
            _ => false,
        }
    }

    pub fn source_hash(&self) -> &str {
        &self.source_hash
    }

    /// What a vendor's library says of its algorithm that explains an error beyond the problem's bound.
    pub fn remark(&self) -> Option<&'static str> {
        match &self.body {
            #[cfg(feature = "cuda")]
            Body::CublasLt(p) => p.remark(),
            _ => None,
        }
    }

    /// Registers and other facts from the compiler's log, where there is one.
    pub fn compiler_log(&self) -> &str {
        match &self.body {
            Body::Cpu(_) => "",
            #[cfg(feature = "cuda")]
            Body::Cuda(p) => p.log(),
            #[cfg(feature = "cuda")]
            Body::CublasLt(_) => "",
            #[cfg(feature = "portable")]
            Body::Wgpu(_) => "",
        }
    }

    /// Checks the buffers for a launch: count, device, sizes, and that the output is no input.
    pub fn check(&self, operands: &[Buffer]) -> Result<()> {
        let fail =
            |index: usize, reason: String| DeviceError::Operand { what: self.candidate.to_string(), index, reason };
        if operands.len() != self.operand_bytes.len() {
            return Err(fail(
                operands.len(),
                format!("{} operands were given, expected {}", operands.len(), self.operand_bytes.len()),
            ));
        }
        for (i, (buffer, need)) in operands.iter().zip(&self.operand_bytes).enumerate() {
            if !Arc::ptr_eq(&buffer.device().0, &self.device.0) {
                return Err(fail(i, format!("it is on {}, the kernel on {}", buffer.device().id(), self.device.id())));
            }
            if buffer.bytes() < *need {
                return Err(fail(i, format!("it has {} bytes, expected at least {need}", buffer.bytes())));
            }
        }
        let (output, inputs) = operands.split_last().ok_or_else(|| fail(0, "there are no operands".to_string()))?;
        if let Some(i) = inputs.iter().position(|b| b.overlaps(output)) {
            return Err(fail(i, "it overlaps the output".to_string()));
        }
        Ok(())
    }

    /// Fills the workspace of its own, where it has one: a launch that reads there what an earlier
    /// one left is then told from one that does not.
    pub fn poison(&self, queue: &Queue, byte: u8) -> Result<()> {
        match &self.body {
            #[cfg(feature = "cuda")]
            Body::Cuda(program) => program.workspace().map_or(Ok(()), |workspace| queue.fill(workspace, byte)),
            #[cfg(feature = "portable")]
            Body::Wgpu(program) => program.workspace().map_or(Ok(()), |workspace| queue.fill(workspace, byte)),
            _ => {
                let _ = (queue, byte);
                Ok(())
            }
        }
    }

    /// The memory that a launch on `operands` touches. Scratch counts as written.
    pub(crate) fn access(&self, operands: &[Buffer]) -> Access {
        let region = |(b, n): (&Buffer, &usize)| Region { from: b.address(), to: b.address() + *n as u64 };
        let mut regions: Vec<Region> = operands.iter().zip(&self.operand_bytes).map(region).collect();
        let mut writes: Vec<Region> = regions.pop().into_iter().collect();
        match &self.body {
            Body::Cpu(_) => {}
            #[cfg(feature = "cuda")]
            Body::Cuda(program) => writes.extend(program.scratch()),
            #[cfg(feature = "portable")]
            Body::Wgpu(program) => writes.extend(program.scratch()),
            #[cfg(feature = "cuda")]
            Body::CublasLt(_) => {
                if let Backend::Cuda(d) = &self.device.0.backend {
                    writes.extend(d.cublaslt_workspace());
                }
            }
        }
        Access { reads: regions, writes }
    }

    /// Checks that a queue is of the device that this was prepared on.
    pub(crate) fn check_queue(&self, queue: &Queue) -> Result<()> {
        if Arc::ptr_eq(&queue.device().0, &self.device.0) {
            return Ok(());
        }
        let reason = format!("the queue is of another opening of {}", queue.device().id());
        Err(DeviceError::Launch { what: self.candidate.to_string(), reason })
    }

    /// Launches on `queue`. Operands are in the order of `problem.operands()`, the output last.
    pub fn launch(&self, queue: &Queue, operands: &[Buffer]) -> Result<()> {
        self.check_queue(queue)?;
        self.check(operands)?;
        self.launch_unchecked(queue, operands)
    }

    /// Launches operands that [`Executable::check`] has passed.
    pub(crate) fn launch_unchecked(&self, queue: &Queue, operands: &[Buffer]) -> Result<()> {
        operands.iter().for_each(|b| b.used_on(queue.id()));
        match (&self.body, &self.device.0.backend) {
            (Body::Cpu(entry), _) => self.run_cpu(entry, operands),
            #[cfg(feature = "cuda")]
            (_, Backend::Cuda(d)) => self.record(queue, d.stream(queue.id()), operands, Settled::NONE),
            #[cfg(feature = "portable")]
            (_, Backend::Wgpu(d)) => d.dispatch(&self.bind(d, operands)?),
            #[cfg(any(feature = "cuda", feature = "portable"))]
            _ => Err(self.fail("wrong device")),
        }
    }

    /// Launches on a stream of the queue's device: the queue's own, or the one that captures for it.
    #[cfg(feature = "cuda")]
    pub(crate) fn record(
        &self,
        queue: &Queue,
        stream: cuda::RawStream,
        operands: &[Buffer],
        settled: Settled,
    ) -> Result<()> {
        match (&self.body, &self.device.0.backend) {
            (Body::Cuda(program), Backend::Cuda(d)) => d.launch(queue.id(), stream, program, operands, settled),
            (Body::CublasLt(product), Backend::Cuda(d)) => d.launch_cublaslt(queue.id(), stream, product, operands),
            _ => Err(self.fail("wrong device")),
        }
    }

    /// The launches on operands that were checked, ready to be encoded.
    #[cfg(feature = "portable")]
    pub(crate) fn bind(&self, d: &wgpu::WgpuDevice, operands: &[Buffer]) -> Result<Vec<Arc<wgpu::Bound>>> {
        match &self.body {
            Body::Wgpu(program) => d.bind(program, operands),
            _ => Err(self.fail("wrong device")),
        }
    }

    fn fail(&self, reason: impl Into<String>) -> DeviceError {
        DeviceError::Launch { what: self.candidate.to_string(), reason: reason.into() }
    }

    /// The launch without look-up, checks or argument packing: the yardstick of the dispatch
    /// benchmark (`benches/dispatch.rs`). The closure launches on `operands` each time it is called.
    ///
    /// # Safety
    /// On the CPU it takes no turn: nothing else may use the device's memory while it runs.
    pub unsafe fn bare<'a>(&'a self, queue: &'a Queue, operands: &'a [Buffer]) -> Result<BareLaunch<'a>> {
        self.check(operands)?;
        let launch: BareLaunch<'a> = match (&self.body, &self.device.0.backend) {
            (Body::Cpu(entry), _) => {
                // SAFETY: the benchmark that calls this is the only user of the device while the
                // closure lives; the output's slice is used in one call at a time.
                let (inputs, output) = unsafe { self.slices(operands) }?;
                Box::new(move || self.call(entry, &inputs, output))
            }
            #[cfg(feature = "cuda")]
            (Body::Cuda(program), Backend::Cuda(d)) => d.bare(queue.id(), program, operands)?,
            #[cfg(any(feature = "cuda", feature = "portable"))]
            _ => Box::new(move || self.launch_unchecked(queue, operands)),
        };
        let _ = queue;
        Ok(launch)
    }

    /// The operands' memory on the CPU: the inputs, and the output.
    ///
    /// # Safety
    /// Nothing else may use the device's memory while the slices live. The operands have passed
    /// [`Executable::check`]: they are long enough, and the output is none of the inputs.
    #[allow(clippy::mut_from_ref)]
    unsafe fn slices<'a>(&self, operands: &'a [Buffer]) -> Result<(Vec<&'a [u8]>, &'a mut [u8])> {
        let (output, inputs) = operands.split_last().ok_or_else(|| self.fail("no operands"))?;
        // SAFETY: buffers outlive the borrow of `operands` and are this long; blocks are initialised.
        let slice = |(b, n): (&Buffer, &usize)| unsafe { std::slice::from_raw_parts(b.address() as *const u8, *n) };
        let inputs = inputs.iter().zip(&self.operand_bytes).map(slice).collect();
        let bytes = *self.operand_bytes.last().unwrap_or(&0);
        // SAFETY: as above; the caller vouches that it is the only user.
        Ok((inputs, unsafe { std::slice::from_raw_parts_mut(output.address() as *mut u8, bytes) }))
    }

    fn call(&self, entry: &CpuEntry, inputs: &[&[u8]], output: &mut [u8]) -> Result<()> {
        let mut call = CpuCall { problem: &self.problem, config: &self.candidate.config, inputs, output };
        (entry.run)(&mut call).map_err(|e| self.fail(e.0))
    }

    fn run_cpu(&self, entry: &CpuEntry, operands: &[Buffer]) -> Result<()> {
        let _turn = self.device.0.cpu_turn.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the turn keeps every other access to this device's memory out while the slices
        // live; callers have checked the operands.
        let (inputs, output) = unsafe { self.slices(operands) }?;
        catch_unwind(AssertUnwindSafe(|| self.call(entry, &inputs, output))).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| s.to_string()));
            Err(self.fail(format!("it panicked: {}", text.unwrap_or_default())))
        })
    }
}

/// Buffers for every operand of a problem, in order.
pub fn allocate_operands(device: &Device, problem: &Problem) -> Result<Vec<Buffer>> {
    debug_assert!(problem.operands().last().is_some_and(|o| o.role == Role::Output));
    problem.operands().iter().map(|o| device.alloc(o.bytes())).collect()
}
