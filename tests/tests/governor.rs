//! A daemon that takes more CPU time than it may follows a part of all connections: what it then
//! tells is right, and once there is less to do it follows all again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use wirespan_tests::daemon::Daemon;
use wirespan_tests::process::LIMIT;
use wirespan_tests::puppet::Puppet;
use wirespan_tests::spans::{Kind, Seen};
use wirespan_tests::wire::Wire;
use wirespan_tests::workload::{Server, eventually};

/// Connections at a time.
const CLIENTS: u64 = 16;
/// Connections to a server without TLS.
const PLAIN: u64 = 8;
/// Requests on one connection.
const EACH: u64 = 40;
/// Requests that are made once some connections are left out.
const UNDER_LIMIT: u64 = 4_000;

const STATUSES: [u16; 7] = [200, 201, 202, 400, 404, 410, 503];

/// The request with this number, as no two nearby are answered alike. The server takes some time,
/// which bounds how many there are.
fn target(path: &str, number: u64) -> (String, u16, u64) {
    let (status, size) = (STATUSES[(number % 7) as usize], number * 7919 % 3000);
    let text = format!("/{path}/{number}?status={status}&size={size}&delay=3");
    (text, status, size)
}

fn ask(wire: &mut Wire, path: &str, number: u64) {
    let (target, status, size) = target(path, number);
    wire.send(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
    let answer = wire.answer(false);
    assert_eq!((answer.status, answer.body), (status, size));
}

/// Clients that ask until they are stopped.
struct Load {
    asked: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(port: u16) -> Self {
        let (asked, stop) = (
            Arc::new(AtomicU64::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let clients = (0..CLIENTS).map(|_| {
            let (asked, stop) = (Arc::clone(&asked), Arc::clone(&stop));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let mut wire = Wire::connect(port);
                    for _ in 0..EACH {
                        ask(&mut wire, "load", asked.fetch_add(1, Ordering::Relaxed));
                    }
                }
            })
        });
        let clients = clients.collect();
        Self {
            asked,
            stop,
            clients,
        }
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().expect("every answer was right");
        }
        self.asked.load(Ordering::Relaxed)
    }
}

/// Connections to a server that has no TLS, so that its calls are told of a little otherwise.
struct Plain {
    server: Puppet,
    wires: Vec<(Wire, usize)>,
}

impl Plain {
    fn connect(mut server: Puppet, port: u16) -> Self {
        let wires = (0..PLAIN).map(|_| (Wire::connect(port), server.accept()));
        let wires = wires.collect();
        Self { server, wires }
    }

