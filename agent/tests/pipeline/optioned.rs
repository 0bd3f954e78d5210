//! Requests of which a TCP option said, as it was read, of which trace they are.

use wirespan::config::SpanConfig;
use wirespan::links::{JoinKey, OF_CARRIER, OF_STREAM};
use wirespan::recording::caller_record;
use wirespan::span::{Span, SpanKind};
use wirespan_common::carriers::derived_trace_id;
use wirespan_common::record::{CALLER_BY_OPTION, CALLER_KNOWN, Caller, OBJECT_BIT, TaskKind};

use crate::goroutines::{PREFACE, SETTINGS, request, response};
use crate::links::{FAR, FRONT, OUTER, USER, find, get};
use crate::records::{MS, Recorder};
use crate::{Bench, OK, WALL_NS, attribute};

const HERE: &str = "10.0.0.1:80";
const OBJECT: u64 = OBJECT_BIT | 7;
/// Sequence numbers of the first bytes of client and server.
const STARTS: [u32; 2] = [1, 2];
const TRACE: [u8; 16] = [7; 16];

fn heeding() -> SpanConfig {
    SpanConfig {
        derive_traces: Some(true),
        heeds_options: Some(true),
        ..SpanConfig::default()
    }
}

/// A connection of a client of another node to the front.
fn begun() -> Recorder {
    let mut recorder = Recorder::new(WALL_NS);
    recorder.settings(&heeding()).at(MS).of(FRONT);
    recorder.beginning_at(STARTS).open_tcp(OUTER[1], HERE, FAR);
    recorder
}

/// An option said so of the request that begins there.
fn option(recorder: &mut Recorder, at: u64, trace_id: [u8; 16], flags: u8) {
    let caller = Caller {
        starts: STARTS,
        at,
        trace_id,
        flags,
        bits: CALLER_KNOWN | CALLER_BY_OPTION,
        ..Caller::default()
    };
    let record = caller_record(recorder.now_ns, &caller);
    recorder.records.push(record);
}

/// The trace that begins with a request that both ends know so.
fn derived(at: u64) -> [u8; 16] {
    let [high, low] = derived_trace_id(STARTS, at);
    (u128::from(high) << 64 | u128::from(low)).to_be_bytes()
}

fn is_below(span: &Span, at: u64, trace_id: [u8; 16]) {
    let key = JoinKey { starts: STARTS, at };
    assert_eq!(span.parent_span_id, Some(key.span_id()), "{span:?}");
    assert_eq!(span.trace_id, trace_id);
    assert!(span.parent_is_remote);
    assert_eq!(
        attribute(span, "wirespan.link").as_deref(),
        Some("tcp_option")
    );
}

fn told(recorder: &mut Recorder) -> Vec<Span> {
    let mut bench = Bench::seeded();
    bench.feed(recorder).finish();
    bench.spans
}

#[test]
fn requests_in_turn_stand_below_the_calls_that_options_tell_of_whichever_is_told_first() {
    let requests = ["/a", "/b", "/c"].map(get);
    for option_first in [false, true] {
        let mut recorder = begun();
        let mut at = 0;
        for (request, flags) in requests.iter().zip([1, 1, 0]) {
            if option_first {
                option(&mut recorder, at, TRACE, flags);
            }
            recorder.read(OUTER[1], request);
            if !option_first {
                option(&mut recorder, at, TRACE, flags);
            }
            recorder.write(OUTER[1], OK);
            at += request.len() as u64;
        }
        let spans = told(&mut recorder);
        // Of the last one it was decided elsewhere that it is not told.
        assert_eq!(spans.len(), 2);
        is_below(&spans[0], 0, TRACE);
        is_below(&spans[1], requests[0].len() as u64, TRACE);
    }
}

#[test]
fn an_option_is_waited_for_for_a_moment_and_stands_for_one_request() {
    for (late_ns, is_linked) in [(9 * MS, true), (11 * MS, false)] {
        let mut bench = Bench::seeded();
        let mut recorder = begun();
        recorder.read(OUTER[1], get("/a")).write(OUTER[1], OK);
        bench.feed(&mut recorder);
        assert!(bench.spans.is_empty(), "it waits");
        bench.feed(recorder.at(MS + late_ns).clock(WALL_NS));
        option(&mut recorder, 0, TRACE, 1);
        recorder.at(20 * MS).read(OUTER[1], get("/b"));
        recorder.write(OUTER[1], OK);
        bench.feed(&mut recorder).finish();
        let first = find(&bench.spans, SpanKind::Server, "/a");
        assert_eq!(first.trace_id == TRACE, is_linked, "{late_ns}");
        let second = find(&bench.spans, SpanKind::Server, "/b");
        assert_eq!(second.parent_span_id, None);
    }
}

#[test]
fn without_the_setting_options_say_nothing_and_nobody_waits() {
    let mut bench = Bench::seeded();
    let mut recorder = Recorder::new(WALL_NS);
    recorder.at(MS).of(FRONT);
    recorder.beginning_at(STARTS).open_tcp(OUTER[1], HERE, FAR);
    recorder.read(OUTER[1], get("/a")).write(OUTER[1], OK);
    option(&mut recorder, 0, TRACE, 1);
    recorder.at(12 * MS).clock(WALL_NS);
    bench.feed(&mut recorder);
    assert_eq!(bench.spans.len(), 1);
    assert_eq!(bench.spans[0].parent_span_id, None);
}

