//! Commands of cargo that make packages, built from their crates into the workspace's own tools:
//! six minutes of two processors, once per checkout.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::process;
use crate::workspace;

/// Their crates, which are called as their programs are, and versions.
const PACKERS: [(&str, &str); 3] = [
    ("cargo-deb", "3.8.0"),
    ("cargo-generate-rpm", "0.21.1"),
    ("cargo-cyclonedx", "0.5.9"),
];

pub fn ensure() -> Result<()> {
    for (name, version) in PACKERS {
        if is_there(name, version) {
            continue;
        }
        println!("setup: building {name} {version}, which takes one to three minutes");
        let started = Instant::now();
        process::run(
            workspace::cargo(&["install", "--quiet", name, "--version", version])
                .args(["--locked", "--force", "--root"])
                .arg(workspace::tools())
                // The system's linker and flags, not those of a user's configuration.
                .env_remove("RUSTFLAGS"),
        )
        .with_context(|| format!("{name} did not build"))?;
        println!("setup: {name} took {} s", started.elapsed().as_secs());
    }
    Ok(())
}

/// By what cargo itself remembers of its installations there; not all of them tell their version.
fn is_there(name: &str, version: &str) -> bool {
    let mut cargo = Command::new("cargo");
    cargo
        .args(["install", "--list", "--root"])
        .arg(workspace::tools());
    let wanted = format!("{name} v{version}:");
    process::capture(&mut cargo).is_ok_and(|list| list.lines().any(|line| line == wanted))
        && workspace::tools().join("bin").join(name).is_file()
}
