//! A receiver that is away or slow costs spans, each of them counted, and nothing else.

use std::sync::Arc;
use std::time::Duration;

use wirespan::config::{OtlpConfig, OtlpProtocol};
use wirespan::export::{ExportConfig, Exporters, RetryPolicy};
use wirespan::health::{Destination, Health, Loss};
use wirespan::memory::Ledger;
use wirespan::span::Value;
use wirespan_tests::receiver::Receiver;

use crate::delivery::distinct;
use crate::sample::{PROTOCOLS, SOON, exporting, lost_in_export, otlp, resource, server_spans};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_absent_receiver_costs_what_passes_the_bound_and_delivery_resumes() {
    for protocol in PROTOCOLS {
        let mut receiver = Receiver::start().await.unwrap();
        receiver.go_away().await;
        let health = Arc::new(Health::default());
        let config = ExportConfig {
            queue_spans_cap: 1000,
            ..exporting(otlp(protocol, receiver.address()))
        };
        let (queue, exporters) = Exporters::start(config, &health).unwrap();
        let shop = resource("shop");
        for start in (0..5000).step_by(50) {
            queue.push(server_spans(&shop, start..start + 50));
        }
        // Up to four batches of 100 may be in flight besides the thousand that wait.
        let lost = health.losses(Loss::QueueFull);
        assert!((3600..=4000).contains(&lost), "{protocol:?}: {lost}");

        receiver.come_back().await.unwrap();
        let kept = 5000 - usize::try_from(lost).unwrap();
        let spans = receiver
            .wait_for(|spans| spans.len() >= kept, SOON)
            .await
            .unwrap();
        assert_eq!(
            (spans.len(), distinct(&spans)),
            (kept, kept),
            "{protocol:?}"
        );
        queue.push(server_spans(&shop, 5000..5010));
        receiver
            .wait_for(|spans| spans.len() >= kept + 10, SOON)
            .await
            .unwrap();
        exporters.drain(SOON).await;
        assert_eq!(health.spans_exported(Destination::Otlp), kept as u64 + 10);
        assert_eq!(lost_in_export(&health), lost);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_that_wait_are_bounded_in_bytes_too() {
    let mut receiver = Receiver::start().await.unwrap();
    receiver.go_away().await;
    let health = Arc::new(Health::default());
    let memory = Ledger::new(8 << 20);
    let config = ExportConfig {
        memory: memory.clone(),
        ..exporting(otlp(OtlpProtocol::HttpProtobuf, receiver.address()))
    };
    let (queue, exporters) = Exporters::start(config, &health).unwrap();
    let shop = resource("shop");
    for start in (0..1000).step_by(10) {
        let mut spans = server_spans(&shop, start..start + 10);
        for span in &mut spans {
            let target = Value::Owned("/".repeat(8000));
            span.attributes.push(("url.path", target));
        }
        queue.push(spans);
    }
    // An eighth of the bound: a megabyte, of which each takes 8 KB and more.
    let lost = health.losses(Loss::QueueFull);
    assert!((870..900).contains(&lost), "{lost}");
    let held = memory.held();
    assert!((900 << 10..=1 << 20).contains(&held), "{held}");

    receiver.come_back().await.unwrap();
    exporters.drain(SOON).await;
    assert_eq!(health.spans_exported(Destination::Otlp), 1000 - lost);
    assert_eq!(memory.held(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_leaves_in_the_middle_of_a_request_gets_it_again() {
    for protocol in PROTOCOLS {
        let mut receiver = Receiver::start().await.unwrap();
        let health = Arc::new(Health::default());
        let config = exporting(otlp(protocol, receiver.address()));
        let (queue, exporters) = Exporters::start(config, &health).unwrap();
        receiver.hold();
        queue.push(server_spans(&resource("shop"), 0..100));
        receiver.wait_for_attempts(1, SOON).await.unwrap();
        receiver.go_away().await;
        receiver.release();
        receiver.come_back().await.unwrap();
        let spans = receiver
            .wait_for(|spans| spans.len() >= 100, SOON)
            .await
            .unwrap();
        exporters.drain(SOON).await;
        assert_eq!((spans.len(), distinct(&spans)), (100, 100), "{protocol:?}");
        assert_eq!(
            (
                health.spans_exported(Destination::Otlp),
                lost_in_export(&health)
            ),
            (100, 0),
            "{protocol:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_finds_nobody_in_time_is_given_up() {
    for protocol in PROTOCOLS {
        let mut receiver = Receiver::start().await.unwrap();
        receiver.go_away().await;
        let health = Arc::new(Health::default());
        let mut config = exporting(otlp(protocol, receiver.address()));
        config.retry = RetryPolicy {
            total_max: Duration::from_millis(100),
            ..config.retry
        };
        let (queue, exporters) = Exporters::start(config, &health).unwrap();
        queue.push(server_spans(&resource("shop"), 0..250));
        exporters.drain(SOON).await;
        assert_eq!(health.losses(Loss::ExportFailed), 250, "{protocol:?}");
        assert_eq!(
            (
                health.spans_exported(Destination::Otlp),
                lost_in_export(&health)
            ),
            (0, 250),
            "{protocol:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_does_not_answer_is_asked_again_after_the_timeout() {
    for protocol in PROTOCOLS {
        let receiver = Receiver::start().await.unwrap();
        receiver.hold();
        let health = Arc::new(Health::default());
        let config = OtlpConfig {
            timeout: Duration::from_millis(100),
            ..otlp(protocol, receiver.address())
        };
        let (queue, exporters) = Exporters::start(exporting(config), &health).unwrap();
        queue.push(server_spans(&resource("shop"), 0..10));
        receiver.wait_for_attempts(3, SOON).await.unwrap();
        assert_eq!(lost_in_export(&health), 0, "{protocol:?}");
        exporters.drain(Duration::ZERO).await;
        assert_eq!(health.losses(Loss::ShutdownTimeout), 10, "{protocol:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_sends_what_is_queued_without_waiting_for_company() {
    for protocol in PROTOCOLS {
        let receiver = Receiver::start().await.unwrap();
        let health = Arc::new(Health::default());
        let config = OtlpConfig {
            batch_age_max: Duration::from_secs(600),
            ..otlp(protocol, receiver.address())
        };
        let (queue, exporters) = Exporters::start(exporting(config), &health).unwrap();
        for start in (0..950).step_by(19) {
            queue.push(server_spans(&resource("shop"), start..start + 19));
        }
        exporters.drain(SOON).await;
        assert_eq!(distinct(&receiver.spans()), 950, "{protocol:?}");
        assert_eq!(
            (
                health.spans_exported(Destination::Otlp),
                lost_in_export(&health)
            ),
            (950, 0),
            "{protocol:?}"
        );
        queue.push(server_spans(&resource("shop"), 950..951));
        assert_eq!(
            health.losses(Loss::ShutdownTimeout),
            1,
            "late spans are counted"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_past_its_timeout_counts_the_rest() {
    for protocol in PROTOCOLS {
        let receiver = Receiver::start().await.unwrap();
        let health = Arc::new(Health::default());
        let config = exporting(otlp(protocol, receiver.address()));
        let (queue, exporters) = Exporters::start(config, &health).unwrap();
        queue.push(server_spans(&resource("shop"), 0..100));
        receiver
            .wait_for(|spans| spans.len() == 100, SOON)
            .await
            .unwrap();
        receiver.hold();
        for start in (100..1000).step_by(50) {
            queue.push(server_spans(&resource("shop"), start..start + 50));
        }
        receiver.wait_for_attempts(5, SOON).await.unwrap();
        let drained = exporters.drain(Duration::from_millis(200));
        tokio::time::timeout(SOON, drained).await.unwrap();
        assert_eq!(health.losses(Loss::ShutdownTimeout), 900, "{protocol:?}");
        assert_eq!(
            (
                health.spans_exported(Destination::Otlp),
                lost_in_export(&health)
            ),
            (100, 900),
            "{protocol:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_shards_lose_nothing_between_push_and_worker() {
    let receiver = Receiver::start().await.unwrap();
    let health = Arc::new(Health::default());
    let config = OtlpConfig {
        batch_age_max: Duration::from_millis(1),
        ..otlp(OtlpProtocol::HttpProtobuf, receiver.address())
    };
    let (queue, exporters) = Exporters::start(exporting(config), &health).unwrap();
    let shop = resource("shop");
    let shards: Vec<_> = (0..4)
        .map(|shard| {
            let (queue, shop) = (queue.clone(), Arc::clone(&shop));
            std::thread::spawn(move || {
                let first = shard * 3000;
                for number in first..first + 3000 {
                    queue.push(server_spans(&shop, number..number + 1));
                }
            })
        })
        .collect();
    shards.into_iter().for_each(|shard| shard.join().unwrap());
    // Without a drain: the last span has to find an awake worker, too.
    receiver
        .wait_for(|spans| spans.len() >= 12_000, SOON)
        .await
        .unwrap();
    exporters.drain(SOON).await;
    assert_eq!(distinct(&receiver.spans()), 12_000);
    assert_eq!(
        (
            health.spans_exported(Destination::Otlp),
            lost_in_export(&health)
        ),
        (12_000, 0)
    );
}

/// A replay hands over more at once than ever fits, by number and by bytes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_room_loses_nothing_however_little_there_is() {
    for (spans_cap, memory) in [(7, 64 << 20), (100_000, 1 << 20), (1, 1 << 20)] {
        let receiver = Receiver::start().await.unwrap();
        let health = Arc::new(Health::default());
        let config = ExportConfig {
            queue_spans_cap: spans_cap,
            memory: Ledger::new(memory),
            ..exporting(otlp(OtlpProtocol::HttpProtobuf, receiver.address()))
        };
        let (queue, exporters) = Exporters::start(config, &health).unwrap();
        let mut spans = server_spans(&resource("shop"), 0..300);
        for span in &mut spans {
            let target = Value::Owned("/".repeat(8000));
            span.attributes.push(("url.path", target));
        }
        let pushed = tokio::task::spawn_blocking(move || queue.push_waiting(spans));
        pushed.await.unwrap();
        let spans = receiver
            .wait_for(|spans| spans.len() >= 300, SOON)
            .await
            .unwrap();
        exporters.drain(SOON).await;
        assert_eq!((spans.len(), distinct(&spans)), (300, 300), "{spans_cap}");
        assert_eq!(lost_in_export(&health), 0);
    }
}
