//! Layers: parameters and a forward expression. One file a layer.

mod dropout;
mod embedding;
mod linear;
mod norm;
mod sequential;

pub use dropout::Dropout;
pub use embedding::Embedding;
pub use linear::Linear;
pub use norm::{LayerNorm, RmsNorm};
pub use sequential::{Activation, Sequential, mlp};

use crate::device::Device;
use crate::error::{Error, Result};
use crate::files;
use crate::tensor::Tensor;
use std::collections::BTreeMap;
use std::path::Path;

/// What a forward pass is for.
#[derive(Clone, Copy, Debug)]
pub enum Mode<'a> {
    /// Nothing is random.
    Evaluate,
    /// `step` is an i32 scalar that counts training steps: it is what random layers draw from, so
    /// that a replayed step draws anew.
    Train { step: &'a Tensor },
}

/// A layer, or layers.
pub trait Module {
    /// The expression of the outputs.
    ///
    /// # Errors
    /// An input of another shape or dtype than the layer takes.
    fn forward(&self, x: &Tensor, mode: Mode<'_>) -> Result<Tensor>;

    /// Calls `f` for each parameter with its dotted name below `prefix`, always in the same order.
    ///
    /// # Errors
    /// The first that `f` fails with.
    fn visit(&mut self, prefix: &str, f: &mut dyn FnMut(&str, &mut Tensor) -> Result<()>) -> Result<()>;
}

/// The parameters of a module with their names, in order.
///
/// # Errors
/// None that a module of this crate has.
pub fn parameters(module: &mut dyn Module) -> Result<Vec<(String, Tensor)>> {
    let mut out = Vec::new();
    module.visit("", &mut |name, tensor| {
        out.push((name.to_string(), tensor.clone()));
        Ok(())
    })?;
    Ok(out)
}

/// Replaces the parameters of a module, in the order of [`parameters`].
///
/// # Errors
/// Another number of tensors, or one of another shape or dtype.
pub fn set_parameters(module: &mut dyn Module, tensors: &[Tensor]) -> Result<()> {
    let mut rest = tensors.iter();
    module.visit("", &mut |name, tensor| {
        let missing = || Error::Invalid { op: "set_parameters", reason: format!("nothing was given for `{name}`") };
        replace(name, tensor, rest.next().ok_or_else(missing)?)
    })?;
    match rest.len() {
        0 => Ok(()),
        left => Err(Error::Invalid { op: "set_parameters", reason: format!("{left} tensors too many") }),
    }
}

fn replace(name: &str, old: &mut Tensor, new: &Tensor) -> Result<()> {
    if old.shape() != new.shape() || old.dtype() != new.dtype() {
        let reason = format!(
            "`{name}` has shape {:?} of {}, expected {:?} of {}",
            new.shape(),
            new.dtype(),
            old.shape(),
            old.dtype()
        );
        return Err(Error::Invalid { op: "parameters", reason });
    }
    *old = new.clone();
    Ok(())
}

/// Writes a module's parameters as safetensors, with text that says what it is.
///
/// # Errors
/// A path that cannot be written.
pub fn save(module: &mut dyn Module, path: &Path, metadata: &BTreeMap<String, String>) -> Result<()> {
    files::save_safetensors(path, &parameters(module)?.into_iter().collect(), metadata)
}

/// Reads a module's parameters from a safetensors file.
///
/// # Errors
/// A file that is missing or damaged, lacks a parameter, has one of another shape or dtype, or one
/// that the module does not have.
pub fn load(module: &mut dyn Module, path: &Path, device: &Device) -> Result<()> {
    let mut tensors = files::load_safetensors(path, device)?;
    let fail = |reason: String| Error::File { path: path.to_path_buf(), reason };
    module.visit("", &mut |name, tensor| {
        let found = tensors.remove(name).ok_or_else(|| fail(format!("it has no tensor `{name}`")))?;
        replace(name, tensor, &found).map_err(|e| fail(e.to_string()))
    })?;
    match tensors.keys().next() {
        None => Ok(()),
        Some(extra) => Err(fail(format!("the model has no parameter `{extra}`"))),
    }
}

/// `prefix.name`, or `name` alone.
fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_string() } else { format!("{prefix}.{name}") }
}
