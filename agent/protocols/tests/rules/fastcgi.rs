//! What is said over FastCGI, as short stories on the wire.

use wirespan_protocols::conversation::End;
use wirespan_protocols::exchange::Outcome;
use wirespan_protocols::family::http::{Method, Version};

use crate::told;
use crate::wire::{ROLES, Wire};

const ASKED: &[u8] = include_bytes!("../data/fastcgi/requests/get");
const POSTED: &[u8] = include_bytes!("../data/fastcgi/requests/post");
const ANSWERED: &[u8] = include_bytes!("../data/fastcgi/responses/php");
const MISSING: &[u8] = include_bytes!("../data/fastcgi/responses/missing");
const HEAD: &[u8] = b"Status: 201 Created\r\nContent-type: text/plain\r\n\r\n";

/// A record, without padding.
fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).expect("it fits").to_be_bytes();
    [&[1, kind, 0, 1, high, low, 0, 0], content].concat()
}

fn ended() -> Vec<u8> {
    record(3, &[0; 8])
}

#[test]
fn requests_follow_one_another_on_a_connection_that_is_kept() {
    for role in ROLES {
        let mut wire = Wire::new(role);
        wire.ask(ASKED);
        wire.answer(ANSWERED);
        wire.ask(ASKED);
        wire.answer(MISSING);
        let expected = [
            (Outcome::Complete, Some(200), 20),
            (Outcome::Complete, Some(404), 40),
        ];
        assert_eq!(wire.fates(), expected, "{role:?}");
        let first = &wire.told.exchanges[0];
        let request = told::request(first);
        assert_eq!(
            (&*request.target, &request.method),
            ("/shop/7?a=b", &Method::Get)
        );
        assert_eq!(request.host.as_deref(), Some("shop.example"));
        assert_eq!(request.forwarded_for.as_deref(), Some("192.0.2.7"));
        assert_eq!(
            (request.version, request.body_size),
            (Version::FastCgi, Some(0))
        );
        let size = told::response(first).and_then(|response| response.body_size);
        assert_eq!(size, Some(11));
        assert_eq!(wire.told.discards, []);
    }
}

#[test]
fn a_script_need_not_read_what_it_is_sent() {
    for role in ROLES {
        let mut wire = Wire::new(role);
        // The record that ends the body is read at last, by who closes the connection, or never.
        wire.ask(&ASKED[..ASKED.len() - 8]);
        wire.answer(ANSWERED);
        assert_eq!(wire.fates(), [(Outcome::Complete, Some(200), 20)]);
        wire.ask(&ASKED[ASKED.len() - 8..]);
        wire.end(End::Closed);
        assert_eq!(wire.told.exchanges.len(), 1);
    }
}

#[test]
fn a_status_that_is_none_is_not_made_up() {
    for (said, status) in [
        ("Status: abc\r\n", 0),
        ("Status: 99999999999999999999\r\n", 0),
        ("Location: /\r\n", 302),
        ("X: y\r\n", 200),
    ] {
        let mut wire = Wire::new(ROLES[0]);
        wire.ask(ASKED);
        let head = record(6, format!("{said}\r\n").as_bytes());
        wire.answer([head, ended()].concat());
        assert_eq!(
            wire.fates(),
            [(Outcome::Complete, Some(status), 20)],
            "{said}"
        );
    }
}

#[test]
fn a_large_answer_is_measured_by_its_records() {
    for role in ROLES {
        let mut wire = Wire::new(role);
        wire.ask(ASKED);
        let large = [HEAD, &[7; 0xfff8 - HEAD.len()]].concat();
        wire.call(false, record(6, &large), 4096);
        // php-fpm writes the header of a record apart from its content.
        let more = record(6, &[7; 20_000]);
        wire.answer(&more[..8]);
        wire.call(false, &more[8..], 512);
        assert!(wire.told.exchanges.is_empty());
        wire.answer(ended());
        assert_eq!(wire.fates(), [(Outcome::Complete, Some(201), 50)]);
        let response = told::response(&wire.told.exchanges[0]).expect("an answer");
        let body = (0xfff8 - HEAD.len() + 20_000) as u64;
        assert_eq!(response.body_size, Some(body));
    }
}

#[test]
fn after_a_gap_over_records_the_end_is_looked_for() {
    for role in ROLES {
        let mut wire = Wire::new(role);
        wire.ask(ASKED);
        wire.answer(record(6, HEAD));
        wire.count(false, 200_000, "");
        let last = [&record(6, b"the rest")[..], &ended()].concat();
        wire.answer(&last[..20]);
        assert!(wire.told.exchanges.is_empty());
        wire.answer(&last[20..]);
        wire.ask(ASKED);
        wire.answer(ANSWERED);
        let fates: Vec<_> = wire.fates().iter().map(|fate| fate.1).collect();
        assert_eq!(fates, [Some(201), Some(200)], "{role:?}");
        assert!(wire.told.exchanges[1].outcome == Outcome::Complete);
    }
}

/// So large a body is copied in part, here and there, and its records are not known any more.
#[test]
fn after_a_large_body_requests_are_read_on() {
    for role in ROLES {
        for is_end_seen in [false, true] {
            let mut wire = Wire::new(role);
            for _ in 0..10 {
                wire.ask(&ASKED[..ASKED.len() - 8]);
                for part in record(5, &[b'x'; 0xfff8]).repeat(3).chunks(9000) {
                    wire.call(true, part, 512);
                }
                match is_end_seen {
                    true => wire.ask(record(5, b"")),
                    false => wire.call(true, [&[b'x'; 9000], &record(5, b"")[..]].concat(), 512),
                }
                wire.answer(ANSWERED);
                wire.ask(ASKED);
                wire.answer(MISSING);
            }
            let statuses: Vec<_> = wire.fates().iter().map(|fate| fate.1).collect();
            assert_eq!(statuses, [Some(200), Some(404)].repeat(10), "{role:?}");
            assert_eq!(wire.told.discards, [], "{role:?}");
        }
    }
}

/// The record that ends it is in the part of the last call that was not copied.
#[test]
fn after_an_answer_whose_end_was_not_seen_requests_are_read_on() {
    for role in ROLES {
        let mut wire = Wire::new(role);
        for _ in 0..10 {
            wire.ask(ASKED);
            wire.answer(record(6, HEAD));
            wire.count(false, 200_000, "");
            let last = [&record(6, &[7; 9000])[..], &record(7, &[7; 2000]), &ended()].concat();
            wire.call(false, last, 512);
            wire.ask(ASKED);
            wire.answer(ANSWERED);
        }
        let statuses: Vec<_> = wire.fates().iter().map(|fate| fate.1).collect();
        assert_eq!(statuses, [Some(201), Some(200)].repeat(10), "{role:?}");
    }
}

#[test]
fn who_ends_within_an_answer_did_not_answer() {
    let mut wire = Wire::new(ROLES[0]);
    wire.ask(ASKED);
    wire.answer(record(6, HEAD));
    wire.end(End::Ingress);
    assert_eq!(wire.fates()[0].0, Outcome::Closed);
}

#[test]
fn parameters_that_were_cut_still_get_their_answer() {
    for role in ROLES {
        let mut wire = Wire::new(role);
        wire.call(true, POSTED, 60);
        wire.answer(ANSWERED);
        assert_eq!(
            wire.fates(),
            [(Outcome::Complete, Some(200), 20)],
            "{role:?}"
        );
        assert!(told::request(&wire.told.exchanges[0]).truncated);
        wire.ask(ASKED);
        wire.answer(ANSWERED);
        assert_eq!(wire.told.exchanges.len(), 2);
    }
}
