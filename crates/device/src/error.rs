//! What can go wrong on a device.

use kernelsmith_kernels::CatalogueError;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    #[error("unknown device `{0}`, expected cpu, cuda:N or wgpu:N")]
    UnknownDevice(String),
    /// The device does not exist here; the text says why in one line.
    #[error("{device} is not available: {reason}")]
    Unavailable { device: String, reason: String },
    /// What was held for reuse had been given back before; `held` is what could not be.
    #[error(
        "out of memory on {device}: asked for {requested} bytes, {live} are in use, {held} held for reuse, the device has {total}"
    )]
    OutOfMemory { device: String, requested: usize, live: usize, held: usize, total: usize },
    #[error("compiling {what} failed: {log}")]
    Compile { what: String, log: String },
    #[error("launching {what} failed: {reason}")]
    Launch { what: String, reason: String },
    /// The variant's library has nothing to offer for this problem and config.
    #[error("{what} is not offered: {reason}")]
    NotOffered { what: String, reason: String },
    #[error("{call} failed: {reason}")]
    Driver { call: &'static str, reason: String },
    #[error("operand {index} of {what}: {reason}")]
    Operand { what: String, index: usize, reason: String },
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
}

pub type Result<T> = std::result::Result<T, DeviceError>;
