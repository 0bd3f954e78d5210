//! Requests whose client is on another node: what is asked there, what becomes of the answer, and
//! what this node tells when it is asked.

use wirespan::config::SpanConfig;
use wirespan::links::{CallerContext, ForPeers, JoinKey};
use wirespan::span::SpanKind;
use wirespan::trace_context::FLAG_SAMPLED;
use wirespan_common::record::{OBJECT_BIT, Record, TaskKind};

use crate::links::{BACK, FAR, FRONT, OUTER, find, get};
use crate::records::{MS, Recorder};
use crate::{Bench, OK, WALL_NS, attribute};

const HERE: &str = "10.0.0.1:80";
const SECOND: u64 = 1_000 * MS;

fn asking() -> SpanConfig {
    SpanConfig {
        asked_within_ms: Some(1_000),
        ..SpanConfig::default()
    }
}

/// A connection of a client of another node to the front.
fn begun() -> Recorder {
    let mut recorder = Recorder::new(WALL_NS);
    recorder.settings(&asking()).at(MS).of(FRONT);
    recorder.beginning_at([1, 2]).open_tcp(OUTER[1], HERE, FAR);
    recorder
}

fn key(at: u64) -> JoinKey {
    JoinKey { starts: [1, 2], at }
}

fn context() -> CallerContext {
    CallerContext {
        trace_id: [7; 16],
        span_id: key(0).span_id(),
        flags: FLAG_SAMPLED,
        decided: Some(true),
        randomness: Some(5),
    }
}

fn for_peers(bench: &mut Bench) -> Vec<ForPeers> {
    bench.pipeline.drain_for_peers().collect()
}

/// What is asked, and who is said to have asked for it.
fn questions(bench: &mut Bench) -> Vec<(JoinKey, Option<String>)> {
    let all = for_peers(bench).into_iter();
    let questions = all.filter_map(|it| match it {
        ForPeers::Asks(key, from) => Some((key, from.map(|it| it.to_string()))),
        _ => None,
    });
    questions.collect()
}

/// What was answered about the first request of the connection.
fn answer(recorder: &mut Recorder, context: Option<&CallerContext>) {
    let caller = CallerContext::tell(context, &key(0));
    let record = wirespan::recording::caller_record(recorder.now_ns, &caller);
    assert!(Record::decode(&record).is_ok());
    recorder.records.push(record);
}

#[test]
fn a_request_from_elsewhere_is_asked_about_and_stands_below_the_call_that_made_it() {
    let mut bench = Bench::seeded();
    let mut recorder = begun();
    recorder.read(OUTER[1], get("/a"));
    bench.feed(&mut recorder);
    let from = Some("10.0.0.9".to_owned());
    assert_eq!(questions(&mut bench), [(key(0), from)]);
    recorder.write(OUTER[1], OK);
    bench.feed(&mut recorder);
    assert!(bench.spans.is_empty(), "it waits");
    answer(recorder.at(900 * MS), Some(&context()));
    bench.feed(&mut recorder).finish();
    let [span] = &bench.spans[..] else {
        panic!("one span")
    };
    assert_eq!(span.trace_id, [7; 16]);
    assert_eq!(span.parent_span_id, Some(key(0).span_id()));
    assert!(span.parent_is_remote);
    assert_eq!(attribute(span, "wirespan.link").as_deref(), Some("asked"));
    assert_eq!(span.trace_flags & FLAG_SAMPLED, FLAG_SAMPLED);
}

#[test]
fn an_answer_is_waited_for_after_the_end_for_as_long_as_is_set() {
    for (late_ns, is_linked) in [(SECOND - MS, true), (SECOND, false)] {
        let mut bench = Bench::seeded();
        let mut recorder = begun();
        // It takes longer than that.
        recorder.read(OUTER[1], get("/a"));
        recorder.at(3 * SECOND).write(OUTER[1], OK);
        bench.feed(&mut recorder);
        assert!(bench.spans.is_empty());
        assert_eq!(bench.pipeline.waits_until(), Some(4 * SECOND));
        bench.feed(recorder.at(3 * SECOND + late_ns).clock(WALL_NS));
        answer(&mut recorder, Some(&context()));
        bench.feed(&mut recorder).finish();
        let [span] = &bench.spans[..] else {
            panic!("one span")
        };
        assert_eq!(span.trace_id == [7; 16], is_linked, "{late_ns}");
        assert_eq!(span.parent_span_id.is_some(), is_linked);
    }
}

