//! Processes that export traces themselves: their spans are left to them, and context passes
//! through them unbroken.

use wirespan::config::SpanConfig;
use wirespan::health::LeftOut;
use wirespan::span::{Span, SpanKind};
use wirespan_common::record::{LifeEvent, TaskKind};

use crate::links::{BACK, FRONT, INNER, OUTER, USER, all, find, get};
use crate::records::{MS, Recorder};
use crate::{Bench, OK};

/// The front's connection to a collector, and its other end.
const EXPORTS: u64 = 41;
const TRACES: &str = "/v1/traces";
const UNAVAILABLE: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";

fn export(target: &str) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: collector\r\n\
         User-Agent: OTel-OTLP-Exporter-Python/1.40.0\r\nContent-Length: 2\r\n\r\nhi"
    )
}

/// The front exports something.
fn exports(recorder: &mut Recorder, target: &str, answer: &str) {
    recorder.of(FRONT);
    recorder
        .write(EXPORTS, export(target))
        .read(EXPORTS, answer);
}

fn with_exporter() -> Recorder {
    let mut recorder = all();
    let far = ("10.0.0.1:50009", "10.0.0.9:4318");
    recorder
        .of(FRONT)
        .named("shop")
        .open_tcp(EXPORTS, far.0, far.1);
    recorder
}

const TRACE: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;
const SERVED_BY_SDK: u64 = 0x1111;
const CALLED_BY_SDK: u64 = 0x2222;

fn named(path: &str, span: u64) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\ntraceparent: 00-{TRACE:032x}-{span:016x}-01\r\n\r\n")
}

/// A request to the front, within which it asks the back as an SDK does, or without a header.
fn request(recorder: &mut Recorder, path: &str, calls_with_header: bool) {
    let inner = format!("{path}/inner");
    recorder.at(recorder.now_ns + MS).of(USER);
    recorder.write(OUTER[0], named(path, SERVED_BY_SDK));
    recorder.of(FRONT).as_task(TaskKind::Goroutine, 7, 0);
    recorder.read(OUTER[1], named(path, SERVED_BY_SDK));
    let call = if calls_with_header {
        named(&inner, CALLED_BY_SDK)
    } else {
        get(&inner)
    };
    recorder.write(INNER[0], &call);
    recorder.of(BACK).read(INNER[1], &call).write(INNER[1], OK);
    recorder.of(FRONT).as_task(TaskKind::Goroutine, 7, 0);
    recorder.read(INNER[0], OK).write(OUTER[1], OK);
    recorder.of(USER).read(OUTER[0], OK);
}

fn told(recorder: &mut Recorder) -> (Vec<Span>, Bench) {
    let mut bench = Bench::seeded();
    bench.feed(recorder).finish();
    (bench.spans.clone(), bench)
}

/// Kinds of the spans that are told of a request and the call within it.
fn kinds(spans: &[Span], path: &str) -> Vec<SpanKind> {
    let inner = format!("{path}/inner");
    let is_of = |span: &&Span| {
        let text = format!("{:?}", span.attributes);
        text.contains(&format!("{path}\"")) || text.contains(&format!("{inner}\""))
    };
    let mut kinds: Vec<_> = spans.iter().filter(is_of).map(|span| span.kind).collect();
    kinds.sort_by_key(|kind| format!("{kind:?}"));
    kinds
}

const ALL: [SpanKind; 4] = [
    SpanKind::Client,
    SpanKind::Client,
    SpanKind::Server,
    SpanKind::Server,
];
/// Without the front's server and client.
const OTHERS: [SpanKind; 2] = [SpanKind::Client, SpanKind::Server];

