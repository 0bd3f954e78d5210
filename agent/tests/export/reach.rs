//! Who asks whether a receiver takes spans: a real, empty export decides where nothing was sent.

use std::sync::Arc;

use wirespan::config::OtlpProtocol;
use wirespan::export::{Exporters, Reached, ReceiverReach};
use wirespan::health::Health;
use wirespan_tests::receiver::{Receiver, Refusal};

use crate::sample::{PROTOCOLS, SOON, exporting, otlp, resource, server_spans};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_export_tells_whether_spans_would_be_taken() {
    for protocol in PROTOCOLS {
        let mut receiver = Receiver::start().await.unwrap();
        let health = Arc::new(Health::default());
        let config = exporting(otlp(protocol, receiver.address()));
        let (queue, exporters) = Exporters::start(config, &health).unwrap();
        let reach = exporters.reach().expect("there is a receiver");
        assert_eq!(reach.endpoint(), format!("http://{}", receiver.address()));
        // Nobody asked.
        assert_eq!(receiver.attempts(), 0, "{protocol:?}");
        assert_eq!(reach.look(SOON).await, Reached::Takes, "{protocol:?}");
        let received = receiver.received();
        assert_eq!(received.len(), 1, "{protocol:?}");
        assert!(received[0].resource_spans.is_empty(), "{protocol:?}");

        // What spans come to is news, too.
        receiver.refuse([match protocol {
            OtlpProtocol::Grpc => Refusal::Grpc {
                code: tonic::Code::Unauthenticated,
                retry_delay: None,
            },
            _ => Refusal::Http {
                status: 401,
                retry_after: None,
            },
        }]);
        queue.push(server_spans(&resource("shop"), 0..1));
        wait_for_news(&reach, |it| matches!(it, Reached::Fails(_))).await;

        receiver.go_away().await;
        wait_for_news(
            &reach,
            |it| matches!(it, Reached::Fails(why) if why.contains("onnect")),
        )
        .await;
        receiver.come_back().await.unwrap();
        wait_for_news(&reach, |it| *it == Reached::Takes).await;
        exporters.drain(SOON).await;
    }
}

/// Asks until the answer is as wanted.
async fn wait_for_news(reach: &ReceiverReach, wanted: impl Fn(&Reached) -> bool) {
    let said = async {
        loop {
            let reached = reach.look(SOON).await;
            if wanted(&reached) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, said).await.expect("in time");
}
