//! What is laid to the request that a goroutine serves, where others move the bytes: over TLS, on
//! streams, by workers that outlive who made them.

use wirespan::config::SpanConfig;
use wirespan::span::{Span, SpanKind};
use wirespan_common::record::{OBJECT_BIT, TaskEvent, TaskKind};

use crate::links::{BACK, FRONT, INNER, LOOP, OUTER, USER, all, find, get, link, tell};
use crate::records::{MS, Recorder};
use crate::{Bench, OK, WALL_NS};

const GO: TaskKind = TaskKind::Goroutine;
/// Goroutines: one that reads requests, one that moves bytes for others, and one that was made.
const READER: u64 = 0xc000;
const MOVER: u64 = 0xc100;
const MADE: u64 = 0xc200;
/// The function that it began with.
const FUNCTION: u32 = 0x40_1000;

/// A goroutine of the front does something next.
fn by(recorder: &mut Recorder, goroutine: u64) -> &mut Recorder {
    recorder.of(FRONT).as_task(GO, goroutine, 0)
}

/// A request that the front reads.
fn served(recorder: &mut Recorder, path: &str) {
    by(recorder, READER).read(OUTER[1], get(path));
}

/// And answers.
fn answered(recorder: &mut Recorder) {
    by(recorder, READER).write(OUTER[1], OK);
}

/// A call of a goroutine of the front, and its answer.
fn called(recorder: &mut Recorder, goroutine: u64, path: &str) {
    recorder.of(FRONT);
    recorder.note(TaskEvent::Asks, GO, goroutine, INNER[0], 0);
    by(recorder, MOVER).write(INNER[0], get(path));
    by(recorder, MOVER).read(INNER[0], OK);
}

#[test]
fn a_worker_that_serves_whoever_comes_is_nobodys_from_then_on() {
    let mut recorder = all();
    served(&mut recorder, "/1");
    recorder.note(TaskEvent::Born, GO, MADE, READER, FUNCTION);
    called(&mut recorder, MADE, "/1/call");
    answered(&mut recorder);
    served(&mut recorder, "/2");
    called(&mut recorder, MADE, "/2/call");
    // Another one of its kind, and one that began with something else.
    recorder.note(TaskEvent::Born, GO, MADE + 1, READER, FUNCTION);
    called(&mut recorder, MADE + 1, "/2/like");
    recorder.note(TaskEvent::Born, GO, MADE + 2, READER, FUNCTION + 1);
    called(&mut recorder, MADE + 2, "/2/unlike");
    answered(&mut recorder);
    let spans = tell(&mut recorder);
    let parent_of = |path: &str| {
        let call = find(&spans, SpanKind::Client, path);
        let servers = spans.iter().filter(|span| span.kind == SpanKind::Server);
        let mut above = servers.filter(|server| link(&call, server).is_some());
        above
            .next()
            .map(|server| format!("{:?}", server.attributes).contains("/1\""))
    };
    assert_eq!(parent_of("/1/call"), Some(true));
    assert_eq!(parent_of("/2/call"), None);
    assert_eq!(parent_of("/2/like"), None);
    assert_eq!(parent_of("/2/unlike"), Some(false));
}

/// More goroutines at a time than are remembered.
const TOO_MANY: u64 = 150_000;

/// A request whose goroutine calls so many milliseconds after its end.
fn late(after_ms: u64, config: SpanConfig) -> [Span; 2] {
    let mut recorder = all();
    recorder.settings(&config);
    served(&mut recorder, "/1");
    recorder.note(TaskEvent::Born, GO, MADE, READER, FUNCTION);
    recorder.at(10 * MS);
    answered(&mut recorder);
    // Something is told now and then, as it is of a daemon that runs.
    for ms in (200..10 + after_ms).step_by(200) {
        recorder.at(ms * MS).clock(WALL_NS);
    }
    recorder.at((10 + after_ms) * MS).clock(WALL_NS);
    called(&mut recorder, MADE, "/1/call");
    let spans = tell(&mut recorder);
    [(SpanKind::Client, "/1/call"), (SpanKind::Server, "/1")]
        .map(|(kind, path)| find(&spans, kind, path))
}

fn late_calls(ms: u32) -> SpanConfig {
    SpanConfig {
        late_calls_ms: Some(ms),
        ..SpanConfig::default()
    }
}

