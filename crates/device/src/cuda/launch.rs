//! Loaded modules and launches: argument blocks are packed once; a launch fills in addresses.

use super::{CudaDevice, RawStream, check, compile};
use crate::dataflow::{Region, Settled};
use crate::device::{Buffer, Device};
use crate::error::{DeviceError, Result};
use cudarc::driver::sys;
use kernelsmith_core::{DType, Problem};
use kernelsmith_kernels::frame::Field;
use kernelsmith_kernels::geometry::{Arg, Launch, MatrixArg, Memory, TensorMap};
use kernelsmith_kernels::{Candidate, Catalogue, Variant, render};
use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::sync::{Arc, PoisonError};

/// Argument bytes of one launch at most.
const MAX_BYTES: usize = 2048;
/// Arguments of one launch at most.
const MAX_ARGS: usize = 32;
/// Shared memory that a kernel has without asking.
const SHARED_DEFAULT: u32 = 48 << 10;

/// Modules by source hash, so that problems with the same prelude share one.
#[derive(Default)]
pub(super) struct ModuleCache(HashMap<String, Arc<Module>>);

impl ModuleCache {
    pub(super) fn unload(&mut self) {
        self.0.clear();
    }
}

pub(super) struct Module {
    module: sys::CUmodule,
    log: String,
}

// SAFETY: a handle that the driver lets any thread use.
unsafe impl Send for Module {}
// SAFETY: as above; it is not changed after loading.
unsafe impl Sync for Module {}

impl Drop for Module {
    fn drop(&mut self) {
        // SAFETY: loaded by us, dropped once; a device that is gone makes this an ignored error.
        unsafe { sys::cuModuleUnload(self.module) };
    }
}

/// The launches of one candidate on one problem, ready to go.
pub struct CudaProgram {
    module: Arc<Module>,
    launches: Vec<Ready>,
    /// Alive as long as the program.
    scratch_memory: Scratch,
    name: String,
    /// The queue whose order protects the scratch.
    queue: Option<u32>,
}

struct Ready {
    function: sys::CUfunction,
    grid: [u32; 3],
    block: [u32; 3],
    cluster: Option<[u32; 3]>,
    shared: u32,
    overlap: bool,
    template: Vec<u8>,
    /// Where each argument starts in the template.
    offsets: Vec<usize>,
    patches: Vec<Patch>,
    flags: Vec<Flag>,
    maps: Vec<(usize, TensorMap)>,
    /// Address of the program's scratch, 0 where it has none.
    workspace: u64,
}

// SAFETY: the function handle belongs to a module that any thread may use.
unsafe impl Send for Ready {}
// SAFETY: as above; nothing in it changes after it is made.
unsafe impl Sync for Ready {}

/// An operand's address goes to `at` in the argument block.
struct Patch {
    at: usize,
    operand: usize,
    byte_offset: usize,
}

/// Whether an operand is settled goes to `at`, as an int.
struct Flag {
    at: usize,
    operand: usize,
}

impl CudaProgram {
    /// Memory of its own that a launch uses.
    pub fn scratch(&self) -> impl Iterator<Item = Region> + '_ {
        let buffers = [&self.scratch_memory.workspace, &self.scratch_memory.counters].into_iter().flatten();
        buffers.map(|b| Region { from: b.address(), to: b.address() + b.bytes() as u64 })
    }

    /// Memory of its own that no launch may find as another left it. The counters are not part of
    /// it: each launch leaves them at zero for the next.
    pub fn workspace(&self) -> Option<&Buffer> {
        self.scratch_memory.workspace.as_ref()
    }

    /// Whether a launch may start before the one ahead of it has ended.
    pub fn overlaps(&self) -> bool {
        self.launches.iter().any(|l| l.overlap)
    }

    pub fn log(&self) -> &str {
        &self.module.log
    }
}

#[repr(align(64))]
struct ArgumentBlock([u8; MAX_BYTES]);

