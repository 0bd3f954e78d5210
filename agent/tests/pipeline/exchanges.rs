//! What a request and its response become: attributes, times, addresses.

use wirespan::discover::Process;
use wirespan::span::{SpanKind, Status};

use crate::records::{MS, PID, Recorder};
use crate::{CLIENT, GET, OK, SERVER, WALL_NS, attribute, attributes, error, spans_of, text};

#[test]
fn a_request_that_was_served_becomes_a_span() {
    let mut recorder = Recorder::new(WALL_NS);
    recorder
        .process(&Process {
            pid: PID,
            executable: "/usr/sbin/nginx".into(),
            service_name: "shop".into(),
            service_namespace: Some("market".into()),
            service_instance_id: "node-1:4242".into(),
            host_name: "node-1".into(),
            ..Process::default()
        })
        .open_tcp(1, SERVER, CLIENT)
        .at(5 * MS)
        .read(1, GET)
        .at(7 * MS)
        .write(1, OK);
    let spans = spans_of(&mut recorder);
    let [span] = &spans[..] else {
        panic!("one span: {spans:?}")
    };
    assert_eq!((&*span.name, span.kind), ("GET", SpanKind::Server));
    assert_eq!(span.status, Status::Unset);
    assert_eq!(span.start_unix_ns, WALL_NS as u64 + 5 * MS);
    assert_eq!(span.end_unix_ns, WALL_NS as u64 + 7 * MS);
    assert_eq!((span.parent_span_id, span.trace_flags), (None, 1));
    assert_eq!(
        attributes(span),
        [
            "client.address=10.0.0.2",
            "http.request.body.size=0",
            "http.request.method=GET",
            "http.response.body.size=2",
            "http.response.status_code=200",
            "network.peer.address=10.0.0.2",
            "network.peer.port=40000",
            "network.protocol.version=1.1",
            "server.address=shop.example",
            "server.port=8080",
            "url.path=/a",
            "url.query=b=c",
            "url.scheme=http",
            "user_agent.original=curl/8",
        ]
    );
    let resource: Vec<String> = span
        .resource
        .attributes
        .iter()
        .filter(|(name, _)| !name.starts_with("telemetry."))
        .map(|(name, value)| format!("{name}={}", text(value)))
        .collect();
    assert_eq!(
        resource,
        [
            "host.name=node-1",
            "os.type=linux",
            "process.executable.name=nginx",
            "process.executable.path=/usr/sbin/nginx",
            "process.pid=4242",
            "service.instance.id=node-1:4242",
            "service.name=shop",
            "service.namespace=market",
        ]
    );
}

#[test]
fn a_call_that_was_made_becomes_a_client_span() {
    let traced = "GET /x HTTP/1.1\r\nHost: shop.example:8080\r\n\
        traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\
        tracestate: a=b\r\n\r\n";
    let mut recorder = Recorder::new(WALL_NS);
    recorder
        .open_tcp(1, CLIENT, SERVER)
        .at(5 * MS)
        .write(1, traced)
        .at(7 * MS)
        .read(1, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    let spans = spans_of(&mut recorder);
    let [span] = &spans[..] else {
        panic!("one span: {spans:?}")
    };
    assert_eq!((&*span.name, span.kind), ("GET", SpanKind::Client));
    assert_eq!(span.status, Status::Error);
    assert_eq!(error(span).as_deref(), Some("404"));
    assert_eq!(
        attribute(span, "url.full").as_deref(),
        Some("http://shop.example:8080/x")
    );
    assert_eq!(
        attribute(span, "network.peer.address").as_deref(),
        Some("10.0.0.1")
    );
    assert_eq!(span.trace_id[..2], [0x0a, 0xf7]);
    assert_eq!(span.parent_span_id.map(|id| id[0]), Some(0xb7));
    assert!(!span.parent_is_remote, "the parent is the SDK's own span");
    assert_eq!(span.trace_state.as_deref(), Some("a=b"));
}

#[test]
fn a_step_of_the_wall_clock_moves_spans_and_not_their_durations() {
    let step = 3_600_000_000_000;
    let mut recorder = Recorder::new(WALL_NS);
    recorder.open_tcp(1, SERVER, CLIENT);
    recorder.at(MS).read(1, GET).at(2 * MS).write(1, OK);
    recorder.at(3 * MS).read(1, GET);
    recorder.at(4 * MS).clock(WALL_NS + step);
    recorder.at(5 * MS).write(1, OK);
    recorder.at(6 * MS).read(1, GET).at(7 * MS).write(1, OK);
    let times: Vec<_> = spans_of(&mut recorder)
        .iter()
        .map(|span| {
            let since = |time: u64| time - WALL_NS as u64;
            (since(span.start_unix_ns), since(span.end_unix_ns))
        })
        .collect();
    let step = step as u64;
    assert_eq!(
        times,
        [
            (MS, 2 * MS),
            (step + 3 * MS, step + 5 * MS),
            (step + 6 * MS, step + 7 * MS)
        ]
    );
}

#[test]
fn ipv4_in_ipv6_is_told_as_ipv4() {
    let mut recorder = Recorder::new(WALL_NS);
    recorder
        .open_tcp(1, "[::ffff:10.0.0.1]:8080", "[::ffff:10.0.0.2]:40000")
        .read(1, "GET / HTTP/1.0\r\n\r\n")
        .write(1, OK);
    let spans = spans_of(&mut recorder);
    let told = |name| attribute(&spans[0], name);
    assert_eq!(told("server.address").as_deref(), Some("10.0.0.1"));
    assert_eq!(told("client.address").as_deref(), Some("10.0.0.2"));
    assert_eq!(told("network.protocol.version").as_deref(), Some("1.0"));
}

#[test]
fn a_unix_socket_is_told_by_its_name() {
    for (path, name) in [
        (&b"/run/a.sock"[..], "/run/a.sock"),
        (b"\0hidden", "@hidden"),
    ] {
        let mut recorder = Recorder::new(WALL_NS);
        recorder
            .open_unix(1, path)
            .read(1, "GET / HTTP/1.0\r\n\r\n")
            .write(1, OK);
        let spans = spans_of(&mut recorder);
        let told = |name| attribute(&spans[0], name);
        assert_eq!(told("server.address").as_deref(), Some(name));
        assert_eq!(told("network.transport").as_deref(), Some("unix"));
        assert_eq!(told("server.port"), None);
        assert_eq!(told("network.peer.address"), None);
    }
}

#[test]
fn the_end_of_time_is_survived() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
    let mut recorder = Recorder::new(WALL_NS);
    recorder.at(u64::MAX).open_tcp(1, SERVER, CLIENT);
    recorder.read(1, GET).write(1, head).clock(WALL_NS);
    assert_eq!(spans_of(&mut recorder).len(), 1);
}
