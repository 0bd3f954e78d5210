//! Real programs for AArch64 under a daemon for AArch64, in a virtual machine: everything is
//! compiled here, run by `tests/vm/aarch64`, and what the daemon told is compared with what was
//! asked. The test executables of the other machines are this processor's.

mod told;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::SILENCE_MAX;
use super::counts::Counts;
use crate::setup::{self, Purpose};
use crate::vm::{self, Boot, Machine, Processor};
use crate::{cross, process, workspace};
use told::Told;

/// Requests to each server.
const REQUESTS: usize = 20;

/// Services that call one another: the port of the one that is asked, of the one that it asks, and
/// whether it is known who asks whom.
const PAIRS: [(&str, i64, i64, Links); 3] = [
    ("Go", 8082, 8081, Links::Known),
    ("Go over TLS", 8084, 8083, Links::Known),
    ("tokio", 8086, 8085, Links::NoneWrong),
];

/// Servers that are asked from outside: what they are asked for begins so, on this port.
const SERVERS: [(&str, &str, i64); 3] = [
    ("nginx", "/nginx/", 8080),
    ("nginx with OpenSSL", "/nginx-tls/", 8443),
    ("Go's crypto/tls", "/go-tls", 8444),
];

/// What is known of who asked for a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Links {
    /// Each one.
    Known,
    /// None that is wrong.
    NoneWrong,
}

/// Compiles all of it, and has it run.
pub fn run() -> Result<Counts> {
    setup::ensure(&[Purpose::Build, Purpose::Vm, Purpose::Arm])?;
    let daemon = daemon()?;
    let programs = programs()?;
    let script = workspace::root().join("tests/vm/aarch64");
    let words = [PathBuf::from("/bin/sh"), script, daemon, programs];
    let mut command: Vec<_> = words
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    command.push(REQUESTS.to_string());
    let kernel = vm::kernel::ensure_for(Processor::Arm, vm::kernel::DEFAULT)?;
    let boot = Boot {
        processor: Processor::Arm,
        kernel: &kernel,
        parameters: "",
        command: &command,
        limit: Duration::MAX,
        accelerator: vm::EMULATED,
    };
    let mut machine = Machine::boot(&boot, Stdio::piped())?;
    let lines = machine.lines("aarch64: ");
    machine.wait_until_ready()?;
    let mut said = Vec::new();
    let status = machine.watch(&lines, &mut said, SILENCE_MAX)?;
    said.extend(lines.finish());
    let mut counts = Counts::of_one(status == 0);
    let told = Told::read(&said).context("spans that the daemon printed")?;
    counts.add(compare(&told));
    Ok(counts)
}

fn compare(told: &Told) -> Counts {
    let mut counts = Counts::default();
    let mut check = |what: String, found: usize, wanted: usize| {
        let verdict = if found == wanted { "ok" } else { "FAILED" };
        println!("aarch64: {what}: {found} of {wanted} … {verdict}");
        counts.add(Counts::of_one(found == wanted));
    };
    for (name, path, port) in SERVERS {
        check(
            format!("{name}, requests served"),
            told.served(port, path),
            REQUESTS,
        );
    }
    for (name, front, back, links) in PAIRS {
        check(format!("{name}, served"), told.served(front, "/"), REQUESTS);
        let calls = 2 * REQUESTS;
        check(
            format!("{name}, calls served"),
            told.served(back, "/"),
            calls,
        );
        let (right, wrong, without) = told.linked(back);
        check(
            format!("{name}, calls told"),
            right + wrong + without,
            calls,
        );
        check(format!("{name}, calls linked wrongly"), wrong, 0);
        if links == Links::Known {
            check(format!("{name}, calls linked"), right, calls);
        }
    }
    counts
}

/// The daemon, optimised.
fn daemon() -> Result<PathBuf> {
    rust("wirespan", "wirespan")
}

fn rust(package: &str, program: &str) -> Result<PathBuf> {
    let mut cargo = workspace::cargo(&["build", "--quiet", "--release", "--package", package]);
    process::run(cross::prepare(&mut cargo, cross::ARM).args(["--target", cross::ARM]))?;
    let made = workspace::target().join(cross::ARM).join("release");
    Ok(made.join(program))
}

/// The folder with what is traced.
fn programs() -> Result<PathBuf> {
    let folder = workspace::target().join("vm/programs-arm64");
    std::fs::create_dir_all(&folder)?;
    let tokio = rust("wirespan-links-tokio", "links-tokio")?;
    std::fs::copy(&tokio, folder.join("links-tokio"))?;
    for (program, source) in [("go", "tls_programs/go"), ("links-go", "links/go")] {
        let mut go: Command = workspace::system("go");
        go.args(["build", "-o"])
            .arg(folder.join(program))
            .arg(".")
            .current_dir(workspace::root().join("tests/workloads").join(source))
            .envs([("GOARCH", "arm64"), ("GOOS", "linux"), ("CGO_ENABLED", "0")])
            .envs([("GOTOOLCHAIN", "local"), ("GOFLAGS", "-mod=mod")]);
        process::run(&mut go)?;
    }
    Ok(folder)
}
