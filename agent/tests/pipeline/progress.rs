//! Bytes that were only counted: who is asked about them, and when.

use wirespan::connections::IDLE_NS_MAX;
use wirespan_common::record::{Direction, Stage};

use crate::records::{MS, Recorder};
use crate::{Bench, CLIENT, GET, OK, SERVER, WALL_NS, attribute, error};

/// No connection at all.
const NOBODY: [u64; 0] = [];

#[test]
fn a_body_that_was_only_counted_ends_with_the_next_record_that_tells_how_far_it_came() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
    let mut recorder = Recorder::new(WALL_NS);
    recorder.open_tcp(1, SERVER, CLIENT);
    recorder.at(MS).read(1, GET).at(2 * MS).write(1, head);
    recorder
        .at(30 * MS)
        .count(1, Direction::Egress, 100_000, b"");
    recorder.at(90 * MS).read(1, GET);
    let mut bench = Bench::seeded();
    bench.feed(&mut recorder);
    assert_eq!(bench.spans.len(), 1);
    let span = &bench.spans[0];
    assert_eq!(span.end_unix_ns, WALL_NS as u64 + 30 * MS);
    assert_eq!(
        attribute(span, "http.response.body.size").as_deref(),
        Some("100000")
    );
    assert_eq!(error(span), None);
}

#[test]
fn a_body_that_is_only_counted_is_asked_for_after_a_silence_and_until_it_ended() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
    let mut recorder = Recorder::new(WALL_NS);
    let mut bench = Bench::seeded();
    let wanted = |bench: &Bench, at| bench.pipeline.wants_progress(at).collect::<Vec<_>>();

    recorder
        .open_tcp(1, SERVER, CLIENT)
        .open_tcp(2, SERVER, CLIENT);
    recorder.at(MS).read(1, GET).read(2, GET);
    bench.feed(&mut recorder);
    recorder.at(2 * MS).write(1, head).write(2, OK);
    bench.feed(&mut recorder);
    assert_eq!(
        wanted(&bench, 2 * MS - 1),
        NOBODY,
        "not silent for long enough"
    );
    assert_eq!(wanted(&bench, 2 * MS), [1], "2 is not waiting for anything");

    recorder.at(5 * MS).count(1, Direction::Egress, 60_000, b"");
    recorder.at(6 * MS).progress(1, Stage::Asked);
    bench.feed(&mut recorder);
    assert_eq!(wanted(&bench, 5 * MS), NOBODY, "just asked");
    assert_eq!(wanted(&bench, 6 * MS), [1]);
    assert_eq!(bench.spans.len(), 1, "2");

    recorder.at(8 * MS).count(1, Direction::Egress, 40_000, b"");
    recorder.at(9 * MS).progress(1, Stage::Asked);
    bench.feed(&mut recorder);
    assert_eq!(wanted(&bench, u64::MAX), NOBODY);
    assert_eq!(bench.spans.len(), 2);
    assert_eq!(bench.spans[1].end_unix_ns, WALL_NS as u64 + 8 * MS);
}

#[test]
fn a_transfer_that_pauses_for_hours_is_not_forgotten() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
    let mut bench = Bench::seeded();
    let mut recorder = Recorder::new(WALL_NS);
    recorder
        .open_tcp(1, SERVER, CLIENT)
        .read(1, GET)
        .write(1, head);
    recorder.at(3 * IDLE_NS_MAX).clock(WALL_NS);
    bench.feed(&mut recorder);
    assert_eq!(bench.pipeline.connections(), 1);
    recorder.count(1, Direction::Egress, 1000, b"");
    recorder.progress(1, Stage::Closed);
    bench.feed(&mut recorder);
    assert_eq!(bench.spans.len(), 1);
    assert_eq!(error(&bench.spans[0]), None);
}

#[test]
fn of_several_silent_transfers_those_are_asked_for_that_were_not_heard_of_lately() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
    let mut bench = Bench::seeded();
    let mut recorder = Recorder::new(WALL_NS);
    for id in 1..=3 {
        recorder
            .at(id * MS)
            .open_tcp(id, SERVER, CLIENT)
            .read(id, GET)
            .write(id, head);
    }
    recorder.at(10 * MS).progress(1, Stage::Asked);
    bench.feed(&mut recorder);
    let wanted = |quiet_since| {
        bench
            .pipeline
            .wants_progress(quiet_since)
            .collect::<Vec<_>>()
    };
    assert_eq!(wanted(3 * MS), [2, 3]);
    assert_eq!(wanted(10 * MS), [2, 3, 1], "longest silent first");
}
