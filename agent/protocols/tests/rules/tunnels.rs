//! What goes through a tunnel (RFC 9110 §9.3.6) is a conversation of its own.

use wirespan_protocols::conversation::{End, Understanding};
use wirespan_protocols::exchange::Role;

use super::wire::{GET, OK, ROLES, Wire, at_every_cut};

const CONNECT: &str = "CONNECT shop:8080 HTTP/1.1\r\nHost: shop:8080\r\n\r\n";
const ESTABLISHED: &str = "HTTP/1.1 200 Connection established\r\n\r\n";

fn tunnel(role: Role) -> Wire {
    let mut wire = Wire::new(role);
    wire.ask(CONNECT);
    wire.answer(ESTABLISHED);
    wire
}

#[test]
fn exchanges_within_it_are_told_wherever_the_bytes_are_cut() {
    at_every_cut(GET.len(), |wire, cut| {
        wire.ask(&CONNECT[..cut]);
        wire.ask(&CONNECT[cut..]);
        let cut = cut.min(ESTABLISHED.len() - 1);
        wire.answer(&ESTABLISHED[..cut]);
        wire.answer(&ESTABLISHED[cut..]);
        let cut = cut.min(GET.len() - 1);
        wire.ask(&GET[..cut]);
        wire.ask(&GET[cut..]);
        wire.answer(&OK[..cut]);
        wire.answer(&OK[cut..]);
        wire.ask(GET);
        wire.answer(OK);
        let place = format!("{:?} cut at {cut}", wire.role);
        let wanted = [
            "CONNECT shop:8080 200 0/?",
            "GET /a 200 0/5",
            "GET /a 200 0/5",
        ];
        assert_eq!(wire.lines(), wanted, "{place}");
        assert_eq!(wire.told.via, ["shop:8080"], "{place}");
        assert_eq!(wire.told.discards, [], "{place}");
        let moved = CONNECT.len() + ESTABLISHED.len() + 2 * (GET.len() + OK.len());
        assert_eq!(
            wire.conversation.understood_bytes(),
            moved as u64,
            "{place}"
        );
    });
}

#[test]
fn a_client_that_does_not_wait_for_the_answer_is_read_too() {
    for role in ROLES {
        let mut wire = Wire::new(role);
        wire.ask(format!("{CONNECT}{GET}"));
        wire.answer(ESTABLISHED);
        wire.answer(OK);
        wire.ask(GET);
        wire.answer(OK);
        let lines = wire.lines();
        assert_eq!(lines[0], "CONNECT shop:8080 200 0/?", "{role:?}");
        assert_eq!(lines[lines.len() - 1], "GET /a 200 0/5", "{role:?}");
        assert!(
            !lines
                .iter()
                .any(|line| line.contains("GET") && line.contains('-'))
        );
    }
}

#[test]
fn what_is_refused_is_no_tunnel() {
    for role in ROLES {
        let mut wire = Wire::new(role);
        wire.ask(format!("{CONNECT}{GET}"));
        wire.answer("HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno");
        wire.answer(OK);
        wire.ask(CONNECT);
        wire.answer(ESTABLISHED);
        wire.ask(GET);
        wire.answer(OK);
        let wanted = [
            "CONNECT shop:8080 407 0/2",
            "GET /a 200 0/5",
            "CONNECT shop:8080 200 0/?",
            "GET /a 200 0/5",
        ];
        assert_eq!(wire.lines(), wanted, "{role:?}");
    }
}

#[test]
fn a_tunnel_may_lead_to_another() {
    let mut wire = tunnel(Role::Client);
    wire.ask("CONNECT inner:80 HTTP/1.1\r\nHost: inner:80\r\n\r\n");
    wire.answer(ESTABLISHED);
    wire.ask(GET);
    wire.answer(OK);
    assert_eq!(wire.told.via, ["shop:8080", "inner:80"]);
    assert_eq!(wire.lines()[2..], ["GET /a 200 0/5"]);
}

#[test]
fn tls_and_http2_within_it_are_recognised() {
    for role in ROLES {
        let mut wire = tunnel(role);
        wire.ask(b"\x16\x03\x01\0\x06\x01\0\0\x02\x03\x03");
        wire.answer(b"\x16\x03\x03\0\x7a\x02");
        assert_eq!(
            wire.conversation.verdict(),
            Understanding::Encrypted,
            "{role:?}"
        );

        let mut wire = tunnel(role);
        wire.ask(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\
            \0\0\x07\x01\x05\0\0\0\x01\x82\x86\x84\x41\x02hi",
        );
        wire.answer(b"\0\0\0\x04\0\0\0\0\0\0\0\x01\x01\x05\0\0\0\x01\x88");
        assert_eq!(wire.lines()[1..], ["GET / 200 0/0"], "{role:?}");
    }
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let len = payload.len() as u8;
    [&[0, 0, len, kind, flags, 0, 0, 0, 1][..], payload].concat()
}

#[test]
fn a_stream_of_http2_that_is_a_tunnel_is_one_exchange_whatever_it_carries() {
    let connect = b"\x02\x07CONNECT\x41\x03a:1";
    let extended = [&connect[..], b"\x86\x84\x00\x09:protocol\x09websocket"].concat();
    for (block, target) in [(&connect[..], "a:1"), (&extended, "/")] {
        for role in ROLES {
            let mut wire = Wire::new(role);
            let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
            wire.ask([&preface[..], &frame(1, 4, block)].concat());
            wire.answer([&frame(4, 0, b"")[..8], b"\0", &frame(1, 4, b"\x88")].concat());
            wire.ask(frame(0, 0, GET.as_bytes()));
            wire.answer(frame(0, 0, OK.as_bytes()));
            wire.ask(frame(0, 1, b""));
            wire.answer(frame(0, 1, b""));
            let wanted = format!("CONNECT {target} 200 {}/{}", GET.len(), OK.len());
            assert_eq!(wire.lines(), [wanted], "{role:?}");
            assert_eq!(wire.told.discards, []);
        }
    }
}

#[test]
fn what_is_not_understood_within_it_is_given_up_and_not_counted() {
    let mut wire = tunnel(Role::Server);
    let understood = wire.conversation.understood_bytes();
    assert_eq!(understood, (CONNECT.len() + ESTABLISHED.len()) as u64);
    for _ in 0..4 {
        wire.ask(b"\x01binary");
        wire.answer(b"\x02binary");
    }
    assert_eq!(wire.conversation.verdict(), Understanding::Opaque);
    assert_eq!(wire.conversation.understood_bytes(), understood);
    let mut wire = tunnel(Role::Client);
    wire.answer("SSH-2.0-OpenSSH_9.2p1\r\n");
    assert_eq!(wire.conversation.verdict(), Understanding::Opaque);
    wire.end(End::Closed);
    assert_eq!(wire.lines(), ["CONNECT shop:8080 200 0/?"]);
}
