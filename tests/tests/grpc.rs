//! gRPC of four runtimes, in the clear: what servers and clients say that they did is compared with
//! their spans, call by call.

use std::collections::BTreeMap;

use wirespan_tests::daemon::Daemon;
use wirespan_tests::grpc::pair::{Pair, calls_of};
use wirespan_tests::grpc::{Call, REQUESTS, RESPONSES, Runtime, truth};
use wirespan_tests::ports;
use wirespan_tests::spans::Kind;
use wirespan_tests::truth::assert_same;
use wirespan_tests::wire::now_ns;
use wirespan_tests::workload::{curl, python};

fn shapes_and_errors(server: Runtime, client: Runtime) {
    Pair::plain(server, client).tell_shapes_and_errors();
}

#[test]
fn grpcio_and_grpc_js_are_told_as_they_saw_it() {
    shapes_and_errors(Runtime::Python, Runtime::Node);
}

#[test]
fn grpc_js_and_grpc_go_are_told_as_they_saw_it() {
    shapes_and_errors(Runtime::Node, Runtime::Go);
}

#[test]
fn grpc_go_and_tonic_are_told_as_they_saw_it() {
    shapes_and_errors(Runtime::Go, Runtime::Tonic);
}

#[test]
fn tonic_and_grpcio_are_told_as_they_saw_it() {
    shapes_and_errors(Runtime::Tonic, Runtime::Python);
}

#[test]
fn grpcio_with_itself_is_told_as_it_saw_it() {
    shapes_and_errors(Runtime::Python, Runtime::Python);
}

#[test]
fn grpc_js_with_itself_is_told_as_it_saw_it() {
    shapes_and_errors(Runtime::Node, Runtime::Node);
}

#[test]
fn grpc_go_with_itself_is_told_as_it_saw_it() {
    shapes_and_errors(Runtime::Go, Runtime::Go);
}

#[test]
fn tonic_with_itself_is_told_as_it_saw_it() {
    shapes_and_errors(Runtime::Tonic, Runtime::Tonic);
}

// === time ===

fn deadline(server: Runtime, client: Runtime) {
    let mut pair = Pair::plain(server, client);
    // The time runs from the call, not from its request: a connection that had to be made first
    // would leave little of it.
    let called = pair.call(&[("Unary", 1), ("Unary delay=5000 deadline=150", 1)]);
    let finished = pair.finish(2);
    for kind in [Kind::Client, Kind::Server] {
        let spans = finished.of_kind(kind);
        let late = spans
            .iter()
            .find(|span| span.get("rpc.status_code") != Some("OK"))
            .unwrap_or_else(|| panic!("no call was late: {}", finished.story()));
        let status = late.get("rpc.status_code").unwrap_or_default();
        // Who ends it first decides its status: a client that keeps the deadline, or a server that
        // cancels what is too late.
        // Servers that keep it too say the same; tonic calls it a cancellation at either end.
        if kind == Kind::Client && client != Runtime::Tonic {
            assert_eq!(status, called[1].status, "{late}");
        }
        assert!(
            ["DEADLINE_EXCEEDED", "CANCELLED"].contains(&status),
            "{late}"
        );
        let lasted = late.end_ns - late.start_ns;
        assert!((50_000_000..2_000_000_000).contains(&lasted), "{late}");
    }
}

#[test]
fn a_deadline_ends_the_call_of_grpcio() {
    deadline(Runtime::Go, Runtime::Python);
}

#[test]
fn a_deadline_ends_the_call_of_grpc_js() {
    deadline(Runtime::Python, Runtime::Node);
}

#[test]
fn a_deadline_ends_the_call_of_grpc_go() {
    deadline(Runtime::Node, Runtime::Go);
}

#[test]
fn a_deadline_ends_the_call_of_tonic() {
    deadline(Runtime::Tonic, Runtime::Tonic);
}

#[test]
fn a_stream_lasts_from_its_request_to_its_trailers() {
    let mut pair = Pair::plain(Runtime::Go, Runtime::Python);
    let before = now_ns();
    let called = pair.call(&[("ServerStream count=3 delay=300", 1)]);
    let after = now_ns();
    let finished = pair.finish(called.len());
    for span in &finished.spans {
        assert!(before <= span.start_ns, "{span}");
        assert!(span.end_ns <= after + 20_000_000, "{span}");
        assert!(span.end_ns - span.start_ns >= 300_000_000, "{span}");
        // The messages came at once, and the end came later.
        let last = span.events.iter().map(|(_, at_ns)| *at_ns).max();
        let last = last.unwrap_or_else(|| panic!("no events: {span}"));
        assert!(
            span.end_ns - last >= 250_000_000,
            "{:?} {span}",
            span.events
        );
    }
}

