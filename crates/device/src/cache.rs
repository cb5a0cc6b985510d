//! The compile cache on disk: key → binary and compiler log. Safe under concurrent processes:
//! a file appears whole or not at all, and a damaged one is compiled again.

use crate::error::{DeviceError, Result};
use kernelsmith_kernels::render::hex;
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::{Path, PathBuf};

/// A compiler's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    pub binary: Vec<u8>,
    pub log: String,
}

#[derive(Clone, Debug)]
pub struct CompileCache {
    folder: PathBuf,
}

const MAGIC: &[u8; 8] = b"KSCACHE1";

impl CompileCache {
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        CompileCache { folder: folder.into() }
    }

    /// `KERNELSMITH_CACHE`, else `kernelsmith` in the platform's cache folder.
    pub fn default_folder() -> Option<PathBuf> {
        std::env::var_os("KERNELSMITH_CACHE")
            .map(PathBuf::from)
            .or_else(|| dirs::cache_dir().map(|d| d.join("kernelsmith")))
    }

    fn path(&self, key: &str) -> PathBuf {
        self.folder.join(format!("{key}.cubin"))
    }

    /// Reads an entry; a missing or damaged one is `None`.
    pub fn get(&self, key: &str) -> Option<Compiled> {
        let bytes = std::fs::read(self.path(key)).ok()?;
        let rest = bytes.strip_prefix(MAGIC.as_slice())?;
        let (digest, rest) = rest.split_at_checked(32)?;
        if Sha256::digest(rest).as_slice() != digest {
            return None;
        }
        let (length, rest) = rest.split_at_checked(8)?;
        let length = usize::try_from(u64::from_le_bytes(length.try_into().ok()?)).ok()?;
        let (log, binary) = rest.split_at_checked(length)?;
        Some(Compiled { binary: binary.to_vec(), log: String::from_utf8(log.to_vec()).ok()? })
    }

    /// Writes an entry through a temporary file in the same folder.
    pub fn put(&self, key: &str, entry: &Compiled) -> Result<()> {
        let io = |path: &Path| {
            let path = path.to_path_buf();
            move |source| DeviceError::Io { path, source }
        };
        std::fs::create_dir_all(&self.folder).map_err(io(&self.folder))?;
        let mut body = (entry.log.len() as u64).to_le_bytes().to_vec();
        body.extend_from_slice(entry.log.as_bytes());
        body.extend_from_slice(&entry.binary);
        let mut file = tempfile::NamedTempFile::new_in(&self.folder).map_err(io(&self.folder))?;
        let path = self.path(key);
        file.write_all(MAGIC)
            .and_then(|()| file.write_all(&Sha256::digest(&body)))
            .and_then(|()| file.write_all(&body))
            .map_err(io(&path))?;
        file.persist(&path).map_err(|e| DeviceError::Io { path, source: e.error })?;
        Ok(())
    }

    /// The key of a source: its hash, the compiler with its version, and the options.
    pub fn key(source_hash: &str, toolchain: &str, options: &[String]) -> String {
        let mut hash = Sha256::new();
        for part in [source_hash, toolchain].into_iter().chain(options.iter().map(String::as_str)) {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        hex(&hash.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry() -> Compiled {
        Compiled { binary: vec![1, 2, 3, 0, 255], log: "ptxas info: fine".into() }
    }

    #[test]
    fn keys_depend_on_every_part() {
        let keys = [
            CompileCache::key("a", "t", &[]),
            CompileCache::key("b", "t", &[]),
            CompileCache::key("a", "u", &[]),
            CompileCache::key("a", "t", &["-x".into()]),
            CompileCache::key("a", "t", &["-x".into(), "-y".into()]),
            CompileCache::key("a", "t", &["-x-y".into()]),
        ];
        for (i, k) in keys.iter().enumerate() {
            assert!(!keys[..i].contains(k));
        }
    }

    #[test]
    fn writers_at_once_leave_a_whole_entry() {
        let folder = tempfile::tempdir().unwrap();
        let cache = CompileCache::at(folder.path());
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    for _ in 0..50 {
                        cache.put("k", &entry()).unwrap();
                        assert_eq!(cache.get("k").unwrap(), entry());
                    }
                });
            }
        });
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "temporary files were left");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "x").unwrap();
        let error = CompileCache::at(file.join("cache")).put("k", &entry()).unwrap_err().to_string();
        assert!(error.contains("file"), "{error}");
    }

    proptest! {
        #[test]
        fn a_damaged_file_is_never_returned(at in 0usize..100, bit in 0u8..8, cut in any::<bool>()) {
            let folder = tempfile::tempdir().unwrap();
            let cache = CompileCache::at(folder.path());
            cache.put("k", &entry()).unwrap();
            let path = folder.path().join("k.cubin");
            let mut bytes = std::fs::read(&path).unwrap();
            let at = at % bytes.len();
            if cut { bytes.truncate(at) } else { bytes[at] ^= 1 << bit }
            std::fs::write(&path, bytes).unwrap();
            prop_assert_eq!(cache.get("k"), None);
        }
    }
}
