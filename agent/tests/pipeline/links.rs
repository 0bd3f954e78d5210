//! Which exchange was asked for by which: by the two ends of a connection, by tasks, by threads.
//! What is not certain stays apart.

use wirespan::span::{Span, SpanKind};
use wirespan_common::record::{OBJECT_BIT, TaskEvent, TaskKind};

use crate::records::{MS, Recorder};
use crate::{Bench, OK, WALL_NS, attribute};

/// Processes, and the connections between them by their inode numbers: each has two.
pub(crate) const USER: u32 = 100;
pub(crate) const FRONT: u32 = 200;
pub(crate) const BACK: u32 = 300;
/// Of the user to the front, and of the front to the back.
pub(crate) const OUTER: [u64; 2] = [11, 12];
pub(crate) const INNER: [u64; 2] = [21, 22];
pub(crate) const FAR: &str = "10.0.0.9:50000";
pub(crate) const LOOP: [&str; 3] = ["127.0.0.1:50001", "127.0.0.1:80", "127.0.0.1:81"];

pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")
}

/// Both connections, seen at all their ends.
pub(crate) fn all() -> Recorder {
    let mut recorder = Recorder::new(WALL_NS);
    let [user, front, back] = LOOP;
    recorder
        .at(MS)
        .open_both([(OUTER[0], USER, user), (OUTER[1], FRONT, front)], [1, 2])
        .open_both([(INNER[0], FRONT, front), (INNER[1], BACK, back)], [3, 4]);
    recorder
}

pub(crate) fn tell(recorder: &mut Recorder) -> Vec<Span> {
    let mut bench = Bench::seeded();
    bench.feed(recorder).finish();
    bench.spans
}

pub(crate) fn find(spans: &[Span], kind: SpanKind, path: &str) -> Span {
    let of_path = |span: &&Span| {
        let text = format!("{:?}", span.attributes);
        span.kind == kind && text.contains(&format!("{path}\""))
    };
    let mut found = spans.iter().filter(of_path);
    let span = found.next().expect("a span");
    assert!(found.next().is_none(), "one");
    span.clone()
}

/// How `child` is linked, if it is, to `parent`.
pub(crate) fn link(child: &Span, parent: &Span) -> Option<String> {
    let is_child = child.parent_span_id == Some(parent.span_id);
    assert_eq!(is_child, child.trace_id == parent.trace_id);
    is_child.then(|| attribute(child, "wirespan.link").expect("told"))
}

#[test]
fn both_ends_of_an_exchange_are_one_call_whichever_is_told_first() {
    for server_first in [false, true] {
        let mut recorder = all();
        for n in 0..3 {
            let request = get(&format!("/{n}"));
            if server_first {
                recorder.of(FRONT).read(OUTER[1], &request);
                recorder.of(USER).write(OUTER[0], &request);
            } else {
                recorder.of(USER).write(OUTER[0], &request);
                recorder.of(FRONT).read(OUTER[1], &request);
            }
            recorder.of(FRONT).write(OUTER[1], OK);
            recorder.of(USER).read(OUTER[0], OK);
        }
        let spans = tell(&mut recorder);
        for n in 0..3 {
            let path = format!("/{n}");
            let client = find(&spans, SpanKind::Client, &path);
            let server = find(&spans, SpanKind::Server, &path);
            assert_eq!(link(&server, &client).as_deref(), Some("connection"));
            assert!(server.parent_is_remote);
            assert_eq!(client.parent_span_id, None);
        }
    }
}

#[test]
fn a_server_that_was_told_alone_waits_a_tenth_of_a_second_for_its_client() {
    let mut bench = Bench::seeded();
    let mut recorder = all();
    recorder.at(2 * MS).of(FRONT);
    recorder.read(OUTER[1], get("/a")).write(OUTER[1], OK);
    bench.feed(&mut recorder);
    assert!(bench.spans.is_empty());
    assert_eq!(bench.pipeline.waits_until(), Some(102 * MS));
    bench.feed(recorder.at(102 * MS).clock(WALL_NS));
    assert_eq!(bench.spans.len(), 1);
    // Who comes too late finds it gone.
    recorder.of(USER).write(OUTER[0], get("/a"));
    recorder.read(OUTER[0], OK);
    bench.feed(&mut recorder).finish();
    let [server, client] = &bench.spans[..] else {
        panic!("two spans")
    };
    assert_eq!(link(server, client), None);
}

