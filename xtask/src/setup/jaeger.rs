//! Jaeger, a backend as people run it: its second version, built from its modules as
//! `tests/workloads/jaeger/go.mod` pins them. Its pages are not among them, its interface for
//! programs is. Some minutes of two processors and 3 GB while it is built, 80 MB after.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::wheels;
use crate::process;
use crate::workspace;

/// Where the program is in its module.
const PACKAGE: &str = "github.com/jaegertracing/jaeger/cmd/jaeger";

/// The program, built unless it is there already.
pub fn ensure() -> Result<PathBuf> {
    let directory = workspace::tools().join("jaeger");
    let program = directory.join("jaeger");
    if program.is_file() {
        return Ok(program);
    }
    println!("setup: building Jaeger, which takes some minutes");
    let started = Instant::now();
    let go = wheels::GO.ensure()?;
    std::fs::create_dir_all(&directory)?;
    let caches = directory.join("caches");
    let unfinished = directory.join("jaeger.part");
    process::run(
        process::tied(go)
            .args(["build", "-trimpath", "-ldflags", "-s -w", "-o"])
            .arg(&unfinished)
            .arg(PACKAGE)
            .current_dir(workspace::root().join("tests/workloads/jaeger"))
            .env("CGO_ENABLED", "0")
            .env("GOCACHE", caches.join("built"))
            .env("GOMODCACHE", caches.join("modules"))
            // What is read-only could not be removed.
            .env("GOFLAGS", "-mod=readonly -modcacherw")
            .env("GOTOOLCHAIN", "local")
            .env_remove("GOROOT"),
    )?;
    std::fs::rename(&unfinished, &program)
        .with_context(|| format!("cannot create {}", program.display()))?;
    std::fs::remove_dir_all(&caches)?;
    println!("setup: Jaeger took {} s", started.elapsed().as_secs());
    Ok(program)
}