#[test]
fn spans_are_left_to_who_exports_from_its_first_export_on() {
    let mut recorder = with_exporter();
    request(&mut recorder, "/before", true);
    exports(&mut recorder, TRACES, OK);
    request(&mut recorder, "/after", true);
    exports(&mut recorder, TRACES, OK);
    let (spans, mut bench) = told(&mut recorder);
    assert_eq!(kinds(&spans, "/before"), ALL);
    assert_eq!(kinds(&spans, "/after"), OTHERS);
    // Two of the request, and the second export.
    let left_out = bench.health.spans_left_out(LeftOut::Instrumented);
    assert_eq!(left_out, 3);
    assert_eq!(bench.health.spans_made(), spans.len() as u64 + left_out);
    let exporters = bench.pipeline.take_exporters();
    assert_eq!(exporters, [(FRONT, "shop".to_owned())], "once");
    assert_eq!(bench.pipeline.take_exporters(), []);
}

#[test]
fn context_passes_through_unbroken() {
    for calls_with_header in [true, false] {
        let mut recorder = with_exporter();
        exports(&mut recorder, TRACES, OK);
        request(&mut recorder, "/a", calls_with_header);
        let (spans, _) = told(&mut recorder);
        let back = find(&spans, SpanKind::Server, "/a/inner");
        assert_eq!(back.trace_id, TRACE.to_be_bytes());
        let user = find(&spans, SpanKind::Client, "/a");
        let above = if calls_with_header {
            CALLED_BY_SDK.to_be_bytes()
        } else {
            // The front's own span would be nearer, but nothing tells its id.
            user.span_id
        };
        assert_eq!(back.parent_span_id, Some(above));
        assert!(back.parent_is_remote);
        assert_eq!(crate::attribute(&back, "wirespan.link"), None);
    }
}

#[test]
fn what_is_left_out_and_stands_below_nothing_leaves_its_trace() {
    let mut recorder = with_exporter();
    exports(&mut recorder, TRACES, OK);
    recorder.of(FRONT).write(INNER[0], get("/a"));
    recorder
        .of(BACK)
        .read(INNER[1], get("/a"))
        .write(INNER[1], OK);
    recorder.of(FRONT).read(INNER[0], OK);
    let (spans, _) = told(&mut recorder);
    let back = find(&spans, SpanKind::Server, "/a");
    assert_eq!(back.parent_span_id, None);
}

#[test]
fn a_span_that_began_before_the_first_export_is_told_and_stands_where_it_stood() {
    let mut recorder = with_exporter();
    recorder.of(FRONT).as_task(TaskKind::Goroutine, 7, 0);
    recorder.read(OUTER[1], get("/a"));
    recorder.write(INNER[0], get("/b"));
    exports(&mut recorder, TRACES, OK);
    recorder
        .of(BACK)
        .read(INNER[1], get("/b"))
        .write(INNER[1], OK);
    recorder.of(FRONT).read(INNER[0], OK).write(OUTER[1], OK);
    let (spans, _) = told(&mut recorder);
    let served = find(&spans, SpanKind::Server, "/a");
    let call = find(&spans, SpanKind::Client, "/b");
    assert_eq!(call.parent_span_id, Some(served.span_id));
    let back = find(&spans, SpanKind::Server, "/b");
    assert_eq!(back.parent_span_id, Some(call.span_id));
}

#[test]
fn only_exports_of_traces_that_are_accepted_count() {
    for (target, answer) in [
        ("/v1/metrics", OK),
        ("/v1/logs", OK),
        (TRACES, UNAVAILABLE),
        ("/v1/traces?a=b", OK),
        ("/orders", OK),
        // Not over gRPC.
        (
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            OK,
        ),
    ] {
        let mut recorder = with_exporter();
        exports(&mut recorder, target, answer);
        request(&mut recorder, "/a", true);
        let (spans, bench) = told(&mut recorder);
        assert_eq!(kinds(&spans, "/a"), ALL, "{target}");
        assert_eq!(bench.health.spans_left_out(LeftOut::Instrumented), 0);
    }
}

#[test]
fn who_posts_to_such_a_path_is_no_exporter_by_that() {
    let mut recorder = with_exporter();
    // A webhook, whose address somebody else chose.
    let hook = export(TRACES).replace("OTel-OTLP-Exporter-Python/1.40.0", "python-requests/2.31");
    recorder.of(FRONT);
    recorder.write(EXPORTS, hook).read(EXPORTS, OK);
    request(&mut recorder, "/a", true);
    let (spans, bench) = told(&mut recorder);
    assert_eq!(kinds(&spans, "/a"), ALL);
    assert_eq!(bench.health.spans_left_out(LeftOut::Instrumented), 0);
}

