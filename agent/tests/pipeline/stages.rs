//! How long a request waited for somebody to serve it, where that is seen.

use wirespan::config::{Sampler, SpanConfig};
use wirespan::health::LeftOut;
use wirespan::span::{Span, SpanKind};
use wirespan_common::record::{TaskEvent, TaskKind};

use crate::goroutines::{PREFACE, SETTINGS, request, response};
use crate::links::find;
use crate::records::{MS, Recorder};
use crate::sampling::tell;
use crate::{CLIENT, OK, SERVER, WALL_NS};

const GO: TaskKind = TaskKind::Goroutine;

fn queue_spans(is_asked_for: bool) -> SpanConfig {
    SpanConfig {
        queue_spans: Some(is_asked_for),
        ..SpanConfig::default()
    }
}

/// Two requests that come at once, one millisecond after the connection; a goroutine serves the one
/// after 3 ms, the other after 20, and both are answered after 30.
fn served(config: &SpanConfig) -> Recorder {
    let mut recorder = Recorder::new(WALL_NS);
    recorder.settings(config).open_tcp(1, SERVER, CLIENT);
    recorder
        .as_task(GO, 7, 0)
        .read(1, PREFACE)
        .write(1, SETTINGS);
    recorder.at(MS);
    recorder.read(1, [request(1, "/1"), request(3, "/3")].concat());
    for (stream, at_ms) in [(1, 3), (3, 20)] {
        recorder.at(at_ms * MS);
        recorder.note(TaskEvent::Serves, GO, 8 + u64::from(stream), 1, stream);
    }
    recorder.at(30 * MS);
    recorder.write(1, response(1)).write(1, response(3));
    recorder
}

/// Stages of a server's span: name, beginning and end, in milliseconds since the request came.
fn stages<'a>(spans: &'a [Span], server: &Span) -> Vec<(&'a str, u64, u64)> {
    let is_stage = |span: &&Span| {
        span.parent_span_id == Some(server.span_id) && span.kind == SpanKind::Internal
    };
    let ms = |unix_ns: u64| (unix_ns - server.start_unix_ns) / MS;
    let stages = spans.iter().filter(is_stage);
    stages
        .map(|span| {
            assert_eq!(span.trace_id, server.trace_id);
            assert_eq!(span.trace_flags, server.trace_flags);
            (&*span.name, ms(span.start_unix_ns), ms(span.end_unix_ns))
        })
        .collect()
}

#[test]
fn a_request_on_a_stream_waits_until_a_goroutine_serves_it() {
    let (kept, _) = tell_all(&queue_spans(true));
    for (path, served_ms) in [("/1", 2), ("/3", 19)] {
        let server = find(&kept, SpanKind::Server, path);
        assert_eq!(
            stages(&kept, &server),
            [("in queue", 0, served_ms), ("processing", served_ms, 29)]
        );
    }
    let mut ids: Vec<_> = kept.iter().map(|span| span.span_id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 6, "each has its own");
}

fn tell_all(config: &SpanConfig) -> (Vec<Span>, u64) {
    let mut bench = crate::Bench::seeded();
    bench.feed(&mut served(config)).finish();
    let left_out = bench.health.spans_left_out(LeftOut::Sampler);
    assert_eq!(
        bench.health.spans_made(),
        bench.spans.len() as u64 + left_out
    );
    (bench.spans, left_out)
}

#[test]
fn stages_are_told_only_if_asked_for_and_with_their_span() {
    assert_eq!(tell_all(&SpanConfig::default()).0.len(), 2);
    assert_eq!(tell_all(&queue_spans(false)).0.len(), 2);
    let none = SpanConfig {
        sampler: Some(Sampler {
            is_parent_based: true,
            threshold: 1 << 56,
        }),
        ..queue_spans(true)
    };
    let (spans, left_out) = tell_all(&none);
    assert_eq!((spans.len(), left_out), (0, 2));
}

#[test]
fn where_it_is_not_seen_who_serves_there_are_no_stages() {
    let mut recorder = Recorder::new(WALL_NS);
    recorder
        .settings(&queue_spans(true))
        .open_tcp(1, SERVER, CLIENT);
    recorder.as_task(GO, 7, 0);
    recorder
        .read(1, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n")
        .write(1, OK);
    let (kept, _) = tell(&mut recorder);
    assert_eq!(kept.spans.len(), 1);
}