// === size ===

fn a_hundred_at_once(server: Runtime, client: Runtime) {
    let mut pair = Pair::plain(server, client);
    let calls = [
        ("Unary parallel=100 delay=200 reply=2000", 100),
        ("Bidi parallel=100 send=5", 100),
    ];
    let called = pair.call(&calls);
    let finished = pair.finish(called.len());
    for kind in [Kind::Client, Kind::Server] {
        assert_same("spans", called.clone(), calls_of(&finished, kind));
        let spans = finished.of_kind(kind);
        let peers = spans.iter().map(|span| span.get("network.peer.port"));
        let connections = peers.collect::<std::collections::BTreeSet<_>>();
        assert_eq!(connections.len(), 1, "{}", finished.story());
        let waited = spans.iter().filter(|span| span.name.ends_with("/Unary"));
        for span in waited {
            assert!(span.end_ns - span.start_ns >= 200_000_000, "{span}");
        }
    }
}

#[test]
fn a_hundred_calls_at_once_are_told_apart_from_grpcio_to_tonic() {
    a_hundred_at_once(Runtime::Tonic, Runtime::Python);
}

#[test]
fn a_hundred_calls_at_once_are_told_apart_from_grpc_js_to_grpc_go() {
    a_hundred_at_once(Runtime::Go, Runtime::Node);
}

#[test]
fn a_hundred_calls_at_once_are_told_apart_from_grpc_go_to_grpcio() {
    a_hundred_at_once(Runtime::Python, Runtime::Go);
}

#[test]
fn a_hundred_calls_at_once_are_told_apart_from_tonic_to_grpc_js() {
    a_hundred_at_once(Runtime::Node, Runtime::Tonic);
}

/// 50 MB of messages: one span on each side, over all of them, from a recording that is small.
fn long_stream(server: Runtime, client: Runtime) {
    let directory = tempfile::tempdir().expect("a directory");
    let recording = directory.path().join("recording");
    let file = recording.to_str().expect("text");
    let mut pair = Pair::plain_with(server, client, &["record", file], &[]);
    let called = pair.call(&[
        ("ServerStream count=50 reply=1000000 delay=100", 1),
        ("Unary", 1),
    ]);
    assert_eq!(called[0].responses, Some(50));
    let finished = pair.finish(called.len());
    for kind in [Kind::Client, Kind::Server] {
        assert_same("spans", called.clone(), calls_of(&finished, kind));
    }
    for span in &finished.spans {
        if span.name.ends_with("ServerStream") {
            assert!(span.end_ns - span.start_ns >= 100_000_000, "{span}");
        }
    }
    let recorded = recording.metadata().expect("written").len();
    println!("{server:?} to {client:?}: 50 MB, both sides: {recorded} bytes recorded");
    assert!(recorded < 10_000_000, "{recorded} bytes");
}

#[test]
fn fifty_megabytes_of_messages_are_one_call_from_grpc_go_to_grpcio() {
    long_stream(Runtime::Go, Runtime::Python);
}

#[test]
fn fifty_megabytes_of_messages_are_one_call_from_grpcio_to_grpc_js() {
    long_stream(Runtime::Python, Runtime::Node);
}

#[test]
fn fifty_megabytes_of_messages_are_one_call_from_grpc_js_to_tonic() {
    long_stream(Runtime::Node, Runtime::Tonic);
}

#[test]
fn fifty_megabytes_of_messages_are_one_call_from_tonic_to_grpc_go() {
    long_stream(Runtime::Tonic, Runtime::Go);
}

// === what spans say ===

fn pairs(attributes: &BTreeMap<String, String>) -> Vec<String> {
    let pairs = attributes.iter();
    // The version of a library is not this test's concern.
    pairs
        .map(|(name, value)| match value.split_once('/') {
            Some((product, _)) if name == "user_agent.original" => format!("{name} = {product}"),
            _ => format!("{name} = {value}"),
        })
        .collect()
}

