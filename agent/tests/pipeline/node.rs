//! What the script in Node says at sockets: which request is read next, and for which one a call is
//! written.

use wirespan::span::{Span, SpanKind};
use wirespan_common::node::{NodeSlot, node_task};
use wirespan_common::record::{TaskEvent, TaskKind};

use crate::OK;
use crate::goroutines::{PREFACE, SETTINGS, request, response};
use crate::links::{BACK, FRONT, INNER, LOOP, OUTER, all, find, get, link, tell};
use crate::records::{MS, Recorder};

/// The event loop's thread.
const LOOP_THREAD: u32 = 7;
const NODE: Option<&str> = Some("node_store");

/// What stands at the socket of the next call of this process's event loop.
fn at(recorder: &mut Recorder, process: u32, slot: NodeSlot, request: u32) -> &mut Recorder {
    let task = node_task(LOOP_THREAD, request);
    recorder
        .of(process)
        .on_thread(LOOP_THREAD)
        .as_task(TaskKind::NodeStore, task, slot as u32)
}

/// A third connection to the front.
fn open_another(recorder: &mut Recorder) -> u64 {
    recorder.of(FRONT).open_tcp(31, LOOP[1], "10.0.0.9:40000");
    31
}

fn pair(spans: &[Span], path: &str) -> Option<String> {
    let server = find(spans, SpanKind::Server, path);
    link(&find(spans, SpanKind::Client, path), &server)
}

fn parent(spans: &[Span], path: &str) -> Option<[u8; 8]> {
    find(spans, SpanKind::Client, path).parent_span_id
}

#[test]
fn a_call_is_of_the_request_whose_number_stands_at_its_socket() {
    let mut recorder = all();
    let other = open_another(&mut recorder);
    at(&mut recorder, FRONT, NodeSlot::Next, 1).read(OUTER[1], get("/a"));
    at(&mut recorder, FRONT, NodeSlot::Next, 2).read(other, get("/b"));
    for (request, path) in [(2, "/b"), (1, "/a")] {
        at(&mut recorder, FRONT, NodeSlot::Call, request).write(INNER[0], get(path));
        recorder.of(FRONT).read(INNER[0], OK);
    }
    at(&mut recorder, FRONT, NodeSlot::Taken, 1).write(OUTER[1], OK);
    at(&mut recorder, FRONT, NodeSlot::Taken, 2).write(other, OK);
    // What started with it may serve whoever comes.
    at(&mut recorder, FRONT, NodeSlot::Call, 1).write(INNER[0], get("/late"));
    recorder.of(FRONT).read(INNER[0], OK);
    let spans = tell(&mut recorder);
    assert_eq!(pair(&spans, "/a").as_deref(), NODE);
    assert_eq!(pair(&spans, "/b").as_deref(), NODE);
    let late = find(&spans, SpanKind::Client, "/late");
    let served = find(&spans, SpanKind::Server, "/a");
    assert_eq!(late.parent_span_id, None);
    let follows = late.follows.map(|it| it.span_id);
    assert_eq!(follows, Some(served.span_id));
}

/// Calls on streams of HTTP/2, of which the script tells by notes.
#[test]
fn a_stream_is_of_the_request_that_the_script_notes() {
    let mut recorder = all();
    let other = open_another(&mut recorder);
    let tells = |recorder: &mut Recorder, event, request, connection, stream: u8| {
        let task = node_task(LOOP_THREAD, request);
        recorder
            .of(FRONT)
            .note(event, TaskKind::NodeStore, task, connection, stream.into());
    };
    let on_loop = |recorder: &mut Recorder| {
        recorder.of(FRONT).on_thread(LOOP_THREAD);
    };
    recorder.of(FRONT).read(OUTER[1], PREFACE);
    recorder.write(OUTER[1], SETTINGS).write(INNER[0], PREFACE);
    recorder.read(INNER[0], SETTINGS);
    // Two requests on streams of one connection, and one over HTTP/1.
    let asked = [request(1, "/a"), request(3, "/b")].concat();
    at(&mut recorder, FRONT, NodeSlot::Next, 9).read(OUTER[1], asked);
    at(&mut recorder, FRONT, NodeSlot::Next, 3).read(other, get("/c"));
    tells(&mut recorder, TaskEvent::Serves, 1, OUTER[1], 1);
    tells(&mut recorder, TaskEvent::Serves, 2, OUTER[1], 3);
    let calls = [
        (1, Some(2), "/b"),
        (3, Some(3), "/c"),
        (5, Some(1), "/a"),
        // Nobody tells of it.
        (7, None, "/x"),
    ];
    for (stream, number, path) in calls {
        if let Some(number) = number {
            tells(&mut recorder, TaskEvent::Asks, number, INNER[0], stream);
        }
        on_loop(&mut recorder);
        recorder.write(INNER[0], request(stream, path));
    }
    for (stream, ..) in calls {
        recorder.of(FRONT).read(INNER[0], response(stream));
    }
    recorder
        .write(OUTER[1], response(1))
        .write(OUTER[1], response(3));
    recorder.write(other, OK);
    let spans = tell(&mut recorder);
    for path in ["/a", "/b", "/c"] {
        assert_eq!(pair(&spans, path).as_deref(), NODE, "{path}");
    }
    assert_eq!(parent(&spans, "/x"), None);
}

