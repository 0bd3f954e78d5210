//! The daemon comes when connections have long been open. Headers were named by numbers that were
//! given out before; how many calls it takes until every span is complete again is a promise of the
//! documents, and held here, for the order in which each library inserts its headers.

use wirespan_tests::daemon::{Daemon, Finished};
use wirespan_tests::grpc::{Client, Runtime, Server};
use wirespan_tests::spans::{Kind, Seen};
use wirespan_tests::wire::now_ns;

const BEFORE: usize = 1000;
const AFTER: usize = 200;

/// After how many calls each span is complete; `None` if the last one was not.
struct Complete {
    client: Option<usize>,
    server: Option<usize>,
}

fn attach(runtime: Runtime, another_connection: bool) -> Complete {
    let server = Server::plain(runtime);
    let mut client = Client::plain(runtime, server.port);
    let mut other = Client::plain(runtime, server.port);
    client.call(&format!("Unary repeat={BEFORE}"));
    assert_eq!(client.truth(BEFORE).len(), BEFORE);
    let pids = [&server.process, &client.process, &other.process];
    let pids = pids.map(|process| process.pid().to_string()).join(",");
    let daemon = Daemon::start(&[("BEYLA_TARGET_PID", &pids)]);
    if another_connection {
        other.call("Unary repeat=3");
        let _ = other.truth(3);
    }
    let begun = now_ns();
    client.call(&format!("Unary repeat={AFTER}"));
    let _ = client.truth(BEFORE + AFTER);
    let finished = daemon.stop();
    let after = |kind| complete_after(&finished, kind, begun);
    Complete {
        client: after(Kind::Client),
        server: after(Kind::Server),
    }
}

/// Calls that were not told count as incomplete ones; they can only be the first.
fn complete_after(finished: &Finished, kind: Kind, begun: u64) -> Option<usize> {
    let spans = finished.of_kind(kind).into_iter();
    let mut spans: Vec<&Seen> = spans.filter(|span| span.start_ns >= begun).collect();
    spans.sort_by_key(|span| span.start_ns);
    assert!(spans.len() <= AFTER, "{}", finished.story());
    let untold = AFTER - spans.len();
    for span in &spans {
        // What is not known is left out, and never wrong.
        let method = span.get("rpc.method");
        assert!(
            matches!(method, None | Some("wirespan.test.Shapes/Unary")),
            "{span}"
        );
        assert!(
            matches!(span.get("rpc.status_code"), None | Some("OK")),
            "{span}"
        );
        let incomplete = span.get("wirespan.http2.headers_incomplete").is_some();
        assert_eq!(incomplete, !is_complete(span), "{span}");
    }
    let last = spans.iter().rposition(|span| !is_complete(span));
    let after = untold + last.map_or(0, |last| last + 1);
    (after < AFTER).then_some(after)
}

fn is_complete(span: &Seen) -> bool {
    span.get("rpc.method").is_some() && span.get("rpc.status_code").is_some()
}

fn assert_within(runtime: Runtime, alone: Option<usize>, with_another: usize) {
    let text = |after: Option<usize>| {
        after.map_or_else(|| format!("not within {AFTER}"), |after| after.to_string())
    };
    for another in [false, true] {
        let came = attach(runtime, another);
        let (client, server) = (text(came.client), text(came.server));
        let how = if another {
            "another connection seen"
        } else {
            "alone"
        };
        println!("| {runtime:?} | {how} | {client} | {server} |");
        let bound = if another { Some(with_another) } else { alone };
        let Some(bound) = bound else {
            continue;
        };
        for after in [came.client, came.server] {
            assert!(
                after.is_some_and(|after| after <= bound),
                "{runtime:?}, {how}: complete after {client} and {server} calls, not {bound}"
            );
        }
    }
}

#[test]
fn calls_of_grpcio_become_complete() {
    assert_within(Runtime::Python, None, 2);
}

#[test]
fn calls_of_grpc_js_become_complete() {
    assert_within(Runtime::Node, None, 2);
}

#[test]
fn calls_of_grpc_go_become_complete() {
    assert_within(Runtime::Go, Some(100), 2);
}

#[test]
fn calls_of_tonic_become_complete() {
    assert_within(Runtime::Tonic, None, 2);
}
