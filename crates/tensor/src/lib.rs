//! Tensors on CPU and GPU whose every kernel earned its place.
#![forbid(unsafe_code)]

pub mod data;
pub mod io;