#[test]
fn a_header_is_believed_first() {
    const NAMED: &str = "GET /a HTTP/1.1\r\nHost: h\r\n\
        traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n";
    let mut recorder = begun();
    option(&mut recorder, 0, TRACE, 1);
    recorder.read(OUTER[1], NAMED).write(OUTER[1], OK);
    let spans = told(&mut recorder);
    assert_eq!(spans[0].trace_id[0], 0x0a);
    assert_eq!(attribute(&spans[0], "wirespan.link"), None);
}

#[test]
fn what_came_of_the_request_goes_on_in_its_trace() {
    let mut recorder = begun();
    recorder.as_task(TaskKind::Goroutine, 5, 0);
    recorder.read(OUTER[1], get("/a"));
    recorder.beginning_at([4, 3]).open_tcp(1, HERE, FAR);
    recorder.write(1, get("/b")).read(1, OK);
    option(&mut recorder, 0, TRACE, 1);
    recorder.write(OUTER[1], OK);
    let spans = told(&mut recorder);
    let server = find(&spans, SpanKind::Server, "/a");
    let client = find(&spans, SpanKind::Client, "/b");
    is_below(&server, 0, TRACE);
    assert_eq!(client.parent_span_id, Some(server.span_id));
    assert_eq!(client.trace_id, TRACE);
}

/// Where a trace begins with a request, both ends know its id by the request's own number, which on
/// HTTP/2 is its stream.
#[test]
fn streams_of_one_message_begin_traces_and_others_are_somebody_elses() {
    let mut recorder = begun();
    recorder.read(OUTER[1], PREFACE).write(OUTER[1], SETTINGS);
    let at = PREFACE.len() as u64;
    recorder.read(OUTER[1], [request(1, "/1"), request(3, "/3")].concat());
    option(&mut recorder, at, derived(at), 1);
    recorder.at(2 * MS).read(OUTER[1], request(5, "/5"));
    for stream in [1, 3, 5] {
        recorder.write(OUTER[1], response(stream));
    }
    let spans = told(&mut recorder);
    for stream in [1, 3] {
        let span = find(&spans, SpanKind::Server, &format!("/{stream}"));
        is_below(&span, OF_STREAM | stream, derived(OF_STREAM | stream));
    }
    let other = find(&spans, SpanKind::Server, "/5");
    assert_eq!(other.parent_span_id, None);
}

#[test]
fn a_trace_that_goes_on_is_that_of_the_stream_that_its_message_begins_with() {
    let first = request(1, "/1").len() as u64;
    let mut recorder = begun();
    recorder.read(OUTER[1], [PREFACE, &request(1, "/1")].concat());
    option(&mut recorder, 0, TRACE, 1);
    let at = PREFACE.len() as u64 + first;
    // A window's size comes before this one, which may be of another request.
    recorder.read(OUTER[1], [SETTINGS, &request(3, "/3")].concat());
    option(&mut recorder, at, TRACE, 1);
    let at = at + (SETTINGS.len() + request(3, "/3").len()) as u64;
    recorder.read(OUTER[1], request(5, "/5"));
    option(&mut recorder, at, TRACE, 1);
    for stream in [1, 3, 5] {
        recorder.write(OUTER[1], response(stream));
    }
    let spans = told(&mut recorder);
    for stream in [1, 5] {
        let span = find(&spans, SpanKind::Server, &format!("/{stream}"));
        is_below(&span, OF_STREAM | stream, TRACE);
    }
    let other = find(&spans, SpanKind::Server, "/3");
    assert_eq!(other.parent_span_id, None);
}

/// In TLS both ends know a request by where its encrypted bytes end, when it is answered.
#[test]
fn over_tls_it_is_known_once_it_is_answered() {
    // Where the request's turn begins, of which an option tells; where a trace begins with it, both
    // ends know that by the number of the request.
    for (trace_id, expected) in [(TRACE, TRACE), (derived(300), derived(OF_CARRIER | 499))] {
        let mut recorder = begun();
        recorder.open_on(OUTER[1], OBJECT, HERE, FAR);
        // A handshake says nothing of requests.
        option(&mut recorder, 0, [9; 16], 1);
        option(&mut recorder, 300, trace_id, 1);
        recorder.carried([500, 2]).read(OBJECT, get("/a"));
        recorder.carried([500, 900]).write(OBJECT, OK);
        // Of the next one nothing was said.
        recorder.carried([700, 900]).read(OBJECT, get("/b"));
        recorder.carried([700, 1200]).write(OBJECT, OK);
        let spans = told(&mut recorder);
        let first = find(&spans, SpanKind::Server, "/a");
        is_below(&first, OF_CARRIER | 499, expected);
        let second = find(&spans, SpanKind::Server, "/b");
        assert_eq!(second.parent_span_id, None);
    }
}

#[test]
fn over_tls_a_client_takes_the_ids_that_its_server_computes() {
    let mut recorder = Recorder::new(WALL_NS);
    recorder.settings(&heeding()).at(MS).of(USER);
    recorder.beginning_at([2, 1]).open_tcp(OUTER[0], FAR, HERE);
    recorder.open_on(OUTER[0], OBJECT, FAR, HERE);
    recorder.carried([900, 500]).write(OBJECT, get("/a"));
    recorder.carried([1200, 500]).read(OBJECT, OK);
    let spans = told(&mut recorder);
    let key = JoinKey {
        starts: STARTS,
        at: OF_CARRIER | 499,
    };
    assert_eq!(spans[0].span_id, key.span_id());
    assert_eq!(spans[0].trace_id, derived(key.at));
}
