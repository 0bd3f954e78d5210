//! Redis: what is a request, what answers it, and what answers nothing.

use wirespan_protocols::conversation::{End, Past, Understanding};
use wirespan_protocols::exchange::{Exchange, Outcome, Role};
use wirespan_protocols::family::Family;
use wirespan_protocols::listener::Discard;

use super::wire::{ROLES, Wire, at_every_cut};

const MS: u64 = 1_000_000;

/// A command as clients send it.
fn command(words: &[&str]) -> String {
    let strings: String = words
        .iter()
        .map(|word| format!("${}\r\n{word}\r\n", word.len()))
        .collect();
    format!("*{}\r\n{strings}", words.len())
}

fn of(text: &str) -> String {
    command(&text.split(' ').collect::<Vec<_>>())
}

/// Every exchange in a line: text of the query, outcome if it is not complete, database, code.
fn lines(wire: &Wire) -> Vec<String> {
    let line = |exchange: &Exchange| {
        let Family::Db(db) = &exchange.family else {
            panic!("{exchange:?}");
        };
        let mut line = db.request.query_text.as_deref().unwrap_or("?").to_owned();
        if exchange.outcome != Outcome::Complete {
            line += &format!(" {:?}", exchange.outcome);
        }
        if let Some(database) = &db.request.namespace {
            line += &format!(" in {database}");
        }
        if let Some(response) = &db.response
            && response.failed
        {
            line += &format!(" {}", response.status.as_deref().unwrap_or("failed"));
        }
        line
    };
    wire.told.exchanges.iter().map(line).collect()
}

#[test]
fn answers_of_every_type_end_where_they_end() {
    for answer in [
        "+OK\r\n",
        ":1\r\n",
        "$5\r\nhello\r\n",
        "$-1\r\n",
        "*2\r\n$1\r\na\r\n*1\r\n:1\r\n",
        "%1\r\n+a\r\n~1\r\n,1.5\r\n",
        "|1\r\n+ttl\r\n:1\r\n$1\r\na\r\n",
        "*?\r\n:1\r\n$?\r\n;1\r\na\r\n;0\r\n.\r\n",
        "=7\r\ntxt:abc\r\n",
        "#t\r\n",
        "_\r\n",
    ] {
        at_every_cut(answer.len(), |wire, cut| {
            for _ in 0..2 {
                wire.ask(of("GET a"));
                if cut > 0 {
                    wire.answer(&answer[..cut]);
                }
                wire.answer(&answer[cut..]);
            }
            assert_eq!(lines(wire), ["GET ?", "GET ?"], "{answer:?} at {cut}");
            assert_eq!(wire.told.discards, []);
            assert!(wire.told.open.is_empty());
        });
    }
}

#[test]
fn a_pipeline_is_answered_in_order_wherever_it_is_cut() {
    let commands =
        of("SELECT 2") + &of("SET a b") + &of("LPUSH a c") + &of("SELECT 99") + &of("GET a");
    let answers = "+OK\r\n+OK\r\n-WRONGTYPE Operation against a key\r\n\
                   -ERR DB index is out of range\r\n$1\r\nb\r\n";
    let wanted = [
        "SELECT ?",
        "SET ? ? in 2",
        "LPUSH ? ? in 2 WRONGTYPE",
        "SELECT ? in 2 ERR",
        "GET ? in 2",
    ];
    at_every_cut(commands.len(), |wire, cut| {
        if cut > 0 {
            wire.ask(&commands[..cut]);
        }
        wire.ask(&commands[cut..]);
        wire.answer(answers);
        assert_eq!(lines(wire), wanted, "{cut}");
    });
    at_every_cut(answers.len(), |wire, cut| {
        wire.ask(&commands);
        if cut > 0 {
            wire.answer(&answers[..cut]);
        }
        wire.answer(&answers[cut..]);
        assert_eq!(lines(wire), wanted, "{cut}");
    });
}

