//! Heads that a strict reader refuses, and servers and clients take: what each of them was seen to
//! do, and what is told. `httparse` refuses all of them, so that it is no oracle here.

use wirespan_protocols::conversation::{End, Understanding};
use wirespan_protocols::exchange::Role;
use wirespan_protocols::listener::Discard;

use super::wire::{GET, OK, ROLES, Wire};

const BAD_REQUEST: &str = "HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno";

#[test]
fn odd_heads_that_some_server_takes_are_read_as_it_reads_them() {
    // One of the servers that were seen to answer it with 200: nginx 1.22, Apache 2.4 (as it
    // comes), Python 3.11's `http.server`, PHP 8.2's built-in server, Go 1.27's `net/http`.
    // Apache's `HttpProtocolOptions Unsafe` takes what nginx does, Node 18 only more blanks between
    // the parts of the line. PHP takes lines without colon, more blanks, line feeds and folded
    // fields, and closes without a word at what it refuses; Go takes line feeds and folded fields.
    for (taken_by, request) in [
        ("nginx", "GET /a HTTP/1.1\r\nX(a): 1\r\nHost: h\r\n\r\n"),
        (
            "nginx",
            "GET /a HTTP/1.1\r\nCaf\u{e9}: 1\r\nHost: h\r\n\r\n",
        ),
        ("python", "GET /a HTTP/1.1\r\nno colon\r\nHost: h\r\n\r\n"),
        ("nginx", "GET /a HTTP/1.1 \r\nHost: h\r\n\r\n"),
        ("nginx", "GET  /a  HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("nginx", "GET /a HTTP/1.1\nHost: h\n\n"),
        ("python", "GET\t/a\tHTTP/1.1\r\nHost: h\r\n\r\n"),
        ("apache", "GET /a HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n"),
        ("python", "GET /a HTTP/1.1\r\n: nameless\r\nHost: h\r\n\r\n"),
        (
            "php",
            "GET /a HTTP/1.1\r\n X: folded first\r\nHost: h\r\n\r\n",
        ),
        ("php", "GET /a HTTP/1.1\r\nX : 1\r\nHost: h\r\n\r\n"),
        ("php", "GET /a HTTP/1.1\r\nX: a\0b\r\nHost: h\r\n\r\n"),
        ("go", "GET /a HTTP/1.2\r\nHost: h\r\nX: a\r\n b\r\n\r\n"),
    ] {
        for role in ROLES {
            let mut wire = Wire::new(role);
            for (n, text) in [request, GET].into_iter().enumerate() {
                // As the first of a connection, and behind others.
                for _ in 0..=n {
                    wire.ask(text);
                    wire.answer(OK);
                }
            }
            wire.ask(request);
            wire.answer(OK);
            assert_eq!(
                wire.lines(),
                ["GET /a 200 0/5"; 4],
                "{taken_by}: {request:?}"
            );
            assert_eq!(wire.told.discards, [], "{taken_by}: {request:?}");
        }
    }
}

#[test]
fn a_control_character_in_a_target_is_part_of_it() {
    // Python takes it; PHP closes, the others refuse.
    for (answer, line) in [
        (OK, "GET /a\u{1} 200 0/5"),
        (BAD_REQUEST, "GET /a\u{1} 400 0/2"),
    ] {
        for role in ROLES {
            let mut wire = Wire::new(role);
            wire.ask("GET /a\u{1} HTTP/1.1\r\nHost: h\r\n\r\n");
            wire.answer(answer);
            assert_eq!(wire.lines(), [line], "{role:?}");
        }
    }
}

/// A ClientHello that names nobody (RFC 8446 §4.1.2), as far as it is looked at.
const HELLO: &[u8] = b"\x16\x03\x01\0\x06\x01\0\0\x02\x03\x03";

#[test]
fn a_handshake_that_a_plain_server_refuses_is_an_exchange() {
    // nginx, Go and Node answer it with 400, and nginx logs that.
    for role in ROLES {
        for cut in 1..BAD_REQUEST.len() {
            for (before, end) in [(0, HELLO.len()), (3, HELLO.len()), (0, HELLO.len() - 2)] {
                let mut wire = Wire::new(role);
                wire.ask(&HELLO[..before]);
                wire.ask(&HELLO[before..end]);
                wire.answer(&BAD_REQUEST[..cut]);
                wire.answer(&BAD_REQUEST[cut..]);
                let place = format!("{role:?} {before} {cut}");
                assert_eq!(wire.lines(), ["  400 ?/2"], "{place}");
                assert_eq!(wire.told.discards, [], "{place}");
            }
        }
    }
}

#[test]
fn a_handshake_that_is_answered_by_one_or_goes_on_is_encrypted() {
    for role in ROLES {
        for answer in [
            &b"\x16\x03\x03\0\x7a\x02"[..],
            b"\x15\x03\x01\0\x02\x02\x28",
            b"????",
        ] {
            let mut wire = Wire::new(role);
            wire.ask(HELLO);
            wire.answer(answer);
            assert_eq!(
                wire.conversation.verdict(),
                Understanding::Encrypted,
                "{role:?} {answer:?}"
            );
        }
        let mut wire = Wire::new(role);
        wire.ask(HELLO);
        wire.ask(b"\x17\x03\x03\0\x10early");
        assert_eq!(
            wire.conversation.verdict(),
            Understanding::Encrypted,
            "{role:?}"
        );
    }
}

#[test]
fn odd_responses_that_clients_take_keep_their_status() {
    for head in [
        "HTTP/1.2 200 OK\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nPHP Warning: undefined $x in /srv/a.php\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\n<b>Notice</b>\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nna(me: x\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 200\r\nContent-Length: 5\r\n folded\r\n\r\n",
    ] {
        for role in ROLES {
            let mut wire = Wire::new(role);
            wire.ask(GET);
            wire.answer(format!("{head}hello"));
            wire.ask(GET);
            wire.answer(OK);
            assert_eq!(wire.lines(), ["GET /a 200 0/5"; 2], "{head:?}");
        }
    }
}

/// What none of them takes, and nearly all of them answer: nginx, Apache and Node with 400 or 505,
/// Python also with 501. (nginx takes the one without version for HTTP/0.9.)
const MALFORMED: [&str; 6] = [
    "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET / HTTP/9.9\r\n\r\n",
    "G(T / HTTP/1.1\r\n\r\n",
    "\u{3}\0\0\u{13}\u{e}\r\n",
    "GET /\r\n",
    "{\"a\": 1}\r\n",
];

#[test]
fn what_a_server_refuses_is_an_exchange_without_method_and_target() {
    for malformed in MALFORMED {
        for role in ROLES {
            for is_first in [true, false] {
                let mut wire = Wire::new(role);
                if !is_first {
                    wire.ask(GET);
                    wire.answer(OK);
                }
                let before = wire.told.exchanges.len();
                let (begin, rest) = malformed.split_at(malformed.len() / 2);
                wire.ask(begin);
                wire.ask(rest);
                wire.answer(BAD_REQUEST);
                let place = format!("{role:?} {malformed:?} {is_first}");
                assert_eq!(wire.lines()[before..], ["  400 ?/2"], "{place}");
                let start_ns = wire.told.exchanges[before].start_ns;
                assert_eq!(start_ns, 10 + 20 * before as u64, "{place}");
                assert_eq!(wire.told.discards, [], "{place}");
                // A server that goes on all the same is followed.
                wire.ask(GET);
                wire.answer(OK);
                assert_eq!(wire.lines()[before + 1..], ["GET /a 200 0/5"], "{place}");
            }
        }
    }
}

#[test]
fn junk_that_nobody_refuses_is_no_request() {
    for malformed in MALFORMED {
        for role in ROLES {
            for answer in ["", OK, "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"] {
                let mut wire = Wire::new(role);
                wire.ask(GET);
                wire.answer(OK);
                wire.ask(malformed);
                if !answer.is_empty() {
                    wire.answer(answer);
                }
                wire.end(End::Closed);
                let place = format!("{role:?} {malformed:?} {answer:?}");
                assert_eq!(wire.lines(), ["GET /a 200 0/5"], "{place}");
                assert_eq!(wire.told.discards, [Discard::Unparsable], "{place}");
            }
        }
    }
}

#[test]
fn a_message_whose_lengths_contradict_each_other_keeps_its_head() {
    let lengths = "Content-Length: 3\r\nContent-Length: 5\r\n\r\nhello";
    for role in ROLES {
        let mut wire = Wire::new(role);
        wire.ask(format!("POST /a HTTP/1.1\r\n{lengths}"));
        wire.answer(BAD_REQUEST);
        wire.ask(GET);
        wire.answer(format!("HTTP/1.1 201 So\r\n{lengths}"));
        wire.ask(GET);
        wire.answer(OK);
        let wanted = [
            "POST /a 400 ?/2",
            "GET /a EndInferred 201 0/?",
            "GET /a 200 0/5",
        ];
        assert_eq!(wire.lines(), wanted, "{role:?}");
    }
}

#[test]
fn a_head_that_never_ends_is_told_with_its_answer() {
    for (head, line) in [
        ("GET /slow HTTP/1.1\r\nHost: h\r\n", "GET /slow 408 ?/2"),
        ("GET /slo", "GET /slo 408 ?/2"),
        ("GE", ""),
    ] {
        let mut wire = Wire::new(Role::Server);
        wire.ask(GET);
        wire.answer(OK);
        wire.ask(head);
        wire.answer("HTTP/1.1 408 Too slow\r\nContent-Length: 2\r\n\r\nno");
        wire.end(End::Closed);
        let lines = wire.lines();
        assert_eq!(lines.get(1).map_or("", |told| told), line, "{head:?}");
    }
}
