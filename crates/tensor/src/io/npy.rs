//! NumPy's `.npy`: one array in a file.
//!
//! The format is specified in `numpy.lib.format`
//! (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>), versions 1.0, 2.0 and
//! 3.0. Read are f2, f4, f8, i4, u1 and b1 in either order of bytes and either order of dimensions;
//! written is little-endian, row-major.

mod header;

use super::bytes::{little_endian, read_values};
use super::write::write_whole;
use super::{ShapeError, ShapedArray, element_count};
use header::Header;
use kernelsmith_core::{DType, HostArray};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

/// An `.npy` file that cannot be read or written: which one, and why.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {problem}")]
pub struct NpyError {
    /// The path, or `npy bytes`.
    pub file: String,
    pub problem: NpyProblem,
}

/// Why an `.npy` file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum NpyProblem {
    #[error("cannot be opened: {0}")]
    Open(#[source] io::Error),
    #[error("cannot be read: {0}")]
    Read(#[source] io::Error),
    #[error("cannot be written: {0}")]
    Write(#[source] io::Error),
    #[error("not an npy file: expected 93 4e 55 4d 50 59 first, found {0:02x?}")]
    Magic(Vec<u8>),
    #[error("npy version {0}.{1} is not known, expected 1.0, 2.0 or 3.0")]
    Version(u8, u8),
    #[error("the header is cut off: expected {expected} bytes, found {found}")]
    HeaderCut { expected: u64, found: u64 },
    #[error("the header is not text at byte {0}")]
    HeaderText(usize),
    #[error("the header is damaged at byte {at}: expected {expected}, found {found}")]
    Header { at: usize, expected: &'static str, found: String },
    #[error("values of type `{0}` are not supported, expected f2, f4, f8, i4, u1 or b1: convert with numpy's astype")]
    Type(String),
    #[error("npy has no type for {0}: cast to f32 first, which holds every value of it")]
    NoType(DType),
    #[error(transparent)]
    Shape(#[from] ShapeError),
    #[error("truncated: shape {shape:?} of {dtype} takes {expected} bytes after the header, found {found}")]
    Truncated { shape: Vec<usize>, dtype: DType, expected: u64, found: u64 },
    #[error("oversized: {found} bytes after the header, shape {shape:?} of {dtype} takes {expected}")]
    Oversized { shape: Vec<usize>, dtype: DType, expected: u64, found: u64 },
}

/// Reads a file. An array in column-major order is copied to row-major order.
///
/// # Errors
/// [`NpyProblem`], with the path. Nothing is allocated beyond the file's size.
pub fn read(path: &Path) -> Result<ShapedArray, NpyError> {
    read_file(path).map_err(|problem| NpyError { file: path.display().to_string(), problem })
}

/// Reads an array from a file's bytes.
///
/// # Errors
/// As [`read`].
pub fn from_bytes(bytes: &[u8]) -> Result<ShapedArray, NpyError> {
    parse(&mut &bytes[..], bytes.len() as u64).map_err(|problem| NpyError { file: "npy bytes".to_string(), problem })
}

/// Writes a file; one that is there is replaced when all is written.
///
/// # Errors
/// A dtype that npy lacks (bf16), or what the system reports; the old file is then as it was.
pub fn write(path: &Path, array: &ShapedArray) -> Result<(), NpyError> {
    let wrap = |problem| NpyError { file: path.display().to_string(), problem };
    let header = header::format(array.dtype(), array.shape()).map_err(wrap)?;
    write_whole(path, |out| {
        out.write_all(&header)?;
        out.write_all(&little_endian(array.values()))
    })
    .map_err(|e| wrap(NpyProblem::Write(e)))
}

/// A file's bytes.
///
/// # Errors
/// A dtype that npy lacks: bf16.
pub fn to_bytes(array: &ShapedArray) -> Result<Vec<u8>, NpyError> {
    let mut bytes = header::format(array.dtype(), array.shape())
        .map_err(|problem| NpyError { file: "npy bytes".to_string(), problem })?;
    bytes.extend_from_slice(&little_endian(array.values()));
    Ok(bytes)
}

fn read_file(path: &Path) -> Result<ShapedArray, NpyProblem> {
    let mut file = File::open(path).map_err(NpyProblem::Open)?;
    let about = file.metadata().map_err(NpyProblem::Open)?;
    if about.is_file() {
        return parse(&mut BufReader::new(file), about.len());
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(NpyProblem::Read)?;
    parse(&mut &bytes[..], bytes.len() as u64)
}

/// `length`: how many bytes the reader holds.
fn parse(reader: &mut dyn Read, length: u64) -> Result<ShapedArray, NpyProblem> {
    let (Header { dtype, order, column_major, shape }, start) = header::read(reader, length)?;
    let count = element_count(&shape)?;
    let expected = count as u64 * dtype.bytes() as u64;
    let found = length - start;
    if found < expected {
        return Err(NpyProblem::Truncated { shape, dtype, expected, found });
    }
    if found > expected {
        return Err(NpyProblem::Oversized { shape, dtype, expected, found });
    }
    let values = read_values(reader, dtype, count, order).map_err(NpyProblem::Read)?;
    let values = if column_major { to_row_major(values, &shape) } else { values };
    Ok(ShapedArray::new(shape, values)?)
}

/// Values whose first dimension varies fastest, in the order in which the last does.
fn to_row_major(values: HostArray, shape: &[usize]) -> HostArray {
    if shape.iter().filter(|&&size| size > 1).count() < 2 || values.is_empty() {
        return values;
    }
    let mut out = HostArray::zeros(values.dtype(), values.len());
    let size = values.dtype().bytes();
    let mut index = vec![0; shape.len()];
    let strides: Vec<usize> = shape
        .iter()
        .scan(1, |step, &n| {
            let stride = *step;
            *step *= n;
            Some(stride)
        })
        .collect();
    let mut from = 0;
    let source = values.as_bytes();
    for element in out.as_bytes_mut().chunks_exact_mut(size) {
        element.copy_from_slice(&source[from * size..(from + 1) * size]);
        for d in (0..shape.len()).rev() {
            index[d] += 1;
            from += strides[d];
            if index[d] < shape[d] {
                break;
            }
            from -= strides[d] * shape[d];
            index[d] = 0;
        }
    }
    out
}

#[cfg(test)]
#[path = "npy_tests.rs"]
mod tests;
