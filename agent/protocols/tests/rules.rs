//! The rules of a conversation one by one, each as a short story on the wire.

#[path = "rules/fastcgi.rs"]
mod fastcgi;
#[path = "rules/heads.rs"]
mod heads;
#[path = "rules/leftovers.rs"]
mod leftovers;
#[path = "rules/mongodb.rs"]
mod mongodb;
#[path = "rules/redis.rs"]
mod redis;
#[path = "rules/relays.rs"]
mod relays;
#[path = "rules/streams.rs"]
mod streams;
#[path = "support/told.rs"]
mod told;
#[path = "rules/tunnels.rs"]
mod tunnels;
#[path = "rules/uwsgi.rs"]
mod uwsgi;
#[path = "rules/wire.rs"]
mod wire;

use wirespan_protocols::conversation::{Chunk, Direction, End, Understanding};
use wirespan_protocols::exchange::{Outcome, Role};
use wirespan_protocols::listener::Discard;

use wire::{GET, OK, Wire};

#[test]
fn times_are_those_of_the_first_and_the_last_byte() {
    let mut wire = Wire::new(Role::Server);
    wire.ask(&GET[..3]);
    wire.ask(&GET[3..]);
    wire.answer(&OK[..20]);
    wire.answer(&OK[20..]);
    let exchange = &wire.told.exchanges[0];
    assert_eq!((exchange.start_ns, exchange.end_ns), (10, 40));
    assert_eq!(exchange.first_response_ns, Some(30));
    assert_eq!(exchange.role, Role::Server);
    let all = GET.len() + OK.len();
    assert_eq!(wire.conversation.understood_bytes(), all as u64);
}

#[test]
fn an_exchange_is_open_from_its_request_to_its_fate() {
    let mut wire = Wire::new(Role::Server);
    assert!(!wire.conversation.has_open_exchange());
    wire.ask(GET);
    assert!(wire.conversation.has_open_exchange());
    assert!(!wire.conversation.awaits_progress(), "no body is moving");
    wire.answer(&OK[..20]);
    assert!(wire.conversation.has_open_exchange());
    wire.answer(&OK[20..]);
    assert!(!wire.conversation.has_open_exchange());
}

