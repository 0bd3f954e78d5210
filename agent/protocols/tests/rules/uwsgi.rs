//! What is said to uWSGI and answered, as short stories on the wire.

use wirespan_protocols::conversation::End;
use wirespan_protocols::exchange::{Outcome, Role};
use wirespan_protocols::family::http::{Method, Version};

use crate::told;
use crate::wire::{ROLES, Wire, at_every_cut};

const ASKED: &[u8] = include_bytes!("../data/uwsgi/requests/get");
const POSTED: &[u8] = include_bytes!("../data/uwsgi/requests/post");
const HEAD_ASKED: &[u8] = include_bytes!("../data/uwsgi/requests/psgi");
const ANSWERED: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n";

/// Bytes that POSTED ends with.
const BODY: usize = 17;

#[test]
fn an_answer_lasts_until_the_connection_ends() {
    for role in ROLES {
        let mut wire = Wire::new(role);
        wire.ask(ASKED);
        wire.answer(ANSWERED);
        wire.answer("hello");
        assert!(wire.told.exchanges.is_empty());
        // The server closes the connection, whoever looks on.
        wire.end(match role {
            Role::Client => End::Ingress,
            Role::Server => End::Closed,
        });
        let fates: Vec<_> = wire.fates().iter().map(|fate| (fate.0, fate.1)).collect();
        assert_eq!(fates, [(Outcome::Complete, Some(200))], "{role:?}");
        let exchange = &wire.told.exchanges[0];
        let request = told::request(exchange);
        assert_eq!(
            (&*request.target, &request.method),
            ("/shop/7?a=b", &Method::Get)
        );
        assert_eq!(request.host.as_deref(), Some("shop.example"));
        assert_eq!(request.user_agent.as_deref(), Some("curl/7.88.1"));
        assert_eq!(request.forwarded_for.as_deref(), Some("192.0.2.7"));
        assert_eq!(
            (request.version, request.body_size),
            (Version::Uwsgi, Some(0))
        );
        let size = told::response(exchange).and_then(|response| response.body_size);
        assert_eq!(size, Some(5));
        assert_eq!(wire.told.discards, []);
    }
}

#[test]
fn requests_are_read_wherever_they_are_cut() {
    at_every_cut(POSTED.len(), |wire, at| {
        if at > 0 {
            wire.ask(&POSTED[..at]);
        }
        wire.ask(&POSTED[at..]);
        wire.answer("HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok");
        let fates: Vec<_> = wire.fates().iter().map(|fate| (fate.0, fate.1)).collect();
        assert_eq!(fates, [(Outcome::Complete, Some(201))], "{at}");
        let request = told::request(&wire.told.exchanges[0]);
        assert_eq!(request.body_size, Some(BODY as u64), "{at}");
    });
}

#[test]
fn a_body_that_is_not_copied_is_measured() {
    for role in ROLES {
        let mut wire = Wire::new(role);
        let head = POSTED.len() - BODY;
        wire.call(true, POSTED, head + 3);
        wire.answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(wire.fates(), [(Outcome::Complete, Some(200), 20)]);
        let request = told::request(&wire.told.exchanges[0]);
        assert_eq!((request.body_size, request.truncated), (Some(17), false));
    }
}

#[test]
fn variables_that_are_cut_say_as_much_as_there_is() {
    for role in ROLES {
        let mut wire = Wire::new(role);
        wire.call(true, ASKED, ASKED.len() - 30);
        wire.answer("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(wire.fates()[0].1, Some(404));
        let request = told::request(&wire.told.exchanges[0]);
        assert_eq!((&*request.target, request.truncated), ("/shop/7?a=b", true));
    }
}

#[test]
fn an_answer_to_head_has_no_body() {
    for role in ROLES {
        let mut wire = Wire::new(role);
        wire.ask(HEAD_ASKED);
        wire.answer("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n");
        assert_eq!(wire.fates(), [(Outcome::Complete, Some(200), 20)]);
    }
}
