//! Exports of wirespan that pass through watched processes make no spans.

use wirespan::own::USER_AGENT;

use crate::records::Recorder;
use crate::{CLIENT, OK, SERVER, WALL_NS, attribute, spans_of};

/// A request, served or made, with this `User-Agent`.
fn spans_made(request_line: &str, user_agent: &str, is_served: bool) -> usize {
    let mut recorder = Recorder::new(WALL_NS);
    let request = format!(
        "{request_line} HTTP/1.1\r\nHost: collector:4318\r\nUser-Agent: {user_agent}\r\n\
         Content-Length: 2\r\n\r\nhi"
    );
    recorder.open_tcp(1, SERVER, CLIENT);
    if is_served {
        recorder.read(1, &request).write(1, OK);
    } else {
        recorder.write(1, &request).read(1, OK);
    }
    spans_of(&mut recorder).len()
}

#[test]
fn exports_make_no_spans_at_either_end() {
    for is_served in [true, false] {
        for agent in [USER_AGENT, "wirespan/9.1 (rust; otlp) tonic/0.14"] {
            for target in ["/v1/traces", "/v1/metrics", "/collector/v1/traces"] {
                let line = format!("POST {target}");
                assert_eq!(spans_made(&line, agent, is_served), 0, "{line} {agent}");
            }
        }
    }
}

#[test]
fn neither_the_name_nor_the_target_alone_hides_a_request() {
    for (line, agent) in [
        ("POST /v1/traces", "curl/8"),
        ("POST /v1/traces", "wirespan/1"),
        ("POST /orders", USER_AGENT),
        ("GET /v1/traces", USER_AGENT),
    ] {
        assert_eq!(spans_made(line, agent, true), 1, "{line} {agent}");
    }
}

#[test]
fn what_else_is_on_the_connection_is_told() {
    let mut recorder = Recorder::new(WALL_NS);
    let export = format!(
        "POST /v1/traces HTTP/1.1\r\nHost: h\r\nUser-Agent: {USER_AGENT}\r\n\
         Content-Length: 2\r\n\r\nhi"
    );
    recorder.open_tcp(1, SERVER, CLIENT);
    recorder.read(1, &export).write(1, OK);
    recorder
        .read(1, "GET /health HTTP/1.1\r\nHost: h\r\n\r\n")
        .write(1, OK);
    let spans = spans_of(&mut recorder);
    assert_eq!(spans.len(), 1);
    assert_eq!(attribute(&spans[0], "url.path"), Some("/health".into()));
}
