//! Files of other tuners: Kernel Tuner's cachefiles, T4 results, T1 spaces.
//!
//! All become a [`Recording`], and a recording can be written as each. Readers take files from
//! anywhere: what is wrong with one is an error that names the file, the place in it, what was
//! expected and what was found.

pub mod cachefile;
mod fields;
pub mod recording;
pub mod run;
pub mod t1;
pub mod t4;

pub use recording::{Column, Failure, Recording, Trial};

use serde_json::Value;
use std::io::Read;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum InterchangeError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{path}: unpacked it is over {limit} bytes")]
    TooLarge { path: PathBuf, limit: u64 },
    /// Not JSON, or of another form than the format's.
    #[error("{path}:{line}:{column}: {reason}")]
    Syntax { path: PathBuf, line: usize, column: usize, reason: String },
    #[error("{path}: {place}: expected {expected}, found {found}")]
    Content { path: PathBuf, place: String, expected: String, found: String },
}

/// Bytes that a file may have when it is unpacked.
const LIMIT: u64 = 2 << 30;

/// Reads a cachefile or T4 results, plain or gzip: which one is seen from its keys.
pub fn read(path: &Path) -> Result<Recording, InterchangeError> {
    parse(path, &bytes(path)?)
}

/// Reads the text of a cachefile or of T4 results. `path` is for errors, and names what the text
/// leaves unnamed.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<Recording, InterchangeError> {
    // The keys that tell the formats apart come first or last; neither is worth a second parse.
    let has = |key: &str| bytes.windows(key.len()).any(|w| w == key.as_bytes());
    if !has("\"cache\"") && has("\"results\"") { t4::parse(path, bytes) } else { cachefile::parse(path, bytes) }
}

/// A file's content, unpacked where it is gzip.
pub(crate) fn bytes(path: &Path) -> Result<Vec<u8>, InterchangeError> {
    let io = |source| InterchangeError::Io { path: path.to_path_buf(), source };
    let mut file = std::fs::File::open(path).map_err(io)?;
    let mut head = Vec::new();
    file.by_ref().take(2).read_to_end(&mut head).map_err(io)?;
    let packed = head == [0x1f, 0x8b];
    let whole = std::io::Cursor::new(head).chain(file);
    let mut out = Vec::new();
    let read = if packed {
        flate2::read::MultiGzDecoder::new(whole).take(LIMIT + 1).read_to_end(&mut out)
    } else {
        whole.take(LIMIT + 1).read_to_end(&mut out)
    };
    read.map_err(io)?;
    if out.len() as u64 > LIMIT {
        return Err(InterchangeError::TooLarge { path: path.to_path_buf(), limit: LIMIT });
    }
    Ok(out)
}

fn syntax(path: &Path, error: &serde_json::Error) -> InterchangeError {
    let text = error.to_string();
    let reason = text.split(" at line ").next().unwrap_or_default().to_string();
    InterchangeError::Syntax { path: path.to_path_buf(), line: error.line(), column: error.column(), reason }
}

fn content(path: &Path, place: impl Into<String>, expected: &str, found: impl Into<String>) -> InterchangeError {
    let (place, expected, found) = (place.into(), expected.to_string(), found.into());
    InterchangeError::Content { path: path.to_path_buf(), place, expected, found }
}

/// A value as an error shows it: long ones are cut.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    let cut: String = text.chars().take(60).collect();
    if cut.len() < text.len() { format!("{cut}…") } else { text }
}

/// What a file without names is called: its name without extensions.
fn stem(path: &Path) -> String {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    name.strip_suffix(".json").unwrap_or(name).to_string()
}

#[cfg(test)]
mod tests;
