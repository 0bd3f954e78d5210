//! The parser of what servers send. An answer is told as soon as its type is known; what it holds
//! is passed over, and of errors only the prefix is kept. It also follows what decides about what
//! an answer is: how many a command has, whether messages may come between, which database is
//! asked. What it does not know it does not assume.

mod answer;
mod line;
mod topics;

use std::borrow::Cow;

use super::RedisMessage;
use super::command::{Verb, answers_with_lists};
use super::detect;
use super::request::RedisRequest;
use super::subscriptions::Subscriptions;
use super::value::{self, Number, PassedOver, Scan};
use crate::message::{BodyEnd, Message, Then};
use crate::parser::{Answers, Crossed, Flow, Gap, Parsed, Parser};
use crate::protocol::Detected;

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedisReply {
    /// It is an error.
    pub failed: bool,
    /// The error's first word, if it is written as a prefix is.
    pub prefix: Option<Cow<'static, str>>,
    /// The database that the command was for, where that is known.
    pub database: Option<u32>,
    /// Part of it was not captured.
    pub truncated: bool,
    /// It is what servers answer to a `PING`.
    pub(super) is_pong: bool,
}

/// Reads what a server sends.
#[derive(Debug)]
pub struct Responses {
    /// What is being passed over, and whether it stands before an answer (RESP3's attributes).
    rest: Option<(Scan, bool)>,
    asked: Option<PendingCommand>,
    /// Answers to the command in question that were seen.
    confirmed: u64,
    /// Nothing was answered yet.
    is_first: bool,
    /// Something was said that no client says: this is the server's direction.
    is_servers: bool,
    /// Until then: the next answer may well be a list that begins with any text.
    may_list: bool,
    database: Option<u32>,
    /// The one that a queued command asks for.
    queued_database: Option<u32>,
    subscriptions: Subscriptions,
    was_invalid: bool,
}

/// Of the request that the next answer is to.
#[derive(Clone, Copy, Debug)]
struct PendingCommand {
    verb: Verb,
    arguments: u64,
    database: Option<u32>,
}

impl Default for Responses {
    fn default() -> Self {
        Self {
            rest: None,
            asked: None,
            confirmed: 0,
            is_first: true,
            is_servers: false,
            may_list: false,
            database: None,
            queued_database: None,
            subscriptions: Subscriptions::default(),
            was_invalid: false,
        }
    }
}

impl Answers<RedisRequest> for Responses {
    /// A client has the database with the number 0 until it selects another one.
    fn begins(&mut self) {
        self.database = Some(0);
    }

    fn answers(&mut self, request: Option<&RedisRequest>) {
        if !self.is_servers {
            let name = request.and_then(|request| request.name.as_deref());
            self.may_list = name.is_some_and(answers_with_lists);
        }
        self.asked = request.map(|request| PendingCommand {
            verb: request.verb,
            arguments: request.arguments,
            database: request.database,
        });
    }

    fn may_begin(&self, buf: &[u8]) -> bool {
        match buf.first() {
            Some(b'>') => false,
            Some(b'*') if self.subscriptions.may_be_some() => !topics::is_published(buf),
            Some(b'+') => !line::is_monitored(buf),
            _ => true,
        }
    }
}

impl Parser for Responses {
    type Message = RedisMessage;

    fn parse(&mut self, buf: &[u8]) -> Parsed<RedisMessage> {
        let parsed = match self.rest.take() {
            Some((scan, is_before)) => self.skip(scan, is_before, buf),
            None => self.parse_head(buf),
        };
        self.was_invalid = matches!(parsed, Parsed::Invalid);
        self.is_servers |= matches!(parsed, Parsed::Message { .. });
        parsed
    }

