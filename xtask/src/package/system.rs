//! Packages of Debian and of those with RPM, with the unit of systemd, around the binary that was
//! built before. What is in them stands in the daemon's `Cargo.toml`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::Release;
use crate::{process, workspace};

/// `wirespan_<version>-1_<architecture>.deb` and `wirespan-<version>-1.<architecture>.rpm`.
pub fn write(release: &Release, directory: &Path) -> Result<[PathBuf; 2]> {
    let Release {
        version, target, ..
    } = release;
    let debian = match release.processor() {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let deb = directory.join(format!("wirespan_{version}-1_{debian}.deb"));
    let mut cargo = command(release, "deb");
    cargo.args([
        "--quiet",
        "--package",
        "wirespan",
        "--no-build",
        "--no-strip",
    ]);
    process::capture(cargo.arg("--output").arg(&deb)).context("cargo-deb")?;
    let rpm = directory.join(format!("wirespan-{version}-1.{}.rpm", release.processor()));
    let mut cargo = command(release, "generate-rpm");
    cargo.args(["--package", "agent"]);
    process::capture(cargo.arg("--output").arg(&rpm))
        .with_context(|| format!("cargo-generate-rpm for {target}"))?;
    Ok([deb, rpm])
}

/// One of cargo's commands that pack what was built.
fn command(release: &Release, name: &str) -> Command {
    let mut cargo = workspace::cargo(&[name]);
    cargo
        .args(["--target", &release.target, "--profile", "dist"])
        .env("SOURCE_DATE_EPOCH", release.time.to_string());
    cargo
}
