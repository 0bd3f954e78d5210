//! What the kernel side is told: verdicts and budgets.

use wirespan::connections::{IDLE_NS_MAX, ToKernel};
use wirespan::health::Loss;
use wirespan_common::record::Direction;
use wirespan_common::watch::Verdict;

use crate::records::{PID, Recorder};
use crate::{Bench, CLIENT, GET, OK, SERVER, WALL_NS, attribute};

#[test]
fn what_is_ignored_is_forgotten_without_a_loss_and_stays_ignored() {
    let mut bench = Bench::seeded();
    let mut recorder = Recorder::new(WALL_NS);
    recorder
        .open_tcp(1, SERVER, CLIENT)
        .read(1, b"SSH-2.0-OpenSSH_9.2p1\r\n not http at all");
    bench.feed(&mut recorder);
    assert_eq!(bench.pipeline.drain_to_kernel().count(), 1, "the verdict");
    recorder.at(2 * IDLE_NS_MAX).clock(WALL_NS);
    bench.feed(&mut recorder);
    assert_eq!(bench.pipeline.connections(), 0);
    assert_eq!(bench.health.losses(Loss::ConnectionEvicted), 0);
    assert_eq!(bench.pipeline.drain_to_kernel().count(), 0);
}

#[test]
fn the_kernel_side_is_told_what_a_connection_turned_out_to_be_once() {
    let mut bench = Bench::seeded();
    let mut recorder = Recorder::new(WALL_NS);
    recorder
        .open_tcp(1, SERVER, CLIENT)
        .open_tcp(2, SERVER, CLIENT)
        .open_tcp(3, SERVER, CLIENT);
    for _ in 0..3 {
        recorder.read(1, GET).write(1, OK);
        recorder.read(2, b"SSH-2.0-OpenSSH_9.2p1\r\n");
        // A server's hello.
        recorder.write(3, [0x16, 3, 3, 0, 42, 2, 0, 0, 38, 3, 3, 9, 9, 9, 9, 9, 9]);
    }
    bench.feed(&mut recorder);
    let told: Vec<_> = bench.pipeline.drain_to_kernel().collect();
    let verdict = |connection, verdict| ToKernel::Verdict {
        connection,
        verdict,
    };
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(told.contains(&verdict(1, Verdict::Understood)), "{told:?}");
    assert!(told.contains(&verdict(2, Verdict::Ignored)), "{told:?}");
    assert!(told.contains(&verdict(3, Verdict::Carrier)), "{told:?}");
    let is_seen = |wish: &ToKernel| matches!(wish, ToKernel::TlsSeen { .. });
    assert!(told.iter().any(is_seen), "{told:?}");
    assert_eq!(bench.spans.len(), 3);
}

#[test]
fn what_is_not_understood_any_more_is_told_so_that_copying_ends() {
    const CONNECT: &str = "CONNECT shop:443 HTTP/1.1\r\nHost: shop:443\r\n\r\n";
    const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n";
    const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
    const ESTABLISHED: &str = "HTTP/1.1 200 Connection established\r\n\r\n";
    const HELLO: &[u8] = b"\x16\x03\x01\0\x06\x01\0\0\x02\x03\x03";
    for (request, response, then, verdict) in [
        (CONNECT, ESTABLISHED, HELLO, Verdict::Carrier),
        (CONNECT, ESTABLISHED, b"\0\x01binary", Verdict::Ignored),
        (UPGRADE, SWITCHED, b"\x81\x02hi", Verdict::Ignored),
    ] {
        let mut bench = Bench::seeded();
        let mut recorder = Recorder::new(WALL_NS);
        recorder
            .open_tcp(1, SERVER, CLIENT)
            .read(1, GET)
            .write(1, OK)
            .read(1, request)
            .write(1, response);
        for _ in 0..4 {
            recorder.read(1, then).write(1, then);
        }
        bench.feed(&mut recorder);
        let told: Vec<_> = bench.pipeline.drain_to_kernel().collect();
        let at = told.iter().position(|wish| {
            let connection = 1;
            *wish
                == ToKernel::Verdict {
                    connection,
                    verdict,
                }
        });
        let at = at.unwrap_or_else(|| panic!("{told:?}"));
        let next = Some(&ToKernel::EndCopying { connection: 1 });
        assert_eq!(told.get(at + 1), next, "{told:?}");
    }
}

#[test]
fn a_head_that_did_not_fit_raises_the_budget_of_its_process_once() {
    let head = format!("GET / HTTP/1.1\r\nCookie: {}\r\n\r\n", "x".repeat(9000));
    let mut bench = Bench::seeded();
    let mut recorder = Recorder::new(WALL_NS);
    for id in 1..=2 {
        recorder
            .open_tcp(id, SERVER, CLIENT)
            .chunk(id, Direction::Ingress, head.as_bytes(), 4096)
            .write(id, OK);
    }
    bench.feed(&mut recorder).finish();
    let raised: Vec<_> = bench
        .pipeline
        .drain_to_kernel()
        .filter(|what| matches!(what, ToKernel::RaiseBudget { .. }))
        .collect();
    assert_eq!(raised, [ToKernel::RaiseBudget { tgid: PID }]);
    assert_eq!(bench.spans.len(), 2);
    for span in &bench.spans {
        assert_eq!(
            attribute(span, "wirespan.capture.truncated").as_deref(),
            Some("true")
        );
    }
}
