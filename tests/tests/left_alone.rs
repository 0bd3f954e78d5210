//! What nobody understands is left alone: a verdict after a few records, and from then on the
//! kernel side tells nothing of the connection, and counts what it left.

use std::time::Duration;

use wirespan_tests::daemon::Daemon;
use wirespan_tests::process::LIMIT;
use wirespan_tests::process::Process;
use wirespan_tests::receiver::{Point, Receiver};
use wirespan_tests::tls::{Certificates, Postgres};

/// Statements that may be told of before the kernel side has heard the verdict, and records of what
/// else happens meanwhile.
const RECORDS_MAX: f64 = 64.0;
/// Statements until what it counts was fetched, and sent, which takes half a second.
const STATEMENTS_UNTIL_THEN_MAX: usize = 100_000;
/// Statements that it must not tell of.
const STATEMENTS: usize = 2_000;

fn value(points: &[Point], metric: &str, attributes: &str) -> f64 {
    let mut of_it = points.iter().rev();
    let found = of_it.find(|it| it.metric == metric && it.attributes == attributes);
    found.map_or(0.0, |point| point.value)
}

const LEFT_ALONE: &str = "wirespan.connections.left_alone";
const LEFT_ALONE_BYTES: &str = "wirespan.connections.left_alone.io";
const NOT_UNDERSTOOD: &str = "reason=not_understood";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_of_a_database_are_told_of_no_more_once_nobody_understands_them() {
    let certificates = Certificates::create();
    let postgres = Postgres::start(&certificates);
    let receiver = Receiver::start().await.expect("a port");
    let metrics = format!("http://{}/v1/metrics", receiver.address());
    let daemon = Daemon::start(&[
        ("BEYLA_OPEN_PORT", &postgres.port.to_string()),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", &metrics),
        ("OTEL_METRIC_EXPORT_INTERVAL", "50"),
    ]);
    let soon = Duration::from_secs(60);
    let mut client = Process::start("psql", &mut postgres.plain_client());
    let mut said = 0;
    let mut say = |client: &mut Process| {
        client.tell(&format!("select 'number ' || {said};"));
        let wanted = format!("number {said}");
        assert!(client.stdout.wait_for_line(LIMIT, &wanted).is_some());
        said += 1;
    };
    // The kernel side hears a verdict with the transfer that follows it.
    let mut points = receiver.points();
    for _ in 0..STATEMENTS_UNTIL_THEN_MAX {
        if value(&points, LEFT_ALONE, NOT_UNDERSTOOD) >= 1.0 {
            break;
        }
        say(&mut client);
        points = receiver.points();
    }
    let left_alone = value(&points, LEFT_ALONE, NOT_UNDERSTOOD);
    assert!(left_alone >= 1.0, "{points:?}");
    let records = "wirespan.records.read";
    let before = value(&points, records, "");
    let bytes_before = value(&points, LEFT_ALONE_BYTES, NOT_UNDERSTOOD);
    for _ in 0..STATEMENTS {
        say(&mut client);
    }
    // Each has at least a header both ways.
    let bytes = bytes_before + 2.0 * 5.0 * STATEMENTS as f64;
    let told = receiver
        .wait_for_points(
            |points| value(points, LEFT_ALONE_BYTES, NOT_UNDERSTOOD) >= bytes,
            soon,
        )
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let after = value(&told, records, "");
    assert!(
        after - before < RECORDS_MAX,
        "{before} records, then {after}"
    );
    client.tell("\\q");
    client.wait();
    let finished = daemon.stop();
    assert_eq!(finished.spans.len(), 0, "{}", finished.story());
    let summary = finished.summary();
    assert!(summary.contains(" by not_understood ("), "{summary}");
}
