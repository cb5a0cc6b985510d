//! Adapters: which there are, in which order, and what predicates may know of them.

use crate::cpu;
use crate::error::{DeviceError, Result};
use ::wgpu::{Backends, DeviceType, Features};
use kernelsmith_kernels::facts::Adapter as AdapterFacts;
use kernelsmith_kernels::{DeviceFacts, Target};
use std::future::Future;
use std::panic::catch_unwind;
use std::pin::pin;
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};

/// The last-level cache that is assumed of a GPU: no API tells. An H200's is 60 MiB.
const CACHE: i64 = 64 << 20;

/// The result of one of wgpu's futures. Off the web they are ready at once.
pub fn ready<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(out) = future.as_mut().poll(&mut context) {
            return out;
        }
        std::thread::yield_now();
    }
}

/// Every adapter that can compute: GPUs first, then what runs on the CPU's cores. Their place in the
/// list is the number in `wgpu:N`.
pub fn adapters() -> &'static [::wgpu::Adapter] {
    static ADAPTERS: OnceLock<Vec<::wgpu::Adapter>> = OnceLock::new();
    ADAPTERS.get_or_init(|| {
        // A driver that misbehaves while it is looked for must not end the program.
        let found = catch_unwind(|| {
            let backends = Backends::VULKAN | Backends::METAL | Backends::DX12;
            let mut descriptor = ::wgpu::InstanceDescriptor::new_without_display_handle();
            descriptor.backends = backends;
            descriptor.flags = ::wgpu::InstanceFlags::empty();
            let instance = ::wgpu::Instance::new(descriptor);
            ready(instance.enumerate_adapters(backends))
        });
        let mut found = found.unwrap_or_default();
        found.retain(|a| a.get_downlevel_capabilities().flags.contains(::wgpu::DownlevelFlags::COMPUTE_SHADERS));
        found.sort_by_key(is_software);
        found
    })
}

/// Whether an adapter is a program on the CPU's cores.
pub fn is_software(adapter: &::wgpu::Adapter) -> bool {
    adapter.get_info().device_type == DeviceType::Cpu
}

/// The adapter `wgpu:N`.
pub fn adapter(ordinal: usize) -> Result<&'static ::wgpu::Adapter> {
    let all = adapters();
    all.get(ordinal).ok_or_else(|| DeviceError::Unavailable {
        device: format!("wgpu:{ordinal}"),
        reason: match all.len() {
            0 => "no Vulkan, Metal or DX12 adapter was found".to_string(),
            n => format!("there are {n} adapters, counted from 0"),
        },
    })
}

/// What is asked of an adapter that has it.
const WANTED: [(&str, Features); 7] = [
    ("f16", Features::SHADER_F16),
    ("f64", Features::SHADER_F64),
    ("int64", Features::SHADER_INT64),
    ("subgroups", Features::SUBGROUP),
    ("timestamps", Features::TIMESTAMP_QUERY.union(Features::TIMESTAMP_QUERY_INSIDE_ENCODERS)),
    ("pipeline_cache", Features::PIPELINE_CACHE),
    ("matrices", Features::EXPERIMENTAL_COOPERATIVE_MATRIX),
];

/// Features that `KERNELSMITH_WITHOUT` names, between commas: the adapter is used as one that lacks them, as an
/// Apple GPU lacks f64.
pub fn without() -> std::result::Result<Vec<String>, String> {
    let text = std::env::var("KERNELSMITH_WITHOUT").unwrap_or_default();
    let names: Vec<String> = text.split(',').map(str::trim).filter(|n| !n.is_empty()).map(str::to_string).collect();
    let known: Vec<&str> = WANTED.iter().map(|(n, _)| *n).chain(SEEN).collect();
    match names.iter().find(|n| !known.contains(&n.as_str())) {
        Some(name) => Err(format!("KERNELSMITH_WITHOUT names `{name}`, which is none of {}", known.join(", "))),
        None => Ok(names),
    }
}

/// Features that are tried on opening.
pub const SEEN: [&str; 2] = ["subnormals", "halves"];

/// Features that are used: asked for when a device is opened.
pub fn used(adapter: &::wgpu::Adapter, without: &[String]) -> Features {
    let left = WANTED.iter().filter(|(name, _)| !without.iter().any(|w| w == name));
    left.fold(Features::empty(), |all, (_, f)| all | *f) & adapter.features()
}

/// `has` are the features that are used.
pub fn facts(adapter: &::wgpu::Adapter, has: Features) -> DeviceFacts {
    let (info, limits) = (adapter.get_info(), adapter.limits());
    let software = is_software(adapter);
    let host = cpu::facts::facts();
    let matrices = if has.contains(Features::EXPERIMENTAL_COOPERATIVE_MATRIX) {
        adapter.cooperative_matrix_properties()
    } else {
        Vec::new()
    };
    let scalar = |s: ::wgpu::CooperativeScalarType| format!("{s:?}").to_lowercase();
    DeviceFacts {
        target: Target::Wgsl,
        name: info.name.clone(),
        cc: 0,
        sms: 0,
        shared_max: i64::from(limits.max_compute_workgroup_storage_size),
        l2_bytes: if software { host.l2_bytes } else { CACHE },
        // No API tells a GPU's memory: 0 is unknown.
        memory_bytes: if software { host.memory_bytes } else { 0 },
        memory_bandwidth: 0.0,
        threads: host.threads,
        libraries: Vec::new(),
        driver: format!("{} {}", info.driver, info.driver_info).trim().to_string(),
        toolchain: "naga of wgpu 30".to_string(),
        adapter: AdapterFacts {
            api: info.backend.to_str().to_string(),
            software,
            features: WANTED.iter().filter(|(_, f)| has.contains(*f)).map(|(n, _)| n.to_string()).collect(),
            subgroup_min: i64::from(info.subgroup_min_size),
            subgroup_max: i64::from(info.subgroup_max_size),
            block_max: i64::from(limits.max_compute_invocations_per_workgroup),
            binding_max: i64::try_from(limits.max_storage_buffer_binding_size).unwrap_or(i64::MAX),
            bindings: i64::from(limits.max_storage_buffers_per_shader_stage),
            loop_max: if info.name.starts_with("llvmpipe") { 65_535 } else { 1 << 40 },
            matrices: matrices
                .iter()
                .map(|m| {
                    let (inputs, results) = (scalar(m.ab_type), scalar(m.cr_type));
                    format!("{}x{}x{} {inputs}>{results}", m.m_size, m.n_size, m.k_size)
                })
                .collect(),
        },
    }
}
