//! What machines with AArch64 run, compiled for it: the tests that are tried there, the daemon, and
//! programs that Debian has not. In a target folder of its own, where the tests look for all of it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::executables::Compiled;
use crate::setup::{self, Purpose, go_for_workloads};
use crate::{cross, process, workspace};

/// Programs in Go, and where their sources are among the workloads.
const GO_PROGRAMS: [(&str, &str); 2] = [
    ("go-newest", "tls_programs/go"),
    ("links-go-newest", "links/go"),
];

/// Compiles these tests and what they run.
pub fn compile(tests: &[&str]) -> Result<Compiled> {
    setup::ensure(&[Purpose::Build, Purpose::Cross])?;
    let mut cargo = workspace::cargo(&["build", "--quiet", "--release", "--package", "wirespan"]);
    process::run(cross::prepare(&mut cargo, cross::ARM).args(["--target", cross::ARM]))?;
    programs(&tls().join("bin"))?;
    let mut cargo = workspace::cargo(&["build", "--quiet", "--package", "wirespan-tests"]);
    cross::prepare(&mut cargo, cross::ARM)
        .args(["--target", cross::ARM, "--bins"])
        // A machine reads what it runs through an emulated bus.
        .args(["--config", "profile.dev.debug=false"]);
    for test in tests {
        cargo.args(["--test", test]);
    }
    Compiled::by(&mut cargo, made().join("release/wirespan"))
}

/// Where cargo leaves what it builds.
fn made() -> PathBuf {
    workspace::target().join(cross::ARM)
}

/// Where tests look for programs that set-up built, beside themselves.
fn tls() -> PathBuf {
    made().join("tls")
}

fn programs(into: &Path) -> Result<()> {
    std::fs::create_dir_all(into)?;
    let go = go_for_workloads()?;
    for (name, source) in GO_PROGRAMS {
        let mut build = Command::new(&go);
        build
            .args(["build", "-o"])
            .arg(into.join(name))
            .arg(".")
            .current_dir(workspace::root().join("tests/workloads").join(source))
            .env("GOCACHE", tls().join("go-cache"))
            .envs([("GOARCH", "arm64"), ("GOOS", "linux"), ("CGO_ENABLED", "0")])
            .envs([("GOTOOLCHAIN", "local"), ("GOFLAGS", "-mod=mod")])
            .env("GOPROXY", "off")
            .env_remove("GOROOT");
        process::capture(&mut build)?;
    }
    Ok(())
}
