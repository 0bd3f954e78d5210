//! Redis from records to spans: what they say, and that nothing of keys, values and passwords is
//! in them, whichever way they leave.

use bytes::BytesMut;
use wirespan::config::SpanConfig;
use wirespan::export::otlp::{json, protobuf};
use wirespan::recording::{Reader, Writer, redact};
use wirespan::span::{SpanKind, Status};

use crate::records::Recorder;
use crate::{CLIENT, SERVER, WALL_NS, attribute, spans_of};

const SECRET: &str = "S3cr3tV4lue";

fn command(words: &[&str]) -> String {
    let strings = words.iter();
    let strings: String = strings
        .map(|word| format!("${}\r\n{word}\r\n", word.len()))
        .collect();
    format!("*{}\r\n{strings}", words.len())
}

fn recorded() -> Recorder {
    let mut recorder = Recorder::new(WALL_NS);
    recorder.named("shop");
    recorder
}

#[test]
fn both_sides_of_a_command_are_spans_of_their_kind() {
    for is_server in [true, false] {
        let mut recorder = recorded();
        let (ask, answer) = (
            command(&["SELECT", "3"]) + &command(&["INCR", "key"]),
            "+OK\r\n-WRONGTYPE x\r\n",
        );
        if is_server {
            recorder
                .open_tcp(1, SERVER, CLIENT)
                .read(1, ask)
                .write(1, answer);
        } else {
            recorder
                .open_tcp(1, CLIENT, SERVER)
                .write(1, ask)
                .read(1, answer);
        }
        let spans = spans_of(&mut recorder);
        let [select, increment] = spans.as_slice() else {
            panic!("{spans:?}");
        };
        assert_eq!(select.name, "SELECT");
        assert_eq!(
            (&*increment.name, increment.status),
            ("INCR", Status::Error)
        );
        let kind = if is_server {
            SpanKind::Server
        } else {
            SpanKind::Client
        };
        assert_eq!(increment.kind, kind);
        for (name, value) in [
            ("db.system.name", Some("redis")),
            ("db.namespace", Some("3")),
            ("db.operation.name", Some("INCR")),
            ("db.query.text", Some("INCR ?")),
            ("db.response.status_code", Some("WRONGTYPE")),
            ("error.type", Some("WRONGTYPE")),
            ("server.address", Some("10.0.0.1")),
            ("server.port", Some("8080")),
            ("client.address", is_server.then_some("10.0.0.2")),
            ("db.operation.batch.size", None),
        ] {
            assert_eq!(attribute(increment, name).as_deref(), value, "{name}");
        }
    }
}

#[test]
fn what_the_kernel_knows_of_a_connections_past_is_believed() {
    for (moved_before, database, status) in [
        (Some([0, 0]), Some("0"), Status::Unset),
        (Some([31, 5]), None, Status::Unset),
        (None, None, Status::Unset),
    ] {
        let mut recorder = recorded();
        if let Some(bytes) = moved_before {
            recorder.moved_before(bytes);
        }
        recorder
            .open_tcp(1, SERVER, CLIENT)
            .read(1, command(&["GET", "key"]))
            .write(1, "$1\r\na\r\n");
        let spans = spans_of(&mut recorder);
        let [get] = spans.as_slice() else {
            panic!("{spans:?}");
        };
        assert_eq!(get.status, status);
        assert_eq!(attribute(get, "db.namespace").as_deref(), database);
        // Another command may have been outstanding when it was met.
        let is_paired = moved_before != Some([31, 5]);
        let unpaired = (!is_paired).then_some("response_not_observed");
        assert_eq!(attribute(get, "error.type").as_deref(), unpaired);
    }
}

/// Secrets wherever a client or a server can put one.
fn with_secrets() -> Recorder {
    let script = format!("return redis.call('get', '{SECRET}')");
    let commands: &[&[&str]] = &[
        &["AUTH", SECRET],
        &["AUTH", "default", SECRET],
        &["HELLO", "3", "AUTH", "default", SECRET],
        &["CONFIG", "SET", "requirepass", SECRET],
        &["CONFIG", SECRET],
        &["ACL", "SETUSER", "bob", &format!(">{SECRET}")],
        &["EVAL", &script, "1", SECRET],
        &["EVALSHA", &format!("{SECRET} x"), "1", SECRET],
        &["FCALL", &format!("'{SECRET}'"), "0"],
        &["SCRIPT", "LOAD", &script],
        &["SET", SECRET, SECRET],
        &["MSET", SECRET, SECRET, "a", SECRET],
        &["SELECT", SECRET],
        &["SUBSCRIBE", SECRET],
        &["PUBLISH", SECRET, SECRET],
        &["MIGRATE", "host", "6379", SECRET, "0", "10", "AUTH", SECRET],
        &["CLIENT", "SETNAME", SECRET],
        &["CLIENT", "REPLY", SECRET],
        &[SECRET, "a"],
        &[&format!("FT.{SECRET}"), "a"],
    ];
    let mut recorder = recorded();
    for (index, words) in commands.iter().enumerate() {
        for (place, answer) in [
            format!("-ERR unknown '{SECRET}'\r\n"),
            format!("-{SECRET} no\r\n"),
            format!("${}\r\n{SECRET}\r\n", SECRET.len()),
            format!("!{}\r\n{SECRET} x\r\n", SECRET.len() + 2),
            format!("+{SECRET}\r\n"),
        ]
        .into_iter()
        .enumerate()
        {
            let id = 1 + (index * 10 + place) as u64;
            recorder
                .open_tcp(id, CLIENT, SERVER)
                .write(id, command(&["PING"]))
                .read(id, "+PONG\r\n")
                .write(id, command(words))
                .read(id, answer)
                .write(id, format!("set {SECRET} {SECRET}\r\n"))
                .read(id, "+OK\r\n");
        }
    }
    recorder
}

#[test]
fn nothing_of_an_argument_or_an_answer_is_in_a_span() {
    let spans = spans_of(&mut with_secrets());
    assert!(spans.len() >= 200, "{}", spans.len());
    for span in &spans {
        let mut encoded = BytesMut::new();
        protobuf::encode(&[span], &mut encoded);
        let mut text = Vec::new();
        json::write(&[span], &mut text);
        for form in [
            String::from_utf8_lossy(&encoded).into_owned(),
            String::from_utf8_lossy(&text).into_owned(),
            format!("{span:?}"),
        ] {
            assert!(!form.to_ascii_lowercase().contains("s3cr3t"), "{form}");
        }
    }
}

#[test]
fn a_redacted_recording_has_nothing_of_it() {
    let recorder = with_secrets();
    let mut writer = Writer::new(Vec::new()).expect("a vector takes all");
    for record in &recorder.records {
        writer.write(record).expect("a vector takes all");
    }
    let whole = writer.finish().expect("a vector takes all");
    let mut writer = Writer::new(Vec::new()).expect("a vector takes all");
    let mut reader = Reader::new(&whole[..]).expect("a recording");
    redact(&mut reader, &mut writer, &SpanConfig::default()).expect("it is read");
    let copy = writer.finish().expect("a vector takes all");
    for part in [SECRET, "AUTH", "SET", "PING", "PONG"] {
        let part = part.as_bytes();
        assert!(whole.windows(part.len()).any(|bytes| bytes == part));
        assert!(
            !copy.windows(part.len()).any(|bytes| bytes == part),
            "{part:?}"
        );
    }
}