impl CudaDevice {
    fn module(
        &self,
        device: &Device,
        catalogue: &Catalogue,
        variant: &Variant,
        candidate: &Candidate,
        problem: &Problem,
    ) -> Result<Arc<Module>> {
        let rendered = render::cuda(catalogue, variant, &candidate.config, problem, device.facts())?;
        let lock = || self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(module) = lock().0.get(&rendered.hash) {
            return Ok(module.clone());
        }
        let name = candidate.to_string();
        let (compiled, warning) = compile::compile(&rendered, device.facts().cc, &name, device.0.cache.as_ref())?;
        if let Some(warning) = warning {
            device.warn(warning);
        }
        self.bind()?;
        let mut module = std::ptr::null_mut();
        // SAFETY: a whole cubin from the compiler; the driver copies it.
        check("cuModuleLoadData", unsafe { sys::cuModuleLoadData(&mut module, compiled.binary.as_ptr().cast()) })?;
        let module = Arc::new(Module { module, log: compiled.log });
        lock().0.insert(rendered.hash, module.clone());
        Ok(module)
    }

    /// Compiles, loads and packs a candidate.
    pub fn program(
        &self,
        device: &Device,
        catalogue: &Catalogue,
        variant: &Variant,
        candidate: &Candidate,
        problem: &Problem,
    ) -> Result<CudaProgram> {
        let launches = variant.launches(&candidate.config, problem, device.facts())?;
        let module = self.module(device, catalogue, variant, candidate, problem)?;
        let name = candidate.to_string();
        let scratch = Scratch::new(device, &launches)?;
        let ready = launches.iter().map(|l| self.ready(&module, l, &name, &scratch)).collect::<Result<_>>()?;
        let queue = scratch.is_used().then_some(0);
        Ok(CudaProgram { module, launches: ready, scratch_memory: scratch, name, queue })
    }

    fn ready(&self, module: &Module, launch: &Launch, name: &str, scratch: &Scratch) -> Result<Ready> {
        let fail = |reason: String| DeviceError::Launch { what: name.to_string(), reason };
        let entry =
            CString::new(launch.entry.as_str()).map_err(|_| fail("the entry's name holds a zero byte".to_string()))?;
        let mut function = std::ptr::null_mut();
        // SAFETY: the module is loaded; writes one handle.
        let found = check("cuModuleGetFunction", unsafe {
            sys::cuModuleGetFunction(&mut function, module.module, entry.as_ptr())
        });
        found.map_err(|e| fail(format!("entry `{}`: {e}", launch.entry)))?;
        if launch.shared > SHARED_DEFAULT {
            let attribute = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            // SAFETY: the function belongs to the loaded module.
            let set = check("cuFuncSetAttribute", unsafe {
                sys::cuFuncSetAttribute(function, attribute, launch.shared as i32)
            });
            set.map_err(|e| fail(format!("{} bytes of shared memory: {e}", launch.shared)))?;
        }
        let mut packer = Packer::default();
        for arg in &launch.args {
            match arg {
                Arg::Matrix(m) => packer.matrices(std::slice::from_ref(m)),
                // An empty struct is one int in the rendered source.
                Arg::Epilogue(list) if list.is_empty() => packer.bytes(&0i32.to_ne_bytes(), 4),
                Arg::Epilogue(list) => packer.matrices(list),
                Arg::Arrays(fields) => packer.fields(fields),
                Arg::Pointer { operand, byte_offset } => packer.pointer(*operand, *byte_offset),
                Arg::I32(x) => packer.bytes(&x.to_ne_bytes(), 4),
                Arg::I64(x) => packer.bytes(&x.to_ne_bytes(), 8),
                Arg::F32(x) => packer.bytes(&x.to_ne_bytes(), 4),
                Arg::F64(x) => packer.bytes(&x.to_ne_bytes(), 8),
                Arg::Workspace(_) => packer.bytes(&address(&scratch.workspace).to_ne_bytes(), 8),
                Arg::Counters(_) => packer.bytes(&address(&scratch.counters).to_ne_bytes(), 8),
                Arg::Settled { operand } => packer.flag(*operand),
                Arg::TensorMap(map) => packer.tensor_map(map),
            }
        }
        if packer.template.len() > MAX_BYTES || packer.offsets.len() > MAX_ARGS {
            return Err(fail(format!(
                "{} argument bytes in {} arguments, at most {MAX_BYTES} in {MAX_ARGS}",
                packer.template.len(),
                packer.offsets.len()
            )));
        }
        Ok(Ready {
            function,
            grid: launch.grid,
            block: launch.block,
            cluster: launch.cluster,
            shared: launch.shared,
            overlap: launch.overlap,
            template: packer.template,
            offsets: packer.offsets,
            patches: packer.patches,
            flags: packer.flags,
            maps: packer.maps,
            workspace: address(&scratch.workspace),
        })
    }

