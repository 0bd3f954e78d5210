//! MongoDB, and with it every protocol whose responses name their requests: what answers what,
//! whatever comes between and whatever is lost.

use wirespan_protocols::conversation::End;
use wirespan_protocols::exchange::{Exchange, Outcome};
use wirespan_protocols::family::Family;
use wirespan_protocols::listener::Discard;

use super::wire::{ROLES, Wire, at_every_cut};

/// Behind the head of a message each cut is like the others.
const CUTS_MAX: usize = 2200;

/// One of the messages that every parser is tried on, with other numbers.
fn message(name: &str, id: u32, answers: u32) -> Vec<u8> {
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/mongodb");
    let mut bytes = std::fs::read(format!("{data}/{name}")).expect("it is there");
    bytes[4..8].copy_from_slice(&id.to_le_bytes());
    bytes[8..12].copy_from_slice(&answers.to_le_bytes());
    bytes
}

fn ask(name: &str, id: u32) -> Vec<u8> {
    message(&format!("requests/{name}"), id, 0)
}

fn answer(name: &str, to: u32) -> Vec<u8> {
    message(&format!("responses/{name}"), 1000 + to, to)
}

/// Every exchange in a line: what was asked of whom, outcome if it is not complete, error.
fn lines(wire: &Wire) -> Vec<String> {
    let line = |exchange: &Exchange| {
        let Family::Db(db) = &exchange.family else {
            panic!("{exchange:?}");
        };
        let request = &db.request;
        let mut line = request.operation.as_deref().unwrap_or("?").to_owned();
        if let Some(namespace) = &request.namespace {
            line += &format!(" {namespace}");
        }
        if let Some(collection) = &request.collection {
            line += &format!(".{collection}");
        }
        if exchange.outcome != Outcome::Complete {
            line += &format!(" {:?}", exchange.outcome);
        }
        if let Some(response) = db.response.as_ref().filter(|it| it.failed) {
            line += &format!(" failed {}", response.status.as_deref().unwrap_or("?"));
        }
        line
    };
    wire.told.exchanges.iter().map(line).collect()
}

#[test]
fn of_a_command_its_names_are_told() {
    for (name, line) in [
        ("find", "find shop.users"),
        ("insert", "insert shop.users"),
        ("insert_long", "insert shop.users"),
        ("get_more", "getMore shop.users"),
        ("hello", "hello admin"),
        ("hello_in_a_query", "ismaster admin"),
        ("compressed", "?"),
        ("checksummed", "ping admin"),
        ("unknown", "? shop"),
        ("documents_first", "insert shop.users"),
    ] {
        let bytes = ask(name, 5);
        at_every_cut(bytes.len().min(CUTS_MAX), |wire, cut| {
            wire.ask(&bytes[..cut.max(1)]);
            wire.ask(&bytes[cut.max(1)..]);
            wire.answer(answer("ok", 5));
            assert_eq!(lines(wire), [line], "{name} at {cut}");
        });
    }
}

#[test]
fn of_an_answer_it_is_told_whether_it_failed() {
    for (name, line) in [
        ("ok", "find shop.users"),
        ("found", "find shop.users"),
        ("found_many", "find shop.users"),
        ("failed", "find shop.users failed 59"),
        ("write_errors", "find shop.users failed 11000"),
        ("reply", "find shop.users"),
        ("compressed", "find shop.users"),
    ] {
        let bytes = answer(name, 5);
        at_every_cut(bytes.len().min(CUTS_MAX), |wire, cut| {
            wire.ask(ask("find", 5));
            wire.answer(&bytes[..cut.max(1)]);
            wire.answer(&bytes[cut.max(1)..]);
            assert_eq!(lines(wire), [line], "{name} at {cut}");
        });
    }
}

#[test]
fn answers_come_in_any_order() {
    for role in ROLES {
        let mut wire = Wire::new(role);
        wire.ask([ask("find", 1), ask("get_more", 2)].concat());
        wire.ask(ask("insert", 3));
        wire.answer([answer("failed", 3), answer("ok", 1)].concat());
        wire.answer(answer("ok", 2));
        let expected = [
            "insert shop.users failed 59",
            "find shop.users",
            "getMore shop.users",
        ];
        assert_eq!(lines(&wire), expected, "{role:?}");
        assert!(wire.told.discards.is_empty());
    }
}

