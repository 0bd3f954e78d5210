//! What the tests over TLS trace and Debian does not have ready: programs of the workloads in Go,
//! Java and Rust, compiled with the versions and the settings that they are about, and libraries
//! of other releases. All of it lies below `target/tls`, where the tests look for it.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::{go, mirror, wheels};
use crate::process;
use crate::workspace;

/// What of Netty the Java workload needs.
const JARS: [&str; 9] = [
    "netty-buffer",
    "netty-codec",
    "netty-codec-http",
    "netty-common",
    "netty-handler",
    "netty-resolver",
    "netty-transport",
    "netty-transport-native-unix-common",
    "netty-tcnative",
];

/// Everything, as far as it is missing or older than its source.
pub fn ensure() -> Result<()> {
    let started = Instant::now();
    std::fs::create_dir_all(directory().join("bin"))?;
    // Neither compiler keeps two processors busy: Go's linker and Rust's optimiser wait for much.
    std::thread::scope(|scope| {
        let rust = scope.spawn(rust);
        let others = not_in_rust();
        rust.join().expect("it returns its errors").and(others)
    })?;
    let took = started.elapsed().as_secs();
    if took > 2 {
        println!("setup: programs that speak TLS took {took} s");
    }
    Ok(())
}

/// All but the programs in Rust.
fn not_in_rust() -> Result<()> {
    openssl_1_1()?;
    link(&wheels::NODE.ensure()?, "node")?;
    for (java, name) in wheels::JAVA.iter().zip(["java-21", "java-25"]) {
        link(&java.ensure()?, name)?;
    }
    go::oldest_and_newest()?;
    java()
}

pub(super) fn directory() -> PathBuf {
    workspace::target().join("tls")
}

fn workloads() -> PathBuf {
    workspace::root().join("tests/workloads/tls_programs")
}

/// A symbolic link `bin/<name>` to `program`.
fn link(program: &Path, name: &str) -> Result<()> {
    let link = directory().join("bin").join(name);
    if std::fs::read_link(&link).is_ok_and(|to| to == program) {
        return Ok(());
    }
    let _ = std::fs::remove_file(&link);
    std::os::unix::fs::symlink(program, &link)
        .with_context(|| format!("cannot create {}", link.display()))
}

/// Debian 11's libssl1.1; Debian 12 has none. In `openssl-1.1/usr/lib/x86_64-linux-gnu`.
fn openssl_1_1() -> Result<()> {
    let directory = directory().join("openssl-1.1");
    if directory.is_dir() {
        return Ok(());
    }
    println!("setup: fetching Debian 11's OpenSSL 1.1 to trace a program with");
    let unfinished = directory.with_extension("part");
    let _ = std::fs::remove_dir_all(&unfinished);
    std::fs::create_dir_all(&unfinished)?;
    let package = mirror::download("bullseye", |name| name == "libssl1.1", &unfinished)?;
    process::run(
        process::tied("dpkg-deb")
            .arg("-x")
            .arg(&package)
            .arg(&unfinished),
    )?;
    std::fs::remove_file(&package)?;
    std::fs::rename(&unfinished, &directory)?;
    Ok(())
}

/// Classes in `java`, the class path in `java/class-path`, and tcnative under the only name that it
/// accepts for itself.
fn java() -> Result<()> {
    let directory = directory().join("java");
    let source = workloads().join("Truth.java");
    if !is_older(&directory.join("Truth.class"), &source) {
        return Ok(());
    }
    std::fs::create_dir_all(&directory)?;
    let jars = JARS.map(|jar| format!("/usr/share/java/{jar}.jar"));
    let class_path = jars.join(":");
    std::fs::copy(
        "/usr/lib/x86_64-linux-gnu/jni/libnetty-tcnative.so",
        directory.join("libnetty_tcnative.so"),
    )
    .context("libnetty-tcnative-jni is not installed")?;
    let path = format!("{class_path}:{}", directory.display());
    std::fs::write(directory.join("class-path"), path)?;
    process::run(
        // The one beside the `java` that the tests run.
        workspace::system("javac")
            .args(["-nowarn", "-cp", &class_path, "-d"])
            .arg(&directory)
            .arg(source),
    )
}

/// The Rust workloads optimised as a release, across crates, in which most of rustls's functions
/// vanish in their callers; with the symbol names that the compiler of this workspace does not
/// choose by itself.
fn rust() -> Result<()> {
    const V0: &str = "-C symbol-mangling-version=v0";
    rust_programs("release", "wirespan-tls-programs", V0)?;
    rust_programs("release", "wirespan-links-tokio", V0)?;
    rust_programs("links-plain", "wirespan-links-tokio", "")?;
    rust_programs("links-fat", "wirespan-links-tokio", "")?;
    oldest_tokio()?;
    let made = directory().join("rust");
    for program in ["hyper-server-v0", "reqwest-client-v0"] {
        link(&made.join("release").join(program), program)?;
    }
    let profiles = [
        ("plain", "links-plain"),
        ("thin", "release"),
        ("fat", "links-fat"),
    ];
    for (build, profile) in profiles {
        let program = made.join(profile).join("links-tokio");
        link(&program, &format!("links-tokio-{build}"))?;
    }
    Ok(())
}

/// The same with versions of two years ago, in a workspace of its own.
fn oldest_tokio() -> Result<()> {
    let made = directory().join("rust-oldest");
    let source = workspace::root().join("tests/workloads/links/tokio_oldest");
    process::run(
        workspace::cargo(&["build", "--quiet", "--release", "--locked", "--target-dir"])
            .arg(&made)
            .current_dir(source)
            .env("RUSTFLAGS", ""),
    )?;
    link(&made.join("release/links-tokio"), "links-tokio-oldest")
}

/// A package of programs in Rust, compiled by a profile of this workspace.
fn rust_programs(profile: &str, package: &str, flags: &str) -> Result<()> {
    process::run(
        workspace::cargo(&["build", "--quiet", "--profile", profile])
            .args(["--package", package, "--target-dir"])
            .arg(directory().join("rust"))
            .env("RUSTFLAGS", flags),
    )
}

/// Whether a file is missing, or was made before its source was changed.
pub(super) fn is_older(file: &Path, source: &Path) -> bool {
    let changed = |path: &Path| path.metadata().and_then(|found| found.modified());
    match (changed(file), changed(source)) {
        (Ok(file), Ok(source)) => file < source,
        _ => true,
    }
}
