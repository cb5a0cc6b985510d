//! Lazy tensors over O(1) views, on kernels that earned their place.
//!
//! A [`Tensor`] is a node of an expression graph and a layout. Views only change the layout. The
//! planner turns what is asked for into launches: element-wise chains are fused, into products,
//! reductions and row operations where they meet; [`Tensor::plan`] shows it before it runs.
#![forbid(unsafe_code)]

mod create;
pub mod data;
mod device;
mod elementwise;
mod error;
pub mod files;
pub mod formula;
pub mod grad;
mod index;
pub mod io;
mod join;
mod matmul;
pub mod nn;
mod node;
pub mod optim;
pub mod plan;
mod records;
mod reduce;
mod replay;
mod rows;
mod tensor;
pub mod train;
mod views;

pub use device::Device;
pub use elementwise::Operand;
pub use error::{Error, Result};
pub use grad::{Gradients, grad, value_and_grad};
pub use kernelsmith_core::element::{self, Element};
pub use kernelsmith_core::{DType, HostArray, Layout};
/// Makes a plain struct an [`Element`](trait@Element).
pub use kernelsmith_derive::Element;
pub use records::Records;
pub use replay::{Replay, Tally, Traced};
pub use tensor::{Scalar, Tensor};

/// The README's examples, compiled and run with the doc tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