/// Who finds a server under another address tells that it is on this node after the server does.
#[test]
fn a_client_whose_address_is_translated_may_be_told_after_its_first_request() {
    const ROUTER: &str = "10.0.0.254:30000";
    for (late_ns, is_linked) in [(MS, true), (20 * MS, false)] {
        let mut bench = Bench::seeded();
        let mut recorder = Recorder::new(WALL_NS);
        recorder.at(MS).of(FRONT).beginning_at([1, 2]);
        recorder.open_tcp(OUTER[1], "10.0.0.1:8080", ROUTER);
        recorder.read(OUTER[1], get("/a")).write(OUTER[1], OK);
        bench.feed(&mut recorder);
        assert!(bench.spans.is_empty());
        bench.feed(recorder.at(MS + late_ns).clock(WALL_NS));
        recorder.of(USER).beginning_at([2, 1]);
        recorder.open_tcp(OUTER[0], "10.1.0.2:50000", ROUTER);
        recorder.write(OUTER[0], get("/a")).read(OUTER[0], OK);
        bench.feed(&mut recorder).finish();
        let client = find(&bench.spans, SpanKind::Client, "/a");
        let server = find(&bench.spans, SpanKind::Server, "/a");
        assert_eq!(link(&server, &client).is_some(), is_linked, "{late_ns}");
    }
}

#[test]
fn nobody_waits_long_for_a_client_of_another_node() {
    let mut bench = Bench::seeded();
    let mut recorder = Recorder::new(WALL_NS);
    recorder.of(FRONT).open_tcp(1, "10.0.0.1:80", FAR);
    recorder.read(1, get("/a")).write(1, OK);
    bench.feed(recorder.at(11 * MS).clock(WALL_NS));
    assert_eq!(bench.spans.len(), 1);
    // It would have told of itself by now.
    recorder.of(FRONT).read(1, get("/b")).write(1, OK);
    bench.feed(&mut recorder);
    assert_eq!(bench.spans.len(), 2);
}

/// By its address it could be on this node, but if it were watched, it would have told so.
#[test]
fn nobody_waits_for_a_client_that_did_not_announce_itself() {
    let [user, front, _] = LOOP;
    let mut bench = Bench::seeded();
    let mut recorder = Recorder::new(WALL_NS);
    recorder.at(MS).of(FRONT).beginning_at([1, 2]);
    recorder.open_tcp(OUTER[1], front, user);
    recorder.at(100 * MS).of(FRONT).read(OUTER[1], get("/a"));
    recorder.write(OUTER[1], OK);
    bench.feed(&mut recorder);
    assert_eq!(bench.spans.len(), 0);
    bench.feed(recorder.at(300 * MS).clock(WALL_NS));
    assert_eq!(bench.spans.len(), 1);
    recorder.of(FRONT).read(OUTER[1], get("/b"));
    recorder.write(OUTER[1], OK);
    bench.feed(&mut recorder);
    assert_eq!(bench.spans.len(), 2);
    // From when it is watched, it is waited for.
    recorder
        .of(USER)
        .beginning_at([2, 1])
        .open_tcp(OUTER[0], user, front);
    recorder.of(FRONT).read(OUTER[1], get("/c"));
    recorder.write(OUTER[1], OK);
    bench.feed(&mut recorder);
    assert_eq!(bench.spans.len(), 2);
}