    fn cross(&mut self, pending: &[u8], gap: Gap) -> Crossed<RedisMessage> {
        if let Some((mut scan, is_before)) = self.rest.take() {
            return match scan.cross(gap) {
                Some(true) if pending.is_empty() && !is_before => Crossed::Ended(end_of(&scan)),
                Some(true) if pending.is_empty() => Crossed::Over,
                Some(false) if pending.is_empty() => {
                    self.rest = Some((scan, is_before));
                    Crossed::Over
                }
                _ => Crossed::Lost,
            };
        }
        // Of an error that was cut, the prefix is what matters.
        match pending {
            [b'-', text @ ..] if text.contains(&b' ') => Crossed::Cut(Message::Response {
                response: RedisReply {
                    truncated: true,
                    ..self.failure(text)
                },
                then: Then::Unknown,
            }),
            _ => Crossed::Lost,
        }
    }

    fn end(&mut self, _pending: &[u8]) -> Option<RedisMessage> {
        self.rest = None;
        None
    }

    fn resync(&mut self, buf: &[u8]) -> Option<usize> {
        let begins = |at: usize| {
            let sign = buf.get(at).copied().unwrap_or_default();
            b"+-:$*_,#(!=%~>|".contains(&sign)
        };
        let at = if !self.was_invalid && begins(0) {
            0
        } else {
            memchr::memchr_iter(b'\n', buf)
                .map(|line_end| line_end + 1)
                .find(|&at| begins(at))?
        };
        self.reset();
        Some(at)
    }

    fn bytes_left(&self) -> Option<u64> {
        self.rest.as_ref().and_then(|(scan, _)| scan.bytes_left())
    }

    fn reset(&mut self) {
        *self = Self {
            is_first: false,
            is_servers: self.is_servers,
            ..Self::default()
        };
    }

    fn heap_bytes(&self) -> usize {
        0
    }
}

/// The body of a message, told before it.
enum ReplyBody {
    None,
    Of(Scan),
}

impl Responses {
    fn skip(&mut self, mut scan: Scan, is_before: bool, buf: &[u8]) -> Parsed<RedisMessage> {
        match scan.skip(buf) {
            PassedOver::GoesOn(consumed) => {
                self.rest = Some((scan, is_before));
                Parsed::Skipped { consumed }
            }
            PassedOver::Ended(consumed) if is_before => Parsed::Skipped { consumed },
            PassedOver::Ended(consumed) => Parsed::Message {
                message: end_of(&scan),
                consumed,
            },
            PassedOver::Incomplete => {
                self.rest = Some((scan, is_before));
                Parsed::Incomplete
            }
            PassedOver::Invalid => Parsed::Invalid,
        }
    }

    fn parse_head(&mut self, buf: &[u8]) -> Parsed<RedisMessage> {
        match buf[0] {
            b'+' => self.simple(buf),
            b'-' => match value::line(buf) {
                Some((text, consumed)) => {
                    let response = self.failure(&text[1..]);
                    self.answer(response, ReplyBody::None, consumed)
                }
                None => Parsed::Incomplete,
            },
            b':' | b',' | b'#' | b'(' | b'_' => match value::line(buf) {
                Some((_, consumed)) => self.success(ReplyBody::None, consumed),
                None => Parsed::Incomplete,
            },
            b'$' | b'=' => match value::number(buf) {
                // What follows is a copy of the data set, without the end of a line.
                Number::Of(_, consumed) if self.verb() == Verb::Sync => self.foreign(consumed),
                Number::Of(len, consumed) => {
                    self.success(ReplyBody::Of(Scan::string(len)), consumed)
                }
                Number::Null(consumed) => self.success(ReplyBody::None, consumed),
                Number::Streamed(consumed) => self.success(ReplyBody::Of(Scan::pieces()), consumed),
                Number::Partial => Parsed::Incomplete,
                Number::Invalid => Parsed::Invalid,
            },
            b'!' => self.bulk_error(buf),
            b'*' | b'%' | b'~' | b'>' => self.aggregate(buf),
            b'|' => match value::number(buf) {
                Number::Of(0, consumed) => Parsed::Skipped { consumed },
                Number::Of(count, consumed) => match Scan::values(count.saturating_mul(2)) {
                    Some(scan) => {
                        self.rest = Some((scan, true));
                        Parsed::Skipped { consumed }
                    }
                    None => Parsed::Invalid,
                },
                Number::Partial => Parsed::Incomplete,
                _ => Parsed::Invalid,
            },
            // A master that prepares a copy of its data shows that it lives.
            b'\n' if self.verb() == Verb::Sync => Parsed::Skipped { consumed: 1 },
            _ => Parsed::Invalid,
        }
    }

