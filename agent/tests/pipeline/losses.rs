//! Records that are missing, junk or no records: counted, and nothing made up.

use wirespan::health::Loss;
use wirespan_common::record::Stage;

use crate::records::{MS, PID, Recorder};
use crate::{Bench, CLIENT, GET, OK, SERVER, WALL_NS, attribute, error, spans_of};

#[test]
fn a_connection_whose_open_was_lost_still_has_spans() {
    let mut recorder = Recorder::new(WALL_NS);
    recorder.read(1, GET).write(1, OK);
    let spans = spans_of(&mut recorder);
    assert_eq!(spans.len(), 1);
    assert_eq!(attribute(&spans[0], "network.peer.address"), None);
    assert_eq!(
        attribute(&spans[0], "server.address").as_deref(),
        Some("shop.example")
    );
}

#[test]
fn a_response_that_was_lost_is_not_invented() {
    let mut recorder = Recorder::new(WALL_NS);
    recorder.open_tcp(1, SERVER, CLIENT);
    recorder
        .at(MS)
        .read(1, GET)
        .at(2 * MS)
        .write(1, OK)
        .lose_last();
    recorder.at(3 * MS).read(1, GET).at(4 * MS).write(1, OK);
    let spans = spans_of(&mut recorder);
    let told: Vec<_> = spans
        .iter()
        .map(|span| (error(span), attribute(span, "http.response.status_code")))
        .collect();
    assert_eq!(
        told,
        [
            (Some("response_not_observed".into()), None),
            (None, Some("200".into()))
        ]
    );
}

#[test]
fn junk_makes_no_spans_and_its_bytes_count_as_not_understood() {
    let mut bench = Bench::seeded();
    let mut recorder = Recorder::new(WALL_NS);
    recorder.named("shop").open_tcp(1, SERVER, CLIENT);
    recorder.read(1, GET).write(1, OK);
    bench.feed(&mut recorder);
    let http = (GET.len() + OK.len()) as u64;
    let coverage = bench.pipeline.coverage();
    assert_eq!(coverage.len(), 1);
    assert_eq!((coverage[0].pid, &*coverage[0].service), (PID, "shop"));
    assert_eq!(
        (coverage[0].seen_bytes, coverage[0].understood_bytes),
        (http, http)
    );

    let junk: Vec<u8> = (0..200u8).map(|byte| byte.wrapping_mul(37)).collect();
    recorder.open_tcp(2, SERVER, CLIENT).read(2, &junk);
    recorder
        .progress(1, Stage::Closed)
        .progress(2, Stage::Closed);
    bench.feed(&mut recorder).finish();
    assert_eq!(bench.spans.len(), 1);
    let coverage = bench.pipeline.coverage();
    assert_eq!(
        (coverage[0].seen_bytes, coverage[0].understood_bytes),
        (http + 200, http)
    );
    assert_eq!(
        coverage[0].unread.to_string(),
        "unknown protocol, first bytes 00 25 4a 6f (1 connection, 200 bytes)"
    );
}

#[test]
fn what_is_not_understood_is_told_with_its_reason_open_or_over() {
    let hello = [&[0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3][..], &[7; 194]].concat();
    // With a filter, which nobody speaks with.
    let fastcgi = [
        &[1, 1, 0, 1, 0, 8, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0][..],
        &[9; 500],
    ]
    .concat();
    for is_over in [false, true] {
        let mut bench = Bench::seeded();
        let mut recorder = Recorder::new(WALL_NS);
        recorder.named("shop");
        for id in 1..=4 {
            recorder.open_tcp(id, SERVER, CLIENT);
        }
        recorder.read(1, &hello).read(2, &fastcgi);
        recorder
            .read(
                3,
                "CONNECT far.example:22 HTTP/1.1\r\nHost: far.example\r\n\r\n",
            )
            .write(3, "HTTP/1.1 200 OK\r\n\r\n")
            .read(3, "SSH-2.0-x\r\n")
            .write(3, "SSH-2.0-y\r\n");
        recorder.read(4, GET).write(4, OK);
        if is_over {
            for id in 1..=4 {
                recorder.progress(id, Stage::Closed);
            }
        }
        bench.feed(&mut recorder);
        let told = bench.pipeline.coverage()[0].unread.to_string();
        assert_eq!(
            told,
            "looks like FastCGI (1 connection, 516 bytes); TLS that can't be read (1 connection, \
             205 bytes); a tunnel (CONNECT) (1 connection, 22 bytes)",
            "over: {is_over}"
        );
    }
}

#[test]
fn a_description_that_is_no_json_is_counted() {
    let mut bench = Bench::seeded();
    let mut recorder = Recorder::new(WALL_NS);
    recorder.named("shop");
    let last = recorder.records.last_mut().expect("a record");
    let end = last.len() - 1;
    last[end] = b'x';
    bench.feed(&mut recorder);
    assert_eq!(bench.health.losses(Loss::Undecodable), 1);
}
