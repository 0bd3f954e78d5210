//! Programs in Go that are built from their modules, as the `go.mod` of a workload pins them, and
//! of which only the executables stay: what is fetched and compiled for them are gigabytes.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::wheels;
use crate::process;
use crate::workspace;

/// Builds packages into `target/tools/<workload>`, unless all of their executables are there.
///
/// `packages` are paths of `main` packages; the executables are called by their last component.
/// `linking` is for the linker, beside what is said to it of all programs.
pub fn ensure(workload: &str, packages: &[&str], linking: &str) -> Result<()> {
    let directory = workspace::tools().join(workload);
    if packages
        .iter()
        .all(|it| executable(&directory, it).is_file())
    {
        return Ok(());
    }
    println!("setup: building {workload}, which takes some minutes");
    let started = Instant::now();
    let go = wheels::GO.ensure()?;
    let caches = directory.join("caches");
    let unfinished = directory.join("unfinished");
    std::fs::create_dir_all(&unfinished)?;
    process::run(
        process::tied(go)
            .args(["build", "-trimpath", "-ldflags"])
            .arg(format!("-s -w {linking}"))
            .arg("-o")
            .arg(&unfinished)
            .args(packages)
            .current_dir(sources(workload))
            .env("CGO_ENABLED", "0")
            .env("GOCACHE", caches.join("built"))
            .env("GOMODCACHE", caches.join("modules"))
            // What is read-only could not be removed.
            .env("GOFLAGS", "-mod=readonly -modcacherw")
            .env("GOTOOLCHAIN", "local")
            .env_remove("GOROOT"),
    )?;
    for package in packages {
        let finished = executable(&directory, package);
        std::fs::rename(executable(&unfinished, package), &finished)
            .with_context(|| format!("cannot create {}", finished.display()))?;
    }
    std::fs::remove_dir_all(&unfinished)?;
    std::fs::remove_dir_all(&caches)?;
    println!("setup: {workload} took {} s", started.elapsed().as_secs());
    Ok(())
}

/// Where the `go.mod` of a workload is.
pub fn sources(workload: &str) -> PathBuf {
    workspace::root().join("tests/workloads").join(workload)
}

/// Where the executable of a package is. Go leaves out a last component that is a version.
fn executable(directory: &std::path::Path, package: &str) -> PathBuf {
    let is_version = |it: &str| {
        it.strip_prefix('v')
            .is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
    };
    let name = package.rsplit('/').find(|it| !is_version(it));
    directory.join(name.unwrap_or(package))
}
