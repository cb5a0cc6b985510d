//! Pipelines and programs: WGSL made ready, operands bound.

use super::WgpuDevice;
use super::record::Bound;
use crate::cache::CompileCache;
use crate::dataflow::Region;
use crate::device::{Buffer, Device};
use crate::error::{DeviceError, Result};
use ::wgpu::{BufferBindingType, BufferUsages, ShaderStages};
use kernelsmith_core::Problem;
use kernelsmith_kernels::render::wgsl::{self, Member, Portable, Windows, pack};
use kernelsmith_kernels::{Candidate, Catalogue, Variant};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Bindings of one program that are kept: launches on the same operands bind nothing.
const KEPT: usize = 64;

/// Pipelines by the hash of their source and their entry, and the driver's cache on disk.
pub(super) struct Pipelines {
    made: HashMap<(String, String), Arc<Pipeline>>,
    driver: Option<DriverCache>,
}

pub(super) struct Pipeline {
    pub pipeline: ::wgpu::ComputePipeline,
    pub layout: ::wgpu::BindGroupLayout,
}

/// What the driver made of earlier pipelines, where it lets that be kept.
struct DriverCache {
    cache: ::wgpu::PipelineCache,
    file: PathBuf,
}

impl Pipelines {
    pub fn new(device: &::wgpu::Device, info: &::wgpu::AdapterInfo) -> Pipelines {
        let name = ::wgpu::util::pipeline_cache_key(info);
        let folder = CompileCache::default_folder();
        let has = device.features().contains(::wgpu::Features::PIPELINE_CACHE);
        let driver = name.zip(folder).filter(|_| has).map(|(name, folder)| {
            let file = folder.join(name);
            let data = std::fs::read(&file).ok();
            let descriptor = ::wgpu::PipelineCacheDescriptor { label: None, data: data.as_deref(), fallback: true };
            // SAFETY: the data is what `get_data` gave, or nothing; wgpu checks its header, and with
            // `fallback` passes over what is another driver's.
            DriverCache { cache: unsafe { device.create_pipeline_cache(&descriptor) }, file }
        });
        Pipelines { made: HashMap::new(), driver }
    }

    /// Writes the driver's cache where there is one. One that cannot be written costs time only.
    pub fn save(&mut self) {
        if self.made.is_empty() {
            return;
        }
        let Some(driver) = &self.driver else { return };
        let Some((data, folder)) = driver.cache.get_data().zip(driver.file.parent()) else { return };
        let write = || -> std::io::Result<()> {
            std::fs::create_dir_all(folder)?;
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            std::io::Write::write_all(&mut file, &data)?;
            file.persist(&driver.file)?;
            Ok(())
        };
        drop(write());
    }
}

/// One candidate on one problem, ready to be bound.
pub struct WgpuProgram {
    name: String,
    launches: Vec<Ready>,
    /// Bytes of each operand.
    operand_bytes: Vec<usize>,
    element_bytes: Vec<usize>,
    windows: Vec<Windows>,
    quads: Vec<bool>,
    workspace: Option<Buffer>,
    counters: Option<Buffer>,
    /// By the operands' addresses.
    bound: Mutex<HashMap<Vec<u64>, Vec<Arc<Bound>>>>,
}

struct Ready {
    pipeline: Arc<Pipeline>,
    grid: [u32; 3],
    arguments: Vec<Member>,
}

impl WgpuProgram {
    /// Memory of its own that a launch uses.
    pub fn scratch(&self) -> impl Iterator<Item = Region> + '_ {
        let buffers = [&self.workspace, &self.counters].into_iter().flatten();
        buffers.map(|b| Region { from: b.address(), to: b.address() + b.bytes() as u64 })
    }

    /// Memory of its own that no launch may find as another left it.
    pub fn workspace(&self) -> Option<&Buffer> {
        self.workspace.as_ref()
    }
}