#[test]
fn spans_of_a_call_have_every_attribute_and_no_other() {
    let mut pair = Pair::plain(Runtime::Go, Runtime::Tonic);
    pair.call(&[("Unary code=13", 1)]);
    let port = pair.server.port;
    let finished = pair.finish(1);
    let [client] = finished.of_kind(Kind::Client)[..] else {
        panic!("one span of the client: {}", finished.story());
    };
    let [server] = finished.of_kind(Kind::Server)[..] else {
        panic!("one span of the server: {}", finished.story());
    };
    let both = [
        "error.type = INTERNAL".to_owned(),
        "network.peer.address = 127.0.0.1".into(),
        "network.protocol.version = 2".into(),
        "rpc.method = wirespan.test.Shapes/Unary".into(),
        "rpc.status_code = INTERNAL".into(),
        "rpc.system.name = grpc".into(),
        "server.address = 127.0.0.1".into(),
        format!("server.port = {port}"),
        "user_agent.original = tonic".into(),
        format!("{REQUESTS} = 1"),
        format!("{RESPONSES} = 0"),
    ];
    let of_client = [format!("network.peer.port = {port}")];
    assert_same(
        "attributes of the client's span",
        both.iter().chain(&of_client).cloned(),
        pairs(&client.attributes),
    );
    let source = server.get("network.peer.port").unwrap_or_default();
    let of_server = [
        "client.address = 127.0.0.1".to_owned(),
        format!("network.peer.port = {source}"),
        "wirespan.link = connection".into(),
    ];
    assert_same(
        "attributes of the server's span",
        both.iter().chain(&of_server).cloned(),
        pairs(&server.attributes),
    );
}

// === health checks, gRPC-Web ===

const HEALTH: &str = "grpc.health.v1.Health/Check";

#[test]
fn health_checks_are_calls_like_others() {
    let mut pair = Pair::plain(Runtime::Go, Runtime::Python);
    let line = format!("Unary method={HEALTH} repeat=3");
    let called = pair.call(&[(&line, 3), ("Unary", 1)]);
    let finished = pair.finish(called.len());
    for kind in [Kind::Client, Kind::Server] {
        assert_same("spans", called.clone(), calls_of(&finished, kind));
    }
}

#[test]
fn health_checks_are_left_out_if_that_is_asked_for() {
    let settings = [("WIRESPAN_IGNORE_HEALTH_CHECKS", "true")];
    let mut pair = Pair::plain_with(Runtime::Go, Runtime::Python, &[], &settings);
    let line = format!("Unary method={HEALTH} repeat=3");
    let called = pair.call(&[(&line, 3), ("Unary", 1)]);
    let finished = pair.finish(1);
    for kind in [Kind::Client, Kind::Server] {
        assert_same("spans", [called[3].clone()], calls_of(&finished, kind));
    }
}

/// gRPC-Web over HTTP/1.1, from a server that tells what it answered.
#[test]
fn grpc_web_over_http_1_is_a_call() {
    let server =
        wirespan_tests::workload::Server::on(ports::free(), |port| python("grpc/web.py", &[port]));
    let daemon = Daemon::for_port(server.port);
    for (shape, words, kind) in [
        ("Unary", "code=0", "application/grpc-web+proto"),
        ("Unary", "code=5", "application/grpc-web+proto"),
        ("ServerStream", "count=3", "application/grpc-web"),
        ("Unary", "code=13 bare=1", "application/grpc-web-text"),
    ] {
        let content_type = format!("content-type: {kind}");
        let url = server.url(&format!("/wirespan.test.Shapes/{shape}"));
        let _ = curl(&["--data", words, "-H", &content_type, &url]);
    }
    let truth = truth(&server.process, 4);
    daemon.wait_for_count(truth.len());
    let finished = daemon.stop();
    let came = finished.spans.iter().map(Call::of).map(Call::uncounted);
    assert_same("spans", truth.into_iter().map(Call::uncounted), came);
    for span in &finished.spans {
        assert_eq!(span.kind, Kind::Server, "{span}");
        assert_eq!(span.get("network.protocol.version"), Some("1.1"), "{span}");
        assert_eq!(span.failed, Call::of(span).fails(Kind::Server), "{span}");
    }
    assert_eq!(finished.lost(), "nothing", "{}", finished.story());
}
