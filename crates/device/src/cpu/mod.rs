//! The CPU backend: kernels are Rust functions, queues run at once.

#[cfg(test)]
mod checks;
pub mod facts;
pub mod faults;
pub mod gather;
pub mod gemm;
pub mod idle;
pub mod kernel;
pub mod map;
pub mod memory;
pub mod operands;
pub mod reduce;
pub mod row;
pub mod spin;
