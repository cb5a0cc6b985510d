//! What predicates may know of a device.

use kernelsmith_core::Var;
use serde::{Deserialize, Serialize};

/// Which kind of variant a device runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    Cpu,
    Cuda,
    Wgsl,
}

impl Target {
    pub fn name(self) -> &'static str {
        match self {
            Target::Cpu => "cpu",
            Target::Cuda => "cuda",
            Target::Wgsl => "wgsl",
        }
    }
}

/// Facts of one device. They are part of evidence and of the tuned table's key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceFacts {
    pub target: Target,
    /// The vendor's name of the device, for the tuned table.
    pub name: String,
    /// Compute capability as 10·major + minor; 0 where there is none.
    pub cc: i64,
    /// Streaming multiprocessors; 0 on the CPU.
    pub sms: i64,
    /// Shared memory that one block may use, in bytes.
    pub shared_max: i64,
    /// Last-level cache in bytes.
    pub l2_bytes: i64,
    pub memory_bytes: i64,
    /// Peak memory bandwidth in bytes a second by the vendor's figures; 0 where unknown.
    pub memory_bandwidth: f64,
    /// CPU threads.
    pub threads: i64,
    /// Vendor libraries found at run time, by short name.
    pub libraries: Vec<String>,
    pub driver: String,
    /// Compiler of rendered source, with its version.
    pub toolchain: String,
    /// What is asked of an adapter before it gets a WGSL kernel; empty for other targets.
    #[serde(default, skip_serializing_if = "Adapter::is_none")]
    pub adapter: Adapter,
}

/// What only devices of target `wgsl` differ in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Adapter {
    /// The API below: `vulkan`, `metal` or `dx12`.
    pub api: String,
    /// Whether it is a program on the CPU's cores.
    pub software: bool,
    /// Of `f16`, `f64`, `int64`, `subgroups`, `timestamps`, `matrices`, `subnormals` where f32 arithmetic keeps
    /// them, and `halves` where the driver's conversions to and from f16 round as they must.
    pub features: Vec<String>,
    /// Lanes of a subgroup, at least and at most.
    pub subgroup_min: i64,
    pub subgroup_max: i64,
    /// Invocations of a workgroup at most.
    pub block_max: i64,
    /// Bytes of one storage binding at most.
    pub binding_max: i64,
    /// Storage bindings of one launch at most.
    pub bindings: i64,
    /// Iterations that all loops of one invocation may make together: llvmpipe ends them after 65535,
    /// silently.
    pub loop_max: i64,
    /// Cooperative matrices as `MxNxK inputs>results`.
    pub matrices: Vec<String>,
}

impl Adapter {
    fn is_none(&self) -> bool {
        *self == Adapter::default()
    }
}

impl DeviceFacts {
    /// Whether f32 arithmetic takes numbers below 2⁻¹²⁶ for 0, as WGSL allows.
    pub fn flushes_subnormals(&self) -> bool {
        self.target == Target::Wgsl && !self.adapter.features.iter().any(|f| f == "subnormals")
    }

    /// The `device` variable.
    pub fn variable(&self) -> Var {
        let int = |name: &str, x: i64| (name.to_string(), Var::Int(x));
        let texts =
            |name: &str, list: &[String]| (name.to_string(), Var::List(list.iter().cloned().map(Var::Text).collect()));
        Var::Map(vec![
            ("kind".to_string(), Var::Text(self.target.name().to_string())),
            int("cc", self.cc),
            int("sms", self.sms),
            int("shared_max", self.shared_max),
            int("l2", self.l2_bytes),
            int("memory", self.memory_bytes),
            int("threads", self.threads),
            texts("libraries", &self.libraries),
            ("api".to_string(), Var::Text(self.adapter.api.clone())),
            texts("features", &self.adapter.features),
            texts("matrices", &self.adapter.matrices),
            int("subgroup_min", self.adapter.subgroup_min),
            int("subgroup_max", self.adapter.subgroup_max),
            int("block_max", self.adapter.block_max),
            int("bindings", self.adapter.bindings),
            int("loop_max", self.adapter.loop_max),
        ])
    }

    /// An H200 as a compile target, for machines without one.
    pub fn h200() -> Self {
        DeviceFacts {
            target: Target::Cuda,
            name: "NVIDIA H200".to_string(),
            cc: 90,
            sms: 132,
            shared_max: 232_448,
            l2_bytes: 62_914_560,
            memory_bytes: 150_000_000_000,
            memory_bandwidth: 4.9e12,
            threads: 16,
            libraries: vec!["cublaslt".to_string()],
            driver: "none".to_string(),
            toolchain: "none".to_string(),
            adapter: Adapter::default(),
        }
    }

    /// Lower-case name with runs of other characters as one dash: a file name.
    pub fn slug(&self) -> String {
        let mut out = String::new();
        for c in self.name.chars() {
            if c.is_ascii_alphanumeric() {
                out.push(c.to_ascii_lowercase());
            } else if !out.ends_with('-') {
                out.push('-');
            }
        }
        out.trim_matches('-').to_string()
    }
}
