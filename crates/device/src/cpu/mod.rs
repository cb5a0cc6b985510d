//! The CPU backend: kernels are Rust functions, queues run at once.

pub mod attacks;
pub mod attention;
#[cfg(test)]
mod checks;
mod evaluator;
pub mod facts;
pub mod faulted;
pub mod faults;
mod fold;
pub mod gather;
pub mod gemm;
pub mod idle;
pub mod kernel;
mod launch;
pub mod map;
pub mod memory;
pub mod operands;
mod prepared;
pub mod reduce;
pub mod row;
mod scratch;
pub mod slowed;
mod space;
pub mod spin;
mod tape;