#[test]
fn what_outlives_its_request_is_part_of_it_for_a_while_and_then_points_at_it() {
    for (after_ms, config, is_part) in [
        (99, SpanConfig::default(), true),
        (101, SpanConfig::default(), false),
        // It is forgotten by then, but for where it stands.
        (5000, SpanConfig::default(), false),
        (1, late_calls(0), false),
        (5000, late_calls(6000), true),
        (7000, late_calls(6000), false),
    ] {
        let [call, request] = late(after_ms, config);
        let expected = is_part.then(|| "goroutine".to_owned());
        assert_eq!(link(&call, &request), expected, "{after_ms}");
        let points_at = call
            .follows
            .as_ref()
            .map(|it| (it.trace_id, it.span_id, it.mechanism.name()));
        let place = (request.trace_id, request.span_id, "goroutine");
        assert_eq!(points_at, (!is_part).then_some(place), "{after_ms}");
    }
    // Nor is anything remembered for good.
    let [call, _] = late(70_000, SpanConfig::default());
    assert_eq!((call.parent_span_id, call.follows), (None, None));
}

#[test]
fn goroutines_that_are_too_many_are_nobodys_and_not_somebody_elses() {
    let mut recorder = all();
    served(&mut recorder, "/1");
    for number in 0..TOO_MANY {
        recorder.note(TaskEvent::Born, GO, MADE + number, READER, FUNCTION);
    }
    called(&mut recorder, MADE, "/1/first");
    called(&mut recorder, MADE + TOO_MANY - 1, "/1/last");
    answered(&mut recorder);
    served(&mut recorder, "/2");
    called(&mut recorder, READER, "/2/own");
    // Its number is another one's by now.
    recorder.note(TaskEvent::Born, GO, MADE, READER, FUNCTION + 1);
    called(&mut recorder, MADE, "/2/again");
    answered(&mut recorder);
    let spans = tell(&mut recorder);
    let is_linked = |path: &str| {
        let server = find(&spans, SpanKind::Server, &path[..2]);
        link(&find(&spans, SpanKind::Client, path), &server).is_some()
    };
    assert!(is_linked("/1/first") && is_linked("/2/own") && is_linked("/2/again"));
    let last = find(&spans, SpanKind::Client, "/1/last");
    assert_eq!(last.parent_span_id, None);
}

#[test]
fn what_is_not_told_of_goroutines_makes_none_of_them_somebody_elses() {
    for was_lost in [false, true] {
        let mut recorder = all();
        served(&mut recorder, "/1");
        recorder.note(TaskEvent::Born, GO, MADE, READER, FUNCTION);
        // That it ended, and that its number is by now that of another one, is not told.
        recorder.of(FRONT);
        match was_lost {
            true => recorder.born_after_loss(MADE + 1, READER, FUNCTION),
            false => recorder.note(TaskEvent::Born, GO, MADE + 1, READER, FUNCTION),
        };
        called(&mut recorder, MADE, "/1/call");
        answered(&mut recorder);
        // Who reads a request serves it, whatever was lost before.
        served(&mut recorder, "/2");
        called(&mut recorder, READER, "/2/call");
        answered(&mut recorder);
        let spans = tell(&mut recorder);
        let is_linked = |path: &str| {
            let server = find(&spans, SpanKind::Server, &path[..2]);
            link(&find(&spans, SpanKind::Client, path), &server).is_some()
        };
        assert_eq!(is_linked("/1/call"), !was_lost);
        assert!(is_linked("/2/call"));
    }
}

#[test]
fn what_a_goroutine_does_besides_is_known_when_it_has_ended() {
    for serves_others in [false, true] {
        let mut recorder = all();
        served(&mut recorder, "/1");
        recorder.note(TaskEvent::Born, GO, MADE, READER, FUNCTION);
        called(&mut recorder, MADE, "/1/first");
        // The request that it was made for is not answered yet.
        called(&mut recorder, MADE, "/1/second");
        // One that it makes does something for it.
        recorder.note(TaskEvent::Born, GO, MADE + 1, MADE, FUNCTION + 1);
        called(&mut recorder, MADE + 1, "/1/third");
        if serves_others {
            answered(&mut recorder);
            called(&mut recorder, MADE, "/2/other");
        }
        recorder.of(FRONT);
        recorder.note(TaskEvent::Ended, GO, MADE, 0, 0);
        if !serves_others {
            answered(&mut recorder);
        }
        let spans = tell(&mut recorder);
        let server = find(&spans, SpanKind::Server, "/1");
        let is_linked = |path| link(&find(&spans, SpanKind::Client, path), &server).is_some();
        assert!(is_linked("/1/first"));
        for path in ["/1/second", "/1/third"] {
            assert_eq!(is_linked(path), !serves_others, "{path}");
        }
        if serves_others {
            assert!(!is_linked("/2/other"));
        }
    }
}