#[test]
fn a_body_that_is_only_counted_ends_when_its_last_byte_moved() {
    let mut wire = Wire::new(Role::Server);
    wire.ask(GET);
    wire.answer("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
    assert!(wire.conversation.awaits_progress());
    wire.count(false, 999_999, "");
    wire.progress();
    assert!(wire.told.exchanges.is_empty());
    wire.count(false, 1, "");
    wire.now_ns += 1000;
    wire.progress();
    assert_eq!(wire.fates(), [(Outcome::Complete, Some(200), 40)]);
    assert!(!wire.conversation.awaits_progress());
}

#[test]
fn a_chunked_body_that_is_only_counted_ends_with_its_last_chunk() {
    let mut wire = Wire::new(Role::Client);
    wire.ask(GET);
    wire.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4000\r\n");
    wire.count(false, 20_000, "whatever");
    wire.progress();
    assert!(wire.told.exchanges.is_empty());
    wire.count(false, 5, "0\r\n\r\n");
    wire.progress();
    assert_eq!(wire.fates(), [(Outcome::Complete, Some(200), 40)]);
}

#[test]
fn until_close_is_complete_where_the_end_was_the_servers() {
    for (role, end, wanted) in [
        (Role::Client, End::Ingress, Outcome::Complete),
        (Role::Client, End::Closed, Outcome::Left),
        (Role::Client, End::Reset, Outcome::Reset),
        (Role::Server, End::Egress, Outcome::Complete),
        (Role::Server, End::Closed, Outcome::Complete),
        (Role::Server, End::ProcessExited, Outcome::ProcessExited),
    ] {
        let mut wire = Wire::new(role);
        wire.ask(GET);
        wire.answer("HTTP/1.0 200 OK\r\n\r\n");
        wire.count(false, 500, "");
        wire.end(end);
        let end_ns = if wanted == Outcome::Complete { 30 } else { 40 };
        assert_eq!(
            wire.fates(),
            [(wanted, Some(200), end_ns)],
            "{role:?} {end:?}"
        );
    }
}

#[test]
fn a_counted_body_cut_by_the_end_is_not_complete() {
    let mut wire = Wire::new(Role::Client);
    wire.ask(GET);
    wire.answer(&OK[..OK.len() - 1]);
    wire.end(End::Ingress);
    assert_eq!(wire.fates(), [(Outcome::Closed, Some(200), 30)]);
    wire.end(End::Closed);
    assert_eq!(wire.told.exchanges.len(), 1);
}

#[test]
fn closing_one_half_does_not_end_the_wait() {
    for (role, half) in [(Role::Client, End::Egress), (Role::Server, End::Ingress)] {
        let mut wire = Wire::new(role);
        wire.ask(GET);
        wire.end(half);
        assert!(wire.told.exchanges.is_empty());
        wire.answer(OK);
        assert_eq!(wire.fates(), [(Outcome::Complete, Some(200), 30)]);
    }
}

#[test]
fn an_idle_connection_tells_nothing_when_it_closes() {
    let mut wire = Wire::new(Role::Client);
    wire.end(End::Closed);
    let mut used = Wire::new(Role::Server);
    used.ask(GET);
    used.answer(OK);
    used.end(End::Closed);
    assert!(wire.told.exchanges.is_empty());
    assert_eq!(used.told.exchanges.len(), 1);
}

#[test]
fn an_early_answer_ends_the_exchange_and_the_rest_of_the_body_is_skipped() {
    let mut wire = Wire::new(Role::Server);
    wire.ask("POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: 20\r\n\r\n0123456789");
    wire.answer("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(wire.fates(), [(Outcome::Complete, Some(413), 20)]);
    let request = told::request(&wire.told.exchanges[0]);
    assert_eq!(request.body_size, None);
    wire.ask("0123456789");
    wire.ask(GET);
    wire.answer(OK);
    assert_eq!(wire.fates()[1], (Outcome::Complete, Some(200), 50));
}

#[test]
fn the_rest_of_a_body_may_quote_a_request_after_an_early_answer() {
    let mut wire = Wire::new(Role::Server);
    wire.ask("PUT /up HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nTrailer: ");
    wire.answer(OK);
    wire.ask("GET / HTTP/1.1\r\n\r\n");
    wire.ask(GET);
    wire.answer(OK);
    assert_eq!(wire.told.exchanges.len(), 2);
    let last = told::request(&wire.told.exchanges[1]);
    assert_eq!(&*last.target, "/a");
    assert_eq!(wire.told.discards, []);
}

#[test]
fn a_start_within_a_response_makes_no_exchange_of_it() {
    let mut wire = Wire::new(Role::Server);
    wire.answer("...of a body that began before");
    wire.ask(GET);
    wire.answer(OK);
    assert_eq!(wire.told.exchanges.len(), 1);

    let mut wire = Wire::new(Role::Client);
    wire.answer(OK);
    assert_eq!(wire.told.discards, [Discard::UnmatchedResponse]);
    wire.ask(GET);
    wire.answer(OK);
    assert_eq!(wire.fates(), [(Outcome::Complete, Some(200), 30)]);
    assert_eq!(wire.told.exchanges[0].role, Role::Client);
}

#[test]
fn on_a_client_a_response_may_overtake_its_request() {
    let mut wire = Wire::new(Role::Client);
    wire.ask(GET);
    wire.answer(OK);
    let late = wire.count(true, GET.len() as u64, GET);
    wire.answer(OK);
    let told = &mut wire.told;
    let chunk = Chunk {
        direction: Direction::Egress,
        position: late.position,
        len: GET.len() as u64,
        bytes: GET.as_bytes(),
        tail: [0; 8],
        tail_len: 0,
        time_ns: 30,
        tid: 2,
        after_loss: false,
    };
    wire.conversation.chunk(chunk, told);
    assert_eq!(wire.fates()[1], (Outcome::Complete, Some(200), 40));
    assert!(wire.told.discards.is_empty());
}

#[test]
fn a_response_that_nobody_asked_for_is_counted_and_no_more() {
    let mut wire = Wire::new(Role::Server);
    wire.ask(GET);
    wire.answer(OK);
    wire.answer("HTTP/1.1 408 Timeout\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(wire.told.discards, [Discard::UnmatchedResponse]);
    wire.ask(GET);
    wire.answer(OK);
    assert_eq!(wire.told.exchanges.len(), 2);
    assert_eq!(wire.fates()[1], (Outcome::Complete, Some(200), 50));
}

#[test]
fn another_protocol_that_takes_over_is_left_alone() {
    let mut wire = Wire::new(Role::Client);
    wire.ask("GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n");
    wire.answer("HTTP/1.1 101 Go\r\n\r\n");
    assert_eq!(wire.fates()[0].0, Outcome::Complete);
    assert_eq!(wire.conversation.verdict(), Understanding::Opaque);
    assert_eq!(wire.conversation.protocol(), Some("http1"));
    wire.ask(GET);
    wire.end(End::Closed);
    assert_eq!(wire.told.exchanges.len(), 1);
    let mut wire = Wire::new(Role::Client);
    // A hello of which more is to come, and then the end of it, which names nobody.
    wire.ask("\u{16}\u{3}\u{1}\u{0}\u{6}\u{1}\u{0}");
    assert_eq!(wire.conversation.verdict(), Understanding::Undecided);
    wire.ask("\u{0}\u{2}\u{3}\u{3}");
    // Who does not speak TLS may refuse it.
    assert_eq!(wire.conversation.verdict(), Understanding::Undecided);
    assert!(wire.conversation.begins_tls());
    wire.answer("\u{15}\u{3}\u{1}\u{0}\u{2}\u{2}\u{28}");
    assert_eq!(wire.conversation.verdict(), Understanding::Encrypted);
    assert_eq!(wire.conversation.server_name(), None);
}

#[test]
fn what_never_is_understood_is_given_up() {
    let mut wire = Wire::new(Role::Server);
    for turn in 0..8 {
        assert_eq!(
            wire.conversation.verdict(),
            Understanding::Undecided,
            "turn {turn}"
        );
        wire.call(turn % 2 == 0, "\u{1}binary", 7);
    }
    assert_eq!(wire.conversation.verdict(), Understanding::Opaque);
}

#[test]
fn a_request_head_that_was_cut_still_gets_its_response() {
    let mut wire = Wire::new(Role::Server);
    let long = format!(
        "GET /a HTTP/1.1\r\nHost: h\r\nCookie: {}\r\n\r\n",
        "c".repeat(9000)
    );
    wire.call(true, &long, 4096);
    assert!(wire.conversation.take_head_was_cut());
    assert!(!wire.conversation.take_head_was_cut());
    wire.answer(OK);
    wire.ask(GET);
    wire.answer(OK);
    let fates: Vec<_> = wire.fates().iter().map(|fate| fate.0).collect();
    assert_eq!(fates, [Outcome::Complete; 2]);
    let request = told::request(&wire.told.exchanges[0]);
    assert!(request.truncated);
    assert_eq!(request.host.as_deref(), Some("h"));
}

#[test]
fn pipelined_requests_that_were_cut_between_two_count_as_a_cut_head() {
    let mut wire = Wire::new(Role::Server);
    wire.call(true, GET.repeat(200), 100 * GET.len());
    assert!(wire.conversation.take_head_was_cut());
    assert_eq!(wire.told.discards, [Discard::StreamGap]);
}

#[test]
fn the_end_behind_a_cut_response_head_is_inferred_when_the_connection_goes_on() {
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(9000));
    for end in [None, Some(End::Closed), Some(End::Evicted)] {
        let mut wire = Wire::new(Role::Server);
        wire.ask(GET);
        wire.call(false, &long, 4096);
        wire.count(false, 100, "");
        assert!(wire.told.exchanges.is_empty());
        match end {
            None => wire.ask(GET),
            Some(end) => wire.end(end),
        }
        assert_eq!(wire.fates(), [(Outcome::EndInferred, Some(200), 30)]);
    }
}

#[test]
fn a_response_that_was_not_captured_was_not_observed() {
    let mut wire = Wire::new(Role::Server);
    wire.ask(GET);
    wire.count(false, 100, "");
    wire.ask(GET);
    wire.answer(OK);
    let wanted = [
        (Outcome::NotObserved, None, 20),
        (Outcome::Complete, Some(200), 40),
    ];
    assert_eq!(wire.fates(), wanted);
}

#[test]
fn a_head_without_end_is_given_up_within_bounds() {
    let mut wire = Wire::new(Role::Server);
    wire.ask("GET /a HTTP/1.1\r\n");
    let field = format!("X: {}\r\n", "x".repeat(4000));
    for _ in 0..100 {
        wire.ask(&field);
    }
    assert_eq!(wire.told.discards, [Discard::HeadTooLong]);
    wire.end(End::Closed);
    assert!(wire.told.exchanges.is_empty());
}

#[test]
fn junk_in_a_known_connection_is_counted_and_the_next_turn_is_understood() {
    let mut wire = Wire::new(Role::Server);
    wire.ask(GET);
    wire.answer("not a response at all\r\n\r\n");
    assert_eq!(wire.told.discards, [Discard::Unparsable]);
    wire.ask(GET);
    wire.answer(OK);
    let outcomes: Vec<_> = wire.fates().iter().map(|fate| fate.0).collect();
    assert_eq!(outcomes, [Outcome::NotObserved, Outcome::Complete]);
}

#[test]
fn every_end_gives_an_open_exchange_its_fate() {
    for (end, outcome) in [
        (End::Closed, Outcome::Closed),
        (End::Ingress, Outcome::Closed),
        (End::Reset, Outcome::Reset),
        (End::ProcessExited, Outcome::ProcessExited),
        (End::Evicted, Outcome::Evicted),
    ] {
        let mut wire = Wire::new(Role::Client);
        wire.ask(GET);
        wire.end(end);
        assert_eq!(wire.fates(), [(outcome, None, 20)], "{end:?}");
    }
}

#[test]
fn who_asks_on_while_answers_are_outstanding_is_not_paired_after_a_loss() {
    let answer = |code| format!("HTTP/1.1 {code} So\r\nContent-Length: 0\r\n\r\n");
    let mut wire = Wire::new(Role::Server);
    wire.ask(GET);
    wire.ask(GET);
    wire.answer(answer(201));
    wire.ask(GET);
    wire.answer(answer(202));
    wire.count(true, GET.len() as u64, "");
    wire.answer(answer(203));
    // The answer to the request that was missed is still to come.
    wire.ask(GET);
    wire.answer(answer(204));
    let statuses: Vec<_> = wire.fates().iter().map(|fate| fate.1).collect();
    assert_eq!(statuses, [Some(201), Some(202), Some(203), None]);
    assert_eq!(wire.fates()[3].0, Outcome::NotObserved);
}

#[test]
fn pieces_of_a_body_that_read_like_requests_get_no_answer_after_a_loss() {
    let fake = "GET /fake HTTP/1.1\r\nHost: fake\r\n\r\n";
    // The server reads the body in pieces, and answers what was pipelined before in between; what
    // the second piece is cut behind does not matter.
    for more in [
        fake.to_owned(),
        fake[..20].to_owned(),
        fake.repeat(5) + "GE",
    ] {
        let mut wire = Wire::new(Role::Server);
        wire.ask(GET);
        wire.answer(OK);
        wire.count(true, 1000, "");
        wire.answer("HTTP/1.1 201 So\r\nContent-Length: 0\r\n\r\n");
        wire.ask(fake.to_owned() + &more);
        wire.answer("HTTP/1.1 202 So\r\nContent-Length: 0\r\n\r\n");
        let statuses: Vec<_> = wire.fates().iter().filter_map(|fate| fate.1).collect();
        assert_eq!(statuses, [200], "{more}");
    }
    // Who takes turns is paired again.
    let mut wire = Wire::new(Role::Server);
    wire.ask(GET);
    wire.answer(OK);
    wire.count(true, 1000, "");
    wire.answer("HTTP/1.1 201 So\r\nContent-Length: 0\r\n\r\n");
    wire.ask(GET);
    wire.answer("HTTP/1.1 202 So\r\nContent-Length: 0\r\n\r\n");
    let statuses: Vec<_> = wire.fates().iter().filter_map(|fate| fate.1).collect();
    assert_eq!(statuses, [200, 202]);
}