#[test]
fn large_values_are_only_counted() {
    for role in ROLES {
        let mut wire = Wire::new(role);
        let value = "v".repeat(1_000_000);
        let set = command(&["SET", "key", &value]);
        wire.call(true, &set, 4096);
        wire.answer("+OK\r\n");
        wire.ask(of("GET key"));
        wire.call(false, format!("${}\r\n{value}\r\n", value.len()), 4096);
        wire.ask(of("MGET a b"));
        wire.call(
            false,
            format!("*2\r\n$1\r\na\r\n${}\r\n{value}\r\n", value.len()),
            512,
        );
        wire.ask(of("PING"));
        wire.answer("+PONG\r\n");
        assert_eq!(
            lines(&wire),
            ["SET ? ?", "GET ?", "MGET ? ?", "PING"],
            "{role:?}"
        );
        assert_eq!(wire.told.discards, []);
    }
}

#[test]
fn a_loss_costs_no_wrong_pair() {
    for role in ROLES {
        let mut wire = Wire::new(role);
        for _ in 0..10 {
            wire.ask(of("GET a"));
            wire.answer("$1\r\na\r\n");
        }
        // Of three commands in one call the first is seen, and of the second a part.
        let three = of("INCR a") + &of("GET b") + &of("DEL c");
        wire.call(true, &three, of("INCR a").len() + 4);
        wire.answer(":1\r\n$1\r\nb\r\n:0\r\n");
        wire.ask(of("TTL d"));
        wire.answer(":7\r\n");
        let lines = lines(&wire);
        assert_eq!(lines[10..], ["INCR ?", "TTL ?"], "{role:?}");
    }
}

#[test]
fn who_shares_a_connection_is_paired_after_a_loss_only_once_it_is_quiet() {
    for role in ROLES {
        let mut wire = Wire::new(role);
        // Two callers: there is always one command outstanding.
        wire.ask(of("GET a"));
        wire.ask(of("INCR b"));
        wire.answer("$1\r\na\r\n");
        wire.ask(of("TTL c"));
        // The answer to the second is lost in part.
        wire.call(false, format!("*1\r\n$9\r\n{}\r\n", "x".repeat(9)), 5);
        wire.ask(of("TYPE d"));
        wire.answer(":3\r\n");
        wire.ask(of("LLEN e"));
        wire.answer("+none\r\n");
        wire.answer(":5\r\n");
        wire.now_ns += 200 * MS;
        wire.ask(of("PING"));
        wire.answer("+PONG\r\n");
        let lines = lines(&wire);
        assert_eq!(lines.first().map(String::as_str), Some("GET ?"));
        assert_eq!(lines.last().map(String::as_str), Some("PING"), "{lines:?}");
        for line in &lines[1..lines.len() - 1] {
            let is_paired = !line.contains("NotObserved") && !line.contains("EndInferred");
            assert!(!is_paired, "{role:?} {lines:?}");
        }
    }
}

#[test]
fn joined_at_an_answer_it_waits_for_a_silence() {
    for role in ROLES {
        let mut wire = Wire::new(role);
        wire.answer("$5\r\nhello\r\n");
        // Another command may be outstanding.
        wire.ask(of("GET a"));
        wire.answer("$1\r\na\r\n");
        wire.now_ns += 200 * MS;
        wire.ask(of("INCR a"));
        wire.answer(":1\r\n");
        assert_eq!(lines(&wire), ["GET ? NotObserved", "INCR ?"], "{role:?}");
        assert_eq!(wire.told.discards[0], Discard::UnmatchedResponse);
    }
}

#[test]
fn met_at_a_command_it_waits_for_a_silence_if_it_is_not_new() {
    for role in ROLES {
        let mut wire = Wire::behind(role, Past::Unseen { silent_ns: 0 });
        wire.ask(of("GET a"));
        // It may be the answer to a command before.
        wire.answer("$1\r\na\r\n");
        wire.ask(of("TTL a"));
        wire.answer(":1\r\n");
        wire.now_ns += 200 * MS;
        // Nor does this introduce anybody who did not select a database before.
        wire.ask(of("CLIENT SETINFO LIB-NAME a"));
        wire.answer("+OK\r\n");
        let told = lines(&wire);
        let expected = [
            "GET ? NotObserved",
            "TTL ? NotObserved",
            "CLIENT SETINFO ? ?",
        ];
        assert_eq!(told, expected, "{role:?}");
    }
}

