//! What the daemon tells a receiver of metrics about itself.

use std::time::Duration;

use wirespan_tests::daemon::Daemon;
use wirespan_tests::receiver::{Point, Receiver};
use wirespan_tests::workload::{Server, curl};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_made_lost_and_understood_is_told_while_it_runs() {
    let receiver = Receiver::start().await.expect("a port");
    let address = receiver.address();
    let server = Server::python();
    let daemon = Daemon::start(&[
        ("BEYLA_OPEN_PORT", &server.port.to_string()),
        (
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
            &format!("http://{address}/v1/metrics"),
        ),
        ("OTEL_METRIC_EXPORT_INTERVAL", "100"),
        // These concern spans, or other programs, and must not keep metrics from being sent.
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
    ]);
    for number in 0..5 {
        let _ = curl(&[&server.url(&format!("/{number}"))]);
    }
    daemon.wait_for_count(5);
    let who = format!("process.pid={},service.name=server", server.process.pid());
    let is = |points: &[Point], metric: &str, attributes: &str, wanted: f64| {
        let mut points = points.iter();
        points.any(|point| {
            point.metric == metric && point.attributes == attributes && point.value == wanted
        })
    };
    let all = |points: &[Point]| {
        is(points, "wirespan.spans.made", "", 5.0)
            && is(
                points,
                "wirespan.spans.exported",
                "destination=printer",
                5.0,
            )
            && is(points, "wirespan.losses", "reason=ring_full", 0.0)
            && is(points, "wirespan.coverage", &who, 1.0)
    };
    let told = receiver.wait_for_points(all, Duration::from_secs(20)).await;
    let finished = daemon.stop();
    let told = told.unwrap_or_else(|error| panic!("{error}\n{}", finished.story()));
    let records = told
        .iter()
        .find(|point| point.metric == "wirespan.records.read");
    assert!(records.is_some_and(|point| point.value >= 15.0), "{told:?}");
}
