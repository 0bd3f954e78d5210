//! Connections between a real client and a real server (the `h2` crate), overheard: what was called
//! is what is told, however the bytes are cut, and from wherever they are heard.
#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "http2/peers.rs"]
mod peers;
#[path = "support/told.rs"]
mod told;
#[path = "http2/wire.rs"]
mod wire;

use proptest::prelude::*;
use wirespan_protocols::conversation::{Direction, End};
use wirespan_protocols::exchange::{Outcome, Role};
use wirespan_protocols::family::Family;
use wirespan_protocols::family::http::Completeness;
use wirespan_protocols::listener::Discard;

use peers::{Answer, Ask, overhear};
use wire::{Ear, Said};

/// Calls of all kinds: with bodies, without, with trailers, with errors.
fn asks() -> Vec<Ask> {
    let mut asks = Vec::new();
    for number in 0..12u32 {
        asks.push(Ask {
            method: if number % 3 == 0 { "POST" } else { "GET" },
            path: format!("/item/{number}?page={}", number * 7),
            body: vec![b'q'; (number as usize % 3) * 700],
            call: false,
            answer: Answer {
                status: if number % 4 == 3 { 404 } else { 200 },
                body: vec![b'a'; number as usize * 300],
                trailers: None,
                reset: None,
            },
        });
    }
    asks.push(Ask {
        method: "POST",
        path: "/shop.Cart/Add".into(),
        body: b"\0\0\0\0\x02hi\0\0\0\0\0".to_vec(),
        call: true,
        answer: Answer {
            status: 200,
            body: b"\0\0\0\0\x03abc".repeat(3),
            trailers: Some(5),
            reset: None,
        },
    });
    asks.push(Ask {
        method: "GET",
        path: "/refused".into(),
        body: Vec::new(),
        call: false,
        answer: Answer {
            status: 200,
            body: Vec::new(),
            trailers: None,
            reset: Some(7),
        },
    });
    asks
}

fn check(ear: &Ear, role: Role, asks: &[Ask]) {
    assert_eq!(ear.told.discards, []);
    assert_eq!(ear.told.exchanges.len(), asks.len());
    for ask in asks {
        let exchange = ear.of(&ask.path).unwrap_or_else(|| panic!("{}", ask.path));
        assert_eq!(exchange.role, role);
        let request = told::request(exchange);
        assert_eq!(request.method.as_str(), ask.method);
        assert_eq!(request.host.as_deref(), Some("shop.example"));
        assert_eq!(request.completeness, Completeness::Whole);
        let call = told::call(exchange);
        assert_eq!(call.is_some(), ask.call);
        if let Some(code) = ask.answer.reset {
            assert_eq!(exchange.outcome, Outcome::Aborted(code), "{}", ask.path);
            continue;
        }
        assert_eq!(exchange.outcome, Outcome::Complete, "{}", ask.path);
        assert_eq!(
            request.body_size,
            Some(ask.body.len() as u64),
            "{}",
            ask.path
        );
        let response = wire::response(exchange);
        assert_eq!(response.status, ask.answer.status, "{}", ask.path);
        assert_eq!(response.body_size, Some(ask.answer.body.len() as u64));
        assert_eq!(response.call_status, ask.answer.trailers);
        if let Some((_, messages)) = call {
            let messages = messages.unwrap();
            assert_eq!(messages.requests.count, Some(2));
            assert_eq!(messages.responses.count, Some(3));
            assert!(messages.responses.first_ns <= messages.responses.last_ns);
        }
    }
}

#[test]
fn what_is_told_is_what_was_called() {
    let asks = asks();
    let said = overhear(&asks);
    for role in [Role::Server, Role::Client] {
        let mut ear = Ear::new(role);
        ear.hear_all(&said);
        ear.end(End::Closed);
        check(&ear, role, &asks);
        let moved: u64 = said.iter().map(|said| said.bytes.len() as u64).sum();
        assert_eq!(ear.conversation.understood_bytes(), moved);
    }
}

#[test]
fn payloads_that_are_only_counted_change_nothing_but_the_count_of_messages() {
    let asks = asks();
    let said = wire::without_payloads(&overhear(&asks));
    let mut ear = Ear::new(Role::Server);
    ear.hear_all(&said);
    ear.end(End::Closed);
    for exchange in &mut ear.told.exchanges {
        if let Family::Rpc(rpc) = &mut exchange.family
            && let Some(messages) = &mut rpc.messages
        {
            assert_eq!(messages.responses.count, None);
            messages.requests.count = Some(2);
            messages.responses.count = Some(3);
        }
    }
    check(&ear, Role::Server, &asks);
}