#[test]
fn met_at_a_command_after_a_silence_that_was_seen_it_waits_for_nothing() {
    for (silent_ns, told) in [(99 * MS, "GET ? NotObserved"), (100 * MS, "GET ?")] {
        for role in ROLES {
            let mut wire = Wire::behind(role, Past::Unseen { silent_ns });
            wire.ask(of("GET a"));
            wire.answer("$1\r\na\r\n");
            wire.now_ns += 200 * MS;
            wire.ask(of("PING"));
            assert_eq!(lines(&wire), [told], "{role:?}");
        }
    }
}

#[test]
fn of_a_new_connection_the_database_is_known() {
    for role in ROLES {
        let mut wire = Wire::behind(role, Past::Empty);
        wire.ask(of("GET a"));
        wire.answer("$1\r\na\r\n");
        wire.ask(of("SELECT 3"));
        wire.answer("+OK\r\n");
        wire.ask(of("GET a"));
        wire.answer("$1\r\na\r\n");
        let expected = ["GET ? in 0", "SELECT ? in 0", "GET ? in 3"];
        assert_eq!(lines(&wire), expected, "{role:?}");
        let mut wire = Wire::behind(role, Past::Unknown);
        wire.ask(of("GET a"));
        wire.answer("$1\r\na\r\n");
        assert_eq!(lines(&wire), ["GET ?"], "{role:?}");
    }
}

#[test]
fn a_subscription_has_an_answer_for_each_topic() {
    for role in ROLES {
        for (sign, null) in [("*", "$-1\r\n"), (">", "_\r\n")] {
            let confirm = |kind: &str, topic: &str, left: u32| {
                format!(
                    "{sign}3\r\n${}\r\n{kind}\r\n${}\r\n{topic}\r\n:{left}\r\n",
                    kind.len(),
                    topic.len()
                )
            };
            let message = format!("{sign}3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n");
            let mut wire = Wire::new(role);
            wire.ask(of("SUBSCRIBE a b"));
            wire.answer(confirm("subscribe", "a", 1));
            assert!(wire.told.exchanges.is_empty());
            wire.answer(&message);
            wire.answer(confirm("subscribe", "b", 2));
            wire.answer(&message);
            wire.ask(of("PSUBSCRIBE c*"));
            wire.answer(confirm("psubscribe", "c*", 3));
            wire.answer(message.repeat(3));
            wire.ask(of("UNSUBSCRIBE"));
            wire.answer(confirm("unsubscribe", "a", 2));
            wire.answer(confirm("unsubscribe", "b", 1));
            wire.ask(of("PUNSUBSCRIBE"));
            wire.answer(confirm("punsubscribe", "c*", 0));
            wire.ask(of("UNSUBSCRIBE"));
            wire.answer(format!("{sign}3\r\n$11\r\nunsubscribe\r\n{null}:0\r\n"));
            wire.ask(of("PING"));
            wire.answer("+PONG\r\n");
            let wanted = [
                "SUBSCRIBE ? ?",
                "PSUBSCRIBE ?",
                "UNSUBSCRIBE",
                "PUNSUBSCRIBE",
                "UNSUBSCRIBE",
                "PING",
            ];
            assert_eq!(lines(&wire), wanted, "{role:?} {sign}");
            assert_eq!(wire.told.discards, []);
        }
    }
}

