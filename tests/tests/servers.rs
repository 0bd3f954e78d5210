//! Servers of four kinds: what they say that they answered is compared with their spans, request by
//! request.

use std::collections::BTreeMap;

use wirespan_tests::daemon::{Daemon, Finished};
use wirespan_tests::process::{Process, tied};
use wirespan_tests::spans::{Kind, Seen};
use wirespan_tests::truth::{Exchange, assert_same, forgiving_long_chunked};
use wirespan_tests::wire::{Wire, now_ns};
use wirespan_tests::workload::{Nginx, Server, curl};

/// Requests of all usual shapes, over connections that curl keeps or not; returns how many.
fn visit(url: impl Fn(&str) -> String) -> usize {
    let many: Vec<_> = (0..10)
        .map(|n| url(&format!("/kept/{n}?size={n}00")))
        .collect();
    let mut arguments: Vec<&str> = many.iter().map(String::as_str).collect();
    arguments.extend(std::iter::repeat_n(["--output", "/dev/null"], 9).flatten());
    let _ = curl(&arguments);
    let _ = curl(&["--head", &url("/head?size=77")]);
    let _ = curl(&["--data-binary", "posted", &url("/posted")]);
    let upload = "u".repeat(100_000);
    let wait = ["--data-binary", &upload, "-H", "Expect: 100-continue"];
    let _ = curl(&[&wait[..], &[&url("/expected")]].concat());
    let chunked = [
        "--data-binary",
        "in chunks",
        "-H",
        "Transfer-Encoding: chunked",
    ];
    let _ = curl(&[&chunked[..], &[&url("/chunked-upload")]].concat());
    let _ = curl(&[&url("/chunked?chunked=1&size=50")]);
    let _ = curl(&[&url("/chunked?chunked=1&size=5000")]);
    let _ = curl(&[&url("/large?size=3000000")]);
    let _ = curl(&[&url("/empty?status=204")]);
    let _ = curl(&[&url("/unmodified?status=304")]);
    let _ = curl(&[&url("/gone?status=404")]);
    let _ = curl(&[&url("/broken?status=503&size=0")]);
    let _ = curl(&["--request", "PUT", "--data-binary", "p", &url("/put")]);
    let _ = curl(&["--request", "DELETE", &url("/delete")]);
    let _ = curl(&["--http1.0", &url("/old?size=12")]);
    10 + 14
}

/// Spans against truth; and what holds for every span of a server that nothing happened to.
fn assert_told(what: &str, truth: Vec<Exchange>, spans: &[&Seen]) {
    let came: Vec<_> = spans.iter().map(|span| span.exchange()).collect();
    assert_same(what, forgiving_long_chunked(truth, &came), came);
    for span in spans {
        let status: u16 = span
            .exchange()
            .status
            .unwrap_or_else(|| panic!("no status: {span}"));
        let fails = match span.kind {
            Kind::Server => status >= 500,
            Kind::Client => status >= 400,
        };
        assert_eq!(span.failed, fails, "{span}");
        let error = fails.then(|| status.to_string());
        assert_eq!(span.get("error.type"), error.as_deref(), "{span}");
        assert_eq!(Some(&*span.name), span.get("http.request.method"), "{span}");
        assert!(span.start_ns <= span.end_ns, "{span}");
    }
}

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
fn hyper_spans_are_what_hyper_served() {
    let finished = visited(&Server::hyper());
    assert_eq!(finished.spans[0].resource["service.name"], "hyper-server");
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
    let nginx = Nginx::start(2, "", "");
    nginx.serve_file("small.txt", 300);
    let port = nginx.port.to_string();
    let daemon = Daemon::start(&[
        ("BEYLA_OPEN_PORT", &*port),
        ("BEYLA_TRACE_PRINTER", "counter"),
        ("OTEL_EBPF_OTLP_TRACES_QUEUE_SIZE", "1000000"),
    ]);
    let mut wrk = tied("wrk");
    wrk.args([
        "--threads=2",
        "--connections=8",
        "--duration=1s",
        "--latency",
    ])
    .arg(nginx.url("/small.txt"));
    let said = Process::start("wrk", &mut wrk).succeed().join("\n");
    let requests = said.split(" requests in ").next().unwrap_or_default();
    let requests = requests.rsplit(['\n', ' ']).next().unwrap_or_default();
    let requests: usize = requests.parse().unwrap_or_else(|_| panic!("{said}"));
    // Also those that wrk did not wait for.
    let logged = nginx.truth(requests).len();
    let finished = daemon.stop_uncounted();
    assert!(requests > 100, "{said}");
    // nginx logs what it never sent a byte of, and does not log what it was not done reading.
    assert_eq!(finished.lost(), "nothing", "{}", finished.summary());
    let made = finished.made();
    assert!(
        made >= requests && made <= logged + 8 && made + 8 >= logged,
        "{made} spans, {requests} requests of wrk, {logged} of nginx\n{}",
        finished.summary()
    );
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
    let mut last_end = 0;
    for (number, (before, after, delay)) in intervals.into_iter().enumerate() {
        let target = format!("/{number}?");
        let span = finished
            .spans
            .iter()
            .find(|span| span.target().starts_with(&target))
            .unwrap_or_else(|| panic!("no {target}: {}", finished.story()));
        // The answer may be here before the server's call returns.
        let slack = 20_000_000;
        assert!(
            before <= span.start_ns && span.end_ns <= after + slack,
            "{before}..{after}, but {}..{}",
            span.start_ns,
            span.end_ns
        );
        assert!(span.end_ns - span.start_ns >= delay, "{span}");
        assert!(last_end <= span.start_ns, "{}", finished.story());
        last_end = span.end_ns;
    }
}
