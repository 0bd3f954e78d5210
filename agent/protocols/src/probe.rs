//! One direction of a protocol with its types erased, so that what every parser promises can be
//! checked over the whole registry (`tests/properties.rs`). No session is read through it.

use std::fmt::Debug;

use crate::message::{Message, Then};
use crate::parser::{Crossed, Gap, Parsed, Parser};

/// What a parser found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeFound {
    /// All of it, written out.
    pub said: String,
    /// The message that it belongs to is over.
    pub is_end: bool,
    /// The stream of a body's part, and its bytes: further parts may follow it.
    pub data: Option<(u64, u64)>,
}

/// A parser of one direction.
pub trait Probe {
    /// As [`Parser::parse`].
    fn offer(&mut self, buf: &[u8]) -> Parsed<ProbeFound>;
    /// As [`Parser::cross`], with a gap that is no longer than the parser allows.
    fn miss(&mut self, pending: &[u8], gap: Gap) -> Crossed<ProbeFound>;
    /// As [`Parser::resync`]; `buf` begins with what was just refused.
    fn resume(&mut self, buf: &[u8]) -> Option<usize>;
}

impl<Q: Debug, S: Debug, P: Parser<Message = Message<Q, S>>> Probe for P {
    fn offer(&mut self, buf: &[u8]) -> Parsed<ProbeFound> {
        Parser::parse(self, buf).map(found)
    }

    fn miss(&mut self, pending: &[u8], gap: Gap) -> Crossed<ProbeFound> {
        Parser::cross(self, pending, gap).map(found)
    }

    fn resume(&mut self, buf: &[u8]) -> Option<usize> {
        Parser::resync(self, buf)
    }
}

fn found<Q: Debug, S: Debug>(message: Message<Q, S>) -> ProbeFound {
    let is_end = match &message {
        Message::Request { then, .. }
        | Message::Response { then, .. }
        | Message::Unsolicited { then } => *then != Then::Body,
        Message::Interim | Message::End(_) => true,
    };
    ProbeFound {
        said: format!("{message:?}"),
        is_end,
        data: None,
    }
}
