//! The daemon's own exports make no spans, though their receiver is watched: else each export would
//! be the reason for the next one.

use std::net::SocketAddr;

use wirespan_tests::daemon::{Daemon, Finished};
use wirespan_tests::ports;
use wirespan_tests::process::{Process, tied};
use wirespan_tests::spans::Seen;
use wirespan_tests::tls::Certificates;
use wirespan_tests::workload::{Nginx, Server, binary, curl, eventually};

/// Requests to a server that is none of this.
const REQUESTS: usize = 3;

/// The repository's own receiver, which is watched.
struct Sink {
    port: u16,
    _process: Process,
}

impl Sink {
    fn start() -> Self {
        let port = ports::free();
        let mut command = tied(binary("otlp-sink"));
        command.arg(SocketAddr::from(([127, 0, 0, 1], port)).to_string());
        let process = Process::start("otlp-sink", &mut command);
        process.expect_line("listening");
        Self {
            port,
            _process: process,
        }
    }

    /// Spans that it was sent. Asking makes a span.
    fn spans(&self) -> usize {
        let url = format!("http://127.0.0.1:{}/count", self.port);
        let mut command = tied("curl");
        command.args(["--silent", "--show-error", "--max-time", "20", &url]);
        let said = Process::start("curl", &mut command).succeed();
        let number = said.first().and_then(|line| line.strip_prefix("spans "));
        number.and_then(|text| text.parse().ok()).expect("a number")
    }
}

/// Runs the daemon with `settings` while it watches a server, the receiver and `others`, and
/// returns what it said once exports had arrived and something came after them.
fn exported(sink: &Sink, others: &[u16], settings: &[(&str, &str)]) -> Finished {
    let server = Server::python();
    let mut ports = vec![server.port.to_string(), sink.port.to_string()];
    ports.extend(others.iter().map(u16::to_string));
    let ports = ports.join(",");
    let mut all = vec![("BEYLA_OPEN_PORT", ports.as_str())];
    all.extend(settings);
    let daemon = Daemon::start(&all);
    for number in 0..REQUESTS {
        let _ = curl(&[&server.url(&format!("/{number}"))]);
    }
    eventually("exports to arrive", || sink.spans() >= REQUESTS);
    // Of what was exported before it, the spans would come before its own.
    let _ = curl(&[&format!("http://127.0.0.1:{}/last", sink.port)]);
    daemon.wait_for("the last span", |spans| {
        spans.iter().any(|span| span.target() == "/last")
    });
    daemon.stop()
}

fn none_is_of_an_export(finished: &Finished) {
    let is_known = |span: &&Seen| {
        let target = span.target();
        let of_server = (0..REQUESTS).any(|number| target == format!("/{number}"));
        of_server || target == "/count" || target == "/last"
    };
    let others: Vec<_> = finished
        .spans
        .iter()
        .filter(|span| !is_known(span))
        .collect();
    assert!(others.is_empty(), "{}", finished.story());
}

#[test]
fn exports_to_a_watched_receiver_make_no_spans() {
    for protocol in ["http/protobuf", "grpc"] {
        let sink = Sink::start();
        let endpoint = format!("http://127.0.0.1:{}", sink.port);
        let metrics = format!("{endpoint}/v1/metrics");
        let finished = exported(
            &sink,
            &[],
            &[
                ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &endpoint),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
                ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", &metrics),
                ("OTEL_METRIC_EXPORT_INTERVAL", "50"),
            ],
        );
        none_is_of_an_export(&finished);
    }
}

#[test]
fn exports_are_known_by_their_connection_whatever_their_path() {
    let sink = Sink::start();
    let endpoint = format!("http://127.0.0.1:{}/of/our/own", sink.port);
    let finished = exported(
        &sink,
        &[],
        &[
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &endpoint),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ],
    );
    none_is_of_an_export(&finished);
}

#[test]
fn exports_that_a_watched_proxy_passes_on_make_no_spans_at_any_of_its_ends() {
    let sink = Sink::start();
    let certificates = Certificates::create();
    let upstream = format!(
        "location /v1/ {{ proxy_pass http://127.0.0.1:{}; }}",
        sink.port
    );
    let proxy = Nginx::start_tls(&certificates, "", &upstream);
    let endpoint = proxy.url("/v1/traces").replace("127.0.0.1", "localhost");
    let finished = exported(
        &sink,
        &[proxy.port],
        &[
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &endpoint),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            (
                "OTEL_EXPORTER_OTLP_CERTIFICATE",
                &certificates.authority().display().to_string(),
            ),
        ],
    );
    none_is_of_an_export(&finished);
}
