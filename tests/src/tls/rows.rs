//! One row of the table of runtimes: a program that serves or calls over TLS under a daemon, its
//! spans compared with what it says itself. Whatever happens to the daemon, the program must go on.

use std::process::Command;

use crate::daemon::{self, Daemon, Finished};
use crate::spans::{Kind, Seen};
use crate::truth::{Exchange, assert_same, forgiving_long_chunked};
use crate::visits::{assert_told, visit_with};
use crate::workload::{Client, Server, curl};

/// curl's options for servers of the tests: HTTP/1.1, and any certificate.
pub const INSECURE: [&str; 3] = ["--insecure", "--http1.1", "--no-alpn"];

/// Requests side by side, besides those of [`visit_with`].
const AT_ONCE: usize = 8;

/// Requests of a client under observation.
const CALLS: [(&str, &str, u64); 8] = [
    ("GET", "/plain?size=12", 0),
    ("GET", "/second", 0),
    ("POST", "/posted", 2000),
    ("PUT", "/put?status=201", 1),
    ("HEAD", "/head?size=99", 0),
    ("GET", "/large?size=400000", 0),
    ("GET", "/gone?status=404", 0),
    ("DELETE", "/broken?status=500", 0),
];

/// Requests of all shapes over kept connections, connections of their own and several at once;
/// returns how many.
#[must_use]
pub fn visited(url: impl Fn(&str) -> String) -> usize {
    let count = visit_with(&INSECURE, &url);
    let many: Vec<_> = (0..AT_ONCE)
        .map(|n| url(&format!("/at-once/{n}?size={n}000")))
        .collect();
    let mut arguments = INSECURE.to_vec();
    arguments.extend(["--parallel", "--parallel-immediate"]);
    arguments.extend(many.iter().map(String::as_str));
    arguments.extend(["--output", "/dev/null"].repeat(AT_ONCE - 1));
    let _ = curl(&arguments);
    count + AT_ONCE
}

/// A server, as it says what it answered.
#[must_use]
pub fn served(server: &mut Server) -> Finished {
    served_by(daemon::command(), server)
}

/// The same, seen by the daemon of this command.
#[must_use]
pub fn served_by(command: Command, server: &mut Server) -> Finished {
    let port = ("BEYLA_OPEN_PORT", &*server.port.to_string());
    let daemon = Daemon::start_by(command, &[], &[port]);
    let count = visited(|target| server.url(target));
    let truth = server.truth(count);
    daemon.wait_for_count(count);
    let finished = daemon.stop();
    assert_served(&finished, truth, server.port);
    assert_goes_on(server);
    finished
}

/// Several servers under one daemon, each as it says what it answered.
pub fn served_side_by_side(servers: &mut [Server]) {
    let ports: Vec<_> = servers
        .iter()
        .map(|server| server.port.to_string())
        .collect();
    let daemon = Daemon::start(&[("BEYLA_OPEN_PORT", &ports.join(","))]);
    let counts: Vec<_> = servers
        .iter()
        .map(|server| visited(|target| server.url(target)))
        .collect();
    daemon.wait_for_count(counts.iter().sum());
    let mut finished = daemon.stop();
    let mut spans = std::mem::take(&mut finished.spans);
    for (server, count) in servers.iter_mut().zip(counts) {
        let port = server.port.to_string();
        let its = |span: &mut Seen| span.get("server.port") == Some(&*port);
        finished.spans = spans.extract_if(.., its).collect();
        assert_served(&finished, server.truth(count), server.port);
        assert_goes_on(server);
    }
    finished.spans = spans;
    assert_eq!(finished.spans.len(), 0, "{}", finished.story());
}

/// What has to hold for the spans of a server over TLS on 127.0.0.1.
///
/// # Panics
/// Something differs.
pub fn assert_served(finished: &Finished, truth: Vec<Exchange>, port: u16) {
    let spans: Vec<_> = finished.spans.iter().collect();
    assert_told("spans of the server", truth, &spans);
    assert_eq!(finished.lost(), "nothing", "{}", finished.story());
    let port = port.to_string();
    for span in spans {
        assert_eq!(span.kind, Kind::Server, "{span}");
        assert_eq!(span.get("url.scheme"), Some("https"), "{span}");
        assert_eq!(span.get("server.address"), Some("127.0.0.1"), "{span}");
        assert_eq!(span.get("server.port"), Some(&*port), "{span}");
        let peer = span.get("network.peer.address");
        assert_eq!(peer, Some("127.0.0.1"), "{span}");
    }
}

