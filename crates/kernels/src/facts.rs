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
}

impl DeviceFacts {
    /// The `device` variable.
    pub fn variable(&self) -> Var {
        let int = |name: &str, x: i64| (name.to_string(), Var::Int(x));
        Var::Map(vec![
            ("kind".to_string(), Var::Text(self.target.name().to_string())),
            int("cc", self.cc),
            int("sms", self.sms),
            int("shared_max", self.shared_max),
            int("l2", self.l2_bytes),
            int("memory", self.memory_bytes),
            int("threads", self.threads),
            ("libraries".to_string(), Var::List(self.libraries.iter().cloned().map(Var::Text).collect())),
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
