//! bpf-linker, which turns LLVM bitcode into the kernel side's object. Built from its crate
//! against Debian's LLVM into the workspace's own tools; one that the user has is left alone.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::process;
use crate::workspace;

const VERSION: &str = "0.13.0";

/// Its LLVM must be at least as new as the compiler's, or it cannot read the bitcode. Rust 1.95
/// comes with LLVM 22.
const LLVM_BIN: &str = "/usr/lib/llvm-22/bin";
const LLVM_FEATURE: &str = "llvm-22";

pub fn ensure() -> Result<()> {
    let program = workspace::tools().join("bin/bpf-linker");
    if works(&program) {
        return Ok(());
    }
    println!("setup: building bpf-linker {VERSION} (two to five minutes, once per checkout)");
    let started = Instant::now();
    let mut path = std::ffi::OsString::from(LLVM_BIN);
    path.push(":");
    path.push(workspace::search_path());
    process::run(
        workspace::cargo(&["install", "bpf-linker", "--version", VERSION])
            .args(["--no-default-features", "--features", LLVM_FEATURE])
            .args(["--locked", "--force", "--root"])
            .arg(workspace::tools())
            // The system's linker and flags, not those of a user's configuration for this target.
            .env_remove("RUSTFLAGS")
            .env("PATH", path),
    )
    .context("bpf-linker did not build; its needs are the packages named above")?;
    println!("setup: bpf-linker took {} s", started.elapsed().as_secs());
    Ok(())
}

/// It is the version wanted, and the LLVM that it is linked to is still installed.
fn works(program: &Path) -> bool {
    process::capture(Command::new(program).arg("--version"))
        .is_ok_and(|said| said.split_whitespace().any(|word| word == VERSION))
}