/// A connection that is joined after a hundred requests: nothing is told wrongly, and soon all is
/// told.
#[test]
fn a_connection_joined_in_the_middle_is_understood_and_says_what_it_does_not_know() {
    let asks: Vec<Ask> = (0..200)
        .map(|number| Ask::get(&format!("/item/{}", number % 150)))
        .collect();
    let said = overhear(&asks);
    for start in 2..said.len() - 8 {
        let mut ear = Ear::new(Role::Server);
        ear.hear_all(&said[start..]);
        ear.end(End::Closed);
        assert!(!ear.told.exchanges.is_empty(), "from {start}");
        for exchange in &ear.told.exchanges {
            let request = told::request(exchange);
            match request.completeness {
                Completeness::Whole => {
                    assert!(request.target.starts_with("/item/"), "from {start}");
                }
                _ => assert!(request.target.is_empty() || request.target.starts_with("/item/")),
            }
        }
        let last = ear.told.exchanges.last().unwrap();
        assert_eq!(wire::response(last).status, 200, "from {start}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn cuts_change_nothing(cuts in prop::collection::vec(1usize..400, 1..50)) {
        let asks = asks();
        let said = wire::cut(&overhear(&asks), &cuts);
        let mut ear = Ear::new(Role::Client);
        ear.hear_all(&said);
        ear.end(End::Closed);
        check(&ear, Role::Client, &asks);
    }

    /// A piece of the connection is lost: what is told afterwards is still true.
    #[test]
    fn after_a_gap_nothing_is_told_wrongly(at in 0.2f64..0.8, len in 1usize..3000) {
        let asks: Vec<Ask> = (0..60).map(|number| {
            let mut ask = Ask::get(&format!("/gap/{number}"));
            ask.answer.body = number.to_string().repeat(number % 7).into_bytes();
            ask.answer.status = if number % 2 == 0 { 200 } else { 404 };
            ask
        }).collect();
        let said = wire::lose(&overhear(&asks), at, len);
        let mut ear = Ear::new(Role::Server);
        ear.hear_all(&said);
        ear.end(End::Closed);
        for exchange in &ear.told.exchanges {
            let request = told::request(exchange);
            let Some(number) = request.target.strip_prefix("/gap/") else {
                prop_assert!(request.target.is_empty());
                prop_assert_eq!(request.completeness, Completeness::Incomplete);
                continue;
            };
            let ask = &asks[number.parse::<usize>().unwrap()];
            if exchange.outcome == Outcome::Complete && wire::response(exchange).status != 0 {
                let response = wire::response(exchange);
                prop_assert_eq!(response.status, ask.answer.status);
                if let Some(size) = response.body_size {
                    prop_assert_eq!(size, ask.answer.body.len() as u64);
                }
            }
        }
        prop_assert!(ear.told.exchanges.len() <= asks.len());
        // The group under way may be lost, and the three that a long gap swallows.
        prop_assert!(ear.told.exchanges.len() >= 8, "{}", ear.told.exchanges.len());
    }

    #[test]
    fn random_bytes_are_never_taken_for_http2(
        bytes in prop::collection::vec(any::<u8>(), 1..4096),
        tls in any::<bool>(),
    ) {
        let mut bytes = bytes;
        if tls {
            let len = bytes.len() as u16;
            bytes.splice(0..0, [0x17, 3, 3, (len >> 8) as u8, len as u8]);
        }
        let mut ear = Ear::new(Role::Server);
        ear.hear(&Said { is_request: true, bytes: bytes.clone(), missed: 0 });
        ear.hear(&Said { is_request: false, bytes, missed: 0 });
        prop_assert!(ear.conversation.protocol() != Some("http2"));
    }
}

#[test]
fn other_protocols_are_not_taken_for_http2() {
    let mut seen = 0;
    for folder in ["requests", "responses"] {
        let data = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/http1");
        for entry in std::fs::read_dir(data.join(folder)).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            let found = wirespan_protocols::http2::detect(&bytes);
            assert_eq!(found, wirespan_protocols::protocol::Detected::No);
            seen += 1;
        }
    }
    assert!(seen > 4);
}

#[test]
fn boundaries_are_told_ahead_of_what_was_seen() {
    let mut ear = Ear::new(Role::Server);
    let said = overhear(&[Ask::get("/")]);
    ear.hear_all(&said);
    for direction in [Direction::Ingress, Direction::Egress] {
        let reach = ear.reach(direction);
        assert_eq!(ear.conversation.boundary(direction), Some(reach));
    }
    // A DATA frame of 100 bytes of which 10 are seen.
    let mut data = vec![0, 0, 100, 0, 0, 0, 0, 0, 1];
    data.extend([b'x'; 10]);
    let before = ear.reach(Direction::Egress);
    ear.hear(&Said {
        is_request: false,
        bytes: data,
        missed: 0,
    });
    assert_eq!(
        ear.conversation.boundary(Direction::Egress),
        Some(before + 109)
    );
}