/// A request to the front, within which it asks the back; `front` says who does what there.
pub(crate) fn chain(
    recorder: &mut Recorder,
    mut front: impl FnMut(&mut Recorder, &str),
) -> [Span; 4] {
    recorder.of(USER).write(OUTER[0], get("/outer"));
    recorder.of(FRONT);
    front(recorder, "reads");
    recorder.read(OUTER[1], get("/outer"));
    recorder.of(FRONT);
    front(recorder, "asks");
    recorder.write(INNER[0], get("/inner"));
    recorder.of(BACK).read(INNER[1], get("/inner"));
    recorder.of(BACK).write(INNER[1], OK);
    recorder.of(FRONT);
    front(recorder, "hears");
    recorder.read(INNER[0], OK);
    recorder.of(FRONT);
    front(recorder, "answers");
    recorder.write(OUTER[1], OK);
    recorder.of(USER).read(OUTER[0], OK);
    let spans = tell(recorder);
    assert_eq!(spans.len(), 4);
    [
        find(&spans, SpanKind::Client, "/outer"),
        find(&spans, SpanKind::Server, "/outer"),
        find(&spans, SpanKind::Client, "/inner"),
        find(&spans, SpanKind::Server, "/inner"),
    ]
}

pub(crate) fn links(chain: &[Span; 4]) -> [Option<String>; 3] {
    let [user, front, call, back] = chain;
    [link(front, user), link(call, front), link(back, call)]
}

pub(crate) fn told(links: [Option<&str>; 3]) -> [Option<String>; 3] {
    links.map(|link| link.map(str::to_owned))
}

pub(crate) const CONNECTION: Option<&str> = Some("connection");

#[test]
fn a_goroutine_serves_what_it_read_and_those_that_it_makes_do_too() {
    let itself = chain(&mut all(), |recorder, _| {
        recorder.as_task(TaskKind::Goroutine, 0xc000, 0);
    });
    let expected = told([CONNECTION, Some("goroutine"), CONNECTION]);
    assert_eq!(links(&itself), expected);
    let born = |parent: u64| {
        move |recorder: &mut Recorder, what: &str| {
            let task = match what {
                "asks" => {
                    recorder.note(TaskEvent::Born, TaskKind::Goroutine, 0xc001, parent, 0);
                    0xc001
                }
                _ => 0xc000,
            };
            recorder.as_task(TaskKind::Goroutine, task, 0);
        }
    };
    assert_eq!(links(&chain(&mut all(), born(0xc000))), expected);
    let expected = told([CONNECTION, None, CONNECTION]);
    assert_eq!(links(&chain(&mut all(), born(0xd000))), expected);
}

#[test]
fn a_number_of_a_task_that_is_over_means_nothing() {
    let mut recorder = all();
    let of_front = |recorder: &mut Recorder| {
        recorder.of(FRONT).as_task(TaskKind::Goroutine, 0xc000, 0);
    };
    of_front(&mut recorder);
    recorder.read(OUTER[1], get("/outer"));
    recorder.note(TaskEvent::Ended, TaskKind::Goroutine, 0xc000, 0, 0);
    recorder.write(INNER[0], get("/inner"));
    let spans = tell(&mut recorder);
    assert_eq!(
        find(&spans, SpanKind::Client, "/inner").parent_span_id,
        None
    );
}

#[test]
fn a_task_says_for_whom_it_asks_on_a_connection() {
    let asks = chain(&mut all(), |recorder, what| {
        if what == "asks" {
            let connection = INNER[0];
            recorder.note(TaskEvent::Asks, TaskKind::Goroutine, 0xc000, connection, 0);
            // Another one writes what it asked for.
            recorder.as_task(TaskKind::Goroutine, 0xc001, 0);
        } else {
            recorder.as_task(TaskKind::Goroutine, 0xc000, 0);
        }
    });
    assert_eq!(links(&asks)[1].as_deref(), Some("goroutine"));
}

/// A request with this header.
fn named(path: &str, header: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\ntraceparent: {header}\r\n\r\n")
}

