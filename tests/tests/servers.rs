//! Servers of four kinds: what they say that they answered is compared with their spans, request by
//! request.

use std::collections::BTreeMap;

use wirespan_tests::daemon::{Daemon, Finished};
use wirespan_tests::process::{Process, tied};
use wirespan_tests::spans::{Kind, Seen};
use wirespan_tests::truth::{Exchange, assert_same};
use wirespan_tests::visits::{assert_told, visit, visit_rawly};
use wirespan_tests::wire::{Wire, now_ns};
use wirespan_tests::workload::{Nginx, Server, curl};

fn visited(server: &Server) -> Finished {
    let daemon = Daemon::for_port(server.port);
    let count = visit(|target| server.url(target));
    let truth = server.truth(count);
    daemon.wait_for_count(count);
    let finished = daemon.stop();
    let spans: Vec<_> = finished.spans.iter().collect();
    assert_told("spans of the server", truth, &spans);
    assert!(spans.iter().all(|span| span.kind == Kind::Server));
    assert_eq!(finished.lost(), "nothing", "{}", finished.story());
    finished
}

#[test]
fn python_spans_are_what_python_served() {
    let finished = visited(&Server::python());
    assert_eq!(finished.spans[0].resource["service.name"], "server");
    assert_eq!(
        finished.spans[0].resource["telemetry.sdk.language"],
        "python"
    );
}

#[test]
fn node_spans_are_what_node_served() {
    let finished = visited(&Server::node());
    assert_eq!(finished.spans[0].resource["service.name"], "server");
    assert_eq!(
        finished.spans[0].resource["telemetry.sdk.language"],
        "nodejs"
    );
}