    /// Launches for `queue` on `stream`: the queue's own, or the one that captures for it. `settled` says what
    /// the launch may read before those ahead of it have ended.
    pub fn launch(
        &self,
        queue: u32,
        stream: RawStream,
        program: &CudaProgram,
        operands: &[Buffer],
        settled: Settled,
    ) -> Result<()> {
        if program.queue.is_some_and(|q| q != queue) {
            return Err(DeviceError::Launch {
                what: program.name.clone(),
                reason: "it has scratch memory and belongs to the default queue".to_string(),
            });
        }
        self.bind()?;
        for ready in &program.launches {
            ready
                .launch(stream, operands, settled)
                .map_err(|e| DeviceError::Launch { what: program.name.clone(), reason: e.to_string() })?;
        }
        Ok(())
    }
}

impl CudaDevice {
    /// A closure that does nothing but the driver's launch calls on packed arguments.
    pub fn bare<'a>(
        &'a self,
        queue: u32,
        program: &'a CudaProgram,
        operands: &[Buffer],
    ) -> Result<Box<dyn FnMut() -> Result<()> + 'a>> {
        self.bind()?;
        let stream = self.stream(queue);
        let mut blocks = program
            .launches
            .iter()
            .map(|r| r.pack(operands, Settled::NONE).map(Box::new))
            .collect::<Result<Vec<_>>>()?;
        Ok(Box::new(move || {
            program.launches.iter().zip(&mut blocks).try_for_each(|(ready, block)| ready.submit(stream, block))
        }))
    }
}

impl Ready {
    fn launch(&self, stream: sys::CUstream, operands: &[Buffer], settled: Settled) -> Result<()> {
        let mut block = self.pack(operands, settled)?;
        self.submit(stream, &mut block)
    }

    /// The argument block with this launch's addresses.
    fn pack(&self, operands: &[Buffer], settled: Settled) -> Result<ArgumentBlock> {
        let mut block = ArgumentBlock([0; MAX_BYTES]);
        block.0[..self.template.len()].copy_from_slice(&self.template);
        for patch in &self.patches {
            let address = operands[patch.operand].address() + patch.byte_offset as u64;
            block.0[patch.at..patch.at + 8].copy_from_slice(&address.to_ne_bytes());
        }
        for flag in &self.flags {
            block.0[flag.at..flag.at + 4].copy_from_slice(&i32::from(settled.has(flag.operand)).to_ne_bytes());
        }
        for (at, map) in &self.maps {
            let start = match map.memory {
                Memory::Operand(operand) => operands[operand].address(),
                Memory::Workspace => self.workspace,
            };
            let encoded = encode(map, start + map.byte_offset as u64)?;
            block.0[*at..*at + encoded.len()].copy_from_slice(&encoded);
        }
        Ok(block)
    }

