//! Data sets: the IDX format, and MNIST in it.

pub mod idx;
pub mod mnist;

pub use mnist::Mnist;