#[test]
fn a_header_that_is_passed_on_leads_through_and_that_of_an_sdk_stays() {
    const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const SDK: &str = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";
    for (inner, is_passed_on) in [(CALLER, true), (SDK, false)] {
        let mut recorder = all();
        recorder.of(FRONT).read(OUTER[1], named("/outer", CALLER));
        recorder.write(INNER[0], named("/inner", inner));
        recorder.of(BACK).read(INNER[1], named("/inner", inner));
        recorder.write(INNER[1], OK);
        recorder.of(FRONT).read(INNER[0], OK).write(OUTER[1], OK);
        let spans = tell(&mut recorder);
        let front = find(&spans, SpanKind::Server, "/outer");
        let call = find(&spans, SpanKind::Client, "/inner");
        let back = find(&spans, SpanKind::Server, "/inner");
        assert_eq!(
            front.parent_span_id,
            Some(0xb7ad_6b71_6920_3331u64.to_be_bytes())
        );
        assert_eq!(back.parent_span_id, Some(call.span_id));
        let above = if is_passed_on {
            Some(front.span_id)
        } else {
            Some(0x00f0_67aa_0ba9_02b7u64.to_be_bytes())
        };
        assert_eq!(call.parent_span_id, above);
        let traces = [&front, &call, &back].map(|span| span.trace_id);
        assert!(traces.iter().all(|trace| *trace == traces[0]));
    }
}

#[test]
fn over_tls_both_ends_meet_by_what_was_encrypted() {
    let objects = [OBJECT_BIT | 1, OBJECT_BIT | 2];
    let mut recorder = all();
    let [user, front, _] = LOOP;
    recorder.of(USER).open_on(OUTER[0], objects[0], user, front);
    recorder
        .of(FRONT)
        .open_on(OUTER[1], objects[1], front, user);
    for n in 1..=2 {
        // Both sides have come so far: the first numbers are 1 and 2.
        let of_user = [2 + 1000 * n, 1 + 500 * n];
        let of_front = [1 + 500 * n, 2 + 900 * n];
        let path = format!("/{n}");
        recorder.of(USER).write(objects[0], get(&path));
        recorder.of(FRONT).read(objects[1], get(&path));
        recorder.carried(of_front).write(objects[1], OK);
        recorder.of(USER).carried(of_user).read(objects[0], OK);
    }
    let spans = tell(&mut recorder);
    for path in ["/1", "/2"] {
        let client = find(&spans, SpanKind::Client, path);
        let server = find(&spans, SpanKind::Server, path);
        assert_eq!(link(&server, &client).as_deref(), CONNECTION);
    }
}

#[test]
fn over_a_unix_socket_the_only_call_that_is_open_is_meant() {
    let mut recorder = Recorder::new(WALL_NS);
    recorder.of(USER).open_unix_to(FRONT.into(), USER.into());
    recorder.of(FRONT).open_unix_to(USER.into(), FRONT.into());
    let (client, server) = (u64::from(USER), u64::from(FRONT));
    recorder.of(USER).write(client, get("/a"));
    recorder.of(FRONT).read(server, get("/a")).write(server, OK);
    recorder.of(USER).read(client, OK);
    // Two at a time: nobody knows which is which.
    let both = get("/b") + &get("/c");
    recorder.of(USER).write(client, &both);
    recorder.of(FRONT).read(server, &both);
    recorder.write(server, OK).write(server, OK);
    recorder.of(USER).read(client, OK).read(client, OK);
    let spans = tell(&mut recorder);
    // Of the last one the other has gone, and the bytes before it are as many at both ends.
    for (path, expected) in [("/a", CONNECTION), ("/b", None), ("/c", CONNECTION)] {
        let client = find(&spans, SpanKind::Client, path);
        let server = find(&spans, SpanKind::Server, path);
        assert_eq!(link(&server, &client).as_deref(), expected, "{path}");
    }
}

