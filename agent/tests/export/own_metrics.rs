//! The daemon's own counters, as a receiver of metrics hears them.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use wirespan::config::MetricsConfig;
use wirespan::export::own_metrics::OwnMetrics;
use wirespan::health::{Coverage, Destination, Health, Loss};
use wirespan::links::{Abstained, LinkTally, Mechanism};
use wirespan::unread::{Reason, Unread};
use wirespan_common::sampling::{LeftAlone, LeftAloneCount};
use wirespan_tests::receiver::{Point, Receiver};

use crate::sample::SOON;

fn config(receiver: &Receiver, interval: Duration) -> MetricsConfig {
    MetricsConfig {
        endpoint: format!("http://{}/v1/metrics", receiver.address()),
        headers: vec![("x-tenant".into(), "a".into())],
        timeout: Duration::from_secs(5),
        certificate: None,
        client_identity: None,
        interval,
    }
}

fn value(points: &[Point], metric: &str, attributes: &str) -> Option<f64> {
    let mut points = points.iter();
    let point = points.find(|point| point.metric == metric && point.attributes == attributes);
    point.map(|point| point.value)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_counter_is_told_once_per_interval_and_anew_at_the_end() {
    let receiver = Receiver::start().await.unwrap();
    let health = Arc::new(Health::default());
    let config = config(&receiver, Duration::from_millis(20));
    let metrics = OwnMetrics::start(&config, &health, &Handle::current()).unwrap();
    let told = |loss: Loss| format!("reason={}", loss.name());

    let points = receiver
        .wait_for_points(|points| !points.is_empty(), SOON)
        .await
        .unwrap();
    for loss in Loss::ALL {
        assert_eq!(value(&points, "wirespan.losses", &told(loss)), Some(0.0));
    }
    health.open(Destination::Otlp);
    health.made_spans(10);
    health.decided_early(2);
    health.exported_spans(Destination::Otlp, 7);
    health.lose_spans(Destination::Otlp, Loss::QueueFull, 3);
    health.set_loss(Loss::RingFull, 5);
    health.read_records(40);
    let (connections, bytes) = (8, 900);
    let left_alone = LeftAloneCount { connections, bytes };
    health.set_left_alone(LeftAlone::CpuLimit, left_alone);
    let mut links = LinkTally::default();
    links.link(Mechanism::Connection);
    links.abstain(Abstained::Late);
    health.links.add(&links);
    let coverage = vec![Coverage {
        pid: 42,
        service: "shop".into(),
        seen_bytes: 200,
        understood_bytes: 150,
        unread: {
            let mut unread = Unread::default();
            unread.count(Reason::FastCgi, 50);
            unread
        },
        lost_records: 6,
    }];
    health.set_coverage(0, coverage);
    let expected = [
        ("wirespan.spans.made", String::new(), 10.0),
        ("wirespan.traces.decided_early", String::new(), 2.0),
        ("wirespan.spans.exported", "destination=OTLP".into(), 7.0),
        ("wirespan.losses", told(Loss::QueueFull), 3.0),
        ("wirespan.losses", told(Loss::RingFull), 5.0),
        ("wirespan.records.read", String::new(), 40.0),
        (
            "wirespan.connections.left_alone",
            "reason=cpu_limit".into(),
            8.0,
        ),
        (
            "wirespan.connections.left_alone.io",
            "reason=cpu_limit".into(),
            900.0,
        ),
        (
            "wirespan.connections.left_alone",
            "reason=not_understood".into(),
            0.0,
        ),
        ("wirespan.connections.followed", String::new(), 1.0),
        ("wirespan.cpu.usage", String::new(), 0.0),
        ("wirespan.links", "kind=connection".into(), 1.0),
        ("wirespan.links", "kind=goroutine".into(), 0.0),
        ("wirespan.links.abstained", "reason=late".into(), 1.0),
        ("wirespan.links.abstained", "reason=no_request".into(), 0.0),
        (
            "wirespan.process.records.lost",
            "process.pid=42,service.name=shop".into(),
            6.0,
        ),
        (
            "wirespan.coverage",
            "process.pid=42,service.name=shop".into(),
            0.75,
        ),
        (
            "wirespan.not_understood",
            "process.pid=42,reason=fastcgi,service.name=shop".into(),
            50.0,
        ),
    ];
    let all = |points: &[Point]| {
        let mut expected = expected.iter();
        expected.all(|(metric, of, number)| value(points, metric, of) == Some(*number))
    };
    receiver.wait_for_points(all, SOON).await.unwrap();

    tokio::task::spawn_blocking(move || metrics.finish(SOON))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_values_are_sent_at_the_end_however_long_the_interval() {
    let receiver = Receiver::start().await.unwrap();
    let health = Arc::new(Health::default());
    let config = config(&receiver, Duration::from_secs(3600));
    let metrics = OwnMetrics::start(&config, &health, &Handle::current()).unwrap();
    health.made_spans(3);
    tokio::task::spawn_blocking(move || metrics.finish(SOON))
        .await
        .unwrap();
    let made = value(&receiver.points(), "wirespan.spans.made", "");
    assert_eq!(made, Some(3.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_is_away_does_not_hold_up_the_end() {
    let mut receiver = Receiver::start().await.unwrap();
    receiver.go_away().await;
    let health = Arc::new(Health::default());
    let config = config(&receiver, Duration::from_millis(20));
    let metrics = OwnMetrics::start(&config, &health, &Handle::current()).unwrap();
    let ended = tokio::task::spawn_blocking(move || metrics.finish(Duration::from_millis(100)));
    tokio::time::timeout(SOON, ended).await.unwrap().unwrap();
}
