//! A daemon that does not get to run: what it missed is counted, nothing is made up in its place,
//! and afterwards all is as before.

use std::collections::BTreeSet;
use std::path::Path;

use rustix::process::Signal;
use wirespan_tests::daemon::Daemon;
use wirespan_tests::ports;
use wirespan_tests::process::{Process, tied};
use wirespan_tests::spans::Seen;
use wirespan_tests::truth::assert_same;
use wirespan_tests::wire::Wire;
use wirespan_tests::workload::Server;

/// More bytes than the ring buffer holds, in requests of nearly 4 KiB.
const REQUESTS: usize = 6_000;

#[test]
fn a_daemon_that_was_stopped_under_load_counts_what_it_missed_and_invents_nothing() {
    let port = ports::free();
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("workloads/capture/server.py");
    let mut command = tied("python3");
    command.arg(program).args(["sized", &port.to_string()]);
    let server = Process::start("sized", &mut command);
    server.expect_line("ready");
    let mut daemon = Daemon::for_port(port);
    daemon.wait_until_watching(server.pid());

    let mut sent = BTreeSet::new();
    let mut ask = |wire: &mut Wire, path: &str, size: usize| {
        let filler = "c".repeat(3_800);
        wire.send(format!(
            "GET {path}/{size} HTTP/1.1\r\nHost: h\r\nCookie: {filler}\r\n\r\n"
        ));
        assert_eq!(wire.answer(false).body, size as u64);
        assert!(sent.insert(format!("{path}/{size}")));
    };
    let mut wire = Wire::connect(port);
    ask(&mut wire, "/before", 1);
    daemon.wait_for_count(1);

    daemon.process().signal(Signal::STOP);
    for number in 0..REQUESTS {
        ask(&mut wire, &format!("/during/{number}"), number % 89);
    }
    daemon.process().signal(Signal::CONT);
    // It takes all that is in the ring before any of it becomes a span that is printed.
    daemon.wait_for("what it did see", |spans| {
        spans
            .iter()
            .any(|span| span.target().starts_with("/during"))
    });
    // On the old connection, where one exchange shows that both streams are level again, and on a
    // new one.
    ask(&mut wire, "/after", 2);
    ask(&mut wire, "/later", 2);
    drop(wire);
    let mut fresh = Wire::connect(port);
    ask(&mut fresh, "/afresh", 3);
    daemon.wait_for("a later exchange", |spans| {
        spans.iter().any(|span| span.target() == "/afresh/3")
    });
    let finished = daemon.stop();

    let lost = finished.lost();
    assert!(lost.contains("ring_share"), "{lost}");
    let mut told = BTreeSet::new();
    for span in &finished.spans {
        let target = span.target();
        assert!(sent.contains(&target), "made up: {span}");
        let size = target.rsplit('/').next().and_then(|size| size.parse().ok());
        let seen = span.exchange();
        if seen.status.is_some() {
            assert_eq!(seen.status, Some(200), "{span}");
            // Unknown where the capture lost the end.
            assert!(
                seen.response_body.is_none_or(|body| Some(body) == size),
                "{span}"
            );
        } else {
            assert!(span.get("error.type").is_some(), "{span}");
        }
        assert!(told.insert(target), "told twice: {span}");
    }
    assert!(told.len() < REQUESTS, "{} of {REQUESTS}", told.len());
    assert!(told.len() > REQUESTS / 10, "{} of {REQUESTS}", told.len());
    let whole = |target: &str| {
        let mut spans = finished.spans.iter();
        spans.any(|span| span.target() == target && span.exchange().status == Some(200))
    };
    for target in ["/before/1", "/later/2", "/afresh/3"] {
        let spans = finished.spans.iter().filter(|span| span.target() == target);
        let lines: Vec<_> = spans.map(Seen::line).collect();
        assert!(
            whole(target),
            "{target}: {lines:?}, lost: {lost}, {} told",
            told.len()
        );
    }
}

/// Requests to a quiet server while a noisy one fills the ring.
const QUIET: usize = 100;

#[test]
fn who_fills_the_ring_loses_its_own_records_and_a_quiet_neighbour_none() {
    let (noisy, quiet) = (Server::python(), Server::python());
    let ports = format!("{},{}", noisy.port, quiet.port);
    let mut daemon = Daemon::start(&[("BEYLA_OPEN_PORT", &ports)]);
    daemon.wait_until_watching(noisy.process.pid());
    daemon.wait_until_watching(quiet.process.pid());

    daemon.process().signal(Signal::STOP);
    let mut loud = Wire::connect(noisy.port);
    let mut low = Wire::connect(quiet.port);
    let filler = "c".repeat(3_800);
    for number in 0..2_000 {
        loud.send(format!(
            "GET /noisy/{number} HTTP/1.1\r\nHost: h\r\nCookie: {filler}\r\n\r\n"
        ));
        let _ = loud.answer(false);
        if number % (2_000 / QUIET) == 0 {
            low.send(format!("GET /quiet/{number} HTTP/1.1\r\nHost: h\r\n\r\n"));
            let _ = low.answer(false);
        }
    }
    daemon.process().signal(Signal::CONT);
    let is_quiet = |span: &&Seen| span.target().starts_with("/quiet");
    daemon.wait_for("the quiet server's spans", |spans| {
        spans.iter().filter(is_quiet).count() == QUIET
    });
    let finished = daemon.stop();

    let seen = finished.spans.iter().filter(is_quiet);
    assert_same("quiet spans", quiet.truth(QUIET), seen.map(Seen::exchange));
    assert!(
        finished.lost().starts_with("ring_share "),
        "{}",
        finished.lost()
    );
    let understood = |pid: u32| {
        let pid = format!("(pid {pid})");
        let mut lines = finished.log.iter();
        lines.find(|line| line.contains("understood of") && line.contains(&pid))
    };
    let line = understood(noisy.process.pid()).expect("a line");
    assert!(line.contains("records lost"), "{line}");
    let line = understood(quiet.process.pid()).expect("a line");
    assert!(!line.contains("lost"), "{line}");
}