/// Its client was put to sleep within the call by which it asked.
#[test]
fn over_a_unix_socket_who_is_told_of_late_is_known_by_the_bytes_before() {
    // The server's end was seen from an earlier byte on.
    for seen_before in [false, true] {
        let mut recorder = Recorder::new(WALL_NS);
        let (client, server) = (u64::from(USER), u64::from(FRONT));
        recorder.of(FRONT).open_unix_to(USER.into(), FRONT.into());
        if seen_before {
            recorder.read(server, get("/unseen")).write(server, OK);
        }
        recorder.of(USER).open_unix_to(FRONT.into(), USER.into());
        recorder.of(USER).write(client, get("/first"));
        recorder.of(FRONT).read(server, get("/first"));
        recorder.write(server, OK).of(USER).read(client, OK);
        recorder
            .of(FRONT)
            .read(server, get("/late"))
            .write(server, OK);
        recorder
            .of(USER)
            .write(client, get("/late"))
            .read(client, OK);
        // Whose client was not seen is not the next one's.
        recorder
            .of(FRONT)
            .read(server, get("/lost"))
            .write(server, OK);
        let next = get("/next/and/longer");
        recorder.of(USER).write(client, &next);
        recorder.of(FRONT).read(server, &next).write(server, OK);
        recorder.of(USER).read(client, OK);
        let spans = tell(&mut recorder);
        for path in ["/first", "/late", "/next/and/longer"] {
            let client = find(&spans, SpanKind::Client, path);
            let server = find(&spans, SpanKind::Server, path);
            assert_eq!(link(&server, &client).as_deref(), CONNECTION, "{path}");
        }
        let lost = find(&spans, SpanKind::Server, "/lost");
        assert_eq!(lost.parent_span_id, None);
    }
}

#[test]
fn nothing_is_kept_of_what_is_over() {
    let mut bench = Bench::seeded();
    let mut recorder = all();
    for n in 0..2000 {
        let path = format!("/{n}");
        recorder
            .at((n + 2) * MS)
            .of(USER)
            .write(OUTER[0], get(&path));
        recorder.of(FRONT).read(OUTER[1], get(&path));
        recorder.as_task(TaskKind::Goroutine, n, 0);
        recorder.of(FRONT).write(OUTER[1], OK);
        recorder.of(USER).read(OUTER[0], OK);
        if n == 500 {
            bench.feed(&mut recorder);
        }
    }
    let after_some = bench.pipeline.memory_bytes();
    bench.feed(&mut recorder);
    assert!(bench.pipeline.memory_bytes() <= after_some + 64 * 1024);
}

/// A context that a request made may outlive it. Whether it does is waited for, and known however
/// long nothing is heard then.
#[test]
fn calls_of_pythons_contexts_are_told_a_moment_after_the_answer() {
    let kind = TaskKind::PythonContext;
    let (serving, made) = (2 * MS + 1, 2 * MS + 2);
    let mut bench = Bench::seeded();
    let mut recorder = Recorder::new(WALL_NS);
    recorder
        .of(FRONT)
        .open_tcp(2, "10.0.0.1:50000", "10.0.0.8:80");
    recorder.at(2 * MS).of(FRONT).as_task(kind, 0, 4);
    recorder.open_tcp(3, "10.0.0.1:80", "10.0.0.9:50001");
    recorder.read(3, get("/c")).at(3 * MS);
    recorder.born(kind, made, &[serving]).as_task(kind, made, 0);
    recorder.write(2, get("/b")).at(4 * MS).read(2, OK);
    recorder.born(kind, serving, &[]).as_task(kind, serving, 0);
    recorder.at(5 * MS).write(3, OK);
    bench.feed(&mut recorder);
    let told = |bench: &Bench, path: &str| {
        let texts = bench
            .spans
            .iter()
            .map(|span| format!("{:?}", span.attributes));
        texts.filter(|text| text.contains(path)).count()
    };
    assert_eq!((told(&bench, "/b"), told(&bench, "/c")), (0, 1));
    bench.feed(recorder.at(500 * MS).clock(WALL_NS));
    let server = find(&bench.spans, SpanKind::Server, "/c");
    let call = find(&bench.spans, SpanKind::Client, "/b");
    assert_eq!(link(&call, &server).as_deref(), Some("python_context"));
}
