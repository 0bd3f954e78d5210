//! What a protocol is to the rest of the crate: how it is recognised, and what reads it. None is
//! named here.

use crate::parser::{AnyParser, AnyStreamParser, Flow};

/// What the rest of the crate needs to know about a protocol. Its test data, one valid message a
/// file, lies in `tests/data/<name>/requests` and `responses`.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    /// As [`crate::conversation::Conversation::protocol`] tells it.
    pub name: &'static str,
    /// Whether bytes, taken where a message may begin, are this protocol; pure.
    pub detect: fn(&[u8]) -> Detected,
    /// How its responses are told apart, and what reads it.
    pub kind: Kind,
}

/// How the responses of a protocol relate to its requests.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// In order. Makes a parser for one direction.
    Dialogue(fn(Flow) -> AnyParser),
    /// By number. Makes a parser for either direction: it finds out which one it is.
    Multiplexed(fn() -> AnyStreamParser),
}

/// What one protocol says about a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detected {
    /// A message begins here.
    Match(Flow),
    /// A message begins here; nothing shows which way.
    Either,
    /// One may begin here: ask again with more bytes.
    NotYet,
    /// None begins here.
    No,
}
