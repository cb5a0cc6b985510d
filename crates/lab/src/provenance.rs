//! Where and when a run was made.

use std::path::Path;

/// Now, RFC 3339, to the second.
pub fn now() -> String {
    let now = jiff::Timestamp::now();
    now.round(jiff::Unit::Second).unwrap_or(now).to_string()
}

/// Now as part of a folder's name: `2026-11-21T093000`.
pub fn stamp() -> String {
    jiff::Zoned::now().with_time_zone(jiff::tz::TimeZone::UTC).strftime("%Y-%m-%dT%H%M%S").to_string()
}

/// The commit that this program was built from, and whether its sources had changes then;
/// nothing where it was built outside a checkout.
pub fn git() -> (Option<String>, Option<bool>) {
    let dirty = option_env!("KERNELSMITH_DIRTY").and_then(|d| d.parse().ok());
    (option_env!("KERNELSMITH_COMMIT").map(str::to_string), dirty)
}

/// The branch that was checked out then; nothing where a commit was.
pub fn branch() -> Option<String> {
    option_env!("KERNELSMITH_BRANCH").filter(|b| !b.is_empty()).map(str::to_string)
}

pub fn host() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{} {} {}", std::env::consts::OS, std::env::consts::ARCH, text.trim())
}

/// Writes a file whole or not at all: through a temporary file in the same folder.
pub fn write_atomically(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut builder = tempfile::Builder::new();
    // An ordinary file's permissions, less the user's mask: others may read a report.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_data()?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_appear_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b.txt");
        write_atomically(&path, "one").unwrap();
        write_atomically(&path, "two").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        assert!(write_atomically(&path.join("c"), "x").is_err());
    }

    #[test]
    fn times_are_readable() {
        assert!(now().ends_with('Z') && stamp().contains('T'));
    }
}
