//! How the daemon ends: by whatever signal, in order, and in time whatever hangs.

use std::os::unix::process::ExitStatusExt as _;

use rustix::process::Signal;
use tokio::runtime::Runtime;
use wirespan_tests::daemon::{Daemon, command};
use wirespan_tests::process::{LIMIT, Process};
use wirespan_tests::receiver::Receiver;
use wirespan_tests::stalled::Stalled;
use wirespan_tests::workload::{Server, curl, eventually};

#[test]
fn every_signal_that_ends_a_daemon_drains_it() {
    let server = Server::python();
    for signal in [Signal::TERM, Signal::INT, Signal::QUIT, Signal::XCPU]
        .into_iter()
        .chain(hangup())
    {
        let mut daemon = Daemon::for_port(server.port);
        // These mean nothing.
        daemon.process().signal(Signal::USR1);
        daemon.process().signal(Signal::USR2);
        let _ = curl(&[&server.url("/a")]);
        let finished = daemon.stop_by(signal);
        assert_eq!(finished.made(), 1, "{}", finished.story());
    }
}

/// SIGHUP, unless these tests were started in a way that ignores it (nohup(1)): then daemons are,
/// too, and outlive their terminal as they were asked to.
fn hangup() -> Option<Signal> {
    let ignored = mask(
        &std::fs::read_to_string("/proc/self/status").expect("it runs"),
        "SigIgn:",
    );
    (ignored & bit(Signal::HUP) == 0).then_some(Signal::HUP)
}

fn bit(signal: Signal) -> u64 {
    1 << (signal.as_raw() - 1)
}

/// A set of signals in `/proc/<pid>/status` (proc_pid_status(5)).
fn mask(status: &str, field: &str) -> u64 {
    let set = status.lines().find_map(|line| line.strip_prefix(field));
    u64::from_str_radix(set.expect("always").trim(), 16).expect("a mask")
}

/// Waits until a process catches SIGTERM.
fn until_it_catches(process: &Process) {
    eventually("a handler", || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid()));
        let status = status.expect("it runs");
        mask(&status, "SigCgt:") & bit(Signal::TERM) != 0
    });
}

#[test]
fn a_signal_before_it_is_ready_ends_it_in_order_too() {
    let signals = [Signal::TERM, Signal::INT, Signal::QUIT].into_iter();
    for signal in signals.chain(hangup()) {
        let mut command = command();
        command
            .env("BEYLA_OPEN_PORT", "1")
            .env("BEYLA_TRACE_PRINTER", "json");
        let mut process = Process::start("wirespan", &mut command);
        until_it_catches(&process);
        // As timeout(1) does it, which signals its child and its group.
        process.signal(signal);
        process.signal(signal);
        assert_eq!(process.wait().code(), Some(0), "{}", process.story());
        let said = process.stderr.finish(LIMIT);
        let is_summary = |line: &String| line.starts_with("wirespan: traced for");
        assert!(said.iter().any(is_summary), "{}", process.story());
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let runtime = Runtime::new().expect("a runtime");
    let receiver = runtime.block_on(Receiver::start()).expect("a receiver");
    let endpoint = format!("http://{}", receiver.address());
    let server = Server::python();
    let mut daemon = Daemon::start(&[
        ("BEYLA_OPEN_PORT", &server.port.to_string()),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
        ("BEYLA_SHUTDOWN_TIMEOUT", "10m"),
    ]);
    receiver.hold();
    let _ = curl(&[&server.url("/a")]);
    daemon.wait_for_count(1);
    let process = daemon.process();
    process.signal(Signal::TERM);
    let stops = process.stderr.wait_for_line(LIMIT, "SIGTERM: stopping");
    assert!(stops.is_some(), "{}", process.story());
    // One that follows directly is the same: a summary came of that in the test before.
    let mut ended = None;
    eventually("its end", || {
        ended = process.status();
        if ended.is_none() {
            process.signal(Signal::TERM);
        }
        ended.is_some()
    });
    assert_eq!(
        ended.and_then(|status| status.signal()),
        Some(Signal::TERM.as_raw()),
        "{}",
        process.story()
    );
}

#[test]
fn what_hangs_for_ever_ends_when_the_end_is_due() {
    let folder = tempfile::tempdir().expect("a folder");
    let stalled = Stalled::start(folder.path());
    // Where nobody answers whether there is such a file.
    let file = format!(
        "/proc/{}/root{}/new",
        stalled.program,
        folder.path().display()
    );
    let mut command = command();
    command.args(["record", &file, "--open-port", "1"]);
    command.env("BEYLA_SHUTDOWN_TIMEOUT", "1s");
    let mut process = Process::start("wirespan", &mut command);
    until_it_catches(&process);
    process.signal(Signal::TERM);
    assert_eq!(process.wait().code(), Some(1), "{}", process.story());
    let said = process.stderr.finish(LIMIT).join("\n");
    assert!(
        said.contains("ending now: not all came to its end in time"),
        "{said}"
    );
    assert!(said.contains("wirespan: traced for"), "{said}");
}
