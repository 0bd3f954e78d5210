//! The parser of one direction, whichever that is: sessions hold two of one type.

use crate::parser::{Crossed, Flow, Gap, Parsed, Parser};

/// A parser of what clients send, or of what servers send.
#[derive(Debug)]
pub(crate) enum Either<Q, S> {
    Requests(Q),
    Responses(S),
}

impl<Q: Default, S: Default> Either<Q, S> {
    /// At the beginning of a message.
    pub fn of(flow: Flow) -> Self {
        match flow {
            Flow::Requests => Self::Requests(Q::default()),
            Flow::Responses => Self::Responses(S::default()),
        }
    }
}

impl<Q: Parser, S: Parser<Message = Q::Message>> Parser for Either<Q, S> {
    type Message = Q::Message;

    #[inline]
    fn parse(&mut self, buf: &[u8]) -> Parsed<Q::Message> {
        match self {
            Self::Requests(parser) => parser.parse(buf),
            Self::Responses(parser) => parser.parse(buf),
        }
    }

    fn cross(&mut self, pending: &[u8], gap: Gap) -> Crossed<Q::Message> {
        match self {
            Self::Requests(parser) => parser.cross(pending, gap),
            Self::Responses(parser) => parser.cross(pending, gap),
        }
    }

    fn end(&mut self, pending: &[u8]) -> Option<Q::Message> {
        match self {
            Self::Requests(parser) => parser.end(pending),
            Self::Responses(parser) => parser.end(pending),
        }
    }

    fn resync(&mut self, buf: &[u8]) -> Option<usize> {
        match self {
            Self::Requests(parser) => parser.resync(buf),
            Self::Responses(parser) => parser.resync(buf),
        }
    }

    fn bytes_left(&self) -> Option<u64> {
        match self {
            Self::Requests(parser) => parser.bytes_left(),
            Self::Responses(parser) => parser.bytes_left(),
        }
    }

    fn is_adrift(&self) -> bool {
        match self {
            Self::Requests(parser) => parser.is_adrift(),
            Self::Responses(parser) => parser.is_adrift(),
        }
    }

    fn reset(&mut self) {
        match self {
            Self::Requests(parser) => parser.reset(),
            Self::Responses(parser) => parser.reset(),
        }
    }

    fn heap_bytes(&self) -> usize {
        match self {
            Self::Requests(parser) => parser.heap_bytes(),
            Self::Responses(parser) => parser.heap_bytes(),
        }
    }
}
