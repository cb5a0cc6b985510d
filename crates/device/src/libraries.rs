//! Finding CUDA's libraries where the loader does not: in a toolkit, or in Python's packages.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Opens a shared library for the rest of the process so that later look-ups by its plain name
/// find it. Returns whether it could be opened.
#[cfg(unix)]
fn open_for_all(path: &Path) -> bool {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
    // SAFETY: NVIDIA's libraries have no initialisers that conflict with this process.
    match unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) } {
        Ok(library) => {
            // Kept open: cudarc finds it by name later.
            std::mem::forget(library);
            true
        }
        Err(_) => false,
    }
}

#[cfg(not(unix))]
fn open_for_all(path: &Path) -> bool {
    // SAFETY: as on Unix.
    unsafe { libloading::Library::new(path) }.map(std::mem::forget).is_ok()
}

/// Folders that may hold CUDA's libraries.
fn folders() -> &'static [PathBuf] {
    static FOLDERS: OnceLock<Vec<PathBuf>> = OnceLock::new();
    FOLDERS.get_or_init(|| {
        let mut out = Vec::new();
        for name in ["KERNELSMITH_CUDA", "CUDA_HOME", "CUDA_PATH"] {
            if let Some(root) = std::env::var_os(name).map(PathBuf::from) {
                out.extend([root.clone(), root.join("lib64"), root.join("lib")]);
            }
        }
        out.push(PathBuf::from("/usr/local/cuda/lib64"));
        out.extend(python_folders());
        out.retain(|p| p.is_dir());
        out
    })
}

/// `nvidia/*/lib` below the site-packages of the `python3` on the path.
fn python_folders() -> Vec<PathBuf> {
    let script = "import site,sys;print('\\n'.join(site.getsitepackages()+[site.getusersitepackages()]))";
    let output = std::process::Command::new("python3").args(["-c", script]).output();
    let Ok(output) = output else { return Vec::new() };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut out = Vec::new();
    for site in text.lines() {
        let Ok(entries) = std::fs::read_dir(Path::new(site).join("nvidia")) else { continue };
        out.extend(entries.flatten().map(|e| e.path().join("lib")));
    }
    out.sort();
    out
}

/// Makes a library whose file name starts with one of `names` loadable by its plain name.
/// Names earlier in the list are tried first.
pub fn preload(names: &[&str]) -> bool {
    for name in names {
        // On the loader's own path already?
        if open_for_all(Path::new(name)) {
            return true;
        }
        for folder in folders() {
            let Ok(entries) = std::fs::read_dir(folder) else { continue };
            let mut found: Vec<PathBuf> = entries
                .flatten()
                .map(|e| e.path())
                .filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with(name)))
                .collect();
            found.sort();
            if found.iter().any(|p| open_for_all(p)) {
                return true;
            }
        }
    }
    false
}
