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
    println!("lint: clippy, the kernel's side for old kernels");
    clippy_legacy_kernel_side()?;
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

/// Clippy on all that is built for this machine, warnings denied. The packages are those that the
/// tests are compiled of, so that both compile the same macros and build scripts.
pub fn clippy() -> Result<()> {
    process::run(
        workspace::cargo(&["clippy", "--quiet", "--all-targets", "--workspace"]).args([
            "--exclude",
            "wirespan-ebpf",
            "--",
            "--deny",
            "warnings",
        ]),
    )
}

/// Clippy on the kernel's side, for the target that it is built for: in the folder, by the profile
/// and with the flags of `agent/build.rs`, so that the compiler's `core` and all that is below the
/// crate is there already. For each processor: nothing else compiles the other ones every time.
pub fn clippy_kernel_side() -> Result<()> {
    ARCHITECTURES.into_iter().try_for_each(|architecture| {
        clippy_one_kernel_side("ebpf", architecture, &["-Cdebuginfo=2", "-Clink-arg=--btf"])
    })
}

/// Those of which both sides know.
const ARCHITECTURES: [&str; 2] = ["x86_64", "aarch64"];

/// The same for the object that old kernels take.
pub fn clippy_legacy_kernel_side() -> Result<()> {
    let flags = [
        "--cfg=legacy",
        "-Ctarget-cpu=v2",
        "-Cdebuginfo=0",
        "-Clink-arg=--unroll-loops",
        "-Clink-arg=--disable-expand-memcpy-in-order",
    ];
    ARCHITECTURES
        .into_iter()
        .try_for_each(|architecture| clippy_one_kernel_side("ebpf-legacy", architecture, &flags))
}

/// With flags as `agent/build.rs` sets them; with others, everything is compiled twice.
fn clippy_one_kernel_side(folder: &str, architecture: &str, flags: &[&str]) -> Result<()> {
    let processor = format!("--cfg=bpf_target_arch=\"{architecture}\"");
    let flags: Vec<_> = [processor.as_str()].iter().chain(flags).copied().collect();
    process::run(
        workspace::cargo(&["clippy", "--quiet", "--package", "wirespan-ebpf"])
            .args(["--release", "--target-dir"])
            .arg(workspace::target().join(folder).join(architecture))
            .args(["--target", "bpfel-unknown-none", "-Z", "build-std=core"])
            .args(["--", "--deny", "warnings"])
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
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
