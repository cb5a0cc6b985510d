//! What can go wrong with tensors. Every message has the shapes, dtypes or sizes in it.

use kernelsmith_core::{DType, LayoutError, ProblemError};
use kernelsmith_device::DeviceError;
use kernelsmith_kernels::CatalogueError;
use kernelsmith_kernels::tuned::TunedError;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{op}: {source}")]
    Layout { op: &'static str, source: LayoutError },
    /// Operands whose shapes do not fit together.
    #[error("{op}: shapes {shapes:?} do not fit: {expected}")]
    Shape { op: &'static str, shapes: Vec<Vec<usize>>, expected: String },
    #[error("{op}: dtype {found}, expected {expected}")]
    DType { op: &'static str, found: DType, expected: String },
    #[error("{op}: operands are on {left} and {right}: move one with `to_device`")]
    DeviceMismatch { op: &'static str, left: String, right: String },
    #[error("{op}: axis {axis} of a tensor of rank {rank}")]
    Axis { op: &'static str, axis: isize, rank: usize },
    #[error("{op}: index {found} at element {at} is outside 0..{size}")]
    Index { op: &'static str, at: usize, found: i64, size: usize },
    #[error("{op}: {reason}")]
    Invalid { op: &'static str, reason: String },
    /// The policy forbids copies and the plan needs one.
    #[error("{op} of shape {shape:?} needs a copy of {bytes} bytes, which the policy forbids: {why}")]
    CopyForbidden { op: &'static str, shape: Vec<usize>, bytes: usize, why: &'static str },
    #[error("{op} has no gradient: {why}")]
    NoGradient { op: &'static str, why: String },
    #[error("{path}: {reason}")]
    File { path: PathBuf, reason: String },
    #[error(transparent)]
    NpyFile(crate::io::npy::NpyError),
    #[error(transparent)]
    SafetensorsFile(crate::io::safetensors::SafetensorsError),
    #[error(transparent)]
    Mnist(#[from] crate::data::mnist::MnistError),
    #[error(transparent)]
    Problem(#[from] ProblemError),
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    #[error(transparent)]
    Tuned(#[from] TunedError),
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn layout(op: &'static str) -> impl Fn(LayoutError) -> Error {
        move |source| Error::Layout { op, source }
    }
}