    fn simple(&mut self, buf: &[u8]) -> Parsed<RedisMessage> {
        let Some((text, consumed)) = value::line(buf) else {
            return Parsed::Incomplete;
        };
        if line::is_monitored(text) {
            return Parsed::Message {
                message: Message::Unsolicited { then: Then::Done },
                consumed,
            };
        }
        let text = &text[1..];
        if self.verb() == Verb::Sync {
            return self.foreign(consumed);
        }
        if text == b"QUEUED" {
            if let Some(PendingCommand {
                database: Some(database),
                ..
            }) = self.asked
            {
                self.queued_database = Some(database);
            }
            let response = self.reply();
            return self.finish(response, ReplyBody::None, consumed);
        }
        let response = RedisReply {
            is_pong: text == b"PONG",
            ..self.reply()
        };
        self.answer(response, ReplyBody::None, consumed)
    }

    fn bulk_error(&mut self, buf: &[u8]) -> Parsed<RedisMessage> {
        let (len, at) = match value::number(buf) {
            Number::Of(len, at) => (len, at),
            Number::Partial => return Parsed::Incomplete,
            _ => return Parsed::Invalid,
        };
        let looked_at = len.min(line::PREFIX_BYTES_MAX as u64 + 1) as usize;
        let Some(text) = buf.get(at..at + looked_at) else {
            return Parsed::Incomplete;
        };
        let response = self.failure(text);
        self.answer(response, ReplyBody::Of(Scan::string(len)), at)
    }

    fn aggregate(&mut self, buf: &[u8]) -> Parsed<RedisMessage> {
        let sign = buf[0];
        let (count, at) = match value::number(buf) {
            Number::Of(count, at) => (count, at),
            Number::Null(at) => return self.success(ReplyBody::None, at),
            Number::Streamed(at) => return self.success(ReplyBody::Of(Scan::streamed()), at),
            Number::Partial => return Parsed::Incomplete,
            Number::Invalid => return Parsed::Invalid,
        };
        let each = 1 + u64::from(sign == b'%');
        let Some(scan) = Scan::values(count.saturating_mul(each)) else {
            return Parsed::Invalid;
        };
        let is_push = sign == b'>';
        if count > 0 && (is_push || sign == b'*' && self.may_be_about_topics()) {
            match topics::kind(&buf[at..]) {
                topics::TopicReply::Partial => return Parsed::Incomplete,
                topics::TopicReply::Kind(kind, len) => {
                    if let Some(parsed) = self.about_topics(kind, is_push, buf, at, len) {
                        return parsed;
                    }
                }
                topics::TopicReply::Other => {}
            }
        }
        if sign == b'*' && !self.is_servers && !self.may_list {
            // A list that begins like a command may have been taken for one where the connection
            // was joined: then these are what the client says.
            match detect(buf) {
                Detected::Match(Flow::Requests) => return Parsed::Invalid,
                Detected::NotYet => return Parsed::Incomplete,
                _ => {}
            }
        }
        let body = if count == 0 {
            ReplyBody::None
        } else {
            ReplyBody::Of(scan)
        };
        if is_push {
            self.unsolicited(body, at)
        } else {
            self.success(body, at)
        }
    }

    fn verb(&self) -> Verb {
        self.asked.map_or(Verb::Plain, |asked| asked.verb)
    }
}

fn end_of(scan: &Scan) -> RedisMessage {
    Message::End(BodyEnd {
        size: Some(scan.passed()),
        call_status: None,
    })
}
