//! What clients send.

use super::MongoMessage;
use super::bson::{self, Element};
use super::detect;
use super::frame::{self, Begins, HEADER_BYTES, MessageHeader, Opcode, Remainder, begins};
use super::names::{self, NameOf};
use crate::heap;
use crate::message::{Message, Then};
use crate::parser::{Crossed, Gap, Parsed, Parser};

/// `OP_MSG`: no answer is wanted.
const MORE_TO_COME: u32 = 1 << 1;
/// `OP_MSG`: the server may go on answering.
const EXHAUST_ALLOWED: u32 = 1 << 16;

/// NameOf that are longer are nobody's (the manual's limits: 64 bytes of a database's, 255 of a
/// namespace).
const NAME_BYTES_MAX: usize = 255;

/// A command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MongoCommand {
    /// By which its answer names it.
    pub id: u32,
    /// Its name, if it is the name of one.
    pub name: Option<&'static str>,
    /// The database that it is about.
    pub database: Option<Box<str>>,
    /// The collection that it is about.
    pub collection: Option<Box<str>>,
    /// Whether it wants an answer.
    pub is_answered: bool,
    /// Part of its head was not captured.
    pub truncated: bool,
}

impl MongoCommand {
    /// Bytes of heap that it takes.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let text = |text: &Option<Box<str>>| heap::block(text.as_deref().map_or(0, str::len));
        text(&self.database) + text(&self.collection)
    }
}

/// Reads them.
#[derive(Debug, Default)]
pub struct Requests {
    rest: Remainder,
}

impl Requests {
    /// What the head of a message says; `None` if it is no exchange.
    fn command(header: MessageHeader, head: &[u8], truncated: bool) -> Option<MongoCommand> {
        let mut command = MongoCommand {
            id: header.id,
            is_answered: true,
            truncated,
            ..MongoCommand::default()
        };
        match header.opcode {
            Opcode::Msg => {
                let flags = head.get(HEADER_BYTES..HEADER_BYTES + 4);
                let flags = flags.and_then(|bytes| bytes.try_into().ok());
                let flags = flags.map_or(0, u32::from_le_bytes);
                command.is_answered = flags & MORE_TO_COME == 0;
                command.read(body(head));
                let watches = matches!(command.name, Some("hello" | "isMaster" | "ismaster"));
                (!watches || flags & EXHAUST_ALLOWED == 0).then_some(command)
            }
            Opcode::Query => {
                let name = head.get(HEADER_BYTES + 4..).unwrap_or_default();
                if let Some(end) = memchr::memchr(0, name)
                    && let Some(database) = name[..end].strip_suffix(b".$cmd")
                {
                    command.database = std::str::from_utf8(database).ok().and_then(kept);
                    // Behind how many to leave out, and how many to return.
                    command.read(name.get(end + 9..).unwrap_or_default());
                }
                Some(command)
            }
            Opcode::Compressed | Opcode::Reply => Some(command),
        }
    }

    fn found(
        header: MessageHeader,
        command: Option<MongoCommand>,
        then: Then,
    ) -> Option<MongoMessage> {
        let is_request = header.opcode != Opcode::Reply && header.answers == 0;
        let message = |request| Message::Request { request, then };
        is_request.then(|| command.map_or(Message::Unsolicited { then }, message))
    }
}

impl MongoCommand {
    /// Takes names out of a command's document.
    fn read(&mut self, document: &[u8]) {
        let mut elements = bson::elements(document);
        let Some(first) = elements.next() else {
            return;
        };
        let names = names::command(first.name);
        self.name = names.map(|(name, _)| name);
        if let Some((_, NameOf::Collection)) = names {
            self.collection = named(&first);
        }
        for element in elements {
            match element.name {
                b"$db" => self.database = named(&element),
                b"collection" if self.name == Some("getMore") => {
                    self.collection = named(&element);
                }
                _ => {}
            }
        }
    }
}

/// The document with the command, which is the one section of kind 0.
fn body(head: &[u8]) -> &[u8] {
    let mut rest = head.get(HEADER_BYTES + 4..).unwrap_or_default();
    while let Some((&kind, section)) = rest.split_first() {
        if kind == 0 {
            return section;
        }
        let len = bson::length(section).filter(|len| *len > 0);
        rest = len.and_then(|len| section.get(len..)).unwrap_or_default();
    }
    &[]
}

fn named(element: &Element<'_>) -> Option<Box<str>> {
    element.text().and_then(kept)
}

fn kept(text: &str) -> Option<Box<str>> {
    (!text.is_empty() && text.len() <= NAME_BYTES_MAX).then(|| text.into())
}

impl Parser for Requests {
    type Message = MongoMessage;

    fn parse(&mut self, buf: &[u8]) -> Parsed<MongoMessage> {
        if !self.rest.is_empty() {
            return self.rest.parse(buf, Message::End);
        }
        let head = match frame::head(buf, |_| true) {
            Ok(head) => head,
            Err(parsed) => return parsed,
        };
        let command = Self::command(head.header, head.bytes, false);
        match Self::found(head.header, command, head.then()) {
            Some(message) => {
                self.rest = head.rest;
                Parsed::Message {
                    message,
                    consumed: head.bytes.len(),
                }
            }
            None => Parsed::Invalid,
        }
    }

    fn cross(&mut self, pending: &[u8], gap: Gap) -> Crossed<MongoMessage> {
        if !self.rest.is_empty() {
            return self.rest.cross(gap, Message::End);
        }
        let Begins::Message(header) = begins(pending) else {
            return Crossed::Lost;
        };
        let command = Self::command(header, pending, true);
        Self::found(header, command, Then::Unknown).map_or(Crossed::Lost, Crossed::Cut)
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
