//! What a proxy passes on belongs to the request on the connection that its task is named by.

use wirespan::span::SpanKind;
use wirespan_common::record::TaskKind;

use crate::OK;
use crate::links::{FRONT, INNER, LOOP, OUTER, all, find, get, link, tell};
use crate::records::Recorder;

/// The proxy reads on this connection, which it keeps there.
fn read(recorder: &mut Recorder, connection: u64, kept_at: u64, bytes: &str) {
    let front = recorder.of(FRONT);
    front
        .as_task(TaskKind::ProxyRequest, kept_at, 0)
        .read(connection, bytes);
}

/// It asks on this connection for whom it keeps there.
fn ask(recorder: &mut Recorder, connection: u64, kept_at: u64, path: &str) {
    let front = recorder.of(FRONT);
    front.as_task(TaskKind::ProxyRequest, kept_at, 0);
    front.write(connection, get(path));
}

fn pair(spans: &[wirespan::span::Span], path: &str) -> Option<String> {
    let server = find(spans, SpanKind::Server, path);
    link(&find(spans, SpanKind::Client, path), &server)
}

const PROXY: Option<&str> = Some("proxy_request");

#[test]
fn the_first_request_of_all_is_passed_on_for_its_client() {
    let mut recorder = all();
    read(&mut recorder, OUTER[1], OUTER[1], &get("/first"));
    ask(&mut recorder, INNER[0], OUTER[1], "/first");
    recorder.of(FRONT).read(INNER[0], OK).write(OUTER[1], OK);
    let spans = tell(&mut recorder);
    assert_eq!(pair(&spans, "/first").as_deref(), PROXY);
}

#[test]
fn requests_that_were_sent_ahead_are_passed_on_one_after_the_other() {
    let mut recorder = all();
    let ahead = ["/a", "/b", "/c"].map(get).concat();
    read(&mut recorder, OUTER[1], OUTER[1], &ahead);
    for path in ["/a", "/b", "/c"] {
        ask(&mut recorder, INNER[0], OUTER[1], path);
        recorder.of(FRONT).read(INNER[0], OK).write(OUTER[1], OK);
    }
    let spans = tell(&mut recorder);
    for path in ["/a", "/b", "/c"] {
        assert_eq!(pair(&spans, path).as_deref(), PROXY, "{path}");
    }
}

#[test]
fn an_address_that_is_used_again_is_of_the_connection_that_has_it_now() {
    let mut recorder = all();
    // The answer of the first is not seen.
    read(&mut recorder, OUTER[1], 77, &get("/gone"));
    recorder.of(FRONT).open_tcp(31, LOOP[1], "10.0.0.9:40000");
    read(&mut recorder, 31, 77, &get("/here"));
    ask(&mut recorder, INNER[0], 77, "/here");
    recorder.of(FRONT).read(INNER[0], OK).write(31, OK);
    // Nobody has read what this one would be for.
    ask(&mut recorder, INNER[0], 77, "/later");
    recorder.of(FRONT).read(INNER[0], OK);
    let spans = tell(&mut recorder);
    assert_eq!(pair(&spans, "/here").as_deref(), PROXY);
    let later = find(&spans, SpanKind::Client, "/later");
    assert_eq!(later.parent_span_id, None);
}

#[test]
fn who_is_kept_elsewhere_or_on_another_stream_is_nobody() {
    let mut recorder = all();
    read(&mut recorder, OUTER[1], OUTER[1], &get("/a"));
    ask(&mut recorder, INNER[0], 99, "/a");
    recorder.of(FRONT).read(INNER[0], OK).write(OUTER[1], OK);
    read(&mut recorder, OUTER[1], OUTER[1], &get("/b"));
    recorder.as_task(TaskKind::ProxyRequest, OUTER[1], 3);
    recorder.write(INNER[0], get("/b"));
    recorder.of(FRONT).read(INNER[0], OK).write(OUTER[1], OK);
    let spans = tell(&mut recorder);
    assert_eq!(pair(&spans, "/a"), None);
    assert_eq!(pair(&spans, "/b"), None);
}