    fn submit(&self, stream: sys::CUstream, block: &mut ArgumentBlock) -> Result<()> {
        let mut pointers = [std::ptr::null_mut::<c_void>(); MAX_ARGS];
        for (pointer, offset) in pointers.iter_mut().zip(&self.offsets) {
            *pointer = block.0[*offset..].as_mut_ptr().cast();
        }
        // SAFETY: an attribute is plain data; zero is a valid value.
        let mut attributes: [sys::CUlaunchAttribute; 2] = unsafe { std::mem::zeroed() };
        let mut count = 0;
        // A block by itself is no cluster, and needs no place where several fit.
        if let Some([x, y, z]) = self.cluster.filter(|c| *c != [1, 1, 1]) {
            attributes[count].id = sys::CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
            attributes[count].value.clusterDim.x = x;
            attributes[count].value.clusterDim.y = y;
            attributes[count].value.clusterDim.z = z;
            count += 1;
        }
        if self.overlap {
            attributes[count].id = sys::CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
            attributes[count].value.programmaticStreamSerializationAllowed = 1;
            count += 1;
        }
        let config = sys::CUlaunchConfig {
            gridDimX: self.grid[0],
            gridDimY: self.grid[1],
            gridDimZ: self.grid[2],
            blockDimX: self.block[0],
            blockDimY: self.block[1],
            blockDimZ: self.block[2],
            sharedMemBytes: self.shared,
            hStream: stream,
            attrs: attributes.as_mut_ptr(),
            numAttrs: count as u32,
        };
        // SAFETY: the function's module is alive; there is one pointer for each declared argument,
        // into a block that outlives the call (the driver copies it); buffers were checked.
        check("cuLaunchKernelEx", unsafe {
            sys::cuLaunchKernelEx(&config, self.function, pointers.as_mut_ptr(), std::ptr::null_mut())
        })
    }
}

#[derive(Default)]
struct Packer {
    template: Vec<u8>,
    offsets: Vec<usize>,
    patches: Vec<Patch>,
    flags: Vec<Flag>,
    maps: Vec<(usize, TensorMap)>,
}

impl Packer {
    fn start(&mut self, align: usize) -> usize {
        self.template.resize(self.template.len().next_multiple_of(align), 0);
        self.offsets.push(self.template.len());
        self.template.len()
    }

    fn bytes(&mut self, bytes: &[u8], align: usize) {
        self.start(align);
        self.template.extend_from_slice(bytes);
    }

    fn pointer(&mut self, operand: usize, byte_offset: usize) {
        let at = self.start(8);
        self.patches.push(Patch { at, operand, byte_offset });
        self.template.extend_from_slice(&[0; 8]);
    }

    fn flag(&mut self, operand: usize) {
        let at = self.start(4);
        self.flags.push(Flag { at, operand });
        self.template.extend_from_slice(&[0; 4]);
    }

    fn matrices(&mut self, list: &[MatrixArg]) {
        self.start(8);
        for m in list {
            if let Some(operand) = m.operand {
                self.patches.push(Patch { at: self.template.len(), operand, byte_offset: m.byte_offset });
            }
            self.template.extend_from_slice(&[0; 8]);
            for s in &m.strides {
                self.template.extend_from_slice(&s.to_ne_bytes());
            }
        }
    }

    /// A struct of plain members, each at its natural alignment.
    fn fields(&mut self, fields: &[Field]) {
        self.start(8);
        for field in fields {
            match field {
                Field::Pointer { operand, byte_offset } => {
                    let at = self.member(&[0; 8]);
                    self.patches.push(Patch { at, operand: *operand, byte_offset: *byte_offset });
                }
                Field::U64(x) => drop(self.member(&x.to_ne_bytes())),
                Field::I64(x) => drop(self.member(&x.to_ne_bytes())),
                Field::U32(x) => drop(self.member(&x.to_ne_bytes())),
                Field::I32(x) => drop(self.member(&x.to_ne_bytes())),
                Field::F32(x) => drop(self.member(&x.to_ne_bytes())),
                Field::F64(x) => drop(self.member(&x.to_ne_bytes())),
            }
        }
    }

    /// Appends a number aligned to its size; returns where.
    fn member(&mut self, bytes: &[u8]) -> usize {
        let at = self.template.len().next_multiple_of(bytes.len());
        self.template.resize(at, 0);
        self.template.extend_from_slice(bytes);
        at
    }

