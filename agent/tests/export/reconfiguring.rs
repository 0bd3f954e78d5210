//! Spans go elsewhere while they are made: none is lost by that, none is told twice.

use std::sync::Arc;
use std::time::Duration;

use wirespan::config::{OtlpConfig, PrinterFormat, TracesConfig};
use wirespan::export::{ExportConfig, Exporters};
use wirespan::health::{Destination, Health, Loss};
use wirespan::memory::Ledger;
use wirespan_tests::receiver::Receiver;

use crate::delivery::distinct;
use crate::sample::{PROTOCOLS, SOON, exporting, lost_in_export, otlp, resource, server_spans};

fn to(otlp: Option<OtlpConfig>) -> TracesConfig {
    TracesConfig {
        otlp,
        printer: PrinterFormat::Disabled,
        colours: false,
        queue_spans_max: 100_000,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_go_to_another_receiver_from_then_on_and_none_is_lost() {
    for protocol in PROTOCOLS {
        let (first, second) = (
            Receiver::start().await.unwrap(),
            Receiver::start().await.unwrap(),
        );
        let health = Arc::new(Health::default());
        let config = exporting(otlp(protocol, first.address()));
        let (queue, mut exporters) = Exporters::start(config, &health).unwrap();
        let shop = resource("shop");
        // Who pushes holds a clone, and does not stop for it.
        let pushing = queue.clone();
        let (begun, has_begun) = std::sync::mpsc::channel();
        let (end, is_to_end) = std::sync::mpsc::channel::<()>();
        let of_thread = Arc::clone(&shop);
        let pusher = std::thread::spawn(move || {
            let mut pushed = 0;
            while pushed < 500 || is_to_end.try_recv().is_err() {
                pushing.push(server_spans(&of_thread, pushed..pushed + 5));
                pushed += 5;
                let _ = begun.send(());
                std::thread::yield_now();
                if pushed >= 20_000 {
                    break;
                }
            }
            pushed
        });
        has_begun.recv().unwrap();
        let other = otlp(protocol, second.address());
        exporters.reconfigure(&to(Some(other.clone()))).unwrap();
        end.send(()).unwrap();
        let pushed = pusher.join().unwrap();
        // What is pushed now goes to the second alone.
        queue.push(server_spans(&shop, pushed..pushed + 10));
        exporters.drain(SOON).await;
        let pushed = usize::try_from(pushed).unwrap();

        let (of_first, of_second) = (first.spans(), second.spans());
        let all = [of_first.clone(), of_second.clone()].concat();
        assert_eq!(lost_in_export(&health), 0, "{protocol:?}");
        assert_eq!(all.len(), pushed + 10, "{protocol:?}");
        assert_eq!(distinct(&all), pushed + 10, "{protocol:?}");
        assert!(of_second.len() >= 10, "{protocol:?}");
        assert!(!of_first.is_empty(), "{protocol:?}");
        assert_eq!(health.spans_exported(Destination::Otlp), all.len() as u64);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_not_be_used_is_refused_and_all_goes_on_as_before() {
    let receiver = Receiver::start().await.unwrap();
    let health = Arc::new(Health::default());
    let good = otlp(PROTOCOLS[0], receiver.address());
    let (queue, mut exporters) = Exporters::start(exporting(good.clone()), &health).unwrap();
    let bad = OtlpConfig {
        certificate: Some("/nowhere.pem".into()),
        endpoint: "https://localhost:1".into(),
        ..good
    };
    assert!(exporters.reconfigure(&to(Some(bad))).is_err());
    queue.push(server_spans(&resource("shop"), 0..10));
    exporters.drain(SOON).await;
    assert_eq!(receiver.spans().len(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_can_be_taken_away_and_given_back() {
    let receiver = Receiver::start().await.unwrap();
    let health = Arc::new(Health::default());
    let good = otlp(PROTOCOLS[0], receiver.address());
    let (queue, mut exporters) = Exporters::start(exporting(good.clone()), &health).unwrap();
    let shop = resource("shop");
    queue.push(server_spans(&shop, 0..10));
    for _ in 0..10 {
        exporters.reconfigure(&to(None)).unwrap();
        queue.push(server_spans(&shop, 10..20));
        exporters.reconfigure(&to(Some(good.clone()))).unwrap();
    }
    queue.push(server_spans(&shop, 20..30));
    exporters.drain(SOON).await;
    assert_eq!((receiver.spans().len(), lost_in_export(&health)), (20, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sinks_that_are_left_full_take_their_room_from_those_that_follow() {
    let mut receiver = Receiver::start().await.unwrap();
    receiver.go_away().await;
    let health = Arc::new(Health::default());
    let memory = Ledger::new(8 << 20);
    let otlp = |timeout_ms| OtlpConfig {
        timeout: Duration::from_millis(timeout_ms),
        ..otlp(PROTOCOLS[0], receiver.address())
    };
    let config = ExportConfig {
        memory: memory.clone(),
        ..exporting(otlp(1000))
    };
    let (queue, mut exporters) = Exporters::start(config, &health).unwrap();
    let shop = resource("shop");
    for number in 0..5 {
        for start in (0..5000).step_by(50) {
            queue.push(server_spans(&shop, start..start + 50));
        }
        assert!(health.losses(Loss::QueueFull) > 0);
        assert!(memory.held() <= memory.of_spans());
        exporters
            .reconfigure(&to(Some(otlp(1001 + number))))
            .unwrap();
    }
    exporters.drain(Duration::ZERO).await;
    assert_eq!(lost_in_export(&health), 25_000);
    assert_eq!(memory.held(), 0);
}
