//! The CPU backend: kernels are Rust functions, queues run at once.

pub mod facts;
pub mod faults;
pub mod gemm;
pub mod idle;
pub mod kernel;
pub mod memory;
pub mod spin;
