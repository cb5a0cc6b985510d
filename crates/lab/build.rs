//! Records the commit that the program is built from, and whether the tree had changes then:
//! evidence names both.

use std::process::Command;

fn main() {
    // Any change to sources or to what is checked out.
    for path in ["../../.git/HEAD", "../../.git/index", "../../crates", "../../kernels", "../../Cargo.lock"] {
        println!("cargo:rerun-if-changed={path}");
    }
    let run = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok().filter(|o| o.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_string())
    };
    let sources = ["status", "--porcelain", "--untracked-files=no", "--", ".", "../../crates", "../../kernels"];
    if let (Some(commit), Some(changes)) = (run(&["rev-parse", "HEAD"]), run(&sources)) {
        println!("cargo:rustc-env=KERNELSMITH_COMMIT={commit}");
        println!("cargo:rustc-env=KERNELSMITH_BRANCH={}", run(&["branch", "--show-current"]).unwrap_or_default());
        println!("cargo:rustc-env=KERNELSMITH_DIRTY={}", !changes.is_empty());
    }
}
