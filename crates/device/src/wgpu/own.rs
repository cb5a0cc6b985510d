//! The backend's own kernels: fills, and a look at what arithmetic does with subnormal numbers.

use super::WgpuDevice;
use super::pipeline::Pipeline;
use super::record::Bound;
use crate::error::{DeviceError, Result};
use ::wgpu::BufferUsages;
use kernelsmith_kernels::catalogue::builtin_file;
use kernelsmith_kernels::render::wgsl;
use std::sync::Arc;

impl WgpuDevice {
    /// Sets whole words.
    pub(super) fn fill_words(&self, address: u64, words: usize, word: u32) -> Result<()> {
        if words == 0 {
            return Ok(());
        }
        let pipeline = self.own_pipeline("fill", FILL)?;
        let (buffer, offset) = self.place(address)?;
        let align = u64::from(self.limits.min_storage_buffer_offset_alignment);
        // A piece a binding, each starting at an aligned offset.
        let most = self.limits.max_storage_buffer_binding_size / 2 / align * align;
        let (mut at, end) = (offset, offset + 4 * words as u64);
        let mut bound = Vec::new();
        while at < end {
            let start = at / align * align;
            let stop = end.min(start + most);
            let arguments = [((at - start) / 4) as u32, ((stop - start) / 4) as u32, word, 0];
            let groups = (stop - at).div_ceil(4 * 256).min(1024) as u32;
            bound.push(self.own(&pipeline, &buffer, start..stop, arguments, groups)?);
            at = stop;
        }
        self.dispatch(&bound)
    }

    /// Whether f32 arithmetic keeps numbers below 2⁻¹²⁶. WGSL lets a device take them for 0.
    pub(super) fn keeps_subnormals(&self) -> Result<bool> {
        let small = 0x0040_0000_u32;
        let words = self.look("subnormals", SUBNORMALS, [small, 1f32.to_bits(), 0, 0], 1)?;
        Ok(words[2] == small && words[3] == 2 * small)
    }

    /// Whether the driver's conversions to and from f16 round to nearest even and keep subnormal numbers: all
    /// f16 numbers are tried, and f32 numbers on both sides of them and of the middle to the next. WGSL leaves
    /// the rounding open.
    pub(super) fn rounds_halves(&self) -> Result<bool> {
        let header = |name: &str| builtin_file(&format!("include/{name}")).unwrap_or_default();
        let source = [HALVES, header("bits.wgsl"), header("halves_in_words.wgsl")].concat();
        Ok(self.look("halves", &source, [0; 4], 256)?[0] == 0)
    }

    /// What an own kernel makes of four words.
    fn look(&self, name: &str, source: &str, mut words: [u32; 4], groups: u32) -> Result<[u32; 4]> {
        let address = self.allocate(16).ok_or_else(|| DeviceError::Driver {
            call: "create_buffer",
            reason: "no memory for 16 bytes".to_string(),
        })?;
        let mut look = || {
            self.upload(address, bytemuck::cast_slice(&words))?;
            let (buffer, offset) = self.place(address)?;
            let pipeline = self.own_pipeline(name, source)?;
            self.dispatch(&[self.own(&pipeline, &buffer, offset..offset + 16, [0; 4], groups)?])?;
            self.download(address, bytemuck::cast_slice_mut(&mut words))
        };
        let looked = look();
        self.free(address);
        looked.map(|()| words)
    }

    /// The pipeline of an own kernel, whose name is its entry's.
    fn own_pipeline(&self, name: &str, source: &str) -> Result<Arc<Pipeline>> {
        let space = wgsl::arguments_space(self.facts.adapter.software);
        self.made(name, &source.replace("<uniform>", &format!("<{space}>")), name, 1)
    }

    fn place(&self, address: u64) -> Result<(::wgpu::Buffer, u64)> {
        let fail = || DeviceError::Launch {
            what: "a kernel of the backend's own".to_string(),
            reason: "the buffer was freed".to_string(),
        };
        self.memory.at(address).ok_or_else(fail)
    }

