//! What a thread asks for belongs to what it answers next, if it does one thing at a time.

use wirespan::links::Abstained;
use wirespan::span::{Span, SpanKind};
use wirespan_common::record::{Polled, TaskKind};

use crate::links::{
    CONNECTION, FRONT, INNER, OUTER, all, chain, find, get, link, links, tell, told,
};
use crate::records::{MS, Recorder};
use crate::{Bench, OK};

/// A thread of the front does the next thing.
fn as_thread(recorder: &mut Recorder, tid: u32, polled: Polled) -> &mut Recorder {
    let front = recorder.of(FRONT).on_thread(tid);
    front.as_task(TaskKind::Thread, tid.into(), polled as u32)
}

/// The thread of the front that does each thing.
fn by(thread: impl Fn(&str) -> u32) -> [Option<String>; 3] {
    links(&chain(&mut all(), |recorder, what| {
        as_thread(recorder, thread(what), Polled::No);
    }))
}

#[test]
fn what_a_thread_asks_for_belongs_to_what_it_answers() {
    assert_eq!(by(|_| 7), told([CONNECTION, Some("thread"), CONNECTION]));
}

/// Requests that thread 6 reads and thread 7 answers, with a call in between.
fn pool(recorder: &mut Recorder, paths: std::ops::Range<u32>) {
    for number in paths {
        as_thread(recorder, 6, Polled::No).read(OUTER[1], get(&format!("/{number}")));
        as_thread(recorder, 7, Polled::No).write(INNER[0], get(&format!("/{number}")));
        recorder.read(INNER[0], OK).write(OUTER[1], OK);
    }
}

fn is_linked(spans: &[Span], number: u32) -> bool {
    let path = format!("/{number}");
    let call = find(spans, SpanKind::Client, &path);
    link(&call, &find(spans, SpanKind::Server, &path)).is_some()
}

#[test]
fn what_another_thread_read_is_believed_after_some_answers() {
    let mut recorder = all();
    pool(&mut recorder, 0..20);
    let spans = tell(&mut recorder);
    assert!((0..16).all(|number| !is_linked(&spans, number)));
    assert!((16..20).all(|number| is_linked(&spans, number)));
}

#[test]
fn a_pool_whose_threads_call_for_others_is_not_believed() {
    let mut recorder = all();
    pool(&mut recorder, 0..20);
    // Somebody has to be waiting for it.
    recorder
        .of(FRONT)
        .open_tcp(31, "10.0.0.1:80", "10.0.0.9:40000");
    as_thread(&mut recorder, 6, Polled::No).read(31, get("/other"));
    as_thread(&mut recorder, 7, Polled::No)
        .at(5 * MS)
        .write(INNER[0], get("/inner"));
    recorder.read(INNER[0], OK).at(6 * MS);
    pool(&mut recorder, 20..30);
    let spans = tell(&mut recorder);
    assert!((16..20).all(|number| is_linked(&spans, number)));
    assert!((20..30).all(|number| !is_linked(&spans, number)));
}

#[test]
fn what_another_thread_did_or_an_event_loop_looks_after_belongs_to_nobody() {
    let expected = told([CONNECTION, None, CONNECTION]);
    assert_eq!(by(|what| if what == "asks" { 6 } else { 7 }), expected);
    assert_eq!(by(|what| if what == "hears" { 6 } else { 7 }), expected);
    for polled in [Polled::Yes, Polled::Unknown] {
        for when in ["asks", "hears"] {
            let found = chain(&mut all(), |recorder, what| {
                let polled = if what == when { polled } else { Polled::No };
                as_thread(recorder, 7, polled);
            });
            assert_eq!(links(&found), expected, "{polled:?}, {when}");
        }
    }
    let unknown = chain(&mut all(), |_, _| {});
    assert_eq!(links(&unknown), expected);
}

#[test]
fn a_call_that_was_made_before_the_request_was_read_is_not_of_it() {
    let mut recorder = all();
    as_thread(&mut recorder, 7, Polled::No)
        .at(2 * MS)
        .write(INNER[0], get("/inner"));
    as_thread(&mut recorder, 8, Polled::No)
        .at(3 * MS)
        .read(OUTER[1], get("/outer"));
    as_thread(&mut recorder, 7, Polled::No).at(4 * MS);
    recorder.read(INNER[0], OK).write(OUTER[1], OK);
    let spans = tell(&mut recorder);
    let call = find(&spans, SpanKind::Client, "/inner");
    assert_eq!(call.parent_span_id, None);
}

/// Connections of users to the front, and the front's.
const USERS: [u64; 2] = [31, 32];

