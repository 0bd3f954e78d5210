//! What the gRPC programs among the workloads need beyond Debian's packages: grpcio and grpc-js, in
//! the versions that `tests/workloads/grpc` names, and the programs in Go, built. All of it lies
//! below `target/tools/grpc`; nothing is installed into the system or the user's directories.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::python::{self, once};
use super::wheels;
use crate::process;
use crate::workspace::{self, system};

/// Where Debian puts the sources of Go libraries.
const GO_LIBRARIES: &str = "/usr/share/gocode";

/// The programs in Go, by their directories among the workloads.
const GO_PROGRAMS: [&str; 4] = [
    "grpc/go-server",
    "grpc/go-client",
    "http2/h2c",
    "links/go-grpc",
];

pub fn ensure() -> Result<()> {
    python()?;
    node()?;
    go()
}

fn python() -> Result<()> {
    python::install("grpc/python", "grpc/requirements.txt")
}

fn node() -> Result<()> {
    packages(&tools().join("node"), &workload("grpc"))
}

/// Installs the packages for Node that a directory of the workloads has a list of.
pub fn packages(directory: &Path, lists: &Path) -> Result<()> {
    let names = ["package.json", "package-lock.json"];
    once(directory, &lists.join("package-lock.json"), || {
        for name in names {
            let from = lists.join(name);
            std::fs::copy(from, directory.join(name)).with_context(|| name.to_owned())?;
        }
        process::run(
            system("npm")
                .args([
                    "ci",
                    "--silent",
                    "--no-audit",
                    "--no-fund",
                    "--ignore-scripts",
                ])
                .current_dir(directory),
        )
    })
}

/// Go itself knows what is up to date.
fn go() -> Result<()> {
    for program in GO_PROGRAMS {
        let (_, name) = program.split_once('/').unwrap_or(("", program));
        process::run(
            system("go")
                .args(["build", "-o"])
                .arg(tools().join(name))
                .arg(".")
                .current_dir(workload(program))
                .env("GOPATH", GO_LIBRARIES)
                .env("GOCACHE", tools().join("go-cache"))
                .env("GO111MODULE", "off")
                .env("GOFLAGS", "")
                // Another Go's library.
                .env_remove("GOROOT"),
        )?;
    }
    newest_go()
}

/// The newest Go with the newest grpc-go, as its module pins it, and the same stripped.
fn newest_go() -> Result<()> {
    let go = wheels::GO.ensure()?;
    for (suffix, options) in [("", ""), ("-stripped", "-s -w")] {
        process::run(
            process::tied(&go)
                .args(["build", "-ldflags", options, "-o"])
                .arg(tools().join(format!("go-grpc-newest{suffix}")))
                .arg(".")
                .current_dir(workload("links/go-grpc"))
                .env("CGO_ENABLED", "0")
                .env("GOCACHE", tools().join("go-cache-newest"))
                .env("GO111MODULE", "on")
                .env("GOFLAGS", "-mod=readonly")
                .env("GOTOOLCHAIN", "local")
                .env_remove("GOROOT"),
        )?;
    }
    Ok(())
}

fn tools() -> PathBuf {
    workspace::tools().join("grpc")
}

fn workload(name: &str) -> PathBuf {
    workspace::root().join("tests/workloads").join(name)
}