#[test]
fn what_nobody_knows_is_told_at_once_unless_its_client_is_only_slower() {
    let mut bench = Bench::seeded();
    let mut recorder = begun();
    recorder.read(OUTER[1], get("/a")).write(OUTER[1], OK);
    answer(&mut recorder, None);
    bench.feed(&mut recorder);
    bench.feed(recorder.at(10 * MS).clock(WALL_NS));
    assert!(bench.spans.is_empty());
    bench.feed(recorder.at(11 * MS).clock(WALL_NS));
    assert_eq!(bench.spans.len(), 1);
    assert_eq!(bench.spans[0].parent_span_id, None);
    // It is over.
    answer(&mut recorder, Some(&context()));
    bench.feed(&mut recorder).finish();
    assert_eq!(bench.spans.len(), 1);
}

#[test]
fn nobody_is_asked_about_a_request_that_names_its_trace_or_whose_client_is_here() {
    const NAMED: &str = "GET /a HTTP/1.1\r\nHost: h\r\n\
        traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n";
    let mut bench = Bench::seeded();
    let mut recorder = begun();
    recorder.read(OUTER[1], NAMED).write(OUTER[1], OK);
    bench.feed(&mut recorder);
    assert_eq!(questions(&mut bench), []);
    bench.feed(recorder.at(11 * MS).clock(WALL_NS));
    assert_eq!(bench.spans.len(), 1, "and it waits for nobody elsewhere");
    assert_eq!(attribute(&bench.spans[0], "wirespan.link"), None);
    // An answer that nobody asked for.
    answer(&mut recorder, Some(&context()));
    bench.feed(&mut recorder);

    let mut here = crate::links::all();
    here.settings(&asking());
    here.of(crate::links::USER).write(OUTER[0], get("/b"));
    here.of(FRONT).read(OUTER[1], get("/b"));
    let mut bench = Bench::seeded();
    // Settings come before all else.
    let last = here.records.pop().expect("some");
    let before_last = here.records.pop().expect("some");
    let settings = here.records.pop().expect("some");
    here.records.insert(1, settings);
    here.records.extend([before_last, last]);
    bench.feed(&mut here);
    assert_eq!(questions(&mut bench), []);
}

#[test]
fn without_the_setting_nobody_is_asked_or_told() {
    let mut bench = Bench::seeded();
    let mut recorder = Recorder::new(WALL_NS);
    recorder.at(MS).of(FRONT).beginning_at([1, 2]);
    recorder.open_tcp(OUTER[1], HERE, FAR);
    recorder.read(OUTER[1], get("/a")).write(OUTER[1], OK);
    recorder.beginning_at([3, 4]).open_tcp(1, HERE, FAR);
    recorder.write(1, get("/b")).read(1, OK);
    bench.feed(&mut recorder).finish();
    assert_eq!(bench.spans.len(), 2);
    assert_eq!(for_peers(&mut bench), []);
}