    fn tensor_map(&mut self, map: &TensorMap) {
        let at = self.start(64);
        self.template.extend_from_slice(&[0; std::mem::size_of::<sys::CUtensorMap>()]);
        self.maps.push((at, map.clone()));
    }
}

/// Scratch of a program, shared by its launches: what one leaves there the next one finds.
struct Scratch {
    workspace: Option<Buffer>,
    counters: Option<Buffer>,
}

impl Scratch {
    fn new(device: &Device, launches: &[Launch]) -> Result<Scratch> {
        let args = || launches.iter().flat_map(|l| &l.args);
        let workspace = args().filter_map(|a| if let Arg::Workspace(bytes) = a { Some(*bytes) } else { None }).max();
        let counters = args().filter_map(|a| if let Arg::Counters(count) = a { Some(count * 4) } else { None }).max();
        let make = |bytes: Option<usize>| bytes.filter(|b| *b > 0).map(|b| device.alloc(b)).transpose();
        let scratch = Scratch { workspace: make(workspace)?, counters: make(counters)? };
        if let Some(counters) = &scratch.counters {
            device.queue().fill(counters, 0)?;
        }
        Ok(scratch)
    }

    fn is_used(&self) -> bool {
        self.workspace.is_some() || self.counters.is_some()
    }
}

/// A buffer's address, 0 for none.
fn address(buffer: &Option<Buffer>) -> u64 {
    buffer.as_ref().map_or(0, Buffer::address)
}

/// Encodes a TMA descriptor for an address.
fn encode(map: &TensorMap, address: u64) -> Result<[u8; std::mem::size_of::<sys::CUtensorMap>()]> {
    use sys::CUtensorMapDataType::*;
    let dtype = match map.dtype {
        DType::F32 if map.tf32 => CU_TENSOR_MAP_DATA_TYPE_TFLOAT32,
        DType::F32 => CU_TENSOR_MAP_DATA_TYPE_FLOAT32,
        DType::F64 => CU_TENSOR_MAP_DATA_TYPE_FLOAT64,
        DType::F16 => CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
        DType::BF16 => CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
        DType::I32 => CU_TENSOR_MAP_DATA_TYPE_INT32,
        DType::U8 | DType::Bool | DType::E4M3 | DType::E5M2 => CU_TENSOR_MAP_DATA_TYPE_UINT8,
    };
    use sys::CUtensorMapSwizzle::*;
    let swizzle = match map.swizzle {
        32 => CU_TENSOR_MAP_SWIZZLE_32B,
        64 => CU_TENSOR_MAP_SWIZZLE_64B,
        128 => CU_TENSOR_MAP_SWIZZLE_128B,
        _ => CU_TENSOR_MAP_SWIZZLE_NONE,
    };
    let steps = [1u32; 5];
    // SAFETY: a descriptor is plain data; the driver fills it.
    let mut out: sys::CUtensorMap = unsafe { std::mem::zeroed() };
    // SAFETY: each array has as many entries as the rank says; the driver checks the values.
    let status = unsafe {
        sys::cuTensorMapEncodeTiled(
            &mut out,
            dtype,
            map.dims.len() as u32,
            address as *mut c_void,
            map.dims.as_ptr(),
            map.strides.as_ptr(),
            map.box_sizes.as_ptr(),
            steps.as_ptr(),
            sys::CUtensorMapInterleave::CU_TENSOR_MAP_INTERLEAVE_NONE,
            swizzle,
            sys::CUtensorMapL2promotion::CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
            sys::CUtensorMapFloatOOBfill::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
        )
    };
    check("cuTensorMapEncodeTiled", status)?;
    // SAFETY: a descriptor is 128 bytes of plain data.
    Ok(unsafe { std::mem::transmute::<sys::CUtensorMap, [u8; std::mem::size_of::<sys::CUtensorMap>()]>(out) })
}