#[test]
fn messages_may_come_wherever_they_are_cut() {
    let message = "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n";
    at_every_cut(message.len(), |wire, cut| {
        wire.ask(of("SUBSCRIBE a"));
        wire.answer("*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
        if cut > 0 {
            wire.answer(&message[..cut]);
        }
        wire.answer(&message[cut..]);
        wire.ask(of("PING"));
        wire.answer("*2\r\n$4\r\npong\r\n$0\r\n\r\n");
        assert_eq!(lines(wire), ["SUBSCRIBE ?", "PING"], "{cut}");
        assert_eq!(wire.told.discards, [], "{cut}");
    });
}

#[test]
fn an_empty_push_takes_nothing_of_what_follows() {
    for role in ROLES {
        let mut wire = Wire::new(role);
        wire.ask(of("GET a"));
        wire.answer(">0\r\n$7\r\nmessage\r\n");
        wire.ask(of("PING"));
        wire.answer("+PONG\r\n");
        assert_eq!(lines(&wire), ["GET ?", "PING"], "{role:?}");
        assert_eq!(wire.told.discards, []);
    }
}

#[test]
fn a_list_that_looks_like_a_message_is_an_answer_to_who_subscribed_to_nothing() {
    let mut wire = Wire::new(Role::Client);
    wire.ask(of("LRANGE l 0 2"));
    wire.answer("*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n");
    wire.ask(of("LRANGE l 0 2"));
    wire.answer("*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
    assert_eq!(lines(&wire), ["LRANGE ? ? ?"; 2]);
}

#[test]
fn what_a_monitor_is_shown_answers_nothing() {
    for role in ROLES {
        let mut wire = Wire::new(role);
        wire.ask(of("MONITOR"));
        wire.answer("+OK\r\n+1700000000.123456 [0 127.0.0.1:5000] \"SET\" \"a\"\r\n");
        wire.answer("+1700000000.223456 [0 lua] \"GET\" \"a\"\r\n");
        wire.ask(of("PING"));
        wire.answer("+1700000000.323456 [0 127.0.0.1:5000] \"PING\"\r\n+PONG\r\n");
        wire.end(End::Closed);
        assert_eq!(lines(&wire), ["MONITOR", "PING"], "{role:?}");
        assert_eq!(wire.told.discards, []);
    }
}

#[test]
fn who_wants_no_answers_is_told_at_once() {
    for role in ROLES {
        let mut wire = Wire::new(role);
        wire.ask(of("CLIENT REPLY OFF") + &of("SET a b"));
        wire.ask(of("SET a c"));
        wire.ask(of("CLIENT REPLY ON"));
        wire.answer("+OK\r\n");
        wire.ask(of("CLIENT REPLY SKIP") + &of("SET a d") + &of("GET a"));
        wire.answer("$1\r\nd\r\n");
        let wanted = [
            "CLIENT REPLY ? OneWay",
            "SET ? ? OneWay",
            "SET ? ? OneWay",
            "CLIENT REPLY ?",
            "CLIENT REPLY ? OneWay",
            "SET ? ? OneWay",
            "GET ?",
        ];
        assert_eq!(lines(&wire), wanted, "{role:?}");
    }
}

#[test]
fn a_transaction_is_its_commands() {
    for role in ROLES {
        let mut wire = Wire::new(role);
        wire.ask(of("HELLO 3"));
        wire.answer("%1\r\n+proto\r\n:3\r\n");
        wire.ask(of("MULTI") + &of("SELECT 4") + &of("INCR a") + &of("EXEC") + &of("GET a"));
        wire.answer("+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n-ERR not an integer\r\n$1\r\na\r\n");
        wire.ask(of("MULTI") + &of("SELECT 5") + &of("DISCARD") + &of("PING"));
        wire.answer("+OK\r\n+QUEUED\r\n+OK\r\n+PONG\r\n");
        let wanted = [
            "HELLO ? in 0",
            "MULTI in 0",
            "SELECT ? in 0",
            "INCR ? in 0",
            "EXEC in 0",
            "GET ? in 4",
            "MULTI in 4",
            "SELECT ? in 4",
            "DISCARD in 4",
            "PING in 4",
        ];
        assert_eq!(lines(&wire), wanted, "{role:?}");
    }
}

#[test]
fn what_is_replicated_is_not_read() {
    for answer in [
        "+FULLRESYNC 8de1787ba490483314a4d30f1c628bc5025eb761 0\r\n$4\r\nabcd",
        "+CONTINUE\r\n",
    ] {
        let mut wire = Wire::new(Role::Server);
        wire.ask(of("PING"));
        wire.answer("+PONG\r\n");
        wire.ask(of("REPLCONF capa psync2"));
        wire.answer("+OK\r\n");
        wire.ask(of("PSYNC ? -1"));
        wire.answer("\n");
        wire.answer(answer);
        wire.answer(of("SET a b"));
        assert_eq!(lines(&wire), ["PING", "REPLCONF ? ?", "PSYNC ? ?"]);
        assert_eq!(wire.conversation.verdict(), Understanding::Opaque);
    }
}

#[test]
fn a_line_is_a_request_where_redis_is_spoken() {
    for role in ROLES {
        let mut wire = Wire::new(role);
        // Others say this too; nobody else answers so.
        wire.ask("PING\r\n");
        assert_eq!(wire.conversation.verdict(), Understanding::Undecided);
        wire.answer("+PONG\r\n");
        wire.now_ns += 1000 * MS;
        wire.ask("set a \"hello world\"\r\n");
        wire.answer("+OK\r\n");
        wire.now_ns += 1000 * MS;
        wire.ask("get a\r\n");
        wire.answer("$11\r\nhello world\r\n");
        assert_eq!(lines(&wire), ["PING", "set ? ?", "get ?"], "{role:?}");
    }
    let mut nats = Wire::new(Role::Client);
    nats.ask("PING\r\n");
    nats.answer("PONG\r\n");
    assert_eq!(nats.conversation.verdict(), Understanding::Undecided);
    assert!(nats.told.exchanges.is_empty());
}

#[test]
fn a_command_that_waits_is_open_until_it_is_answered_or_left() {
    for (role, end, wanted) in [
        (Role::Client, End::Ingress, "BLPOP ? ? Closed"),
        (Role::Server, End::Closed, "BLPOP ? ? Closed"),
        (Role::Client, End::Reset, "BLPOP ? ? Reset"),
    ] {
        let mut wire = Wire::new(role);
        wire.ask(of("BLPOP q 0"));
        wire.now_ns += 3_600_000 * MS;
        assert!(wire.conversation.has_open_exchange());
        wire.answer("*2\r\n$1\r\nq\r\n$1\r\na\r\n");
        wire.ask(of("BLPOP q 0"));
        wire.end(end);
        assert_eq!(lines(&wire), ["BLPOP ? ?", wanted], "{role:?}");
    }
}

#[test]
fn what_is_no_protocol_ends_the_matter() {
    let mut wire = Wire::new(Role::Server);
    wire.ask(of("PING"));
    wire.answer("+PONG\r\n");
    wire.ask("*1\r\nPING\r\n");
    wire.answer("-ERR Protocol error: expected '$', got 'P'\r\n");
    wire.end(End::Closed);
    assert_eq!(lines(&wire), ["PING"]);
    assert!(wire.told.discards.contains(&Discard::Unparsable));
}

#[test]
fn a_list_of_names_of_commands_makes_nobody_a_client() {
    let mut wire = Wire::new(Role::Client);
    // Joined where the server answers what looks like a command.
    wire.answer("*2\r\n$5\r\nhello\r\n$5\r\nworld\r\n");
    for _ in 0..20 {
        wire.ask(of("GET a"));
        wire.answer("$1\r\na\r\n");
    }
    let told = lines(&wire);
    assert!(
        told.iter().all(|line| line.contains("NotObserved")),
        "{told:?}"
    );
}

#[test]
fn a_first_answer_may_be_such_a_list() {
    for role in ROLES {
        let mut wire = Wire::new(role);
        wire.ask(of("CONFIG GET save"));
        wire.answer("*2\r\n$4\r\nsave\r\n$8\r\n3600 1 9\r\n");
        assert_eq!(lines(&wire), ["CONFIG GET ?"], "{role:?}");
    }
}

#[test]
fn a_burst_of_thousands_is_remembered() {
    for role in ROLES {
        let mut wire = Wire::new(role);
        wire.ask(of("GET a").repeat(4000));
        wire.answer("$1\r\na\r\n".repeat(4000));
        assert_eq!(wire.told.exchanges.len(), 4000);
        assert_eq!(wire.told.discards, [], "{role:?}");
    }
}