#[test]
fn a_response_in_more_parts_than_are_looked_at_is_told_without_its_size() {
    let server = Server::node();
    let daemon = Daemon::for_port(server.port);
    let mut wire = Wire::connect(server.port);
    for target in ["/parts?chunked=9&size=90", "/after?size=3"] {
        wire.send(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
        wire.answer(false);
    }
    daemon.wait_for_count(2);
    let finished = daemon.stop();
    let spans: Vec<_> = finished.spans.iter().map(Seen::exchange).collect();
    let mut parts = Exchange::new("GET", "/parts?chunked=9&size=90", 200, 90);
    if let Some(came) = spans.iter().find(|came| came.target == parts.target)
        && came.response_body.is_none()
    {
        parts.response_body = None;
    }
    assert_same(
        "spans",
        [parts, Exchange::new("GET", "/after?size=3", 200, 3)],
        spans,
    );
    assert!(
        finished.spans.iter().all(|span| !span.failed),
        "{}",
        finished.story()
    );
}

#[test]
fn hyper_spans_are_what_hyper_served() {
    let finished = visited(&Server::hyper());
    assert_eq!(finished.spans[0].resource["service.name"], "hyper-server");
}

fn visited_rawly(server: &Server) {
    let daemon = Daemon::for_port(server.port);
    let count = visit_rawly(server.port);
    let truth = server.truth(count);
    let mut dies = Wire::connect(server.port);
    dies.send("POST /dies HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nsome");
    drop(dies);
    let dead = |span: &Seen| span.target() == "/dies";
    daemon.wait_for("a span for what was never finished", |spans| {
        spans.len() > count && spans.iter().any(dead)
    });
    let finished = daemon.stop();
    let (died, lived): (Vec<_>, Vec<_>) = finished.spans.iter().partition(|span| dead(span));
    assert_told("spans of the server", truth, &lived);
    assert_eq!(died.len(), 1, "{}", finished.story());
    let request = died[0].exchange();
    // Servers may answer half a request.
    assert!(
        died[0].get("error.type").is_some() || request.status.is_some(),
        "{}",
        died[0]
    );
    assert_eq!(finished.lost(), "nothing", "{}", finished.story());
}

#[test]
fn python_under_a_raw_client_is_told_as_it_was() {
    visited_rawly(&Server::python());
}

#[test]
fn node_under_a_raw_client_is_told_as_it_was() {
    visited_rawly(&Server::node());
}

#[test]
fn hyper_under_a_raw_client_is_told_as_it_was() {
    visited_rawly(&Server::hyper());
}

#[test]
fn nginx_under_a_raw_client_is_told_as_it_was() {
    let nginx = Nginx::start(1, "", "location / { return 200 'short'; }");
    let daemon = Daemon::for_port(nginx.port);
    let count = visit_rawly(nginx.port);
    let truth = nginx.truth(count);
    daemon.wait_for_count(count);
    let finished = daemon.stop();
    // nginx discards bodies of requests that it answers by itself: it may be done with its answer
    // before it has read them, and then their size is not known.
    let truth = truth.into_iter().map(|mut exchange| {
        let size = match exchange.target.as_str() {
            "/trailers" => 11,
            "/split" => 10,
            _ => return exchange,
        };
        exchange.request_body = finished
            .spans
            .iter()
            .find(|span| span.target() == exchange.target)
            .and_then(|span| span.exchange().request_body);
        assert!(
            exchange.request_body.is_none_or(|told| told == size),
            "{exchange:?}"
        );
        exchange
    });
    assert_told(
        "spans of nginx",
        truth.collect(),
        &finished.spans.iter().collect::<Vec<_>>(),
    );
    assert_eq!(finished.lost(), "nothing", "{}", finished.story());
}

#[test]
fn spans_of_processes_that_share_a_listener_are_theirs() {
    let server = Server::python_forked(3);
    let said = server.process.expect_line("listening");
    let workers: Vec<_> = said.split(' ').skip(1).collect();
    let daemon = Daemon::for_port(server.port);
    let targets: Vec<_> = (0..30).map(|n| server.url(&format!("/{n}"))).collect();
    for target in &targets {
        let _ = curl(&[target]);
    }
    let truth = server.truth(30);
    daemon.wait_for_count(30);
    let finished = daemon.stop();
    let spans: Vec<_> = finished.spans.iter().collect();
    assert_told("spans of forked processes", truth, &spans);
    for span in spans {
        let pid = &*span.resource["process.pid"];
        assert!(workers.contains(&pid), "{pid} is none of {workers:?}");
        assert_eq!(span.resource["service.name"], "server");
    }
}

#[test]
fn nginx_spans_are_what_nginx_logged() {
    let nginx = Nginx::start(1, "", "");
    nginx.serve_file("small.txt", 300);
    nginx.serve_file("large.bin", 7_000_000);
    let daemon = Daemon::for_port(nginx.port);
    let _ = curl(&[&nginx.url("/small.txt")]);
    let _ = curl(&["--head", &nginx.url("/small.txt")]);
    let _ = curl(&[&nginx.url("/large.bin")]);
    let _ = curl(&["--range", "10-29", &nginx.url("/small.txt")]);
    let _ = curl(&[&nginx.url("/fixed/?q=1")]);
    let _ = curl(&[&nginx.url("/missing/")]);
    let _ = curl(&[&nginx.url("/no-such-file")]);
    let _ = curl(&["--data-binary", "body", &nginx.url("/small.txt")]);
    let _ = curl(&["--http1.0", &nginx.url("/small.txt")]);
    let truth = nginx.truth(9);
    daemon.wait_for_count(9);
    let finished = daemon.stop();
    let spans: Vec<_> = finished.spans.iter().collect();
    assert_told("spans of nginx", truth, &spans);
    assert_eq!(finished.lost(), "nothing", "{}", finished.story());
    assert!(
        spans
            .iter()
            .all(|span| span.resource["service.name"] == "nginx")
    );
}

#[test]
fn a_proxy_is_a_server_and_a_client_and_both_sides_agree() {
    let python = Server::python();
    let upstream = format!(
        "upstream python {{ server 127.0.0.1:{}; keepalive 4; }}",
        python.port
    );
    let nginx = Nginx::start(
        1,
        &upstream,
        "location / { proxy_pass http://python; proxy_http_version 1.1;
         proxy_set_header Connection ''; }",
    );
    let ports = format!("{},{}", nginx.port, python.port);
    let daemon = Daemon::start(&[("BEYLA_OPEN_PORT", &ports)]);
    let count = visit(|target| nginx.url(target));
    let (proxied, served) = (nginx.truth(count), python.truth(count));
    daemon.wait_for_count(3 * count);
    let finished = daemon.stop();
    let served_sizes: BTreeMap<_, _> = served
        .iter()
        .map(|exchange| {
            (
                exchange.target.clone(),
                (exchange.request_body, exchange.response_body),
            )
        })
        .collect();
    let of = |kind, service: &str| -> Vec<&Seen> {
        let spans = finished.of_kind(kind).into_iter();
        spans
            .filter(|span| span.resource["service.name"] == service)
            .collect()
    };
    assert_eq!(finished.spans.len(), 3 * count);
    assert_told(
        "nginx as a client",
        served.clone(),
        &of(Kind::Client, "nginx"),
    );
    assert_told("Python behind nginx", served, &of(Kind::Server, "server"));
    let fronts = of(Kind::Server, "nginx");
    // What nginx logs as the size of a body is not that where chunks or an interim answer went by.
    let sizes = served_sizes;
    let proxied = proxied.into_iter().map(|mut exchange| {
        if exchange.target.starts_with("/chunked") || exchange.target == "/expected" {
            (exchange.request_body, exchange.response_body) = sizes[&exchange.target];
        }
        exchange
    });
    assert_told("nginx as a server", proxied.collect(), &fronts);
    assert_eq!(finished.lost(), "nothing", "{}", finished.story());
}

