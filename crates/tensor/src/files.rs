//! Tensors in and out of files: `.npy` for one, safetensors for many with names.

use crate::device::Device;
use crate::error::{Error, Result};
use crate::io::safetensors::NamedArrays;
use crate::io::{ShapedArray, npy, safetensors};
use crate::tensor::Tensor;
use std::collections::BTreeMap;
use std::path::Path;

fn shaped(tensor: &Tensor, path: &Path) -> Result<ShapedArray> {
    let fail = |reason: String| Error::File { path: path.to_path_buf(), reason };
    ShapedArray::new(tensor.shape().to_vec(), tensor.to_array()?).map_err(|e| fail(e.to_string()))
}

impl Tensor {
    /// Reads a `.npy` file.
    ///
    /// # Errors
    /// A file that is missing, damaged, or of a dtype that does not exist here.
    pub fn load_npy(path: &Path, device: &Device) -> Result<Tensor> {
        let (shape, values) = npy::read(path).map_err(Error::NpyFile)?.into_parts();
        Tensor::from_array(&values, &shape, device)
    }

    /// Writes a `.npy` file, whole or not at all.
    ///
    /// # Errors
    /// A dtype that the format does not have (bf16), a path that cannot be written.
    pub fn save_npy(&self, path: &Path) -> Result<()> {
        npy::write(path, &shaped(self, path)?).map_err(Error::NpyFile)
    }
}

/// Reads every tensor of a safetensors file, by name.
///
/// # Errors
/// A file that is missing or damaged, no memory on the device.
pub fn load_safetensors(path: &Path, device: &Device) -> Result<BTreeMap<String, Tensor>> {
    let file = safetensors::read(path).map_err(Error::SafetensorsFile)?;
    let load = |(name, array): (String, ShapedArray)| {
        let (shape, values) = array.into_parts();
        Ok((name, Tensor::from_array(&values, &shape, device)?))
    };
    file.arrays.into_iter().map(load).collect()
}

/// Writes tensors by name, whole or not at all, with text that says what they are.
///
/// # Errors
/// What computing them fails with, a path that cannot be written.
pub fn save_safetensors(
    path: &Path,
    tensors: &BTreeMap<String, Tensor>,
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    let arrays =
        tensors.iter().map(|(name, t)| Ok((name.clone(), shaped(t, path)?))).collect::<Result<BTreeMap<_, _>>>()?;
    safetensors::write(path, &NamedArrays { arrays, metadata: metadata.clone() }).map_err(Error::SafetensorsFile)
}
