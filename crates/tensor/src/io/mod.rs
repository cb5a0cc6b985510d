//! Arrays in files: `.npy` for one, safetensors for many with names.

mod array;
pub(crate) mod bytes;
pub mod npy;
pub mod safetensors;
mod write;

pub(crate) use array::element_count;
pub use array::{ShapeError, ShapedArray};
