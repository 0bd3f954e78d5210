//! Every protocol that is understood: one line each. It tries them; it does not know them.

use crate::detect::Detected;
use crate::parser::{AnyParser, Flow};

/// What the rest of the crate needs to know about a protocol. Its test data, one valid message a
/// file, lies in `tests/data/<name>/requests` and `responses`.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    /// As [`crate::conversation::Conversation::protocol`] tells it.
    pub name: &'static str,
    /// Whether bytes, taken where a message may begin, are this protocol; pure.
    pub detect: fn(&[u8]) -> Detected,
    /// A parser for one direction.
    pub parser: fn(Flow) -> AnyParser,
}

/// All of them. No bytes may be accepted by two.
pub const PROTOCOLS: &[Protocol] = &[crate::http1::PROTOCOL];
