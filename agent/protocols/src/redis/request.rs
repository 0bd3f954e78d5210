//! The parser of what clients send: arrays of strings, or a line that a person typed. A request is
//! told as soon as its name and the number of its arguments are known; arguments are passed over,
//! whatever their length, and none is kept but the number of a database and the name of a stored
//! function or the digest of a script.

mod head;

use std::borrow::Cow;

use super::RedisMessage;
use super::command::{Command, Verb};
use super::detect;
use super::value::{self, PassedOver, Scan};
use crate::heap;
use crate::message::{BodyEnd, Message, Then};
use crate::parser::{Crossed, Gap, Parsed, Parser};
use head::{CommandHead, head};

/// A command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedisRequest {
    /// As sent; `None` if it is no name of a command.
    pub name: Option<Cow<'static, str>>,
    /// What it does to the connection.
    pub(super) verb: Verb,
    /// How many arguments stand behind the name.
    pub arguments: u64,
    /// The database that `SELECT` asks for.
    pub database: Option<u32>,
    /// The function that `FCALL` calls, or the digest of the script that `EVALSHA` runs.
    pub procedure: Option<Box<str>>,
    /// It is not, if the client asked for no answers.
    pub is_answered: bool,
    /// Part of its head was not captured.
    pub truncated: bool,
    /// It was not read; the answer shows what it was.
    pub(super) is_stand_in: bool,
}

impl RedisRequest {
    /// What the first line of a person was that the server answered like a `PING`.
    pub(super) fn stand_in() -> Self {
        Self {
            name: Some(Cow::Borrowed("PING")),
            verb: Verb::Idle,
            is_answered: true,
            is_stand_in: true,
            ..Self::default()
        }
    }

    /// By its first words, of `count`.
    fn of(words: &[&[u8]], count: u64) -> Self {
        let command = Command::of(words);
        let argument = words.get(1).copied();
        Self {
            arguments: count - command.words.max(1) as u64,
            database: argument
                .filter(|_| command.verb == Verb::Select)
                .and_then(|text| value::decimal(text)?.try_into().ok()),
            procedure: argument
                .filter(|_| command.verb == Verb::Call)
                .and_then(procedure),
            name: command.name,
            verb: command.verb,
            is_answered: true,
            truncated: false,
            is_stand_in: false,
        }
    }

    /// Bytes of heap that it takes.
    pub(super) fn heap_bytes(&self) -> usize {
        let name = match &self.name {
            Some(Cow::Owned(name)) => heap::block(name.capacity()),
            _ => 0,
        };
        name + heap::block(self.procedure.as_deref().map_or(0, str::len))
    }
}

/// The name of a function has letters, digits and underscores (`functions.c`, `verifyName`); the
/// digest of a script is SHA-1 in hexadecimal.
fn procedure(text: &[u8]) -> Option<Box<str>> {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let text = std::str::from_utf8(text).ok()?;
    (!text.is_empty() && text.as_bytes().iter().all(is_name)).then(|| text.into())
}

/// Reads what a client sends.
#[derive(Debug, Default)]
pub struct Requests {
    /// Arguments that are being passed over.
    rest: Option<Scan>,
    replies: Replies,
    was_invalid: bool,
}

/// What the client asked for with `CLIENT REPLY`.
#[derive(Clone, Copy, Debug, Default)]
enum Replies {
    #[default]
    On,
    Off,
    /// Not for the next command.
    Skip,
}

impl Parser for Requests {
    type Message = RedisMessage;

    fn parse(&mut self, buf: &[u8]) -> Parsed<RedisMessage> {
        let parsed = match self.rest.take() {
            Some(scan) => self.skip(scan, buf),
            None => self.parse_head(buf),
        };
        self.was_invalid = matches!(parsed, Parsed::Invalid);
        parsed
    }

    fn cross(&mut self, pending: &[u8], gap: Gap) -> Crossed<RedisMessage> {
        if let Some(mut scan) = self.rest.take() {
            return match scan.cross(gap) {
                Some(true) if pending.is_empty() => Crossed::Ended(end_of(&scan)),
                Some(false) if pending.is_empty() => {
                    self.rest = Some(scan);
                    Crossed::Over
                }
                _ => Crossed::Lost,
            };
        }
        match head(pending) {
            CommandHead::Partial(words, Some(count)) if !words.is_empty() => {
                let mut request = self.answered(RedisRequest::of(words.as_slice(), count));
                request.truncated = true;
                Crossed::Cut(Message::Request {
                    request,
                    then: Then::Unknown,
                })
            }
            _ => Crossed::Lost,
        }
    }

    fn end(&mut self, _pending: &[u8]) -> Option<RedisMessage> {
        self.rest = None;
        None
    }

    fn resync(&mut self, buf: &[u8]) -> Option<usize> {
        let at = if !self.was_invalid && detect::may_begin_request(buf) {
            0
        } else {
            memchr::memchr_iter(b'\n', buf)
                .map(|line_end| line_end + 1)
                .find(|&at| at < buf.len() && detect::may_begin_request(&buf[at..]))?
        };
        self.reset();
        Some(at)
    }

    fn bytes_left(&self) -> Option<u64> {
        self.rest.as_ref().and_then(Scan::bytes_left)
    }

    fn reset(&mut self) {
        *self = Self::default();
    }

    fn heap_bytes(&self) -> usize {
        0
    }
}

