//! Responses without end: who leaves one does nothing wrong, unless a length was promised.

use wirespan_protocols::conversation::End;
use wirespan_protocols::exchange::{Outcome, Role};

use super::wire::{GET, Wire};

const ENDLESS: [&str; 2] = [
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n\
     8\r\ndata: 1\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n",
];
const PROMISED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\ndata: 1\n";

/// What becomes of a response whose connection ends so.
fn fate(role: Role, response: &str, ends: &[End]) -> Outcome {
    let mut wire = Wire::new(role);
    wire.ask(GET);
    wire.answer(response);
    for end in ends {
        wire.end(*end);
    }
    let fates = wire.fates();
    assert_eq!(
        (fates.len(), fates[0].1),
        (1, Some(200)),
        "{role:?} {response} {ends:?}"
    );
    fates[0].0
}

#[test]
fn a_client_that_leaves_a_stream_ends_it() {
    for (role, ends) in [
        (Role::Server, &[End::Reset][..]),
        (Role::Server, &[End::Ingress, End::Reset]),
        (Role::Client, &[End::Closed]),
        (Role::Client, &[End::Egress, End::Closed]),
    ] {
        for response in ENDLESS {
            assert_eq!(
                fate(role, response, ends),
                Outcome::Left,
                "{role:?} {ends:?}"
            );
        }
        let outcome = fate(role, PROMISED, ends);
        assert!(
            matches!(outcome, Outcome::Closed | Outcome::Reset),
            "{role:?} {ends:?}"
        );
    }
    let chunked = ENDLESS[0];
    assert_eq!(
        fate(Role::Server, chunked, &[End::Ingress, End::Closed]),
        Outcome::Left
    );
}

#[test]
fn a_server_that_breaks_one_off_does_not() {
    let chunked = ENDLESS[0];
    for (role, ends, wanted) in [
        (Role::Server, &[End::Closed][..], Outcome::Closed),
        (
            Role::Server,
            &[End::Egress, End::Ingress, End::Closed],
            Outcome::Closed,
        ),
        (Role::Server, &[End::ProcessExited], Outcome::ProcessExited),
        (Role::Client, &[End::Ingress, End::Closed], Outcome::Closed),
        (Role::Client, &[End::Reset], Outcome::Reset),
        (Role::Client, &[End::Evicted], Outcome::Evicted),
        // The client may be one that asked for nothing more.
        (
            Role::Server,
            &[End::Ingress, End::ProcessExited],
            Outcome::ProcessExited,
        ),
    ] {
        assert_eq!(fate(role, chunked, ends), wanted, "{role:?} {ends:?}");
    }
}

#[test]
fn who_leaves_before_an_answer_leaves_nothing_that_began() {
    let mut wire = Wire::new(Role::Server);
    wire.ask(GET);
    wire.end(End::Ingress);
    wire.end(End::Closed);
    assert_eq!(wire.fates(), [(Outcome::Closed, None, 30)]);
}