    /// A launch of an own kernel: one storage binding, four words of arguments.
    fn own(
        &self,
        pipeline: &Pipeline,
        buffer: &::wgpu::Buffer,
        bytes: std::ops::Range<u64>,
        arguments: [u32; 4],
        groups: u32,
    ) -> Result<Arc<Bound>> {
        let bindings = self.scoped("create_bind_group", || {
            let uniform = self.device.create_buffer(&::wgpu::BufferDescriptor {
                label: None,
                size: 16,
                usage: BufferUsages::UNIFORM | BufferUsages::STORAGE | BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            self.queue.write_buffer(&uniform, 0, bytemuck::cast_slice(&arguments));
            let storage = ::wgpu::BufferBinding {
                buffer,
                offset: bytes.start,
                size: std::num::NonZeroU64::new(bytes.end - bytes.start),
            };
            self.device.create_bind_group(&::wgpu::BindGroupDescriptor {
                label: None,
                layout: &pipeline.layout,
                entries: &[
                    ::wgpu::BindGroupEntry { binding: 0, resource: ::wgpu::BindingResource::Buffer(storage) },
                    ::wgpu::BindGroupEntry { binding: 1, resource: uniform.as_entire_binding() },
                ],
            })
        })?;
        Ok(Arc::new(Bound { pipeline: pipeline.pipeline.clone(), bindings, grid: [groups, 1, 1] }))
    }
}

/// Sets words [from, to) of a binding.
const FILL: &str = "
struct Arguments { from_word: u32, to_word: u32, word: u32, unused: u32 }
@group(0) @binding(0) var<storage, read_write> data: array<u32>;
@group(0) @binding(1) var<uniform> args: Arguments;
@compute @workgroup_size(256)
fn fill(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    for (var i = args.from_word + id.x; i < args.to_word; i += groups.x * 256u) { data[i] = args.word; }
}
";

/// A product and a sum of subnormal numbers that the compiler does not know.
const SUBNORMALS: &str = "
@group(0) @binding(0) var<storage, read_write> data: array<f32>;
@group(0) @binding(1) var<uniform> args: vec4<u32>;
@compute @workgroup_size(1)
fn subnormals() {
    let unknown = bitcast<f32>(bitcast<u32>(data[0]) + args.x);
    data[2] = unknown * data[1];
    data[3] = unknown + data[0];
}
";

/// Counts numbers that the driver converts otherwise than whole numbers do. An invocation has one f16 number.
const HALVES: &str = "
struct Arguments { zero: u32, a: u32, b: u32, c: u32 }
@group(0) @binding(0) var<storage, read_write> data: array<atomic<u32>>;
@group(0) @binding(1) var<uniform> args: Arguments;
fn differs(x: f32) -> bool { return (pack2x16float(vec2<f32>(x, 0.0)) & 0xffffu) != f32_to_f16(x); }
@compute @workgroup_size(256)
fn halves(@builtin(global_invocation_id) id: vec3<u32>) {
    let x = f16_to_f32(id.x);
    let native = unpack2x16float(id.x).x;
    var wrong = false;
    if (is_nan(x)) {
        wrong = !is_nan(native) || (pack2x16float(vec2<f32>(x, 0.0)) & 0x7fffu) <= 0x7c00u;
    } else {
        wrong = bitcast<u32>(x) != bitcast<u32>(native) || differs(x);
        if (!is_infinite(x)) {
            // The middle of this number and the next one away from 0, and what lies around both.
            let next = f16_to_f32(id.x + 1u);
            let middle = select(65520.0, magnitude_of(x) + 0.5 * (magnitude_of(next) - magnitude_of(x)), is_finite(next));
            let bits = bitcast<u32>(with_sign(middle, x));
            wrong = wrong || differs(from_bits(bits)) || differs(from_bits(bits - 1u)) || differs(from_bits(bits + 1u));
            wrong = wrong || differs(from_bits(bitcast<u32>(x) + 1u));
            if (magnitude(x) > 0u) { wrong = wrong || differs(from_bits(bitcast<u32>(x) - 1u)); }
        }
    }
    if (wrong) { atomicAdd(&data[0], 1u); }
}
fn magnitude_of(x: f32) -> f32 { return bitcast<f32>(magnitude(x)); }
";
