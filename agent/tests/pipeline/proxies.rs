//! What a proxy passes on belongs to the request on the socket that its task is named by.

use wirespan::span::SpanKind;
use wirespan_common::record::{OBJECT_BIT, TaskKind};

use crate::links::{FRONT, INNER, LOOP, OUTER, all, find, get, link, tell};
use crate::records::Recorder;
use crate::{OK, attribute};

/// The proxy reads on this connection, which is on this socket.
fn read(recorder: &mut Recorder, connection: u64, socket: u64, bytes: &str) {
    let front = recorder.of(FRONT);
    front
        .as_task(TaskKind::ProxyRequest, socket, 0)
        .read(connection, bytes);
}

/// It asks on this connection for who is on that socket.
fn ask(recorder: &mut Recorder, connection: u64, socket: u64, path: &str) {
    let front = recorder.of(FRONT);
    front.as_task(TaskKind::ProxyRequest, socket, 0);
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
fn in_tls_the_socket_underneath_names_the_request() {
    let object = OBJECT_BIT | 1;
    let mut recorder = all();
    recorder
        .of(FRONT)
        .open_on(object, OUTER[1], LOOP[1], LOOP[0]);
    read(&mut recorder, object, OUTER[1], &get("/tls"));
    ask(&mut recorder, INNER[0], OUTER[1], "/tls");
    recorder.of(FRONT).read(INNER[0], OK).write(object, OK);
    let spans = tell(&mut recorder);
    assert_eq!(pair(&spans, "/tls").as_deref(), PROXY);
    let call = find(&spans, SpanKind::Client, "/tls");
    assert_eq!(attribute(&call, "wirespan.link").as_deref(), PROXY);
}

#[test]
fn who_is_on_another_socket_or_stream_is_nobody() {
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