#[test]
fn who_wants_no_answer_is_over_with_its_last_byte() {
    for role in ROLES {
        let mut wire = Wire::new(role);
        wire.ask(ask("unacknowledged", 1));
        wire.ask(ask("find", 2));
        wire.answer(answer("ok", 2));
        let expected = ["insert shop.users OneWay", "find shop.users"];
        assert_eq!(lines(&wire), expected, "{role:?}");
    }
}

#[test]
fn a_server_may_go_on_answering() {
    for role in ROLES {
        let mut wire = Wire::new(role);
        // A driver that watches its server is no exchange, nor is what it is told.
        wire.ask(ask("hello_awaited", 1));
        wire.answer(answer("more_to_come", 1));
        wire.answer(answer("more_to_come", 1001));
        assert!(lines(&wire).is_empty());
        wire.ask(ask("get_more", 2));
        wire.answer(answer("more_to_come", 2));
        wire.answer(answer("more_to_come", 1002));
        assert_eq!(lines(&wire), ["getMore shop.users"], "{role:?}");
        assert!(wire.told.discards.is_empty());
    }
}

#[test]
fn a_loss_costs_what_it_is_part_of() {
    for role in ROLES {
        let mut wire = Wire::new(role);
        wire.ask(ask("find", 1));
        wire.ask(ask("get_more", 2));
        // Of the first answer, and what came behind it, less than a header is seen.
        let both = [answer("ok", 1), answer("found", 9)].concat();
        wire.call(false, both, 5);
        wire.answer(answer("failed", 2));
        wire.ask(ask("insert", 3));
        wire.answer(answer("ok", 3));
        let mut told = lines(&wire);
        told.sort();
        let expected = [
            "find shop.users NotObserved",
            "getMore shop.users failed 59",
            "insert shop.users",
        ];
        assert_eq!(told, expected, "{role:?}");
    }
}

#[test]
fn what_is_not_copied_of_a_body_loses_nothing() {
    for role in ROLES {
        let mut wire = Wire::new(role);
        wire.call(true, ask("insert_long", 1), 2100);
        wire.call(false, answer("found_many", 1), 2048);
        wire.ask(ask("find", 2));
        wire.answer(answer("ok", 2));
        assert_eq!(lines(&wire), ["insert shop.users", "find shop.users"]);
        assert!(wire.told.discards.is_empty(), "{:?}", wire.told.discards);
        // A head that is cut tells what it has, and where the next one begins is seen there.
        wire.call(true, ask("find", 3), 60);
        wire.call(false, answer("failed", 3), 70);
        wire.ask(ask("find", 4));
        wire.answer(answer("ok", 4));
        let told = lines(&wire);
        assert_eq!(
            told[2..],
            ["find.users EndInferred failed ?", "find shop.users"]
        );
    }
}

#[test]
fn joined_at_an_answer_it_waits_for_no_silence() {
    for role in ROLES {
        let mut wire = Wire::new(role);
        wire.answer(answer("ok", 1));
        wire.ask(ask("find", 2));
        wire.answer(answer("ok", 2));
        assert_eq!(lines(&wire), ["find shop.users"], "{role:?}");
        assert_eq!(wire.told.discards, [Discard::UnmatchedResponse]);
    }
}

#[test]
fn what_is_never_answered_ends_with_the_connection() {
    for role in ROLES {
        let mut wire = Wire::new(role);
        wire.ask(ask("find", 1));
        // Its number again: nobody can answer the first one any more.
        wire.ask(ask("insert", 1));
        wire.end(End::Reset);
        let expected = ["find shop.users NotObserved", "insert shop.users Reset"];
        assert_eq!(lines(&wire), expected, "{role:?}");
    }
}

#[test]
fn more_than_is_remembered_gives_way_in_order() {
    let mut wire = Wire::new(ROLES[0]);
    for id in 1..=1100 {
        wire.ask(ask("find", id));
    }
    let told = lines(&wire);
    assert_eq!(told.len(), 1100 - 1024);
    assert!(told.iter().all(|line| line.ends_with("Evicted")));
    wire.answer(answer("ok", 1100));
    assert_eq!(lines(&wire)[1100 - 1024], "find shop.users");
}
