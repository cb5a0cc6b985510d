//! Training programs.

pub mod mnist;
