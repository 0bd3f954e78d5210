//! What servers send.

use super::MongoMessage;
use super::bson;
use super::detect;
use super::frame::{self, Begins, HEADER_BYTES, MessageHeader, Opcode, Remainder, begins};
use crate::message::{Message, Then};
use crate::parser::{Crossed, Gap, Parsed, Parser};

/// `OP_MSG`: further answers to the same request follow.
const MORE_TO_COME: u32 = 1 << 1;
/// Where the document of an `OP_MSG` begins that has one section: behind flags and its kind.
const MSG_DOCUMENT_AT: usize = HEADER_BYTES + 5;
/// Where the first document of an `OP_REPLY` begins: behind flags, a cursor, and two numbers.
const REPLY_DOCUMENT_AT: usize = HEADER_BYTES + 20;

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MongoReply {
    /// The id of the request that it answers.
    pub answers: u32,
    /// The command failed, or some of its writes did.
    pub failed: bool,
    /// The number of the error, of the first where there are many.
    pub code: Option<i64>,
    /// Further answers follow.
    pub more_to_come: bool,
    /// Part of its head was not captured.
    pub truncated: bool,
}

/// Reads them.
#[derive(Debug, Default)]
pub struct Responses {
    rest: Remainder,
}

impl MongoReply {
    fn of(header: MessageHeader, head: &[u8], truncated: bool) -> Self {
        let mut reply = Self {
            answers: header.answers,
            truncated,
            ..Self::default()
        };
        let document = match header.opcode {
            Opcode::Msg => {
                let flags = head.get(HEADER_BYTES..HEADER_BYTES + 4);
                let flags = flags.and_then(|bytes| bytes.try_into().ok());
                reply.more_to_come = flags.map_or(0, u32::from_le_bytes) & MORE_TO_COME != 0;
                head.get(MSG_DOCUMENT_AT..)
            }
            Opcode::Reply => head.get(REPLY_DOCUMENT_AT..),
            Opcode::Compressed | Opcode::Query => None,
        };
        reply.read(document.unwrap_or_default());
        reply
    }

    fn read(&mut self, document: &[u8]) {
        for element in bson::elements(document) {
            match element.name {
                b"ok" => self.failed |= element.number() == Some(0),
                b"code" => self.code = element.number(),
                b"writeErrors" => {
                    if let Some(first) = element.elements().next() {
                        self.failed = true;
                        let mut members = first.elements();
                        let code = members.find(|member| member.name == b"code");
                        self.code = self.code.or(code.and_then(|code| code.number()));
                    }
                }
                _ => {}
            }
        }
        self.code = self.code.filter(|_| self.failed);
    }
}

impl Responses {
    fn is_answer(header: MessageHeader) -> bool {
        header.opcode != Opcode::Query && header.answers != 0
    }
}

impl Parser for Responses {
    type Message = MongoMessage;

    fn parse(&mut self, buf: &[u8]) -> Parsed<MongoMessage> {
        if !self.rest.is_empty() {
            return self.rest.parse(buf, Message::End);
        }
        let head = match frame::head(buf, Self::is_answer) {
            Ok(head) => head,
            Err(parsed) => return parsed,
        };
        let message = Message::Response {
            response: MongoReply::of(head.header, head.bytes, false),
            then: head.then(),
        };
        self.rest = head.rest;
        Parsed::Message {
            message,
            consumed: head.bytes.len(),
        }
    }

    fn cross(&mut self, pending: &[u8], gap: Gap) -> Crossed<MongoMessage> {
        if !self.rest.is_empty() {
            return self.rest.cross(gap, Message::End);
        }
        match begins(pending) {
            Begins::Message(header) if Self::is_answer(header) => Crossed::Cut(Message::Response {
                response: MongoReply::of(header, pending, true),
                then: Then::Unknown,
            }),
            _ => Crossed::Lost,
        }
    }

    fn end(&mut self, _pending: &[u8]) -> Option<MongoMessage> {
        None
    }

    fn resync(&mut self, buf: &[u8]) -> Option<usize> {
        let at = detect::resync(buf)?;
        self.reset();
        Some(at)
    }

    fn bytes_left(&self) -> Option<u64> {
        self.rest.left()
    }

    fn reset(&mut self) {
        self.rest = Remainder::default();
    }

    fn heap_bytes(&self) -> usize {
        0
    }
}