/// The program lives and answers.
///
/// # Panics
/// It does not.
pub fn assert_goes_on(server: &mut Server) {
    let said = curl(&[&INSECURE[..], &[&server.url("/after")]].concat());
    assert_eq!(said, ["200"], "{}", server.process.story());
    assert_eq!(server.process.status(), None);
}

/// A client, as it and the server, which nobody traces, say what it asked.
#[must_use]
pub fn called(mut client: Client, server: &Server) -> Finished {
    let daemon = Daemon::for_pid(client.process.pid());
    for (method, target, body) in CALLS {
        client.send(method, &server.url(target), body);
    }
    let truth = client.truth(CALLS.len());
    assert_same(
        "the client's and the server's truth",
        server.truth(CALLS.len()),
        truth.clone(),
    );
    daemon.wait_for_count(CALLS.len());
    let finished = daemon.stop();
    assert_called(&finished, truth, server);
    client.send("GET", &server.url("/after"), 0);
    let _ = client.truth(CALLS.len() + 1);
    finished
}

/// What has to hold for the spans of a client over TLS of a server on 127.0.0.1.
///
/// # Panics
/// Something differs.
pub fn assert_called(finished: &Finished, truth: Vec<Exchange>, server: &Server) {
    let came: Vec<_> = finished.spans.iter().map(Seen::exchange).collect();
    assert_same(
        "spans of the client",
        forgiving_long_chunked(truth, &came),
        came,
    );
    assert_eq!(finished.lost(), "nothing", "{}", finished.story());
    let port = server.port.to_string();
    for span in &finished.spans {
        assert_eq!(span.kind, Kind::Client, "{span}");
        let url = server.url(&span.target());
        assert_eq!(span.get("url.full"), Some(&*url), "{span}");
        assert_eq!(span.get("server.address"), Some("127.0.0.1"), "{span}");
        assert_eq!(span.get("server.port"), Some(&*port), "{span}");
        assert_eq!(span.get("network.peer.port"), Some(&*port), "{span}");
    }
}

/// Both ends under one daemon: `count` requests, told once by each.
///
/// # Panics
/// Something differs.
pub fn assert_both(daemon: Daemon, server: &Server, count: usize) {
    let truth = server.truth(count);
    daemon.wait_for_count(2 * count);
    let mut served = daemon.stop();
    let spans = std::mem::take(&mut served.spans);
    let (callers, servers) = spans
        .into_iter()
        .partition(|span: &Seen| span.kind == Kind::Client);
    served.spans = servers;
    assert_served(&served, truth.clone(), server.port);
    served.spans = callers;
    assert_called(&served, truth, server);
}

/// A server whose TLS can't be read: no span, one line in the log that names the executable with
/// these words in it, and nothing broken.
#[must_use]
pub fn opaque_server(server: &mut Server, words: &[&str]) -> Finished {
    let witness = Server::python();
    let ports = format!("{},{}", server.port, witness.port);
    let daemon = Daemon::start(&[("BEYLA_OPEN_PORT", &ports)]);
    let count = visited(|target| server.url(target));
    let _ = server.truth(count);
    let finished = without_spans(daemon, &witness, words);
    assert_goes_on(server);
    finished
}

/// The same for a client.
#[must_use]
pub fn opaque_caller(mut client: Client, server: &Server, words: &[&str]) -> Finished {
    let witness = Server::python();
    let pids = format!("{},{}", client.process.pid(), witness.process.pid());
    let daemon = Daemon::start(&[("BEYLA_TARGET_PID", &pids)]);
    for (method, target, body) in CALLS {
        client.send(method, &server.url(target), body);
    }
    let _ = client.truth(CALLS.len());
    let finished = without_spans(daemon, &witness, words);
    client.send("GET", &server.url("/after"), 0);
    let _ = client.truth(CALLS.len() + 1);
    finished
}

/// Nothing came before the witness's own span: what is not there can't be waited for.
fn without_spans(daemon: Daemon, witness: &Server, words: &[&str]) -> Finished {
    let _ = curl(&[&witness.url("/witness")]);
    daemon.wait_for("the witness", |spans| !spans.is_empty());
    let finished = daemon.stop();
    let lines = finished.lines();
    let witnessed = ["Server GET /witness 200, request 0 B, response 5 B"];
    assert_eq!(lines, witnessed, "{}", finished.story());
    let says = |line: &&String| words.iter().all(|word| line.contains(word));
    // The summary comes after it; what was said while it ran is meant.
    let said = finished.log.iter().filter(says).count();
    assert_eq!(
        said,
        1,
        "{words:?} in one line\n{}",
        finished.log.join("\n")
    );
    assert_eq!(finished.lost(), "nothing", "{}", finished.story());
    finished
}
