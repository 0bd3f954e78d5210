//! What headers say of the trace that a request belongs to: in which format it is believed, what
//! passing it on means, and what an id of a request is worth.

use wirespan::config::{Propagator, SpanConfig};
use wirespan::span::{Span, SpanKind};
use wirespan_common::record::TaskKind;

use crate::links::{BACK, FRONT, INNER, OUTER, all, find, link, tell};
use crate::records::Recorder;
use crate::{Bench, CLIENT, OK, SERVER, WALL_NS};

const TRACE: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;
const SPAN: u64 = 0xb7ad_6b71_6920_3331;
const OTHER_TRACE: u128 = 0x1111_1111_1111_1111_1111_1111_1111_1111;

fn set(propagators: &[Propagator]) -> SpanConfig {
    SpanConfig {
        propagators: Some(propagators.to_vec()),
        ..SpanConfig::default()
    }
}

/// A request with these header fields.
fn request(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n{fields}\r\n")
}

fn w3c(trace: u128) -> String {
    format!("traceparent: 00-{trace:032x}-{SPAN:016x}-01\r\ntracestate: a=b\r\n")
}

fn b3(trace: u128) -> String {
    format!("b3: {trace:032x}-{SPAN:016x}-1\r\n")
}

/// The span of a request with these fields, and what of the trace it belongs to.
fn served(config: &SpanConfig, fields: &str) -> (Span, Option<u128>) {
    let mut recorder = Recorder::new(WALL_NS);
    recorder.settings(config).open_tcp(1, SERVER, CLIENT);
    recorder.read(1, request("/a", fields)).write(1, OK);
    let mut spans = tell(&mut recorder);
    assert_eq!(spans.len(), 1);
    let span = spans.remove(0);
    let is_named = span.parent_span_id == Some(SPAN.to_be_bytes());
    assert_eq!(is_named, span.parent_span_id.is_some(), "{fields}");
    let trace = is_named.then(|| u128::from_be_bytes(span.trace_id));
    (span, trace)
}

#[test]
fn formats_are_believed_as_they_are_set_and_w3c_before_the_others() {
    use Propagator::{B3, B3Multi, Jaeger, TraceContext, XRay};
    let root = format!("{:08x}-{:024x}", TRACE >> 96, TRACE & ((1 << 96) - 1));
    let fields = [
        w3c(TRACE),
        b3(TRACE),
        format!("X-B3-TraceId: {TRACE:032x}\r\nX-B3-SpanId: {SPAN:016x}\r\nX-B3-Sampled: 1\r\n"),
        format!("uber-trace-id: {TRACE:x}:{SPAN:x}:0:1\r\n"),
        format!("X-Amzn-Trace-Id: Root=1-{root};Parent={SPAN:016x};Sampled=1\r\n"),
    ];
    let formats = [TraceContext, B3, B3Multi, Jaeger, XRay];
    for (format, fields) in formats.iter().zip(&fields) {
        let (_, trace) = served(&set(&[*format]), fields);
        assert_eq!(trace, Some(TRACE), "{fields}");
        for other in formats.iter().filter(|other| *other != format) {
            assert_eq!(served(&set(&[*other]), fields).1, None, "{fields}");
        }
        let (span, trace) = served(&set(&[*format, TraceContext]), &(w3c(OTHER_TRACE) + fields));
        if *format == TraceContext {
            // Two are none.
            assert_eq!(trace, None);
        } else {
            assert_eq!(trace, Some(OTHER_TRACE), "{fields}");
            assert_eq!(span.trace_state.as_deref(), Some("a=b"));
        }
    }
    // By default, W3C alone; the order of the others is that of the setting.
    let default = SpanConfig::default();
    assert_eq!(served(&default, &fields[0]).1, Some(TRACE));
    assert_eq!(served(&default, &fields[1]).1, None);
    let both = b3(OTHER_TRACE) + &fields[3];
    assert_eq!(served(&set(&[Jaeger, B3]), &both).1, Some(TRACE));
    assert_eq!(served(&set(&[B3, Jaeger]), &both).1, Some(OTHER_TRACE));
    // A state is of the trace that it came with.
    let (span, trace) = served(&set(&[B3]), &(w3c(OTHER_TRACE) + &b3(TRACE)));
    assert_eq!((trace, span.trace_state), (Some(TRACE), None));
    assert_eq!(served(&set(&[]), &fields.concat()).1, None);
}

#[test]
fn a_malformed_header_is_none_and_the_next_format_is_asked() {
    let config = set(&[Propagator::TraceContext, Propagator::B3]);
    let malformed = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01\r\n";
    assert_eq!(served(&config, malformed).1, None);
    assert_eq!(
        served(&config, &(malformed.to_owned() + &b3(TRACE))).1,
        Some(TRACE)
    );
}

/// The front's spans of the requests `a` and `b`, and of the call that it makes after both came.
fn with_two_requests(config: &SpanConfig, [a, b, call]: [&str; 3], task: Option<u64>) -> [Span; 3] {
    let mut recorder = all();
    recorder.settings(config);
    let of_task = |recorder: &mut Recorder, task: Option<u64>| {
        recorder.of(FRONT);
        if let Some(task) = task {
            recorder.as_task(TaskKind::Goroutine, task, 0);
        }
    };
    of_task(&mut recorder, Some(1));
    recorder
        .open_tcp(31, SERVER, CLIENT)
        .open_tcp(32, SERVER, CLIENT);
    recorder.read(31, request("/a", a));
    of_task(&mut recorder, Some(2));
    recorder.read(32, request("/b", b));
    of_task(&mut recorder, task);
    recorder
        .write(INNER[0], request("/call", call))
        .read(INNER[0], OK);
    of_task(&mut recorder, None);
    recorder.write(31, OK).write(32, OK);
    let spans = tell(&mut recorder);
    [
        find(&spans, SpanKind::Server, "/a"),
        find(&spans, SpanKind::Server, "/b"),
        find(&spans, SpanKind::Client, "/call"),
    ]
}

