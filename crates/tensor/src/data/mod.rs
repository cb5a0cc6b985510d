//! Data sets: the IDX format, MNIST in it, and the order in which they are walked.

pub mod idx;
pub mod mnist;
mod shuffle;

pub use mnist::Mnist;
pub use shuffle::permutation;