    /// A request on each of them.
    fn ask(&mut self, round: u64) {
        for ((wire, there), number) in self.wires.iter_mut().zip(round * PLAIN..) {
            let (target, status, size) = target("plain", number);
            wire.send(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
            self.server.read_head(*there);
            let head = format!("HTTP/1.1 {status} It\r\nContent-Length: {size}\r\n\r\n");
            let body = "x".repeat(usize::try_from(size).expect("small"));
            self.server.write(*there, head + &body);
            let answer = wire.answer(false);
            assert_eq!((answer.status, answer.body), (status, size));
        }
    }
}

/// What was told of a request is of that request, at both ends.
fn assert_right(spans: &[Seen]) {
    let by_id: BTreeMap<_, _> = spans.iter().map(|span| (&span.span_id, span)).collect();
    assert_eq!(by_id.len(), spans.len(), "ids are given out once");
    let mut seen = BTreeSet::new();
    for span in spans {
        assert!(
            seen.insert((span.kind, span.target())),
            "told twice: {span}"
        );
        let (path, number) = span.target().rsplit_once('/').map_or_else(
            || panic!("no request of the test: {span}"),
            |(path, rest)| (path.trim_start_matches('/').to_owned(), rest.to_owned()),
        );
        let digits = number.split('?').next().and_then(|text| text.parse().ok());
        let (_, status, size) = target(&path, digits.expect("a number"));
        let exchange = span.exchange();
        if exchange.status.is_some() {
            assert_eq!(exchange.status, Some(status), "{span}");
            assert_eq!(
                span.get("http.response.body.size"),
                Some(&*size.to_string())
            );
        }
        if span.parent_span_id.is_empty() {
            continue;
        }
        assert_eq!(span.kind, Kind::Server, "nobody asks for a call: {span}");
        let parent = by_id.get(&span.parent_span_id);
        let parent = parent.unwrap_or_else(|| panic!("its parent was never told: {span}"));
        assert_eq!(
            (parent.kind, parent.target()),
            (Kind::Client, span.target())
        );
        assert_eq!(parent.trace_id, span.trace_id);
    }
}

#[test]
fn under_too_much_load_some_connections_are_followed_and_after_it_all() {
    let server = Server::hyper();
    let mut puppet = Puppet::start();
    let plain_port = puppet.listen();
    let pids = [server.process.pid(), puppet.pid(), std::process::id()];
    let pids = pids.map(|pid| pid.to_string()).join(",");
    let mut daemon = Daemon::start(&[
        ("BEYLA_TARGET_PID", &pids),
        ("WIRESPAN_CPU_LIMIT", "20m"),
        ("WIRESPAN_FOLLOW_CPU_MAX", "0"),
    ]);
    let mut kept = Wire::connect(server.port);
    ask(&mut kept, "kept", 0);
    let mut plain = Plain::connect(puppet, plain_port);
    plain.ask(0);
    let load = Load::start(server.port);
    let stderr = |daemon: &mut Daemon, text: &str| {
        let line = daemon.process().stderr.wait_for_line(LIMIT, text);
        line.unwrap_or_else(|| panic!("no {text:?}\n{}", daemon.process().story()))
    };
    let began = stderr(&mut daemon, "of connections from now on");
    assert!(began.contains("of the 0.02 that it may"), "{began}");
    let before = load.asked();
    // It is on a connection that was there before.
    ask(&mut kept, "kept", 1);
    plain.ask(1);
    eventually("requests of which some are left out", || {
        load.asked() >= before + UNDER_LIMIT
    });
    plain.ask(2);
    let asked = load.stop();
    let ended = stderr(&mut daemon, "all connections are followed again");
    assert!(ended.contains("left out since: "), "{ended}");
    // A connection that was left out is followed again from a turn on, and an answer behind bytes
    // that nobody saw is believed once the next request comes: of these the last but one is told.
    for round in 3..8 {
        ask(&mut kept, "kept", round);
        plain.ask(round);
    }
    let mut fresh = Wire::connect(server.port);
    ask(&mut fresh, "fresh", 4);
    daemon.wait_for("requests after the load", |spans| {
        let has = |path: &str| {
            let of_path = spans.iter().filter(|it| it.target().starts_with(path));
            of_path.count() == 2
        };
        let plain = (6 * PLAIN..7 * PLAIN).all(|number| has(&format!("/plain/{number}?")));
        has("/kept/6") && has("/fresh/4") && plain
    });
    let finished = daemon.stop();
    assert_right(&finished.spans);
    let of_load = finished
        .spans
        .iter()
        .filter(|it| it.target().starts_with("/load/"));
    assert!(
        (of_load.count() as u64) < 2 * asked,
        "nothing was left out of {asked}"
    );
    let summary = finished.summary();
    assert!(summary.contains("connections left alone: "), "{summary}");
    assert!(summary.contains(" by cpu_limit ("), "{summary}");
    // What is followed again begins behind bytes that nobody saw: within a message, or with the
    // answer to one.
    let lost = finished.lost();
    let is_known =
        |it: &str| it.starts_with("stream_gap ") || it.starts_with("unmatched_response ");
    assert!(
        lost == "nothing" || lost.split(", ").all(is_known),
        "{lost}"
    );
}
