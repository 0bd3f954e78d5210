//! What reading TLS costs: HTTPS against nginx with and without the daemon in turn, the same for an
//! nginx that is not watched while another one is, how often probes run for a request, and what
//! attaching to a large executable takes.

use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::daemon::{Daemon, Sink};
use super::table::{Row, Target};
use super::{load, median};
use crate::demo::{Folder, Nginx, free_port};
use crate::process::{self, Lines, Running};
use crate::setup;
use crate::workspace;

/// The way into socket calls that is best on the test machine.
const STRATEGY: &str = "socket_tracepoints";

/// How the kernel counts runs of programs, while it is asked to.
const COUNT_RUNS: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// Seconds of load while runs are counted.
const COUNTED_SECONDS: u64 = 2;

/// All rows about TLS.
pub fn measure(pairs: usize, seconds: u64) -> Result<Vec<Row>> {
    let folder = Folder::create("certificate")?;
    let certificate = certificate(&folder)?;
    let watched = Nginx::start_tls(free_port()?, &certificate)?;
    let other = Nginx::start_tls(free_port()?, &certificate)?;
    let mut rows = https(&watched, &other, pairs, seconds)?;
    rows.extend(attaching(pairs)?);
    Ok(rows)
}

/// Both servers map the same libraries.
fn https(nginx: &Nginx, other: &Nginx, pairs: usize, seconds: u64) -> Result<Vec<Row>> {
    load::run_over("https", nginx.port, 1)?;
    load::run_over("https", other.port, 1)?;
    let mut kept = Vec::new();
    let mut kept_other = Vec::new();
    let (mut requests, mut spans) = (0, 0);
    for _ in 0..pairs {
        let without = load::run_over("https", nginx.port, seconds)?;
        let other_without = load::run_over("https", other.port, seconds)?;
        let sink = Sink::start()?;
        let mut daemon = Daemon::start(STRATEGY, nginx.port, &sink)?;
        let with = load::run_over("https", nginx.port, seconds)?;
        sink.wait_for(with.requests)?;
        let other_with = load::run_over("https", other.port, seconds)?;
        daemon.stop()?;
        kept.push(100.0 * with.per_second / without.per_second);
        kept_other.push(100.0 * other_with.per_second / other_without.per_second);
        requests += with.requests;
        spans += sink.spans()?;
    }
    let lost = requests.saturating_sub(spans);
    let sink = Sink::start()?;
    let mut daemon = Daemon::start(STRATEGY, nginx.port, &sink)?;
    let counting = Counting::begin()?;
    let before = runs(daemon.pid())?;
    let counted = load::run_over("https", nginx.port, COUNTED_SECONDS)?;
    let after = runs(daemon.pid())?;
    drop(counting);
    daemon.stop()?;
    let per_request = (after - before) as f64 / counted.requests.max(1) as f64;
    Ok(vec![
        Row::new(
            "HTTPS: requests/s kept, watched server",
            median(kept),
            "%",
            Target::AtLeast(80.0),
        ),
        Row::new(
            "HTTPS: requests/s kept, other server",
            median(kept_other),
            "%",
            Target::AtLeast(97.0),
        ),
        Row::new("HTTPS: spans lost", lost as f64, "", Target::AtMost(0.0)),
        Row::new(
            "HTTPS: probes run for a request",
            per_request,
            "",
            Target::None,
        ),
    ])
}

