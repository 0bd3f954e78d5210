//! What a machine can say about the code: rustfmt, clippy on both sides, cargo-deny. The rules
//! between rooms are `tidy`'s.

use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::process;
use crate::setup::{self, Purpose};
use crate::workspace;

/// Which lints to run.
#[derive(clap::Args)]
pub struct Args {
    /// Leave out cargo-deny, which takes three minutes to build the first time
    #[arg(long)]
    no_deny: bool,
}

/// `cargo xtask lint`
pub fn run(args: &Args) -> Result<ExitCode> {
    setup::ensure(&[Purpose::Build])?;
    println!("lint: rustfmt");
    format()?;
    println!("lint: clippy, the daemon's side");
    clippy()?;
    println!("lint: clippy, the kernel's side");
    clippy_kernel_side()?;
    if !args.no_deny {
        println!("lint: cargo-deny");
        deny()?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Every file is as rustfmt would write it.
pub fn format() -> Result<()> {
    process::run(&mut workspace::cargo(&["fmt", "--all", "--check"]))
}

/// Clippy on the default members, warnings denied.
pub fn clippy() -> Result<()> {
    process::run(&mut workspace::cargo(&[
        "clippy",
        "--quiet",
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ]))
}

/// Clippy on the kernel's side, for the target that it is built for.
pub fn clippy_kernel_side() -> Result<()> {
    process::run(
        workspace::cargo(&["clippy", "--quiet", "--package", "wirespan-ebpf"])
            .args(["--target", "bpfel-unknown-none", "-Z", "build-std=core"])
            .args(["--", "--deny", "warnings"])
            // `core` for this target comes as source only, and building it is not stable yet.
            .env("RUSTC_BOOTSTRAP", "1"),
    )
}

/// Licences, duplicates and sources of the dependencies, as `deny.toml` allows them. Advisories
/// need a database from the network, so they are not asked for.
fn deny() -> Result<()> {
    let program = workspace::tools().join("bin/cargo-deny");
    if process::capture(Command::new(&program).arg("--version")).is_err() {
        println!("setup: building cargo-deny (three minutes on two processors, once per checkout)");
        process::run(
            workspace::cargo(&["install", "cargo-deny", "--locked", "--quiet", "--root"])
                .arg(workspace::tools()),
        )
        .context("cargo-deny did not build")?;
    }
    process::run(&mut workspace::cargo(&[
        "deny",
        "--workspace",
        "check",
        "licenses",
        "bans",
        "sources",
    ]))
}
