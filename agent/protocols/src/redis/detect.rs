//! Whether bytes begin something of Redis. A request is an array that begins with the name of a
//! command: only that is certain, and neither memcached nor NATS nor a mail server begins so. A
//! line that somebody typed is believed only where the connection is known to be Redis; so is
//! `+OK`, which others say too.

use super::command::{WORD_BYTES_MAX, is_name};
use super::subscriptions::{self, SubscriptionKind, Unconfirmed};
use super::value::{self, Number};
use crate::parser::Flow;
use crate::protocol::Detected;

/// Answers that nobody else gives. (NATS answers `PONG` without a sign.)
const ANSWERS: [&[u8]; 8] = [
    b"+PONG\r\n",
    b"+QUEUED\r\n",
    b"$-1\r\n",
    b"*-1\r\n",
    b"*0\r\n",
    b"_\r\n",
    b"#t\r\n",
    b"#f\r\n",
];

/// Prefixes of errors that only Redis has; POP3 and NATS have `-ERR` too.
const ERRORS: [&[u8]; 8] = [
    b"-WRONGTYPE ",
    b"-NOAUTH ",
    b"-WRONGPASS ",
    b"-NOSCRIPT ",
    b"-EXECABORT ",
    b"-MOVED ",
    b"-READONLY ",
    b"-LOADING ",
];

/// Whether a message begins at `prefix[0]`.
#[must_use]
pub fn detect(prefix: &[u8]) -> Detected {
    let found = match prefix.first() {
        None => Detected::NotYet,
        Some(b'*') => array(prefix),
        Some(b'$' | b'=' | b'!') => string(prefix),
        Some(b':') => integer(prefix),
        Some(b'%' | b'~' | b'>' | b'|') => aggregate(prefix),
        _ => Detected::No,
    };
    let mut literal = Detected::No;
    for answer in ANSWERS.iter().chain(&ERRORS) {
        if prefix.starts_with(answer) {
            return Detected::Match(Flow::Responses);
        }
        if answer.starts_with(prefix) {
            literal = Detected::NotYet;
        }
    }
    if found == Detected::No {
        literal
    } else {
        found
    }
}

/// Whether a request begins here, or might, on a connection that is known to be Redis.
pub(super) fn may_begin_request(buf: &[u8]) -> bool {
    match array(buf) {
        Detected::Match(flow) => flow == Flow::Requests,
        Detected::NotYet => !buf.is_empty(),
        Detected::Either | Detected::No => value::line(buf).is_some_and(|(text, _)| {
            let mut words = text.split(|byte| *byte == b' ');
            words.next().is_some_and(is_name)
        }),
    }
}

/// An array of strings that begins with the name of a command, or of a message that was published.
fn array(prefix: &[u8]) -> Detected {
    let (Some(b'*'), begins) = (prefix.first(), value::number(prefix)) else {
        return Detected::No;
    };
    let at = match begins {
        Number::Of(1.., at) => at,
        Number::Partial => return Detected::NotYet,
        _ => return Detected::No,
    };
    let is_triple = matches!(begins, Number::Of(3, _));
    let rest = &prefix[at..];
    match rest.first() {
        None => return Detected::NotYet,
        Some(b'$') => {}
        // Clients send nothing but strings.
        Some(_) => return begins_value(rest),
    }
    let (len, at) = match value::number(rest) {
        Number::Of(len, at) if (1..=WORD_BYTES_MAX as u64).contains(&len) => (len as usize, at),
        Number::Partial => return Detected::NotYet,
        _ => return Detected::No,
    };
    let word = &rest[at..rest.len().min(at + len)];
    if word.len() < len {
        return if word.iter().all(u8::is_ascii_graphic) {
            Detected::NotYet
        } else {
            Detected::No
        };
    }
    if !b"\r\n".starts_with(&rest[at + len..rest.len().min(at + len + 2)]) {
        return Detected::No;
    }
    let behind = rest.get(at + len + 2..).unwrap_or_default();
    if is_triple
        && matches!(
            SubscriptionKind::of(word),
            Some(SubscriptionKind::Subscribed(_) | SubscriptionKind::Unsubscribed(_))
        )
    {
        // The command and what confirms it begin alike.
        return match subscriptions::confirmation(behind) {
            Ok(_) => Detected::Match(Flow::Responses),
            Err(Unconfirmed::Partial) => Detected::NotYet,
            Err(Unconfirmed::Invalid) => Detected::Match(Flow::Requests),
        };
    }
    if is_name(word) {
        Detected::Match(Flow::Requests)
    } else if SubscriptionKind::of(word).is_some() {
        Detected::Match(Flow::Responses)
    } else {
        Detected::No
    }
}

