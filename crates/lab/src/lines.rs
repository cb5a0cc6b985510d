//! Files of JSON lines that are only ever added to.
//!
//! A line is written whole, with its newline, in one call. What a kill can leave is a last line
//! without its newline: reading leaves it out (and says how long it was), adding writes over it.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{File, OpenOptions};
use std::io::{Result, Seek, SeekFrom, Write};
use std::path::Path;

/// What a file held.
#[derive(Debug)]
pub struct Lines<T> {
    pub values: Vec<T>,
    /// Bytes of a torn last line that were left out.
    pub torn: usize,
}

/// The line, counted from 1, that is no such value, and why.
pub type Malformed = (usize, String);

pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> std::result::Result<Lines<T>, Malformed> {
    let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let mut out = Lines { values: Vec::new(), torn: bytes.len() - whole };
    for (i, line) in bytes[..whole].split(|b| *b == b'\n').enumerate() {
        if !line.iter().all(u8::is_ascii_whitespace) {
            out.values.push(serde_json::from_slice(line).map_err(|e| (i + 1, e.to_string()))?);
        }
    }
    Ok(out)
}

/// A file open for adding lines.
pub struct Appender {
    file: File,
}

impl Appender {
    /// Opens (or makes) a file whose last `torn` bytes were never a line.
    pub fn open(path: &Path, torn: usize) -> Result<Self> {
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        let length = file.metadata()?.len().saturating_sub(torn as u64);
        file.set_len(length)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Appender { file })
    }

    /// Adds a value. `keep` has it on the disk itself before this returns.
    pub fn append(&mut self, value: &impl Serialize, keep: bool) -> Result<()> {
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        let start = self.file.stream_position()?;
        if let Err(error) = self.file.write_all(&line) {
            // A full disk: take back the half line, so that the file stays whole.
            let _ = self.file.set_len(start);
            let _ = self.file.seek(SeekFrom::Start(start));
            return Err(error);
        }
        if keep { self.file.sync_data() } else { Ok(()) }
    }
}