#[test]
fn streams_that_never_end_make_room_and_are_counted() {
    use wirespan_protocols::http2::STREAMS_MAX;
    let mut ear = Ear::new(Role::Server);
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    for stream in 0..STREAMS_MAX as u32 + 10 {
        bytes.extend(b"\0\0\x06\x01\x05");
        bytes.extend((2 * stream + 1).to_be_bytes());
        bytes.extend(b"\x82\x86\x84\x41\x01h");
    }
    ear.hear(&Said {
        is_request: true,
        bytes,
        missed: 0,
    });
    assert_eq!(ear.told.exchanges.len(), 10);
    assert_eq!(ear.told.discards, [Discard::PipelineFull; 10]);
    assert!(
        ear.told
            .exchanges
            .iter()
            .all(|exchange| exchange.outcome == Outcome::Evicted)
    );
}

#[test]
fn a_flood_of_continuations_is_given_up() {
    let mut ear = Ear::new(Role::Server);
    ear.hear(&Said::request(
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x01\x01\0\0\0\0\x01\x82",
    ));
    let mut frame = b"\0\x40\0\x09\0\0\0\0\x01".to_vec();
    frame.extend([0; 16_384]);
    for _ in 0..40 {
        ear.hear(&Said::request(&frame));
    }
    assert!(
        ear.told.discards.contains(&Discard::Unparsable),
        "{:?}",
        ear.told.discards
    );
    assert!(ear.told.exchanges.is_empty());
}

const UPGRADE: &[u8] =
    b"GET /up HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade, HTTP2-Settings\r\n\
    Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n";
const SWITCHING: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";

#[test]
fn an_upgraded_connection_goes_on_and_its_first_stream_answers_the_upgrade() {
    let later = overhear(&[Ask::get("/later")]);
    let client: Vec<u8> = later
        .iter()
        .filter(|said| said.is_request)
        .flat_map(|said| said.bytes.clone())
        .collect();
    // The client of the library counts from 1; after an upgrade it would count from 3.
    let at = client
        .windows(9)
        .position(|bytes| bytes[3] == 1 && bytes[5..] == [0, 0, 0, 1])
        .unwrap();
    let mut client = client;
    client[at + 8] = 3;
    let answers = |stream: u8| -> Vec<u8> {
        [
            &b"\0\0\x01\x01\x04\0\0\0"[..],
            &[stream, 0x88],
            b"\0\0\x02\0\x01\0\0\0",
            &[stream],
            b"ok",
        ]
        .concat()
    };
    for role in [Role::Server, Role::Client] {
        for split in [true, false] {
            let mut ear = Ear::new(role);
            let settings = b"\0\0\0\x04\0\0\0\0\0";
            ear.hear(&Said::request(UPGRADE));
            let respond = |bytes: Vec<u8>| Said {
                is_request: false,
                bytes,
                missed: 0,
            };
            if split {
                ear.hear(&respond(SWITCHING.to_vec()));
                ear.hear(&respond([&settings[..], &answers(1)].concat()));
            } else {
                ear.hear(&respond([SWITCHING, settings, &answers(1)].concat()));
            }
            ear.hear(&Said::request(&client));
            ear.hear(&respond(answers(3)));
            ear.end(End::Closed);
            assert_eq!(ear.told.discards, []);
            let told: Vec<_> = ear
                .told
                .exchanges
                .iter()
                .map(|exchange| {
                    let request = told::request(exchange);
                    (
                        &*request.target,
                        wire::response(exchange).status,
                        exchange.start_ns,
                    )
                })
                .collect();
            assert_eq!(told.len(), 2, "{told:?}");
            assert_eq!(told[0], ("/up", 200, 10));
            assert_eq!((told[1].0, told[1].1), ("/later", 200));
            assert_eq!(ear.conversation.protocol(), Some("http2"));
        }
    }
}

#[test]
fn a_response_that_crossed_a_reset_is_no_loss() {
    for role in [Role::Server, Role::Client] {
        let mut ear = Ear::new(role);
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        let ask = b"\0\0\x03\x01\x05\0\0\0\x01\x82\x84\x86";
        let reset = b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08";
        ear.hear(&Said::request(&[&preface[..], ask, reset].concat()));
        let respond = |bytes: &[u8]| Said {
            is_request: false,
            bytes: bytes.to_vec(),
            missed: 0,
        };
        ear.hear(&respond(b"\0\0\0\x04\0\0\0\0\0"));
        ear.hear(&respond(b"\0\0\x01\x01\x05\0\0\0\x01\x88"));
        assert_eq!(ear.told.discards, []);
        // That one answers nothing.
        ear.hear(&respond(b"\0\0\x01\x01\x05\0\0\0\x03\x88"));
        ear.end(End::Closed);
        assert_eq!(ear.told.exchanges.len(), 1);
        assert_eq!(ear.told.exchanges[0].outcome, Outcome::Aborted(8));
        assert_eq!(ear.told.discards, [Discard::UnmatchedResponse]);
    }
}