/// A daemon that watches one process has read its files when it is ready: its time and memory
/// beside those of one that watches a process without TLS.
fn attaching(pairs: usize) -> Result<Vec<Row>> {
    let program = setup::node()?;
    let size = program.metadata()?.len() / 1_000_000;
    let mut node = Running::start(
        "node",
        process::tied(program)
            .args([
                "-e",
                "require('tls'); console.log('up'); setInterval(() => {}, 1e9)",
            ])
            .stdout(Stdio::piped()),
    )?;
    Lines::of(&mut node, |_| ())
        .next_within(Duration::from_secs(20))
        .context("node does not start")?;
    let plain = Running::start("sleep", process::tied("sleep").arg("1d"))?;
    let (mut ms, mut peak, mut kept) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..pairs {
        let without = watch(plain.pid())?;
        let with = watch(node.pid())?;
        ms.push((with.ready.as_secs_f64() - without.ready.as_secs_f64()) * 1000.0);
        peak.push(with.peak_mib - without.peak_mib);
        kept.push(with.resident_mib - without.resident_mib);
    }
    let row = |what: &str, values, unit, target| {
        let what = format!("attaching to node ({size} MB): {what}");
        Row::new(what, median(values), unit, target)
    };
    Ok(vec![
        row("time", ms, "ms", Target::AtMost(300.0)),
        row("more memory at its peak", peak, "MiB", Target::AtMost(40.0)),
        row("more memory afterwards", kept, "MiB", Target::None),
    ])
}

struct Watched {
    ready: Duration,
    peak_mib: f64,
    resident_mib: f64,
}

fn watch(pid: u32) -> Result<Watched> {
    let mut daemon = Daemon::start_on_pid(pid)?;
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid()))?;
    let mib = |name: &str| -> Result<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.split_whitespace().next());
        let kib: f64 = kib
            .and_then(|kib| kib.parse().ok())
            .context("/proc/<pid>/status")?;
        Ok(kib / 1024.0)
    };
    let watched = Watched {
        ready: daemon.ready_after,
        peak_mib: mib("VmHWM:")?,
        resident_mib: mib("VmRSS:")?,
    };
    daemon.stop()?;
    Ok(watched)
}

/// While it lives, the kernel counts how often each program runs; it costs all of them a little.
struct Counting {
    before: String,
}

impl Counting {
    fn begin() -> Result<Self> {
        let before = fs::read_to_string(COUNT_RUNS).context(COUNT_RUNS)?;
        fs::write(COUNT_RUNS, "1").context(COUNT_RUNS)?;
        Ok(Self { before })
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        // Counting goes on, which a restart ends.
        let _ = fs::write(COUNT_RUNS, self.before.trim());
    }
}

/// How often the probes that a process holds have run, as the kernel tells of each descriptor
/// (`bpf_prog_show_fdinfo`, kernel/bpf/syscall.c).
fn runs(pid: u32) -> Result<u64> {
    let mut by_program = BTreeMap::new();
    for descriptor in fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
        // Descriptors come and go while they are looked at.
        let told = fs::read_to_string(descriptor?.path()).unwrap_or_default();
        if let Some((program, count)) = runs_of_probe(&told) {
            by_program.insert(program, count);
        }
    }
    Ok(by_program.values().sum())
}

/// Number and runs of a program, if it is of the kind of probes on functions of programs
/// (`BPF_PROG_TYPE_KPROBE`, 2 in bpf.h).
fn runs_of_probe(told: &str) -> Option<(u64, u64)> {
    let field = |name: &str| -> Option<u64> {
        let line = told.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().parse().ok()
    };
    (field("prog_type:") == Some(2)).then_some((field("prog_id:")?, field("run_cnt:")?))
}

/// Files of a certificate and its key in `folder`.
pub fn certificate(folder: &Folder) -> Result<[String; 2]> {
    let [certificate, key] =
        ["certificate.pem", "key.pem"].map(|name| folder.path.join(name).display().to_string());
    process::capture(
        workspace::system("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
            ])
            .args(["-nodes", "-days", "2", "-subj", "/CN=localhost"])
            .args(["-keyout", &key, "-out", &certificate]),
    )?;
    Ok([certificate, key])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_probes_on_functions_count() {
        let told = "pos:\t0\nprog_type:\t2\nprog_id:\t77\nrun_time_ns:\t5\nrun_cnt:\t12\n";
        assert_eq!(runs_of_probe(told), Some((77, 12)));
        assert_eq!(runs_of_probe(&told.replace("type:\t2", "type:\t17")), None);
        assert_eq!(runs_of_probe("pos:\t0\n"), None);
    }
}