impl WgpuDevice {
    /// Renders, compiles and prepares a candidate.
    pub fn program(
        &self,
        device: &Device,
        catalogue: &Catalogue,
        variant: &Variant,
        candidate: &Candidate,
        problem: &Problem,
    ) -> Result<WgpuProgram> {
        let portable = wgsl::wgsl(catalogue, variant, &candidate.config, problem, device.facts())?;
        let name = candidate.to_string();
        let operands = problem.operands();
        let windows: usize = portable.operands.iter().map(|w| w.count).sum();
        let storage = windows + usize::from(portable.workspace > 0) + usize::from(portable.counters > 0);
        let arguments = usize::from(self.facts.adapter.software);
        let most = self.limits.max_storage_buffers_per_shader_stage as usize - arguments;
        if storage > most {
            let reason = format!("it binds {storage} buffers on {problem}, {} allows {most}", self.name);
            return Err(DeviceError::NotOffered { what: name, reason });
        }
        for (what, bytes) in [("scratch", portable.workspace), ("counters", portable.counters * 4)] {
            self.check_binding(&name, what, bytes as u64)?;
        }
        let make = |bytes: usize| if bytes > 0 { device.alloc(bytes).map(Some) } else { Ok(None) };
        let (workspace, counters) = (make(portable.workspace)?, make(portable.counters * 4)?);
        if let Some(counters) = &counters {
            device.queue().fill(counters, 0)?;
        }
        let largest = self.limits.max_compute_workgroups_per_dimension;
        let mut launches = Vec::new();
        for launch in &portable.launches {
            if launch.grid.iter().any(|n| *n > largest) {
                let reason = format!("a grid of {:?}, {} allows {largest} along a dimension", launch.grid, self.name);
                return Err(DeviceError::Launch { what: name, reason });
            }
            let pipeline = self.pipeline(&portable, &launch.entry, storage, &name)?;
            launches.push(Ready { pipeline, grid: launch.grid, arguments: launch.arguments.clone() });
        }
        Ok(WgpuProgram {
            name,
            launches,
            operand_bytes: operands.iter().map(|o| o.bytes()).collect(),
            windows: portable.operands.clone(),
            quads: portable.quads.clone(),
            element_bytes: operands.iter().map(|o| o.dtype.bytes()).collect(),
            workspace,
            counters,
            bound: Mutex::default(),
        })
    }

    fn check_binding(&self, what: &str, operand: &str, bytes: u64) -> Result<()> {
        let most = self.limits.max_storage_buffer_binding_size;
        if bytes <= most {
            return Ok(());
        }
        let reason = format!("its {operand} has {bytes} bytes, {} binds at most {most}", self.name);
        Err(DeviceError::NotOffered { what: what.to_string(), reason })
    }

    fn pipeline(&self, portable: &Portable, entry: &str, storage: usize, name: &str) -> Result<Arc<Pipeline>> {
        self.made(&portable.rendered.hash, &portable.rendered.source, entry, storage).map_err(|e| match e {
            DeviceError::Driver { reason, .. } => DeviceError::Compile { what: name.to_string(), log: reason },
            other => other,
        })
    }

    /// An entry of a module, compiled the first time that its hash comes.
    pub(super) fn made(&self, hash: &str, source: &str, entry: &str, storage: usize) -> Result<Arc<Pipeline>> {
        let mut pipelines = self.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (hash.to_string(), entry.to_string());
        if let Some(made) = pipelines.made.get(&key) {
            return Ok(made.clone());
        }
        let made = Arc::new(self.compile(source, entry, storage, pipelines.driver.as_ref())?);
        pipelines.made.insert(key, made.clone());
        Ok(made)
    }