#[test]
fn what_stands_there_for_something_else_says_nothing() {
    let mut recorder = all();
    at(&mut recorder, FRONT, NodeSlot::Next, 1).read(OUTER[1], get("/a"));
    // Left at a descriptor that another connection has by now.
    at(&mut recorder, FRONT, NodeSlot::Next, 1).write(INNER[0], get("/x"));
    recorder.of(FRONT).read(INNER[0], OK);
    at(&mut recorder, FRONT, NodeSlot::Taken, 1).write(INNER[0], get("/y"));
    recorder.of(FRONT).read(INNER[0], OK);
    // A number that nobody has, and another process's.
    at(&mut recorder, FRONT, NodeSlot::Call, 9).write(INNER[0], get("/z"));
    recorder.of(FRONT).read(INNER[0], OK);
    recorder.of(BACK).open_tcp(41, LOOP[2], "10.0.0.9:80");
    at(&mut recorder, BACK, NodeSlot::Call, 1).write(41, get("/foreign"));
    recorder.of(BACK).read(41, OK);
    recorder.of(FRONT).write(OUTER[1], OK);
    let spans = tell(&mut recorder);
    for path in ["/x", "/y", "/z", "/foreign"] {
        assert_eq!(parent(&spans, path), None, "{path}");
    }
}

#[test]
fn of_requests_that_were_sent_ahead_the_first_has_the_number() {
    let mut recorder = all();
    let ahead = ["/a", "/b"].map(get).concat();
    at(&mut recorder, FRONT, NodeSlot::Next, 1).read(OUTER[1], ahead);
    at(&mut recorder, FRONT, NodeSlot::Taken, 1).read(OUTER[1], get("/c"));
    at(&mut recorder, FRONT, NodeSlot::Call, 1).write(INNER[0], get("/a"));
    recorder.of(FRONT).read(INNER[0], OK);
    // The script has no number for these.
    for path in ["/b", "/c"] {
        recorder.of(FRONT).write(INNER[0], get(path));
        recorder.read(INNER[0], OK);
    }
    recorder.write(OUTER[1], [OK, OK, OK].concat());
    let spans = tell(&mut recorder);
    assert_eq!(pair(&spans, "/a").as_deref(), NODE);
    assert_eq!(pair(&spans, "/b"), None);
    assert_eq!(pair(&spans, "/c"), None);
}

#[test]
fn a_number_that_two_connections_claim_is_nobodys_while_both_are_there() {
    let mut recorder = all();
    let other = open_another(&mut recorder);
    at(&mut recorder, FRONT, NodeSlot::Next, 1).read(OUTER[1], get("/a"));
    at(&mut recorder, FRONT, NodeSlot::Next, 1).read(other, get("/b"));
    at(&mut recorder, FRONT, NodeSlot::Call, 1).write(INNER[0], get("/a"));
    recorder.of(FRONT).read(INNER[0], OK);
    recorder.of(FRONT).write(OUTER[1], OK).write(other, OK);
    // Numbers come round.
    for path in ["/then", "/later"] {
        let later = recorder.now_ns + 1000 * MS;
        recorder.at(later).of(FRONT);
        recorder.read(other, get(path)).write(other, OK);
    }
    at(&mut recorder, FRONT, NodeSlot::Next, 1).read(OUTER[1], get("/again"));
    at(&mut recorder, FRONT, NodeSlot::Call, 1).write(INNER[0], get("/again"));
    recorder.of(FRONT).read(INNER[0], OK).write(OUTER[1], OK);
    let spans = tell(&mut recorder);
    assert_eq!(pair(&spans, "/a"), None);
    assert_eq!(pair(&spans, "/again").as_deref(), NODE);
}

#[test]
fn without_the_script_an_event_loops_calls_are_nobodys() {
    let mut recorder = all();
    let other = open_another(&mut recorder);
    recorder.of(FRONT).on_thread(LOOP_THREAD);
    recorder.read(OUTER[1], get("/a"));
    recorder.write(INNER[0], get("/a")).read(other, get("/b"));
    recorder.read(INNER[0], OK).write(INNER[0], get("/b"));
    recorder.write(OUTER[1], OK).read(INNER[0], OK);
    recorder.write(other, OK);
    let spans = tell(&mut recorder);
    assert_eq!(parent(&spans, "/a"), None);
    assert_eq!(parent(&spans, "/b"), None);
}

/// A request is read, and calls are made with its number while it is open and after.
fn work(recorder: &mut Recorder, request: u32, late: u32) {
    let path = format!("/{request}");
    at(recorder, FRONT, NodeSlot::Next, request).read(OUTER[1], get(&path));
    at(recorder, FRONT, NodeSlot::Call, request).write(INNER[0], get(&path));
    recorder.of(FRONT).read(INNER[0], OK).write(OUTER[1], OK);
    for _ in 0..late {
        at(recorder, FRONT, NodeSlot::Call, request).write(INNER[0], get("/others"));
        recorder.of(FRONT).read(INNER[0], OK);
    }
    let later = recorder.now_ns + 60 * MS;
    recorder.at(later);
}

#[test]
fn where_numbers_get_to_who_serves_others_calls_wait_for_their_requests_end() {
    let mut recorder = all();
    // What one leaves to be done is nothing unusual.
    for request in 1..=3 {
        work(&mut recorder, request, 2);
    }
    // A worker has this one.
    work(&mut recorder, 4, 8);
    for (request, late) in [(5, 0), (6, 1), (7, 0)] {
        work(&mut recorder, request, late);
    }
    let spans = tell(&mut recorder);
    for (path, expected) in [("/3", NODE), ("/5", NODE), ("/6", None), ("/7", NODE)] {
        assert_eq!(pair(&spans, path).as_deref(), expected, "{path}");
    }
    let calls = spans.iter().filter(|span| span.kind == SpanKind::Client);
    assert_eq!(
        calls.filter(|span| span.parent_span_id.is_some()).count(),
        6
    );
}
