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

/// Thread 7 reads a request, makes a call for it, hears the answer after `between`, and answers.
fn in_turn(recorder: &mut Recorder, path: &str, between: impl FnOnce(&mut Recorder)) {
    as_thread(recorder, 7, Polled::No).read(OUTER[1], get(path));
    recorder.write(INNER[0], get(path));
    between(recorder);
    as_thread(recorder, 7, Polled::No).read(INNER[0], OK);
    recorder.write(OUTER[1], OK);
}

#[test]
fn who_often_does_something_else_than_wait_is_left_alone() {
    for (times, is_told) in [(1, true), (4, false)] {
        let mut recorder = with_users();
        for number in 0..times {
            in_turn(&mut recorder, &format!("/both{number}"), |recorder| {
                recorder.read(USERS[0], get("/another"));
            });
            recorder.write(USERS[0], OK);
        }
        in_turn(&mut recorder, "/0", |_| {});
        assert_eq!(is_linked(&tell(&mut recorder), 0), is_told, "{times}");
    }
}

#[test]
fn what_is_rarely_done_at_once_is_forgotten() {
    let mut recorder = with_users();
    for round in 0..6 {
        in_turn(&mut recorder, &format!("/both{round}"), |recorder| {
            recorder.read(USERS[0], get("/another"));
        });
        recorder.write(USERS[0], OK);
        for number in 0..64 {
            in_turn(&mut recorder, &format!("/{}", 100 * round + number), |_| {});
        }
    }
    assert!(is_linked(&tell(&mut recorder), 563));
}

/// Thread 7 reads a request, which thread 8 answers, and meanwhile makes a call for another one,
/// which it answers.
fn ahead(recorder: &mut Recorder, path: &str) {
    as_thread(recorder, 8, Polled::No).read(OUTER[1], get(path));
    as_thread(recorder, 7, Polled::No).read(USERS[0], get("/ahead"));
    recorder.write(INNER[0], get(path)).read(INNER[0], OK);
    recorder.write(OUTER[1], OK);
    as_thread(recorder, 8, Polled::No).write(USERS[0], OK);
}

#[test]
fn who_reads_ahead_for_others_is_believed_after_it_was_seen_to_wait() {
    let mut recorder = with_users();
    // Nothing is called for by whoever answers the other one, which must not look like a pool's.
    for number in 0..100 {
        ahead(&mut recorder, &format!("/{number}"));
    }
    let spans = tell(&mut recorder);
    let linked = (0..100).filter(|number| is_linked(&spans, *number));
    let linked: Vec<_> = linked.collect();
    assert_eq!(linked, (64..100).collect::<Vec<_>>());
}

#[test]
fn where_one_did_not_wait_nobody_is_believed_who_reads_ahead() {
    let mut recorder = with_users();
    for number in 0..70 {
        ahead(&mut recorder, &format!("/{number}"));
    }
    in_turn(&mut recorder, "/both", |recorder| {
        recorder.read(USERS[0], get("/another"));
    });
    recorder.write(USERS[0], OK);
    for number in 70..80 {
        ahead(&mut recorder, &format!("/{number}"));
    }
    let spans = tell(&mut recorder);
    assert!(is_linked(&spans, 69));
    assert!((70..80).all(|number| !is_linked(&spans, number)));
}

#[test]
fn who_calls_for_nobody_speaks_against_a_pool_only_where_workers_read_for_each_other() {
    for answer_their_own in [false, true] {
        let mut recorder = with_users();
        if answer_their_own {
            for number in 100..200 {
                in_turn(&mut recorder, &format!("/{number}"), |_| {});
            }
        }
        pool(&mut recorder, 0..20);
        // While thread 7 calls, thread 8 answers something that asked for nothing.
        as_thread(&mut recorder, 6, Polled::No).read(OUTER[1], get("/20"));
        as_thread(&mut recorder, 6, Polled::No).read(USERS[0], get("/health"));
        as_thread(&mut recorder, 7, Polled::No).write(INNER[0], get("/20"));
        as_thread(&mut recorder, 8, Polled::No).write(USERS[0], OK);
        as_thread(&mut recorder, 7, Polled::No).read(INNER[0], OK);
        recorder.write(OUTER[1], OK);
        pool(&mut recorder, 21..30);
        let spans = tell(&mut recorder);
        assert!((16..20).all(|number| is_linked(&spans, number)));
        assert!((20..30).all(|number| is_linked(&spans, number) == answer_their_own));
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
