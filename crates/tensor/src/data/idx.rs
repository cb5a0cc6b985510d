//! The IDX format of MNIST, plain or in gzip.
//!
//! Two zero bytes, one byte that names the type, one with the number of dimensions; their sizes as
//! big-endian u32; the values, row-major and big-endian. Described by LeCun, Cortes and Burges with
//! MNIST, <http://yann.lecun.com/exdb/mnist/>.

use crate::io::bytes::{ByteOrder, reorder};
use crate::io::{ShapeError, ShapedArray};
use kernelsmith_core::{DType, HostArray};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// What deflate can make of one byte at most (RFC 1951: 258 bytes from two bits and a rounding up).
const INFLATE_RATIO: u64 = 1032;

/// An IDX file that cannot be read: which one, and why.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {problem}")]
pub struct IdxError {
    /// The path, or the name that the caller gave to the stream.
    pub file: String,
    pub problem: IdxProblem,
}

/// Why an IDX file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum IdxProblem {
    #[error("cannot be opened: {0}")]
    Open(#[source] io::Error),
    #[error("cannot be read: {0}")]
    Read(#[source] io::Error),
    #[error("damaged gzip data: {0}")]
    Gzip(#[source] io::Error),
    #[error("not an IDX file: expected two zero bytes first, found {0:02x} {1:02x}")]
    Magic(u8, u8),
    #[error(
        "values of type {name} (0x{code:02x}) are not supported, expected u8 (0x08), i32 (0x0c), f32 (0x0d) or f64 (0x0e)"
    )]
    Type { code: u8, name: &'static str },
    #[error("the header is cut off: expected {expected} bytes, found {found}")]
    Header { expected: usize, found: usize },
    #[error(transparent)]
    Shape(#[from] ShapeError),
    #[error("truncated: shape {shape:?} of {dtype} takes {expected} bytes after the header, found {found}")]
    Truncated { shape: Vec<usize>, dtype: DType, expected: usize, found: usize },
    #[error("oversized: there is more after the {expected} bytes of shape {shape:?} of {dtype}")]
    Oversized { shape: Vec<usize>, dtype: DType, expected: usize },
}

/// Reads a file. Whether it is gzip is told by its first bytes, not by its name.
///
/// # Errors
/// [`IdxProblem`], with the path.
pub fn read(path: &Path) -> Result<ShapedArray, IdxError> {
    let file = path.display().to_string();
    let open = || -> io::Result<(File, Option<u64>)> {
        let opened = File::open(path)?;
        let about = opened.metadata()?;
        if about.is_dir() {
            return Err(io::Error::from(io::ErrorKind::IsADirectory));
        }
        Ok((opened, about.is_file().then_some(about.len())))
    };
    open()
        .map_err(IdxProblem::Open)
        .and_then(|(opened, length)| parse(BufReader::with_capacity(1 << 17, opened), length))
        .map_err(|problem| IdxError { file, problem })
}

/// Reads a stream to its end; `name` stands for it in errors. Memory grows with what arrives, not
/// with what the header says.
///
/// # Errors
/// [`IdxProblem`], with the name.
pub fn read_from(reader: impl Read, name: &str) -> Result<ShapedArray, IdxError> {
    parse(BufReader::new(reader), None).map_err(|problem| IdxError { file: name.to_string(), problem })
}

/// `length`: bytes of the file, where known.
fn parse(mut reader: impl BufRead, length: Option<u64>) -> Result<ShapedArray, IdxProblem> {
    let gzip = starts_with_gzip(&mut reader).map_err(IdxProblem::Read)?;
    if gzip {
        let most = length.map(|n| n.saturating_mul(INFLATE_RATIO));
        body(&mut flate2::bufread::MultiGzDecoder::new(reader), most, IdxProblem::Gzip)
    } else {
        body(&mut reader, length, IdxProblem::Read)
    }
}

fn starts_with_gzip(reader: &mut impl BufRead) -> io::Result<bool> {
    // An IDX file starts with a zero, gzip with 1f 8b: the first byte decides.
    loop {
        match reader.fill_buf() {
            Ok(bytes) => return Ok(bytes.first() == Some(&0x1f)),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// Reads up to `limit` bytes. What is allocated ahead of the data is no more than the source can hold
/// (`most`), nor than a quarter of a gigabyte; beyond that it grows with what arrives.
fn take(reader: &mut dyn Read, limit: usize, most: Option<u64>) -> io::Result<Vec<u8>> {
    let capacity = (limit as u64).min(most.unwrap_or(1 << 16)).min(1 << 28) as usize;
    let mut bytes = Vec::with_capacity(capacity);
    reader.take(limit as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn body(
    reader: &mut dyn Read,
    most: Option<u64>,
    damaged: fn(io::Error) -> IdxProblem,
) -> Result<ShapedArray, IdxProblem> {
    let magic = take(reader, 4, most).map_err(damaged)?;
    if let [a, b, ..] = magic[..]
        && (a, b) != (0, 0)
    {
        return Err(IdxProblem::Magic(a, b));
    }
    let &[_, _, code, rank] = &magic[..] else {
        return Err(IdxProblem::Header { expected: 4, found: magic.len() });
    };
    let dtype = dtype(code)?;
    let sizes = take(reader, 4 * rank as usize, most).map_err(damaged)?;
    if sizes.len() < 4 * rank as usize {
        return Err(IdxProblem::Header { expected: 4 + 4 * rank as usize, found: 4 + sizes.len() });
    }
    let shape: Vec<usize> = sizes.as_chunks::<4>().0.iter().map(|&size| u32::from_be_bytes(size) as usize).collect();
    let count = crate::io::element_count(&shape)?;
    let expected = count * dtype.bytes();
    // One byte more than expected: at the end of the data, gzip has checked its own sum.
    let mut bytes = take(reader, expected + 1, most).map_err(damaged)?;
    if bytes.len() < expected {
        return Err(IdxProblem::Truncated { shape, dtype, expected, found: bytes.len() });
    }
    if bytes.len() > expected {
        return Err(IdxProblem::Oversized { shape, dtype, expected });
    }
    let values = if dtype == DType::U8 {
        HostArray::U8(std::mem::take(&mut bytes))
    } else {
        let mut values = HostArray::zeros(dtype, count);
        values.as_bytes_mut().copy_from_slice(&bytes);
        reorder(&mut values, ByteOrder::Big);
        values
    };
    Ok(ShapedArray::new(shape, values)?)
}

fn dtype(code: u8) -> Result<DType, IdxProblem> {
    match code {
        0x08 => Ok(DType::U8),
        0x0c => Ok(DType::I32),
        0x0d => Ok(DType::F32),
        0x0e => Ok(DType::F64),
        0x09 => Err(IdxProblem::Type { code, name: "i8" }),
        0x0b => Err(IdxProblem::Type { code, name: "i16" }),
        _ => Err(IdxProblem::Type { code, name: "unknown" }),
    }
}

#[cfg(test)]
#[path = "idx_tests.rs"]
mod tests;