#[test]
fn who_asks_on_a_socket_asks_on_the_tls_object_that_is_found_on_it() {
    let object = OBJECT_BIT | 9;
    let mut recorder = all();
    served(&mut recorder, "/outer");
    recorder.of(FRONT);
    recorder.note(TaskEvent::Asks, GO, READER, INNER[0], 0);
    recorder
        .of(FRONT)
        .open_on(INNER[0], object, LOOP[1], LOOP[2]);
    by(&mut recorder, MOVER).write(object, get("/inner"));
    by(&mut recorder, MOVER).read(object, OK);
    answered(&mut recorder);
    let spans = tell(&mut recorder);
    let server = find(&spans, SpanKind::Server, "/outer");
    let client = find(&spans, SpanKind::Client, "/inner");
    assert_eq!(link(&client, &server).as_deref(), Some("goroutine"));
}

/// Frames of HTTP/2 (RFC 9113): a request, and the response to it.
pub(crate) fn request(stream: u8, path: &str) -> Vec<u8> {
    let mut block = b"\x82\x86\x01\x01h\x04".to_vec();
    block.push(path.len() as u8);
    block.extend(path.bytes());
    headers(stream, &block)
}

pub(crate) fn response(stream: u8) -> Vec<u8> {
    headers(stream, b"\x88")
}

fn headers(stream: u8, block: &[u8]) -> Vec<u8> {
    let mut frame = vec![0, 0, block.len() as u8, 1, 5, 0, 0, 0, stream];
    frame.extend(block);
    frame
}

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
pub(crate) const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";

/// Two requests on streams of one connection, each with a call on a stream of another one, whose
/// frames others read and write; who asks for a call is told before or after it is sent.
fn on_streams(told_before: bool) -> Recorder {
    let mut recorder = all();
    by(&mut recorder, MOVER).read(OUTER[1], PREFACE);
    by(&mut recorder, MOVER).write(OUTER[1], SETTINGS);
    by(&mut recorder, MOVER).write(INNER[0], PREFACE);
    by(&mut recorder, MOVER).read(INNER[0], SETTINGS);
    by(&mut recorder, MOVER).read(OUTER[1], [request(1, "/1"), request(3, "/3")].concat());
    for stream in [1, 3_u8] {
        let task = MADE + u64::from(stream);
        recorder.of(FRONT);
        recorder.note(TaskEvent::Born, GO, task, MOVER, FUNCTION);
        recorder.note(TaskEvent::Serves, GO, task, OUTER[1], stream.into());
    }
    for stream in [3, 1_u8] {
        let task = MADE + u64::from(stream);
        let asks = |recorder: &mut Recorder| {
            recorder.of(FRONT);
            recorder.note(TaskEvent::Asks, GO, task, INNER[0], stream.into());
        };
        if told_before {
            asks(&mut recorder);
        }
        by(&mut recorder, MOVER).write(INNER[0], request(stream, &format!("/{stream}/call")));
        if !told_before {
            asks(&mut recorder);
        }
    }
    for stream in [1, 3] {
        by(&mut recorder, MOVER).read(INNER[0], response(stream));
        by(&mut recorder, MOVER).write(OUTER[1], response(stream));
    }
    recorder
}

#[test]
fn on_streams_it_counts_who_serves_and_asks_and_not_who_moves_the_bytes() {
    for told_before in [true, false] {
        let spans = tell(&mut on_streams(told_before));
        for path in ["/1", "/3"] {
            let server = find(&spans, SpanKind::Server, path);
            let client = find(&spans, SpanKind::Client, &format!("{path}/call"));
            let found = link(&client, &server);
            assert_eq!(found.as_deref(), Some("goroutine"), "{told_before} {path}");
        }
    }
}

#[test]
fn what_waits_for_its_trace_is_kept_when_nothing_is_open() {
    let mut bench = Bench::seeded();
    let mut recorder = all();
    // More than is kept for whoever comes next, at one moment.
    for n in 0..800 {
        recorder.at(2 * MS + n);
        served(&mut recorder, &format!("/{n}"));
        called(&mut recorder, READER, &format!("/{n}/call"));
        recorder.of(BACK).read(INNER[1], get(&format!("/{n}/call")));
        recorder.of(BACK).write(INNER[1], OK);
        answered(&mut recorder);
    }
    // By then the client, which may have been on this node, has not been seen.
    recorder.at(1000 * MS).of(USER).clock(0);
    bench.feed(&mut recorder).finish();
    for n in [0, 799] {
        let server = find(&bench.spans, SpanKind::Server, &format!("/{n}"));
        let client = find(&bench.spans, SpanKind::Client, &format!("/{n}/call"));
        assert_eq!(link(&client, &server).as_deref(), Some("goroutine"), "{n}");
    }
}
