//! What a virtual thread of Java calls for belongs to the request that it read, if it reads the
//! answer itself.

use wirespan::span::{Span, SpanKind};
use wirespan_common::java::IS_VIRTUAL;
use wirespan_common::record::{Polled, Stage, TaskKind};

use crate::links::{
    CONNECTION, FRONT, INNER, LOOP, OUTER, all, chain, find, get, link, links, tell, told,
};
use crate::records::{MS, Recorder};
use crate::{Bench, OK, WALL_NS};

const VIRTUAL: Option<&str> = Some("virtual_thread");

/// The front runs this virtual thread, on whichever of the kernel's.
fn as_virtual(recorder: &mut Recorder, number: u64) -> &mut Recorder {
    let front = recorder.of(FRONT).on_thread(7);
    front.as_task(TaskKind::VirtualThread, number, IS_VIRTUAL)
}

/// The front runs the thread that it has from the kernel under that number.
fn as_thread(recorder: &mut Recorder, tid: u32, number: u64) -> &mut Recorder {
    let front = recorder.of(FRONT).on_thread(tid);
    front.as_task(TaskKind::VirtualThread, number, Polled::No as u32)
}

/// The virtual thread of the front that does each thing.
fn by(thread: impl Fn(&str) -> u64) -> [Option<String>; 3] {
    links(&chain(&mut all(), |recorder, what| {
        as_virtual(recorder, thread(what));
    }))
}

fn parent(spans: &[Span], call: &str, request: &str) -> Option<String> {
    let call = find(spans, SpanKind::Client, call);
    link(&call, &find(spans, SpanKind::Server, request))
}

fn is_alone(spans: &[Span], call: &str) -> bool {
    find(spans, SpanKind::Client, call).parent_span_id.is_none()
}

#[test]
fn what_a_virtual_thread_calls_for_belongs_to_what_it_read() {
    assert_eq!(by(|_| 30), told([CONNECTION, VIRTUAL, CONNECTION]));
    // Whoever writes the answer.
    let answers = by(|what| if what == "answers" { 31 } else { 30 });
    assert_eq!(answers, told([CONNECTION, VIRTUAL, CONNECTION]));
}

#[test]
fn what_another_one_calls_for_or_hears_belongs_to_nobody() {
    let nobody = told([CONNECTION, None, CONNECTION]);
    for when in ["reads", "asks", "hears"] {
        assert_eq!(
            by(|what| if what == when { 31 } else { 30 }),
            nobody,
            "{when}"
        );
    }
}

#[test]
fn threads_of_the_kernel_go_by_threads() {
    let found = chain(&mut all(), |recorder, _| {
        as_thread(recorder, 7, 20);
    });
    assert_eq!(
        links(&found),
        told([CONNECTION, Some("thread"), CONNECTION])
    );
    // Without a number, which older versions have not.
    let found = chain(&mut all(), |recorder, _| {
        as_thread(recorder, 7, 0);
    });
    assert_eq!(
        links(&found),
        told([CONNECTION, Some("thread"), CONNECTION])
    );
}

#[test]
fn a_thread_of_the_kernel_that_looks_like_a_virtual_one_is_not_taken_for_it() {
    let mut recorder = all();
    as_thread(&mut recorder, 7, 20)
        .read(OUTER[1], get("/first"))
        .write(OUTER[1], OK);
    as_virtual(&mut recorder, 20)
        .read(OUTER[1], get("/second"))
        .write(INNER[0], get("/inner"));
    recorder.read(INNER[0], OK).write(OUTER[1], OK);
    assert!(is_alone(&tell(&mut recorder), "/inner"));
}

#[test]
fn a_call_that_is_given_up_belongs_to_the_request_all_the_same() {
    let mut recorder = all();
    as_virtual(&mut recorder, 30)
        .read(OUTER[1], get("/outer"))
        .write(INNER[0], get("/inner"))
        .progress(INNER[0], Stage::Closed);
    recorder.write(OUTER[1], OK);
    let spans = tell(&mut recorder);
    assert_eq!(parent(&spans, "/inner", "/outer").as_deref(), VIRTUAL);
}

#[test]
fn two_requests_on_two_connections_are_too_many() {
    let mut recorder = all();
    recorder.of(FRONT).open_tcp(31, LOOP[1], "10.0.0.9:40000");
    as_virtual(&mut recorder, 30)
        .read(OUTER[1], get("/one"))
        .read(31, get("/two"))
        .write(INNER[0], get("/both"))
        .read(INNER[0], OK)
        .write(31, OK)
        .write(INNER[0], get("/one-alone"))
        .read(INNER[0], OK);
    recorder.write(OUTER[1], OK);
    let spans = tell(&mut recorder);
    assert!(is_alone(&spans, "/both"));
    assert_eq!(parent(&spans, "/one-alone", "/one").as_deref(), VIRTUAL);
}

#[test]
fn requests_that_were_sent_ahead_are_served_one_after_the_other() {
    let mut recorder = all();
    as_virtual(&mut recorder, 30).read(OUTER[1], ["/a", "/b"].map(get).concat());
    for call in ["/for-a", "/for-b"] {
        recorder.write(INNER[0], get(call)).read(INNER[0], OK);
        recorder.write(OUTER[1], OK);
    }
    let spans = tell(&mut recorder);
    assert_eq!(parent(&spans, "/for-a", "/a").as_deref(), VIRTUAL);
    assert_eq!(parent(&spans, "/for-b", "/b").as_deref(), VIRTUAL);
}

#[test]
fn what_comes_after_the_answer_is_for_it_as_long_as_it_is_remembered() {
    for (later, is_linked) in [(50 * MS, true), (500 * MS, false)] {
        let mut bench = Bench::seeded();
        let mut recorder = all();
        as_virtual(&mut recorder, 30)
            .read(OUTER[1], get("/outer"))
            .write(OUTER[1], OK);
        bench.feed(recorder.at(2 * MS));
        // It is remembered from when it is known that nobody called for it.
        for passed in [later / 2, later] {
            bench.feed(recorder.at(2 * MS + passed).clock(WALL_NS));
        }
        bench.feed(recorder.write(INNER[0], get("/inner")).read(INNER[0], OK));
        bench.finish();
        let found = parent(&bench.spans, "/inner", "/outer");
        assert_eq!(found.is_some(), is_linked, "{later}");
    }
}
