//! Bytes where none should be: bodies behind heads that have none, lengths that count for nothing.
//! The next exchange must not pay for them.

use wirespan_protocols::conversation::End;

use super::wire::{GET, OK, ROLES, Wire};

#[test]
fn identity_is_no_transfer_coding() {
    let framing = "Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nhi";
    for role in ROLES {
        let mut wire = Wire::new(role);
        for _ in 0..2 {
            wire.ask(format!("POST /a HTTP/1.1\r\nHost: h\r\n{framing}"));
            wire.answer(format!("HTTP/1.1 200 OK\r\n{framing}"));
        }
        wire.ask("GET /b HTTP/1.1\r\nTransfer-Encoding: identity\r\n\r\n");
        wire.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nContent-Length: 2\r\n\r\nhi");
        wire.end(End::Closed);
        let wanted = ["POST /a 200 2/2", "POST /a 200 2/2", "GET /b 200 0/2"];
        assert_eq!(wire.lines(), wanted, "{role:?}");
        assert_eq!(wire.told.discards, []);
    }
}

#[test]
fn a_body_where_none_may_be_costs_the_next_exchange_nothing() {
    for (method, head) in [
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n"),
        (
            "GET",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        ),
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
    ] {
        for excess in [
            "0\r\n\r\n",
            "hello",
            "5\r\nhello\r\n0\r\n\r\n",
            "<html>\r\n</html>\r\n",
        ] {
            for is_apart in [true, false] {
                for role in ROLES {
                    let mut wire = Wire::new(role);
                    for _ in 0..2 {
                        wire.ask(format!("{method} /a HTTP/1.1\r\nHost: h\r\n\r\n"));
                        if is_apart {
                            wire.answer(head);
                            wire.answer(excess);
                        } else {
                            wire.answer(format!("{head}{excess}"));
                        }
                    }
                    wire.ask(GET);
                    wire.answer(OK);
                    let status = &head[9..12];
                    let bodiless = format!("{method} /a {status} 0/0");
                    let wanted = [&bodiless, &bodiless, "GET /a 200 0/5"];
                    assert_eq!(
                        wire.lines(),
                        wanted,
                        "{role:?} {head:?} {excess:?} {is_apart}"
                    );
                }
            }
        }
    }
}

#[test]
fn the_end_of_a_body_that_was_none_may_come_with_the_next_response() {
    for role in ROLES {
        for cut in 0..10 {
            let mut wire = Wire::new(role);
            wire.ask(GET);
            wire.answer("HTTP/1.1 204 No Content\r\n\r\n");
            wire.ask(GET);
            let next = format!("0\r\n\r\n{OK}");
            if cut > 0 {
                wire.answer(&next[..cut]);
            }
            wire.answer(&next[cut..]);
            assert_eq!(
                wire.lines(),
                ["GET /a 204 0/0", "GET /a 200 0/5"],
                "{role:?} {cut}"
            );
            assert_eq!(wire.told.discards, []);
        }
    }
}

#[test]
fn what_is_left_over_is_not_taken_for_a_response() {
    // A body that quotes one, behind a head that has none.
    let quoted = "see:\r\nHTTP/1.1 500 Not this\r\nContent-Length: 0\r\n\r\n";
    for role in ROLES {
        let mut wire = Wire::new(role);
        wire.ask("HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n");
        wire.answer(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 52\r\n\r\n{quoted}"
        ));
        wire.ask(GET);
        wire.answer(OK);
        assert_eq!(
            wire.lines(),
            ["HEAD /a 200 0/0", "GET /a 200 0/5"],
            "{role:?}"
        );
    }
}
