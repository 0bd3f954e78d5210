//! The daemon comes when connections have long been open. Headers were named by numbers that were
//! given out before; how many calls it takes until every span is complete again is a promise of the
//! documents, and held here, for the order in which each library inserts its headers.

use wirespan_tests::daemon::{Daemon, Finished};
use wirespan_tests::grpc::{Call, Client, Runtime, Server};
use wirespan_tests::spans::{Kind, Seen};
use wirespan_tests::wire::now_ns;

const BEFORE: usize = 1000;
const AFTER: usize = 200;

/// After how many calls all further ones are told; `None` if the last one was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    /// With their method.
    method: Option<usize>,
    /// With all that is asked for.
    all: Option<usize>,
}

/// Attaches to a connection that carried calls, perhaps while there is another one; by role.
fn attach(runtime: Runtime, another_connection: bool) -> [Told; 2] {
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
    let truth = client.truth(BEFORE + AFTER);
    let finished = daemon.stop();
    [Kind::Client, Kind::Server].map(|kind| told(&finished, &truth[BEFORE..], kind, begun))
}

/// Calls without a span count as incomplete ones; they can only be the first.
fn told(finished: &Finished, truth: &[Call], kind: Kind, begun: u64) -> Told {
    let spans = finished.of_kind(kind).into_iter();
    let mut spans: Vec<&Seen> = spans.filter(|span| span.start_ns >= begun).collect();
    spans.sort_by_key(|span| span.start_ns);
    assert!(spans.len() <= truth.len(), "{}", finished.story());
    let untold = truth.len() - spans.len();
    for (span, call) in spans.iter().zip(&truth[untold..]) {
        // What is not known is left out, and never wrong.
        let said = Call::of(span);
        let is_right = |said: &str, called: &str| said.is_empty() || said == called;
        let counts = [
            (said.requests, call.requests),
            (said.responses, call.responses),
        ];
        assert!(
            is_right(&said.rpc, &call.rpc)
                && is_right(&said.status, &call.status)
                && counts
                    .iter()
                    .all(|(said, called)| said.is_none() || said == called)
                && span.get("error.type").is_none(),
            "{span}"
        );
        let incomplete = span.get("wirespan.http2.headers_incomplete").is_some();
        assert_eq!(incomplete, !is_complete(span), "{span}");
    }
    let after = |is_told: fn(&Seen) -> bool| {
        let last = spans.iter().rposition(|span| !is_told(span));
        let after = untold + last.map_or(0, |last| last + 1);
        (after < truth.len()).then_some(after)
    };
    Told {
        method: after(|span| span.get("rpc.method").is_some()),
        all: after(is_complete),
    }
}

fn is_complete(span: &Seen) -> bool {
    span.get("rpc.method").is_some() && span.get("rpc.status_code").is_some()
}

/// At most so many calls until all are told, by whether there is another connection; `None` where
/// nothing is promised.
fn assert_within(runtime: Runtime, alone: Told, with_another: Told) {
    let text = |after: Option<usize>| after.map_or_else(|| "never".into(), |n| n.to_string());
    for (another, how, bound) in [
        (false, "alone", alone),
        (true, "another connection seen", with_another),
    ] {
        let [client, server] = attach(runtime, another);
        let [cm, ca, sm, sa] = [client.method, client.all, server.method, server.all].map(text);
        println!("| {runtime:?} | {how} | {cm}, {ca} | {sm}, {sa} |");
        for came in [client, server] {
            for (came, bound) in [(came.method, bound.method), (came.all, bound.all)] {
                let is_kept = bound.is_none_or(|bound| came.is_some_and(|came| came <= bound));
                assert!(is_kept, "{runtime:?}, {how}: {came:?}, not {bound:?}");
            }
        }
    }
}

const NEVER: Option<usize> = None;

/// With another connection: the method at once, the status when eight calls have ended alike. On a
/// busy machine the first call has been seen to go by untold.
const TAUGHT: Told = Told {
    method: Some(1),
    all: Some(9),
};

/// Alone: no status, as nobody spells that of a success again; the method where the library spells
/// it in each call.
const fn alone(method: Option<usize>) -> Told {
    Told { method, all: NEVER }
}

#[test]
fn calls_of_grpcio_become_complete() {
    assert_within(Runtime::Python, alone(NEVER), TAUGHT);
}

#[test]
fn calls_of_grpc_js_become_complete() {
    assert_within(Runtime::Node, alone(Some(0)), TAUGHT);
}

#[test]
fn calls_of_grpc_go_become_complete() {
    assert_within(Runtime::Go, alone(NEVER), TAUGHT);
}

#[test]
fn calls_of_tonic_become_complete() {
    assert_within(Runtime::Tonic, alone(Some(0)), TAUGHT);
}
