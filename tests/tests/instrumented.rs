//! A program that OpenTelemetry's SDK traces is not traced a second time, and what it calls stands
//! below the SDK's spans: a real SDK, which exports to a real receiver.

use std::time::Duration;

use wirespan_tests::daemon::Daemon;
use wirespan_tests::grpc::built_by_setup;
use wirespan_tests::ports;
use wirespan_tests::process::{Process, tied};
use wirespan_tests::receiver::Receiver;
use wirespan_tests::spans::{Kind, Seen};
use wirespan_tests::workload::{Server, curl, file};

const CALLER: [&str; 2] = ["0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"];

/// Asks the server; the caller's span is in the header.
fn ask(port: u16, path: &str) {
    let [trace, span] = CALLER;
    let header = format!("traceparent: 00-{trace}-{span}-01");
    let url = format!("http://127.0.0.1:{port}{path}");
    let _ = curl(&["--header", &header, &url]);
}

/// The span of this side of what was asked for at a path.
fn find<'a>(spans: &'a [Seen], kind: Kind, path: &str) -> Option<&'a Seen> {
    let is_it = |span: &&Seen| span.kind == kind && span.target() == path;
    spans.iter().find(is_it)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_exports_traces_is_left_alone_and_stays_part_of_the_trace() {
    let receiver = Receiver::start().await.expect("a receiver");
    let (port, backend) = (ports::free(), Server::python());
    let mut command = tied("/usr/bin/python3");
    command
        .arg(file("sdk/server.py"))
        .args([port.to_string(), backend.port.to_string()])
        .env("PYTHONPATH", built_by_setup("sdk/python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env(
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            format!("http://{}", receiver.address()),
        )
        // Only when it is asked to.
        .env("OTEL_BSP_SCHEDULE_DELAY", "3600000");
    let server = Process::start("server", &mut command);
    server.expect_line("listening");
    let ports = format!("{port},{}", backend.port);
    let daemon = Daemon::start(&[("BEYLA_OPEN_PORT", &ports)]);

    ask(port, "/before");
    ask(port, "/flush");
    ask(port, "/after");
    ask(port, "/flush");
    let by_sdk = receiver
        .wait_for(|spans| spans.len() == 4, Duration::from_secs(60))
        .await
        .expect("spans of the SDK");
    daemon.wait_for("the backend's span", |spans| {
        find(spans, Kind::Server, "/after/call").is_some()
    });
    let finished = daemon.stop();
    let spans = &finished.spans;
    for path in ["/before", "/before/call", "/after/call"] {
        assert!(find(spans, Kind::Server, path).is_some(), "{path}");
    }
    // The export that tells began before that was known.
    assert!(find(spans, Kind::Client, "/before/call").is_some());
    assert!(find(spans, Kind::Server, "/after").is_none());
    assert!(find(spans, Kind::Client, "/after/call").is_none());
    let left_out = format!("left out {} by instrumented", 4);
    assert!(
        finished.summary().contains(&left_out),
        "{}",
        finished.story()
    );
    let said = finished.log.iter();
    let said = said.filter(|line| line.contains("exports traces itself"));
    assert_eq!(said.count(), 1, "{}", finished.story());

    let call = by_sdk.iter().find(|span| span.name == "/after/call");
    let call = call.expect("the SDK's span of the call");
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let served = find(spans, Kind::Server, "/after/call").expect("checked");
    assert_eq!(served.parent_span_id, hex(&call.span_id));
    assert_eq!(served.trace_id, CALLER[0]);
    assert_eq!(hex(&call.trace_id), CALLER[0]);
}