/// A string with its length and its end.
fn string(prefix: &[u8]) -> Detected {
    match value::number(prefix) {
        Number::Of(len, at) => {
            // What is longer than what is looked at can't be checked, and comes without an end.
            let end = usize::try_from(len)
                .ok()
                .and_then(|len| len.checked_add(at));
            let rest = end.and_then(|end| prefix.get(end..)).unwrap_or_default();
            if rest.len() >= 2 {
                return match rest {
                    [b'\r', b'\n', ..] => Detected::Match(Flow::Responses),
                    _ => Detected::No,
                };
            }
            Detected::NotYet
        }
        Number::Partial => Detected::NotYet,
        Number::Null(_) | Number::Streamed(_) | Number::Invalid => Detected::No,
    }
}

/// `:` and a number.
fn integer(prefix: &[u8]) -> Detected {
    let number = |text: &[u8]| value::decimal(text.strip_prefix(b"-").unwrap_or(text)).is_some();
    match value::line(prefix) {
        Some((text, _)) if number(&text[1..]) => Detected::Match(Flow::Responses),
        Some(_) => Detected::No,
        None if matches!(value::number(prefix), Number::Partial) => Detected::NotYet,
        None => Detected::No,
    }
}

/// Something of RESP3 that holds values.
fn aggregate(prefix: &[u8]) -> Detected {
    match value::number(prefix) {
        Number::Of(_, at) if at < prefix.len() => begins_value(&prefix[at..]),
        Number::Of(..) | Number::Partial => Detected::NotYet,
        Number::Null(_) | Number::Streamed(_) | Number::Invalid => Detected::No,
    }
}

/// Whether what an aggregate holds begins as a value does.
fn begins_value(rest: &[u8]) -> Detected {
    match (rest, value::line(rest)) {
        ([b'$' | b'*' | b'%' | b'~' | b'=' | b':', ..], Some(_)) => match value::number(rest) {
            Number::Of(..) | Number::Null(_) => Detected::Match(Flow::Responses),
            _ => Detected::No,
        },
        ([b'+' | b'-' | b',' | b'#' | b'(' | b'_', ..], Some((text, _))) => {
            if text.iter().all(|byte| *byte >= b' ') {
                Detected::Match(Flow::Responses)
            } else {
                Detected::No
            }
        }
        (
            [
                b'$' | b'*' | b'%' | b'~' | b'=' | b':' | b'+' | b'-' | b',' | b'#' | b'(' | b'_',
                ..,
            ],
            None,
        ) if rest.len() < 64 => Detected::NotYet,
        _ => Detected::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_with_a_command_is_a_request() {
        for (text, enough) in [
            ("*1\r\n$4\r\nPING\r\n", 12),
            ("*2\r\n$3\r\nget\r\n$1\r\na\r\n", 11),
            ("*3\r\n$9\r\nFT.SEARCH\r\n", 17),
        ] {
            for len in 0..=text.len() {
                let wanted = if len < enough {
                    Detected::NotYet
                } else {
                    Detected::Match(Flow::Requests)
                };
                assert_eq!(detect(&text.as_bytes()[..len]), wanted, "{text:?} {len}");
            }
        }
    }

    #[test]
    fn what_others_say_is_not_redis() {
        for text in [
            "+OK\r\n",
            "-ERR 'Unknown Protocol Operation'\r\n",
            "PING\r\n",
            "PONG\r\n",
            "* OK [CAPABILITY IMAP4rev1] ready\r\n",
            "*x\r\n",
            "*2\r\n$5\r\nworld\r\n",
            ":irc.example 001 nick :Welcome\r\n",
            "$GPGGA,123519\r\n",
            "%PDF-1.7\r\n",
            "~~~~\r\n",
            "> ready\r\n",
        ] {
            for len in 1..text.len() {
                let found = detect(&text.as_bytes()[..len]);
                assert!(!matches!(found, Detected::Match(_)), "{text:?} at {len}");
            }
            assert_eq!(detect(text.as_bytes()), Detected::No, "{text:?}");
        }
    }

    #[test]
    fn a_line_begins_a_request_where_redis_is_spoken() {
        assert!(may_begin_request(b"set a b\r\n"));
        assert!(!may_begin_request(b"hello world"));
        assert!(!may_begin_request(b"s3cr3t a b\r\n"));
    }
}