#[test]
fn the_body_of_an_upgraded_request_was_sent_in_http_1() {
    let head = String::from_utf8(UPGRADE.to_vec()).unwrap();
    let head = head.replace("GET", "POST");
    let answer = b"\0\0\x01\x01\x05\0\0\0\x01\x88";
    let settings = b"\0\0\0\x04\0\0\0\0\0";
    for role in [Role::Server, Role::Client] {
        for (field, sent, told) in [
            ("Content-Length: 6", &b"posted"[..], Some(6)),
            (
                "Transfer-Encoding: chunked",
                b"3\r\npos\r\n0\r\n\r\n",
                Some(3),
            ),
            // The response came first.
            ("Content-Length: 60", b"post", None),
        ] {
            let mut ear = Ear::new(role);
            let head = head.replace("\r\nHost", &format!("\r\n{field}\r\nHost"));
            ear.hear(&Said::request(&[head.as_bytes(), sent].concat()));
            ear.hear(&Said {
                is_request: false,
                bytes: [SWITCHING, settings, answer].concat(),
                missed: 0,
            });
            ear.end(End::Closed);
            let [exchange] = &ear.told.exchanges[..] else {
                panic!("{role:?}, {field}: {:?}", ear.told.exchanges);
            };
            let request = told::request(exchange);
            assert_eq!(request.body_size, told, "{role:?}, {field}");
        }
    }
}

#[test]
fn frames_among_others_of_one_direction_are_found_without_a_turn() {
    let mut ear = Ear::new(Role::Client);
    let answer = |bytes: &[u8]| Said {
        is_request: false,
        bytes: bytes.to_vec(),
        missed: 0,
    };
    ear.hear(&answer(&[b'x'; 100]));
    ear.hear(&answer(b"\0\0\x01\x01\x05\0\0\0\x01\x88"));
    assert_eq!(ear.conversation.protocol(), Some("http2"));
}

#[test]
fn a_response_that_overtook_its_request_waits_for_it() {
    let mut ear = Ear::new(Role::Client);
    ear.hear(&Said::request(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    ear.hear(&Said {
        is_request: false,
        bytes: b"\0\0\x01\x01\x05\0\0\0\x01\x88".to_vec(),
        missed: 0,
    });
    assert!(ear.told.exchanges.is_empty());
    ear.hear(&Said::request(
        b"\0\0\x06\x01\x05\0\0\0\x01\x82\x86\x84\x41\x01h",
    ));
    assert_eq!(ear.told.exchanges.len(), 1);
    assert_eq!(ear.told.exchanges[0].outcome, Outcome::Complete);
    // One whose request was missed is counted as soon as a later request comes.
    ear.hear(&Said {
        is_request: false,
        bytes: b"\0\0\x01\x01\x05\0\0\0\x03\x88".to_vec(),
        missed: 0,
    });
    ear.hear(&Said::request(
        b"\0\0\x06\x01\x05\0\0\0\x05\x82\x86\x84\x41\x01h",
    ));
    assert_eq!(ear.told.discards, [Discard::UnmatchedResponse]);
    assert_eq!(ear.told.exchanges.len(), 1);
}

#[test]
fn what_is_told_to_go_away_is_refused_and_the_rest_is_served() {
    let mut ear = Ear::new(Role::Client);
    ear.hear(&Said::request(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    for stream in [1, 3] {
        let mut frame = b"\0\0\x06\x01\x05\0\0\0\x01\x82\x86\x84\x41\x01h".to_vec();
        frame[8] = stream;
        ear.hear(&Said::request(&frame));
    }
    let respond = |bytes: &[u8]| Said {
        is_request: false,
        bytes: bytes.to_vec(),
        missed: 0,
    };
    ear.hear(&respond(b"\0\0\x08\x07\0\0\0\0\0\0\0\0\x01\0\0\0\0"));
    ear.hear(&respond(
        b"\0\0\x01\x01\x04\0\0\0\x01\x88\0\0\0\0\x01\0\0\0\x01",
    ));
    let outcomes: Vec<_> = ear
        .told
        .exchanges
        .iter()
        .map(|exchange| exchange.outcome)
        .collect();
    assert_eq!(outcomes, [Outcome::Refused, Outcome::Complete]);
}