#[test]
fn a_call_for_a_request_stands_where_the_answer_puts_that_and_others_are_told() {
    let mut bench = Bench::seeded();
    let mut recorder = begun();
    recorder.as_task(TaskKind::Goroutine, 5, 0);
    recorder.read(OUTER[1], get("/a"));
    recorder.beginning_at([4, 3]).open_tcp(1, HERE, FAR);
    recorder.write(1, get("/b"));
    bench.feed(&mut recorder);
    let inner = JoinKey {
        starts: [3, 4],
        at: 0,
    };
    let address = HERE.parse::<std::net::SocketAddr>().expect("one").ip();
    let from = FAR.parse::<std::net::SocketAddr>().expect("one").ip();
    assert_eq!(
        for_peers(&mut bench),
        [
            ForPeers::Has(address),
            ForPeers::Asks(key(0), Some(from)),
            ForPeers::Begins(inner),
        ]
    );
    answer(&mut recorder, Some(&context()));
    bench.feed(&mut recorder);
    let expected = CallerContext {
        span_id: inner.span_id(),
        ..context()
    };
    assert_eq!(
        for_peers(&mut bench),
        [ForPeers::Stands(inner, Some(expected))]
    );
    recorder.read(1, OK).write(OUTER[1], OK);
    bench.feed(&mut recorder).finish();
    let server = find(&bench.spans, SpanKind::Server, "/a");
    let client = find(&bench.spans, SpanKind::Client, "/b");
    assert_eq!(client.parent_span_id, Some(server.span_id));
    assert_eq!((client.trace_id, server.trace_id), ([7; 16], [7; 16]));
}

#[test]
fn what_was_decided_on_sampling_comes_along() {
    for (decided, is_told) in [(Some(true), true), (Some(false), false), (None, true)] {
        let mut bench = Bench::seeded();
        let mut recorder = begun();
        recorder.read(OUTER[1], get("/a")).write(OUTER[1], OK);
        let context = CallerContext {
            decided,
            flags: 0,
            ..context()
        };
        answer(&mut recorder, Some(&context));
        bench.feed(&mut recorder).finish();
        assert_eq!(bench.spans.len(), usize::from(is_told), "{decided:?}");
    }
}

/// In TLS a request of HTTP/1 has its number when it is answered; so its client's span has an id
/// that does not follow from that.
#[test]
fn over_tls_it_is_asked_once_it_is_answered() {
    const OBJECT: u64 = OBJECT_BIT | 7;
    let mut bench = Bench::seeded();
    let mut recorder = begun();
    recorder.open_on(OUTER[1], OBJECT, HERE, FAR);
    recorder.carried([500, 2]).read(OBJECT, get("/a"));
    bench.feed(&mut recorder);
    assert_eq!(questions(&mut bench), []);
    recorder.carried([501, 900]).write(OBJECT, OK);
    bench.feed(&mut recorder);
    let asked = questions(&mut bench);
    let [(key, Some(_))] = &asked[..] else {
        panic!("{asked:?}")
    };
    assert_eq!(key.at, wirespan::links::OF_CARRIER | 500);
    assert!(bench.spans.is_empty());
    let caller = CallerContext::tell(Some(&context()), key);
    recorder
        .records
        .push(wirespan::recording::caller_record(MS, &caller));
    bench.feed(&mut recorder).finish();
    assert_eq!(bench.spans[0].parent_span_id, Some(context().span_id));
}

#[test]
fn a_request_that_is_open_for_long_does_not_hold_back_what_came_of_it() {
    let mut bench = Bench::seeded();
    let mut recorder = begun();
    recorder.as_task(TaskKind::Goroutine, 5, 0);
    recorder.read(OUTER[1], get("/a"));
    recorder.beginning_at([4, 3]).open_tcp(1, HERE, FAR);
    recorder.write(1, get("/b")).read(1, OK);
    bench.feed(&mut recorder);
    assert!(bench.spans.is_empty());
    bench.feed(recorder.at(10 * SECOND + MS).clock(WALL_NS));
    assert_eq!(bench.spans.len(), 1, "the call is told");
    assert_eq!(bench.spans[0].kind, SpanKind::Client);
}

#[test]
fn an_sdk_tells_its_own_calls() {
    let mut bench = Bench::seeded();
    let mut recorder = Recorder::new(WALL_NS);
    recorder.settings(&asking()).at(MS).of(BACK);
    recorder.beginning_at([4, 3]).open_tcp(1, HERE, FAR);
    recorder.write(
        1,
        "GET /b HTTP/1.1\r\nHost: h\r\n\
         traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n",
    );
    bench.feed(&mut recorder);
    let inner = JoinKey {
        starts: [3, 4],
        at: 0,
    };
    let told = for_peers(&mut bench);
    assert!(told.contains(&ForPeers::Stands(inner, None)), "{told:?}");
}
