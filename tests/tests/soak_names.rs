//! A soak: every request has a path, a host, a user agent and a port of its own. What the daemon
//! remembers of them may not grow with their number.

use wirespan_tests::daemon::Daemon;
use wirespan_tests::soak::Soak;
use wirespan_tests::wire::Wire;
use wirespan_tests::workload::Server;

/// More than what an allocator keeps at hand, less than a name for every request of a minute.
const GROWTH_MAX: u64 = 8 << 20;

/// Bounded by default, whoever sends what.
const PEAK_MAX: u64 = 160 << 20;

#[test]
#[ignore = "a soak"]
fn memory_stays_flat_whatever_requests_are_called() {
    let soak = Soak::begin();
    let server = Server::hyper();
    let daemon = Daemon::start(&[
        ("BEYLA_OPEN_PORT", &server.port.to_string()),
        ("BEYLA_TRACE_PRINTER", "counter"),
    ]);
    let mut asked = 0_usize;
    let mut ask = || {
        // The kernel gives each connection the next port.
        let mut wire = Wire::connect(server.port);
        let filler = "f".repeat(asked % 900);
        wire.send(format!(
            "GET /{asked}/{filler}?n={asked} HTTP/1.1\r\nHost: host-{asked}.example\r\n\
             User-Agent: agent/{asked}\r\nX-Forwarded-For: 2001:db8::{:x}\r\n\r\n",
            asked % 0xffff
        ));
        assert_eq!(wire.answer(false).status, 200);
        asked += 1;
    };
    while soak.is_before(0.4) {
        ask();
    }
    let warm = daemon.resident_bytes();
    while soak.goes_on() {
        ask();
    }
    let (end, peak) = (daemon.resident_bytes(), daemon.peak_memory_bytes());
    let finished = daemon.stop_uncounted();
    println!("{asked} requests: {warm} bytes after 40%, {end} at the end, {peak} at most");
    assert_eq!(finished.made(), asked, "{}", finished.summary());
    assert_eq!(finished.lost(), "nothing");
    assert!(end < warm + GROWTH_MAX, "it grew from {warm} to {end}");
    assert!(peak < PEAK_MAX, "{peak}");
}