impl Requests {
    fn skip(&mut self, mut scan: Scan, buf: &[u8]) -> Parsed<RedisMessage> {
        match scan.skip(buf) {
            PassedOver::GoesOn(consumed) => {
                self.rest = Some(scan);
                Parsed::Skipped { consumed }
            }
            PassedOver::Ended(consumed) => Parsed::Message {
                message: end_of(&scan),
                consumed,
            },
            PassedOver::Incomplete => {
                self.rest = Some(scan);
                Parsed::Incomplete
            }
            PassedOver::Invalid => Parsed::Invalid,
        }
    }

    fn parse_head(&mut self, buf: &[u8]) -> Parsed<RedisMessage> {
        match head(buf) {
            CommandHead::Empty(consumed) => Parsed::Skipped { consumed },
            CommandHead::Partial(..) => Parsed::Incomplete,
            CommandHead::Invalid => Parsed::Invalid,
            CommandHead::Whole {
                words,
                count,
                left,
                consumed,
            } => {
                let request = self.answered(RedisRequest::of(words.as_slice(), count));
                let then = if left == 0 {
                    Then::Done
                } else {
                    self.rest = Some(Scan::strings(left));
                    Then::Body
                };
                if request.verb == Verb::ClientReply {
                    self.note_replies(words.as_slice());
                }
                let mut request = request;
                if request.verb == Verb::ClientReply {
                    request.is_answered = matches!(self.replies, Replies::On);
                }
                Parsed::Message {
                    message: Message::Request { request, then },
                    consumed,
                }
            }
        }
    }

    /// The same request, which is answered or not.
    fn answered(&mut self, mut request: RedisRequest) -> RedisRequest {
        request.is_answered = match self.replies {
            Replies::On => true,
            Replies::Off => false,
            Replies::Skip => {
                self.replies = Replies::On;
                false
            }
        };
        request
    }

    fn note_replies(&mut self, words: &[&[u8]]) {
        let [_, _, wanted, ..] = words else { return };
        if wanted.eq_ignore_ascii_case(b"ON") {
            self.replies = Replies::On;
        } else if wanted.eq_ignore_ascii_case(b"OFF") {
            self.replies = Replies::Off;
        } else if wanted.eq_ignore_ascii_case(b"SKIP") && !matches!(self.replies, Replies::Off) {
            self.replies = Replies::Skip;
        }
    }
}

fn end_of(scan: &Scan) -> RedisMessage {
    Message::End(BodyEnd {
        size: Some(scan.passed()),
        call_status: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> (RedisRequest, Then) {
        match Requests::default().parse(text.as_bytes()) {
            Parsed::Message {
                message: Message::Request { request, then },
                ..
            } => (request, then),
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn a_request_is_told_before_its_arguments() {
        let (set, then) = request("*3\r\n$3\r\nSET\r\n");
        assert_eq!(set.name.as_deref(), Some("SET"));
        assert_eq!((set.arguments, then), (2, Then::Body));
        let (ping, then) = request("*1\r\n$4\r\nPING\r\n");
        assert_eq!((ping.arguments, then), (0, Then::Done));
        let (create, then) = request("*5\r\n$6\r\nXGROUP\r\n$6\r\nCREATE\r\n$1\r\n");
        assert_eq!(create.name.as_deref(), Some("XGROUP CREATE"));
        assert_eq!((create.arguments, then), (3, Then::Body));
    }

    #[test]
    fn a_name_that_is_none_is_counted_with_the_arguments() {
        let (long, then) = request(&format!("*2\r\n$100\r\n{}", "x".repeat(50)));
        assert_eq!((long.name, long.arguments, then), (None, 1, Then::Body));
        let (unknown, _) = request("*2\r\n$3\r\nFOO\r\n$1\r\nx\r\n");
        assert_eq!((unknown.name, unknown.arguments), (None, 1));
    }

    #[test]
    fn a_line_that_was_typed_is_a_request() {
        for (line, name, arguments) in [
            ("PING\r\n", "PING", 0),
            ("set a \"b c\"\n", "set", 2),
            ("set a 'b \\' c' \r\n", "set", 2),
            ("  config  get * \r\n", "config get", 1),
        ] {
            let (typed, then) = request(line);
            assert_eq!(typed.name.as_deref(), Some(name), "{line}");
            assert_eq!((typed.arguments, then), (arguments, Then::Done), "{line}");
        }
    }

    #[test]
    fn names_of_functions_and_digests_are_told_and_nothing_else() {
        let call = |name: &str, what: &str| {
            let len = what.len();
            let text = format!("*3\r\n${}\r\n{name}\r\n${len}\r\n{what}\r\n", name.len());
            request(&text).0.procedure
        };
        assert_eq!(call("FCALL", "my_function").as_deref(), Some("my_function"));
        let digest = "6b1bf486c81ceb7edf3c093f4c48582e38c0e791";
        assert_eq!(call("evalsha", digest).as_deref(), Some(digest));
        assert_eq!(call("FCALL", "return 's3cr3t'"), None);
        assert_eq!(call("EVAL", "s3cr3t"), None);
    }

    #[test]
    fn who_asks_for_no_answers_gets_none() {
        let mut parser = Requests::default();
        let mut answered = |line: &str| match parser.parse(line.as_bytes()) {
            Parsed::Message {
                message: Message::Request { request, .. },
                ..
            } => request.is_answered,
            other => panic!("{line}: {other:?}"),
        };
        for (line, is_answered) in [
            ("client reply skip\n", false),
            ("get a\n", false),
            ("get a\n", true),
            ("client reply off\n", false),
            ("get a\n", false),
            ("client reply skip\n", false),
            ("get a\n", false),
            ("client reply on\n", true),
            ("get a\n", true),
        ] {
            assert_eq!(answered(line), is_answered, "{line}");
        }
    }
}
