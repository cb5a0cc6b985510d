//! Safetensors: arrays with names, and text about them.
//!
//! Eight bytes with the header's length, the header in JSON (names, dtypes, shapes, where the values
//! are), the values in little-endian, row-major order. Specified at
//! <https://github.com/huggingface/safetensors#format>. The header is read and checked by that
//! project's own crate; values are read from the file array by array.

use super::bytes::{ByteOrder, little_endian, read_values};
use super::write::write_whole;
use super::{ShapeError, ShapedArray, element_count};
use kernelsmith_core::DType;
use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

/// Bytes of a header at most: the limit of the format's own readers.
const MAX_HEADER: u64 = 100_000_000;
/// The key under which a header keeps text.
const TEXT_KEY: &str = "__metadata__";

/// What a file holds, in the order of names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NamedArrays {
    pub arrays: BTreeMap<String, ShapedArray>,
    /// Text by key: anything that the writer wants to say.
    pub metadata: BTreeMap<String, String>,
}

/// A safetensors file that cannot be read or written: which one, and why.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {problem}")]
pub struct SafetensorsError {
    /// The path, or `safetensors bytes`.
    pub file: String,
    pub problem: SafetensorsProblem,
}

/// Why a safetensors file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SafetensorsProblem {
    #[error("cannot be opened: {0}")]
    Open(#[source] io::Error),
    #[error("cannot be read: {0}")]
    Read(#[source] io::Error),
    #[error("cannot be written: {0}")]
    Write(#[source] io::Error),
    #[error("the header is cut off: expected {expected} bytes, found {found}")]
    HeaderCut { expected: u64, found: u64 },
    #[error("a header of {0} bytes is over the format's limit of {MAX_HEADER}")]
    HeaderSize(u64),
    #[error("damaged header: {0}")]
    Header(#[source] serde_json::Error),
    #[error("truncated: the header describes {expected} bytes of values, found {found}")]
    Truncated { expected: u64, found: u64 },
    #[error("oversized: {found} bytes of values, the header describes {expected}")]
    Oversized { expected: u64, found: u64 },
    #[error("array `{name}` has values of type {found}, expected F32, F64, F16, BF16, I32, U8 or BOOL")]
    Type { name: String, found: String },
    #[error("array `{name}`: {source}")]
    Shape { name: String, source: ShapeError },
    #[error("an array cannot be called `{TEXT_KEY}`, which the format uses itself")]
    Name,
    #[error("the header cannot be made: {0}")]
    Format(#[source] SafeTensorError),
}

/// Reads all arrays of a file.
///
/// # Errors
/// [`SafetensorsProblem`], with the path. Nothing is allocated beyond the file's size.
pub fn read(path: &Path) -> Result<NamedArrays, SafetensorsError> {
    read_file(path).map_err(|problem| SafetensorsError { file: path.display().to_string(), problem })
}

/// Reads all arrays from a file's bytes.
///
/// # Errors
/// As [`read`].
pub fn from_bytes(bytes: &[u8]) -> Result<NamedArrays, SafetensorsError> {
    parse(&mut &bytes[..], bytes.len() as u64).map_err(in_memory)
}

/// Writes a file; one that is there is replaced when all is written, so a save that is killed leaves
/// the old one.
///
/// # Errors
/// An array with the name `__metadata__`, a header over the format's limit, or what the system
/// reports.
pub fn write(path: &Path, content: &NamedArrays) -> Result<(), SafetensorsError> {
    let wrap = |problem| SafetensorsError { file: path.display().to_string(), problem };
    let (header, order) = header(content).map_err(wrap)?;
    write_whole(path, |out| write_parts(out, &header, &order)).map_err(|e| wrap(SafetensorsProblem::Write(e)))
}

/// A file's bytes.
///
/// # Errors
/// As [`write`], but for the system's.
pub fn to_bytes(content: &NamedArrays) -> Result<Vec<u8>, SafetensorsError> {
    let (header, order) = header(content).map_err(in_memory)?;
    let mut bytes = Vec::new();
    write_parts(&mut bytes, &header, &order).map_err(|e| in_memory(SafetensorsProblem::Write(e)))?;
    Ok(bytes)
}

fn in_memory(problem: SafetensorsProblem) -> SafetensorsError {
    SafetensorsError { file: "safetensors bytes".to_string(), problem }
}

fn read_file(path: &Path) -> Result<NamedArrays, SafetensorsProblem> {
    let mut file = File::open(path).map_err(SafetensorsProblem::Open)?;
    let about = file.metadata().map_err(SafetensorsProblem::Open)?;
    if about.is_file() {
        return parse(&mut BufReader::new(file), about.len());
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(SafetensorsProblem::Read)?;
    parse(&mut &bytes[..], bytes.len() as u64)
}

/// `length`: how many bytes the reader holds.
fn parse(reader: &mut dyn Read, length: u64) -> Result<NamedArrays, SafetensorsProblem> {
    let metadata = read_header(reader, length)?;
    let mut content = NamedArrays::default();
    if let Some(text) = metadata.metadata() {
        content.metadata = text.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    }
    // In the order of their values, which the header's check found to follow each other without gaps.
    for name in metadata.offset_keys() {
        let Some(info) = metadata.info(&name) else { continue };
        let dtype = from_file(info.dtype)
            .ok_or_else(|| SafetensorsProblem::Type { name: name.clone(), found: format!("{:?}", info.dtype) })?;
        let shape_error = |source| SafetensorsProblem::Shape { name: name.clone(), source };
        let count = element_count(&info.shape).map_err(shape_error)?;
        let values = read_values(reader, dtype, count, ByteOrder::Little).map_err(SafetensorsProblem::Read)?;
        let array = ShapedArray::new(info.shape.clone(), values).map_err(shape_error)?;
        content.arrays.insert(name, array);
    }
    Ok(content)
}

/// Reads and checks the header; the values that follow are as many as it describes.
fn read_header(reader: &mut dyn Read, length: u64) -> Result<Metadata, SafetensorsProblem> {
    if length < 8 {
        return Err(SafetensorsProblem::HeaderCut { expected: 8, found: length });
    }
    let mut size = [0; 8];
    reader.read_exact(&mut size).map_err(SafetensorsProblem::Read)?;
    let size = u64::from_le_bytes(size);
    if size > MAX_HEADER {
        return Err(SafetensorsProblem::HeaderSize(size));
    }
    if size > length - 8 {
        return Err(SafetensorsProblem::HeaderCut { expected: size + 8, found: length });
    }
    let mut text = vec![0; size as usize];
    reader.read_exact(&mut text).map_err(SafetensorsProblem::Read)?;
    let metadata: Metadata = serde_json::from_slice(&text).map_err(SafetensorsProblem::Header)?;
    let (expected, found) = (metadata.data_len() as u64, length - 8 - size);
    match expected.cmp(&found) {
        std::cmp::Ordering::Greater => Err(SafetensorsProblem::Truncated { expected, found }),
        std::cmp::Ordering::Less => Err(SafetensorsProblem::Oversized { expected, found }),
        std::cmp::Ordering::Equal => Ok(metadata),
    }
}

/// The length and the header of a file, and the arrays in the order of their values: wide types
/// first, so that each is aligned, then by name.
fn header(content: &NamedArrays) -> Result<(Vec<u8>, Vec<&ShapedArray>), SafetensorsProblem> {
    if content.arrays.contains_key(TEXT_KEY) {
        return Err(SafetensorsProblem::Name);
    }
    let mut order: Vec<(&String, &ShapedArray)> = content.arrays.iter().collect();
    order.sort_by_key(|(_, array)| std::cmp::Reverse(array.dtype().bytes()));
    let mut end = 0;
    let infos = order
        .iter()
        .map(|(name, array)| {
            let start = end;
            end += array.values().as_bytes().len();
            let info =
                TensorInfo { dtype: to_file(array.dtype()), shape: array.shape().to_vec(), data_offsets: (start, end) };
            ((*name).clone(), info)
        })
        .collect();
    let text = content.metadata.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    let metadata =
        Metadata::new((!content.metadata.is_empty()).then_some(text), infos).map_err(SafetensorsProblem::Format)?;
    let mut json = serde_json::to_vec(&metadata).map_err(SafetensorsProblem::Header)?;
    json.resize(json.len().next_multiple_of(8), b' ');
    let size = json.len() as u64;
    if size > MAX_HEADER {
        return Err(SafetensorsProblem::HeaderSize(size));
    }
    let mut bytes = size.to_le_bytes().to_vec();
    bytes.append(&mut json);
    Ok((bytes, order.into_iter().map(|(_, array)| array).collect()))
}

fn write_parts(out: &mut dyn Write, header: &[u8], order: &[&ShapedArray]) -> io::Result<()> {
    out.write_all(header)?;
    order.iter().try_for_each(|array| out.write_all(&little_endian(array.values())))
}

fn to_file(dtype: DType) -> Dtype {
    match dtype {
        DType::F32 => Dtype::F32,
        DType::F64 => Dtype::F64,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::I32 => Dtype::I32,
        DType::U8 => Dtype::U8,
        DType::Bool => Dtype::BOOL,
        DType::E4M3 => Dtype::F8_E4M3,
        DType::E5M2 => Dtype::F8_E5M2,
    }
}

fn from_file(dtype: Dtype) -> Option<DType> {
    DType::ALL.into_iter().find(|&ours| to_file(ours) == dtype)
}

#[cfg(test)]
#[path = "safetensors_tests.rs"]
mod tests;