#[test]
fn nothing_is_lost_under_wrk() {
    const CONNECTIONS: usize = 8;
    let nginx = Nginx::start(2, "", "");
    nginx.serve_file("small.txt", 300);
    let port = nginx.port.to_string();
    let daemon = Daemon::start(&[
        ("BEYLA_OPEN_PORT", &*port),
        ("BEYLA_TRACE_PRINTER", "counter"),
        ("OTEL_EBPF_OTLP_TRACES_QUEUE_SIZE", "1000000"),
    ]);
    let mut wrk = tied("wrk");
    wrk.args(["--threads=2", "--duration=1s"])
        .arg(format!("--connections={CONNECTIONS}"))
        .arg(nginx.url("/small.txt"));
    let said = Process::start("wrk", &mut wrk).succeed().join("\n");
    let requests = said.split(" requests in ").next().unwrap_or_default();
    let requests = requests.rsplit(['\n', ' ']).next().unwrap_or_default();
    let requests: usize = requests.parse().unwrap_or_else(|_| panic!("{said}"));
    let logged = nginx.truth(requests).len();
    let finished = daemon.stop_uncounted();
    assert!(requests > 100, "{said}");
    assert_eq!(finished.lost(), "nothing", "{}", finished.summary());
    // wrk leaves in the middle: a request that nginx had not read by then is in neither list, one
    // that it was answering may be in one of them.
    let made = finished.made();
    assert!(
        made >= requests && made.abs_diff(logged) <= CONNECTIONS,
        "{made} spans, {requests} requests of wrk, {logged} of nginx\n{}",
        finished.summary()
    );
    let covered = finished.summary().matches("nginx (pid").count();
    let whole = finished.summary().matches(": 100.0% (").count();
    assert_eq!(covered, whole, "{}", finished.summary());
}

#[test]
fn times_are_those_of_the_wall_clock_and_in_order() {
    let server = Server::python();
    let daemon = Daemon::for_port(server.port);
    let mut wire = Wire::connect(server.port);
    let mut intervals = Vec::new();
    for (number, delay) in [0_u64, 120, 0, 30].into_iter().enumerate() {
        let before = now_ns();
        wire.send(format!(
            "GET /{number}?delay={delay} HTTP/1.1\r\nHost: h\r\n\r\n"
        ));
        wire.answer(false);
        intervals.push((before, now_ns(), delay * 1_000_000));
    }
    daemon.wait_for_count(intervals.len());
    let finished = daemon.stop();
    let stopped = now_ns();
    let mut last_end = 0;
    for (number, (before, after, delay)) in intervals.into_iter().enumerate() {
        let target = format!("/{number}?");
        let span = finished
            .spans
            .iter()
            .find(|span| span.target().starts_with(&target))
            .unwrap_or_else(|| panic!("no {target}: {}", finished.story()));
        // It ends with the server's call, which may return after the answer is here.
        assert!(
            before <= span.start_ns && span.start_ns <= after && span.end_ns <= stopped,
            "{before}..{after}, but {}..{}",
            span.start_ns,
            span.end_ns
        );
        assert!(span.end_ns - span.start_ns >= delay, "{span}");
        assert!(last_end <= span.start_ns, "{}", finished.story());
        last_end = span.end_ns;
    }
}
