//! A daemon that does not get to run: what it missed is counted, nothing is made up in its place,
//! and afterwards all is as before.

use rustix::process::Signal;
use wirespan_tests::daemon::Daemon;
use wirespan_tests::flood::Flooded;
use wirespan_tests::spans::Seen;
use wirespan_tests::truth::assert_same;
use wirespan_tests::wire::Wire;
use wirespan_tests::workload::Server;

#[test]
fn a_daemon_that_was_stopped_under_load_counts_what_it_missed_and_invents_nothing() {
    let mut flooded = Flooded::start();
    let mut daemon = Daemon::for_port(flooded.port);
    daemon.wait_until_watching(flooded.process.pid());
    flooded.flood(&mut daemon);
    let finished = daemon.stop();
    let lost = finished.lost();
    assert!(lost.contains("ring_share"), "{lost}");
    flooded.assert_nothing_made_up(&finished);
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