#[test]
fn who_passes_on_what_others_export_is_none_of_them() {
    let serves = |recorder: &mut Recorder| {
        let far = ("10.0.0.1:4318", "10.0.0.7:50007");
        recorder.of(FRONT).open_tcp(42, far.0, far.1);
        recorder.read(42, export(TRACES));
    };
    // A proxy has sent it before it answers, a collector afterwards.
    let mut proxy = with_exporter();
    serves(&mut proxy);
    exports(&mut proxy, TRACES, OK);
    proxy.of(FRONT).write(42, OK);
    let mut collector = with_exporter();
    serves(&mut collector);
    collector.write(42, OK);
    exports(&mut collector, TRACES, OK);
    for mut recorder in [proxy, collector] {
        request(&mut recorder, "/a", true);
        exports(&mut recorder, TRACES, OK);
        request(&mut recorder, "/b", true);
        let (spans, mut bench) = told(&mut recorder);
        assert_eq!(kinds(&spans, "/a"), ALL);
        assert_eq!(kinds(&spans, "/b"), ALL);
        assert_eq!(bench.pipeline.take_exporters(), [], "nor is it said");
    }
}

/// What is passed on is answered first by who is behind, and only then by who passes it on.
#[test]
fn who_has_not_answered_yet_whose_export_it_passed_on_is_none_either() {
    let mut recorder = with_exporter();
    let far = ("10.0.0.1:4318", "10.0.0.7:50007");
    recorder.of(FRONT).open_tcp(42, far.0, far.1);
    recorder.read(42, export(TRACES));
    exports(&mut recorder, TRACES, OK);
    request(&mut recorder, "/between", true);
    recorder.of(FRONT).write(42, OK);
    // Nobody asks any longer: what it sends now is its own, unless it was seen to take others'.
    let (spans, _) = told(&mut recorder);
    assert_eq!(kinds(&spans, "/between"), ALL);

    let mut recorder = with_exporter();
    recorder.of(FRONT).open_tcp(42, far.0, far.1);
    recorder.read(42, export(TRACES)).write(42, UNAVAILABLE);
    recorder.at(recorder.now_ns + 11_000 * MS);
    exports(&mut recorder, TRACES, OK);
    request(&mut recorder, "/later", true);
    let (spans, _) = told(&mut recorder);
    assert_eq!(kinds(&spans, "/later"), OTHERS);
}

#[test]
fn another_program_is_judged_anew_and_so_is_a_child() {
    let mut recorder = with_exporter();
    exports(&mut recorder, TRACES, OK);
    recorder.of(FRONT).life(LifeEvent::Exec, 0);
    request(&mut recorder, "/a", true);
    let (spans, _) = told(&mut recorder);
    assert_eq!(kinds(&spans, "/a"), ALL);

    let mut recorder = with_exporter();
    exports(&mut recorder, TRACES, OK);
    recorder.of(FRONT).life(LifeEvent::Fork, BACK);
    request(&mut recorder, "/a", true);
    let (spans, _) = told(&mut recorder);
    assert_eq!(kinds(&spans, "/a"), OTHERS, "the parent's are left out");
    let back = find(&spans, SpanKind::Server, "/a/inner");
    assert_eq!(back.kind, SpanKind::Server);
}

#[test]
fn nothing_is_left_to_anybody_if_that_is_set() {
    let mut recorder = with_exporter();
    recorder.settings(&SpanConfig {
        exclude_instrumented: Some(false),
        ..SpanConfig::default()
    });
    exports(&mut recorder, TRACES, OK);
    request(&mut recorder, "/a", true);
    let (spans, mut bench) = told(&mut recorder);
    assert_eq!(kinds(&spans, "/a"), ALL);
    assert_eq!(bench.pipeline.take_exporters(), []);
}
