//! Every protocol that is understood: one line each. It tries them; it does not know them.

use crate::detect::Detected;
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

/// All of them. No bytes may be accepted by two.
pub const PROTOCOLS: &[Protocol] = &[crate::http1::PROTOCOL, crate::http2::PROTOCOL];