    fn compile(&self, source: &str, entry: &str, storage: usize, driver: Option<&DriverCache>) -> Result<Pipeline> {
        let module = self.scoped("create_shader_module", || {
            let descriptor =
                ::wgpu::ShaderModuleDescriptor { label: None, source: ::wgpu::ShaderSource::Wgsl(source.into()) };
            // SAFETY: a kernel is held to its arrays by the lab, as one in CUDA is: indices are
            // bounded by sizes that come with the launch, loops end, and no divisor is zero. Checks
            // would hide the strays that the gate's guard bands are there to show.
            unsafe { self.device.create_shader_module_trusted(descriptor, ::wgpu::ShaderRuntimeChecks::unchecked()) }
        })?;
        let entries: Vec<::wgpu::BindGroupLayoutEntry> = (0..=storage)
            .map(|i| ::wgpu::BindGroupLayoutEntry {
                binding: i as u32,
                visibility: ShaderStages::COMPUTE,
                ty: ::wgpu::BindingType::Buffer {
                    ty: if i < storage {
                        // All alike: two operands may be parts of one buffer, which cannot be bound for
                        // reading and for writing at once.
                        BufferBindingType::Storage { read_only: false }
                    } else if self.facts.adapter.software {
                        BufferBindingType::Storage { read_only: true }
                    } else {
                        BufferBindingType::Uniform
                    },
                    has_dynamic_offset: false,
                    min_binding_size: None,
                },
                count: None,
            })
            .collect();
        let layout = self.scoped("create_bind_group_layout", || {
            self.device.create_bind_group_layout(&::wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries })
        })?;
        let pipeline = self.scoped("create_compute_pipeline", || {
            let of = self.device.create_pipeline_layout(&::wgpu::PipelineLayoutDescriptor {
                label: None,
                bind_group_layouts: &[Some(&layout)],
                immediate_size: 0,
            });
            self.device.create_compute_pipeline(&::wgpu::ComputePipelineDescriptor {
                label: None,
                layout: Some(&of),
                module: &module,
                entry_point: Some(entry),
                compilation_options: ::wgpu::PipelineCompilationOptions {
                    constants: &[],
                    zero_initialize_workgroup_memory: false,
                },
                cache: driver.map(|d| &d.cache),
            })
        })?;
        Ok(Pipeline { pipeline, layout })
    }

    /// The launches of a program on operands.
    pub fn bind(&self, program: &WgpuProgram, operands: &[Buffer]) -> Result<Vec<Arc<Bound>>> {
        let addresses: Vec<u64> = operands.iter().map(Buffer::address).collect();
        let mut known = program.bound.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bound) = known.get(&addresses) {
            return Ok(bound.clone());
        }
        let bound = self.bind_new(program, &addresses)?;
        if known.len() >= KEPT {
            known.clear();
        }
        known.insert(addresses, bound.clone());
        Ok(bound)
    }

    fn bind_new(&self, program: &WgpuProgram, addresses: &[u64]) -> Result<Vec<Arc<Bound>>> {
        let fail = |reason: String| DeviceError::Launch { what: program.name.clone(), reason };
        let scratch = [&program.workspace, &program.counters].into_iter().flatten();
        let own: Vec<(u64, usize)> = scratch.map(|b| (b.address(), b.bytes())).collect();
        let all = addresses.iter().copied().zip(program.operand_bytes.iter().copied()).chain(own);
        let align = u64::from(self.limits.min_storage_buffer_offset_alignment);
        let mut bindings = Vec::new();
        // Bytes from a binding's start to its operand's.
        let mut places = Vec::new();
        let one = Windows { count: 1, bytes: usize::MAX };
        let windows = program.windows.iter().copied().chain(std::iter::repeat(one));
        for (i, ((address, bytes), windows)) in all.zip(windows).enumerate() {
            let (buffer, offset) = self.memory.at(address).ok_or_else(|| fail("an operand was freed".to_string()))?;
            // A binding holds an element at least: what is empty is bound at its buffer's start, and never read.
            let offset = if bytes == 0 { 0 } else { offset };
            if program.quads.get(i) == Some(&true) && !offset.is_multiple_of(16) {
                return Err(fail(format!("an operand at offset {offset} of its buffer, expected a multiple of 16")));
            }
            let start = offset / align * align;
            let size = (offset - start + bytes.max(16) as u64).next_multiple_of(4).min(buffer.size() - start);
            places.push(offset - start);
            if windows.count > 1 {
                // Every window has its binding; one that starts past the end, which nothing reads, is bound
                // where it does not matter.
                for w in 0..windows.count as u64 {
                    let from = w * windows.bytes as u64;
                    let part =
                        if from < size { (start + from, (size - from).min(windows.bytes as u64)) } else { (start, 16) };
                    bindings.push((buffer.clone(), part.0, part.1));
                }
                continue;
            }
            if size > self.limits.max_storage_buffer_binding_size {
                return Err(fail(format!(
                    "an operand of {bytes} bytes at offset {offset} of its buffer needs a binding of {size}, {} allows {}",
                    self.name, self.limits.max_storage_buffer_binding_size
                )));
            }
            bindings.push((buffer, start, size));
        }
        let mut out = Vec::new();
        for ready in &program.launches {
            let place = |operand: usize| (places[operand] / program.element_bytes[operand] as u64) as i32;
            let arguments = pack(&ready.arguments, &place);
            let bound = self.scoped("create_bind_group", || {
                let uniform = self.device.create_buffer(&::wgpu::BufferDescriptor {
                    label: None,
                    size: arguments.len() as u64,
                    usage: BufferUsages::UNIFORM | BufferUsages::STORAGE | BufferUsages::COPY_DST,
                    mapped_at_creation: false,
                });
                self.queue.write_buffer(&uniform, 0, &arguments);
                let storage = bindings.iter().map(|(buffer, offset, size)| {
                    ::wgpu::BindingResource::Buffer(::wgpu::BufferBinding {
                        buffer,
                        offset: *offset,
                        size: std::num::NonZeroU64::new(*size),
                    })
                });
                let entries: Vec<::wgpu::BindGroupEntry> = storage
                    .chain([uniform.as_entire_binding()])
                    .enumerate()
                    .map(|(i, resource)| ::wgpu::BindGroupEntry { binding: i as u32, resource })
                    .collect();
                self.device.create_bind_group(&::wgpu::BindGroupDescriptor {
                    label: None,
                    layout: &ready.pipeline.layout,
                    entries: &entries,
                })
            })?;
            out.push(Arc::new(Bound { pipeline: ready.pipeline.pipeline.clone(), bindings: bound, grid: ready.grid }));
        }
        Ok(out)
    }
}
