//! Spans arrive whole, once, in every protocol; what a receiver answers is obeyed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wirespan::config::{OtlpConfig, OtlpProtocol};
use wirespan::export::{Exporters, SetupError};
use wirespan::health::{Destination, Health, Loss};
use wirespan::span::Value;
use wirespan_tests::receiver::{Receiver, Refusal};

use crate::sample::{
    PROTOCOLS, SOON, exporting, failed_client_span, lost_in_export, otlp, request_of, resource,
    server_span, server_spans,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_field_arrives_in_every_protocol_plain_and_compressed() {
    for protocol in PROTOCOLS {
        for gzip in [false, true] {
            let receiver = Receiver::start().await.unwrap();
            let health = Arc::new(Health::default());
            let headers = vec![("X-Scope-OrgID".to_owned(), "tenant-1".to_owned())];
            let config = OtlpConfig {
                headers,
                gzip,
                batch_age_max: SOON,
                batch_spans_max: 21,
                ..otlp(protocol, receiver.address())
            };
            let (queue, exporters) = Exporters::start(exporting(config), &health).unwrap();

            let (shop, cart) = (resource("shop"), resource("cart"));
            let mut spans = server_spans(&shop, 0..10);
            spans.extend(server_spans(&cart, 10..20));
            spans.push(failed_client_span(&shop));
            queue.push(spans.clone());
            receiver
                .wait_for(|spans| spans.len() >= 21, SOON)
                .await
                .unwrap();
            exporters.drain(SOON).await;

            let case = format!("{protocol:?}, gzip {gzip}");
            let [request] = receiver
                .received()
                .try_into()
                .expect("one request for two services");
            let mut got = request.resource_spans;
            let mut expected = request_of(&spans.iter().collect::<Vec<_>>()).resource_spans;
            // Resources have no order among themselves.
            got.sort_by_key(|resource| resource.scope_spans[0].spans.len());
            expected.sort_by_key(|resource| resource.scope_spans[0].spans.len());
            assert_eq!(got, expected, "{case}");
            assert_eq!(request.headers["x-scope-orgid"], "tenant-1", "{case}");
            let agent = request.headers["user-agent"].to_str().unwrap();
            assert!(agent.starts_with("wirespan/"), "{case}: {agent}");
            let coding = if protocol == OtlpProtocol::Grpc {
                "grpc-encoding"
            } else {
                "content-encoding"
            };
            assert_eq!(
                request
                    .headers
                    .get(coding)
                    .is_some_and(|text| text == "gzip"),
                gzip,
                "{case}"
            );
            assert_eq!(health.spans_exported(Destination::Otlp), 21, "{case}");
            assert_eq!(lost_in_export(&health), 0, "{case}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_are_bounded_by_size_and_filled_across_pushes() {
    let receiver = Receiver::start().await.unwrap();
    let health = Arc::new(Health::default());
    let config = OtlpConfig {
        batch_age_max: Duration::from_secs(60),
        ..otlp(OtlpProtocol::HttpProtobuf, receiver.address())
    };
    let (queue, exporters) = Exporters::start(exporting(config), &health).unwrap();
    let shop = resource("shop");
    for start in (0..1050).step_by(70) {
        queue.push(server_spans(&shop, start..start + 70));
    }
    receiver
        .wait_for(|spans| spans.len() >= 1000, SOON)
        .await
        .unwrap();
    exporters.drain(SOON).await;
    let mut lens: Vec<_> = receiver
        .received()
        .iter()
        .map(|request| request.spans_len())
        .collect();
    lens.sort_unstable();
    assert_eq!(
        lens,
        [vec![50], vec![100; 10]].concat(),
        "the rest came with the drain"
    );
    let spans = receiver.spans();
    assert_eq!(distinct(&spans), 1050);
    assert_eq!(spans.len(), 1050);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lone_span_waits_no_longer_than_the_age_of_a_batch() {
    let receiver = Receiver::start().await.unwrap();
    let health = Arc::new(Health::default());
    let config = OtlpConfig {
        batch_age_max: Duration::from_millis(300),
        ..otlp(OtlpProtocol::Grpc, receiver.address())
    };
    let (queue, exporters) = Exporters::start(exporting(config), &health).unwrap();
    let begun = Instant::now();
    queue.push(vec![server_span(&resource("shop"), 1)]);
    receiver
        .wait_for(|spans| spans.len() == 1, SOON)
        .await
        .unwrap();
    assert!(
        begun.elapsed() >= Duration::from_millis(300),
        "{:?}",
        begun.elapsed()
    );
    exporters.drain(SOON).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_receiver_gets_each_span_once_and_not_before_it_asked() {
    let busy_http = || Refusal::Http {
        status: 503,
        retry_after: Some("1".into()),
    };
    let delay = Some(Duration::from_secs(1));
    let busy_grpc = |code| Refusal::Grpc {
        code,
        retry_delay: delay,
    };
    let cases = [
        (OtlpProtocol::HttpProtobuf, vec![busy_http()]),
        (OtlpProtocol::HttpJson, vec![busy_http()]),
        (
            OtlpProtocol::Grpc,
            vec![busy_grpc(tonic::Code::ResourceExhausted)],
        ),
        (
            OtlpProtocol::Grpc,
            vec![busy_grpc(tonic::Code::Unavailable)],
        ),
    ];
    for (protocol, refusals) in cases {
        let receiver = Receiver::start().await.unwrap();
        receiver.refuse(refusals);
        let health = Arc::new(Health::default());
        let config = exporting(otlp(protocol, receiver.address()));
        let (queue, exporters) = Exporters::start(config, &health).unwrap();
        let begun = Instant::now();
        queue.push(server_spans(&resource("shop"), 0..100));
        let spans = receiver
            .wait_for(|spans| spans.len() >= 100, SOON)
            .await
            .unwrap();
        assert!(
            begun.elapsed() >= Duration::from_secs(1),
            "{protocol:?} {:?}",
            begun.elapsed()
        );
        exporters.drain(SOON).await;
        assert_eq!((spans.len(), distinct(&spans)), (100, 100));
        assert_eq!(receiver.attempts(), 2);
        assert_eq!(
            (
                health.spans_exported(Destination::Otlp),
                lost_in_export(&health)
            ),
            (100, 0)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_asks_for_eternity_is_asked_again_by_one_batch() {
    for protocol in [OtlpProtocol::HttpProtobuf, OtlpProtocol::Grpc] {
        let receiver = Receiver::start().await.unwrap();
        receiver.refuse([match protocol {
            OtlpProtocol::Grpc => Refusal::Grpc {
                code: tonic::Code::Unavailable,
                retry_delay: Some(Duration::from_secs(3600)),
            },
            _ => Refusal::Http {
                status: 429,
                retry_after: Some("3600".into()),
            },
        }]);
        let health = Arc::new(Health::default());
        let mut config = exporting(otlp(protocol, receiver.address()));
        config.retry.probe_every = Duration::from_millis(300);
        let (queue, exporters) = Exporters::start(config, &health).unwrap();
        queue.push(server_spans(&resource("shop"), 0..100));
        receiver.wait_for_attempts(1, SOON).await.unwrap();
        // Three batches more, which wait for the first to knock.
        queue.push(server_spans(&resource("shop"), 100..400));
        let spans = receiver
            .wait_for(|spans| spans.len() >= 400, SOON)
            .await
            .unwrap();
        exporters.drain(SOON).await;
        assert_eq!((spans.len(), distinct(&spans)), (400, 400), "{protocol:?}");
        assert_eq!(receiver.attempts(), 5, "{protocol:?}");
        assert_eq!(lost_in_export(&health), 0, "{protocol:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_does_not_wait_for_a_receiver_that_asks_for_eternity() {
    let receiver = Receiver::start().await.unwrap();
    let eternity = u64::MAX.to_string();
    receiver.refuse([Refusal::Http {
        status: 429,
        retry_after: Some(eternity),
    }]);
    let health = Arc::new(Health::default());
    let config = exporting(otlp(OtlpProtocol::HttpProtobuf, receiver.address()));
    let (queue, exporters) = Exporters::start(config, &health).unwrap();
    queue.push(server_spans(&resource("shop"), 0..100));
    receiver.wait_for_attempts(1, SOON).await.unwrap();
    exporters.drain(Duration::from_millis(200)).await;
    assert_eq!(receiver.attempts(), 1);
    assert_eq!(health.losses(Loss::ShutdownTimeout), 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_too_large_for_one_request_goes_in_several() {
    for protocol in PROTOCOLS {
        let receiver = Receiver::start().await.unwrap();
        let health = Arc::new(Health::default());
        let config = exporting(otlp(protocol, receiver.address()));
        let (queue, exporters) = Exporters::start(config, &health).unwrap();
        let mut spans = server_spans(&resource("shop"), 0..100);
        for span in &mut spans {
            span.attributes
                .push(("url.full", Value::Owned("x".repeat(100_000))));
        }
        queue.push(spans);
        receiver
            .wait_for(|spans| spans.len() >= 100, SOON)
            .await
            .unwrap();
        exporters.drain(SOON).await;
        let mut lens: Vec<_> = receiver
            .received()
            .iter()
            .map(|request| request.spans_len())
            .collect();
        lens.sort_unstable();
        assert_eq!(lens, [25; 4], "{protocol:?}");
        assert_eq!(distinct(&receiver.spans()), 100);
        assert_eq!(
            (
                health.spans_exported(Destination::Otlp),
                lost_in_export(&health)
            ),
            (100, 0)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_for_good_is_counted_and_not_repeated() {
    let cases = [
        (
            OtlpProtocol::HttpProtobuf,
            Refusal::Http {
                status: 400,
                retry_after: None,
            },
        ),
        (
            OtlpProtocol::HttpJson,
            Refusal::Http {
                status: 401,
                retry_after: Some("1".into()),
            },
        ),
        (
            OtlpProtocol::Grpc,
            Refusal::Grpc {
                code: tonic::Code::InvalidArgument,
                retry_delay: None,
            },
        ),
        (
            OtlpProtocol::Grpc,
            Refusal::Grpc {
                code: tonic::Code::ResourceExhausted,
                retry_delay: None,
            },
        ),
    ];
    for (protocol, refusal) in cases {
        let receiver = Receiver::start().await.unwrap();
        receiver.refuse([refusal]);
        let health = Arc::new(Health::default());
        let config = exporting(otlp(protocol, receiver.address()));
        let (queue, exporters) = Exporters::start(config, &health).unwrap();
        queue.push(server_spans(&resource("shop"), 0..100));
        receiver.wait_for_attempts(1, SOON).await.unwrap();
        queue.push(server_spans(&resource("shop"), 100..107));
        receiver
            .wait_for(|spans| spans.len() >= 7, SOON)
            .await
            .unwrap();
        exporters.drain(SOON).await;
        assert_eq!(receiver.attempts(), 2, "{protocol:?}");
        assert_eq!(health.losses(Loss::ExportRefused), 100);
        assert_eq!(
            (
                health.spans_exported(Destination::Otlp),
                lost_in_export(&health)
            ),
            (7, 100)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_rejected_in_part_are_counted_as_refused() {
    for protocol in PROTOCOLS {
        let receiver = Receiver::start().await.unwrap();
        receiver.refuse([Refusal::Partial {
            rejected: 30,
            message: "too old".into(),
        }]);
        let health = Arc::new(Health::default());
        let config = exporting(otlp(protocol, receiver.address()));
        let (queue, exporters) = Exporters::start(config, &health).unwrap();
        queue.push(server_spans(&resource("shop"), 0..100));
        receiver.wait_for_attempts(1, SOON).await.unwrap();
        exporters.drain(SOON).await;
        assert_eq!(receiver.attempts(), 1);
        assert_eq!(health.losses(Loss::ExportRefused), 30, "{protocol:?}");
        assert_eq!(health.spans_exported(Destination::Otlp), 70, "{protocol:?}");
    }
}

#[tokio::test]
async fn unusable_settings_are_named() {
    let health = Arc::new(Health::default());
    let address = ([127, 0, 0, 1], 1).into();
    for protocol in PROTOCOLS {
        let good = otlp(protocol, address);
        for endpoint in [
            "",
            "localhost:4317",
            "ftp://collector",
            "http://",
            "https://a b",
        ] {
            let config = OtlpConfig {
                endpoint: endpoint.into(),
                ..good.clone()
            };
            let error = Exporters::start(exporting(config), &health).unwrap_err();
            assert!(
                matches!(&error, SetupError::Endpoint(text) if text == endpoint),
                "{error}"
            );
        }
        for header in [("a b", "c"), ("ok", "two\nlines")] {
            let headers = vec![(header.0.to_owned(), header.1.to_owned())];
            let config = OtlpConfig {
                headers,
                ..good.clone()
            };
            let error = Exporters::start(exporting(config), &health).unwrap_err();
            assert!(
                matches!(&error, SetupError::Header(name) if name == header.0),
                "{error}"
            );
        }
        let nowhere = std::path::PathBuf::from("/nonexistent/ca.pem");
        let config = OtlpConfig {
            endpoint: "https://localhost".into(),
            certificate: Some(nowhere.clone()),
            ..good
        };
        let error = Exporters::start(exporting(config), &health).unwrap_err();
        assert!(
            matches!(&error, SetupError::Certificate(path, _) if *path == nowhere),
            "{error}"
        );
    }
}

#[tokio::test]
async fn without_a_destination_spans_are_discarded() {
    let health = Arc::new(Health::default());
    let config = wirespan::export::ExportConfig::new(None, Default::default());
    let (queue, exporters) = Exporters::start(config, &health).unwrap();
    queue.push(vec![server_span(&resource("shop"), 1)]);
    exporters.drain(SOON).await;
    assert_eq!(
        (
            health.spans_exported(Destination::Otlp),
            lost_in_export(&health)
        ),
        (0, 0)
    );
}

pub fn distinct(spans: &[opentelemetry_proto::tonic::trace::v1::Span]) -> usize {
    spans
        .iter()
        .map(|span| &span.span_id)
        .collect::<BTreeSet<_>>()
        .len()
}