#[test]
fn a_header_that_two_requests_brought_is_passed_on_for_whom_the_task_says() {
    let header = w3c(TRACE);
    let config = SpanConfig::default();
    for (task, parent) in [(Some(1), Some(0)), (Some(2), Some(1)), (None, None)] {
        let [a, b, call] = with_two_requests(&config, [&header; 3], task);
        let expected = match parent {
            Some(index) => [&a, &b][index].span_id,
            // Nobody knows for which, but no SDK made a span in between: who called knows.
            None => SPAN.to_be_bytes(),
        };
        assert_eq!(call.parent_span_id, Some(expected), "{task:?}");
        assert_eq!(call.trace_id, TRACE.to_be_bytes());
    }
}

#[test]
fn one_of_two_requests_that_is_over_does_not_take_the_others_header_along() {
    let header = w3c(TRACE);
    let mut recorder = all();
    recorder.of(FRONT).open_tcp(31, SERVER, CLIENT);
    recorder.open_tcp(32, SERVER, CLIENT);
    recorder.read(31, request("/a", &header)).write(31, OK);
    recorder.as_task(TaskKind::Goroutine, 7, 0);
    recorder.read(32, request("/b", &header));
    let later = recorder.now_ns + 1_000_000_000;
    recorder.at(later).clock(WALL_NS);
    recorder.write(INNER[0], request("/call", &header));
    recorder.read(INNER[0], OK).write(32, OK);
    let spans = tell(&mut recorder);
    let call = find(&spans, SpanKind::Client, "/call");
    let served = find(&spans, SpanKind::Server, "/b");
    assert_eq!(link(&call, &served).as_deref(), Some("goroutine"));
}

const ID: &str = "X-Request-Id: 4b0c4b4e-6f3a-4f1e-8a53-0f3c9e1a7d55\r\n";
const OTHER_ID: &str = "X-Request-Id: another-request-altogether\r\n";

fn by_request_ids() -> SpanConfig {
    SpanConfig {
        link_request_ids: Some(true),
        ..SpanConfig::default()
    }
}

#[test]
fn an_id_of_a_request_is_a_hint_where_nothing_else_is_known_and_it_is_the_only_one() {
    let [a, _, call] = with_two_requests(&by_request_ids(), [ID, OTHER_ID, ID], None);
    assert_eq!(link(&call, &a).as_deref(), Some("request_id"));
    // Off unless asked for.
    let [a, _, call] = with_two_requests(&SpanConfig::default(), [ID, OTHER_ID, ID], None);
    assert_eq!(link(&call, &a), None);
    // Two requests have it: neither.
    let [a, b, call] = with_two_requests(&by_request_ids(), [ID, ID, ID], None);
    assert_eq!((link(&call, &a), link(&call, &b)), (None, None));
    // The task knows better.
    let [_, b, call] = with_two_requests(&by_request_ids(), [ID, OTHER_ID, ID], Some(2));
    assert_eq!(link(&call, &b).as_deref(), Some("goroutine"));
    // And so does an SDK.
    let sdk = w3c(TRACE) + ID;
    let [a, _, call] = with_two_requests(&by_request_ids(), [ID, OTHER_ID, &sdk], None);
    assert_eq!(call.parent_span_id, Some(SPAN.to_be_bytes()));
    assert_ne!(call.trace_id, a.trace_id);
}

#[test]
fn an_id_of_another_process_is_no_hint() {
    let mut recorder = all();
    recorder.settings(&by_request_ids());
    recorder.of(BACK).open_tcp(31, SERVER, CLIENT);
    recorder.read(31, request("/a", ID));
    recorder.of(FRONT).write(INNER[0], request("/call", ID));
    recorder.read(INNER[0], OK);
    recorder.of(BACK).write(31, OK);
    let spans = tell(&mut recorder);
    let call = find(&spans, SpanKind::Client, "/call");
    assert_eq!(link(&call, &find(&spans, SpanKind::Server, "/a")), None);
}

#[test]
fn a_hundred_thousand_requests_with_headers_of_their_own_leave_nothing() {
    let mut bench = Bench::seeded();
    let mut recorder = all();
    recorder.settings(&SpanConfig {
        propagators: Some(vec![Propagator::TraceContext, Propagator::B3]),
        ..by_request_ids()
    });
    let mut after_some = 0;
    for n in 0..100_000_u64 {
        recorder.at(recorder.now_ns + 1_000_000).of(FRONT);
        let fields = format!(
            "{}{}X-Request-Id: request-{n:08}\r\n",
            w3c(TRACE + u128::from(n)),
            b3(OTHER_TRACE + u128::from(n))
        );
        recorder.read(OUTER[1], request("/a", &fields));
        recorder.write(OUTER[1], OK);
        if n % 1000 == 0 {
            bench.feed(&mut recorder);
            bench.spans.clear();
        }
        if n == 5_000 {
            after_some = bench.pipeline.memory_bytes();
        }
    }
    bench.feed(&mut recorder);
    assert!(bench.pipeline.memory_bytes() <= after_some + 64 * 1024);
}
