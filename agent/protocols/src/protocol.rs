//! What a protocol is to the rest of the crate: how it is recognised, and what reads it. None is
//! named here.

use crate::listener::Listener;
use crate::parser::Flow;
use crate::probe::Probe;
use crate::session::{CorrelatedStart, Inheritance, MultiplexedStart, OrderedStart, Session};

/// What the rest of the crate needs to know about a protocol. Its test data, one valid message a
/// file, lies in `tests/data/<name>/requests` and `responses`.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    /// As [`crate::conversation::Conversation::protocol`] tells it.
    pub name: &'static str,
    /// Whether bytes, taken where a message may begin, are this protocol; pure.
    pub detect: fn(&[u8]) -> Detected,
    /// How its responses are told apart, and what reads it.
    pub kind: Pairing,
    /// One direction alone, for who checks what every parser promises.
    pub probe: fn(Flow) -> Box<dyn Probe>,
}

/// How the responses of a protocol relate to its requests.
#[derive(Clone, Copy, Debug)]
pub enum Pairing {
    /// In order.
    Ordered {
        /// Makes what reads a connection.
        open: fn(OrderedStart<'_>, &mut dyn Listener) -> Box<dyn Session>,
        /// Whether bytes begin a response by which a server says that it understood nothing.
        refuses: fn(&[u8]) -> bool,
    },
    /// By numbers in the messages' own headers.
    Correlated {
        /// Makes what reads a connection.
        open: fn(CorrelatedStart<'_>, &mut dyn Listener) -> Box<dyn Session>,
    },
    /// By streams, whose parts come between one another.
    Multiplexed {
        /// Makes what reads a connection.
        open: fn(MultiplexedStart<'_>, &mut dyn Listener) -> Box<dyn Session>,
        /// The token by which another protocol asks for this one (RFC 9110 §7.8).
        upgrade_token: &'static str,
        /// Makes what reads a connection from where that was granted; `None` if it can't carry
        /// such a response.
        inherit: fn(Inheritance, &mut dyn Listener) -> Option<Box<dyn Session>>,
    },
}

/// Where in `buf`, at `from` or behind it, a message of this direction begins, as `detect` says.
pub(crate) fn begins_at(
    detect: fn(&[u8]) -> Detected,
    flow: Flow,
    buf: &[u8],
    from: usize,
) -> Option<usize> {
    (from..buf.len()).find(|&at| detect(&buf[at..]) == Detected::Match(flow))
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