/// One thread with two users at a time, between whose requests and answers it does `between`.
fn with_two(recorder: &mut Recorder, between: impl FnOnce(&mut Recorder)) {
    as_thread(recorder, 7, Polled::No);
    for (user, path) in USERS.iter().zip(["/one", "/two"]) {
        recorder.read(*user, get(path));
    }
    between(recorder);
    as_thread(recorder, 7, Polled::No);
    for user in USERS {
        recorder.write(user, OK);
    }
}

fn with_users() -> Recorder {
    let mut recorder = all();
    for (user, port) in USERS.iter().zip(["40000", "40001"]) {
        let far = format!("10.0.0.9:{port}");
        recorder.of(FRONT).open_tcp(*user, "10.0.0.1:80", &far);
    }
    recorder
}

#[test]
fn a_thread_with_two_requests_on_its_hands_asks_for_nobody() {
    let mut recorder = with_users();
    with_two(&mut recorder, |recorder| {
        recorder.write(INNER[0], get("/inner")).read(INNER[0], OK);
    });
    let spans = tell(&mut recorder);
    let call = find(&spans, SpanKind::Client, "/inner");
    assert_eq!(call.parent_span_id, None);
}

#[test]
fn who_often_has_several_requests_on_its_hands_is_left_alone() {
    for (times, is_linked) in [(1, true), (4, false)] {
        let mut recorder = with_users();
        for _ in 0..times {
            with_two(&mut recorder, |_| {});
        }
        as_thread(&mut recorder, 7, Polled::No);
        recorder.read(OUTER[1], get("/outer"));
        recorder.write(INNER[0], get("/inner")).read(INNER[0], OK);
        recorder.write(OUTER[1], OK);
        let spans = tell(&mut recorder);
        let call = find(&spans, SpanKind::Client, "/inner");
        let server = find(&spans, SpanKind::Server, "/outer");
        assert_eq!(link(&call, &server).is_some(), is_linked, "{times}");
    }
}

#[test]
fn what_was_not_heard_before_the_next_call_belongs_to_nobody() {
    let mut recorder = with_users();
    as_thread(&mut recorder, 7, Polled::No);
    recorder.open_tcp(41, "10.0.0.1:50000", "10.0.0.8:80");
    recorder.read(OUTER[1], get("/outer"));
    recorder
        .write(INNER[0], get("/inner"))
        .write(41, get("/other"));
    recorder.read(41, OK).read(INNER[0], OK);
    recorder.write(OUTER[1], OK);
    let spans = tell(&mut recorder);
    let other = find(&spans, SpanKind::Client, "/other");
    assert_eq!(other.parent_span_id, None);
    // The first of them was made when nothing else was.
    let server = find(&spans, SpanKind::Server, "/outer");
    let call = find(&spans, SpanKind::Client, "/inner");
    assert_eq!(link(&call, &server).as_deref(), Some("thread"));
}

#[test]
fn who_has_nothing_to_answer_is_not_waited_for() {
    let mut bench = Bench::seeded();
    let mut recorder = all();
    as_thread(&mut recorder, 7, Polled::No).write(INNER[0], get("/inner"));
    recorder.read(INNER[0], OK);
    bench.feed(&mut recorder);
    assert_eq!(bench.spans.len(), 1);
}

#[test]
fn links_are_counted_and_calls_without_one_by_their_reason() {
    let mut bench = Bench::seeded();
    let mut recorder = with_users();
    // For nobody, for a request, and by nobody knows whom.
    as_thread(&mut recorder, 7, Polled::No).write(INNER[0], get("/own"));
    recorder.read(INNER[0], OK).read(OUTER[1], get("/outer"));
    recorder.write(INNER[0], get("/inner")).read(INNER[0], OK);
    as_thread(&mut recorder, 8, Polled::Yes).write(INNER[0], get("/other"));
    recorder.read(INNER[0], OK);
    as_thread(&mut recorder, 7, Polled::No).write(OUTER[1], OK);
    bench.feed(&mut recorder).finish();
    let links = &bench.health.links;
    assert_eq!(links.linked()["thread"], 1);
    assert_eq!(links.linked()["goroutine"], 0);
    let abstained = Abstained::ALL.map(|why| (why, links.abstained(why)));
    let some: Vec<_> = abstained
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .collect();
    let expected = [(Abstained::NoRequest, 1), (Abstained::SharedThread, 1)];
    assert_eq!(some, expected);
}

#[test]
fn a_thread_that_never_answered_is_waited_for_a_few_times() {
    let mut bench = Bench::seeded();
    let mut recorder = all();
    recorder.of(FRONT).read(OUTER[1], get("/outer"));
    for _ in 0..20 {
        as_thread(&mut recorder, 7, Polled::No).write(INNER[0], get("/inner"));
        recorder.read(INNER[0], OK);
    }
    bench.feed(&mut recorder);
    assert_eq!(bench.spans.len(), 12);
}
