//! The contract between a protocol and whoever feeds it. No protocol here.
//!
//! Every protocol promises, and `tests/properties.rs` checks over the registry:
//! 1. no panic, memory at most a constant times the input, no unbounded recursion;
//! 2. `consumed` is in `1..=buf.len()`;
//! 3. every proper prefix of a valid head is [`Parsed::Incomplete`], and no proper prefix of a
//!    valid message ends one or is [`Parsed::Invalid`];
//! 4. splitting the input anywhere changes nothing about the messages found;
//! 5. after [`Parsed::Invalid`], [`Parser::resync`] makes progress or returns `None`;
//! 6. a message cut by the capture limit is reported, marked truncated.
//!
//! A parser reads what its peers read, not what a standard allows: what the more lenient of them
//! take is valid, and what they answer without having understood it may be a message as well, of
//! which nothing is known but that it was there.

use std::fmt::Debug;

/// What a direction carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flow {
    /// From the client to the server.
    Requests,
    /// From the server to the client.
    Responses,
}

/// What became of the bytes offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed<T> {
    /// A message, or a part of one that is worth telling (its head, its end).
    Message {
        /// What was said.
        message: T,
        /// Bytes of the input that it took, at least 1.
        consumed: usize,
    },
    /// Bytes that are part of the protocol but not worth telling (a body).
    Skipped {
        /// Bytes of the input, at least 1.
        consumed: usize,
    },
    /// Right so far, cut short: offer the same bytes again with more behind them.
    Incomplete,
    /// Not this protocol here: resynchronise or give up.
    Invalid,
}

/// Bytes that moved but were not captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// How many, at least 1.
    pub len: u64,
    /// The last bytes of the gap, as far as they are known; `tail[8 - tail_len..]` are valid.
    pub tail: [u8; 8],
    /// Valid bytes in `tail`; 0 if unknown.
    pub tail_len: u8,
    /// They should have been captured and were lost on the way (not left out on purpose).
    pub lost: bool,
}

impl Gap {
    /// One of which nothing but the length is known; it was left out on purpose.
    #[must_use]
    pub fn unknown(len: u64) -> Self {
        Self {
            len,
            tail: [0; 8],
            tail_len: 0,
            lost: false,
        }
    }

    /// The bytes at the end of the gap that are known.
    #[must_use]
    pub fn tail(&self) -> &[u8] {
        &self.tail[8 - usize::from(self.tail_len.min(8))..]
    }
}

/// What a parser made of a gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Crossed<T> {
    /// It lay within something that is skipped anyway.
    Over,
    /// The same, and with its last byte a message ended.
    Ended(T),
    /// A message was cut: this is what was understood of it before the gap (marked truncated).
    /// Framing is lost; resynchronise.
    Cut(T),
    /// Framing is lost and there is nothing to tell; resynchronise.
    Lost,
}

/// One direction of one connection, as one protocol reads it.
pub trait Parser: Debug + Send {
    /// What it finds.
    type Message;

    /// Looks for one message at the start of `buf`; `buf` is never empty.
    fn parse(&mut self, buf: &[u8]) -> Parsed<Self::Message>;

    /// Moves over bytes that nobody captured; `pending` are the captured bytes directly before the
    /// gap that [`Parser::parse`] last called incomplete.
    fn cross(&mut self, pending: &[u8], gap: Gap) -> Crossed<Self::Message>;

    /// The stream ended; `pending` are the bytes that were last called incomplete. Returns the
    /// message that the end completes (a body that lasts until the connection closes).
    fn end(&mut self, pending: &[u8]) -> Option<Self::Message>;

    /// After framing was lost: where in `buf` the next message might begin. Resets the parser when
    /// it returns `Some`.
    fn resync(&mut self, buf: &[u8]) -> Option<usize>;

    /// Bytes after which the message that is being skipped certainly ends; a gap that is longer is
    /// divided there. `None` if there is no such number.
    fn bytes_left(&self) -> Option<u64> {
        None
    }

    /// Whether a gap took the framing, so that the end of the body can be guessed at best.
    fn is_adrift(&self) -> bool {
        false
    }

    /// Forgets the message that was begun; what is offered next begins one.
    fn reset(&mut self);

    /// Bytes of heap that it takes. Asked after each call, so nothing is walked for it.
    fn heap_bytes(&self) -> usize;
}

/// A parser of responses, in a protocol where each `Q` has one.
pub trait Answers<Q>: Parser {
    /// The connection begins with what is offered next.
    fn begins(&mut self) {}

    /// Tells which request the next response answers, where its framing depends on that; `None` if
    /// nobody knows. Called between messages only.
    fn answers(&mut self, _request: Option<&Q>) {}

    /// Whether a response to a request may begin with these bytes, as far as they go. Called
    /// between messages.
    fn may_begin(&self, _buf: &[u8]) -> bool {
        true
    }
}

impl<T> Parsed<T> {
    /// The same, with its message made into something else.
    pub fn map<U>(self, into: impl FnOnce(T) -> U) -> Parsed<U> {
        match self {
            Self::Message { message, consumed } => Parsed::Message {
                message: into(message),
                consumed,
            },
            Self::Skipped { consumed } => Parsed::Skipped { consumed },
            Self::Incomplete => Parsed::Incomplete,
            Self::Invalid => Parsed::Invalid,
        }
    }
}

impl<T> Crossed<T> {
    /// The same, with its message made into something else.
    pub fn map<U>(self, into: impl FnOnce(T) -> U) -> Crossed<U> {
        match self {
            Self::Over => Crossed::Over,
            Self::Ended(message) => Crossed::Ended(into(message)),
            Self::Cut(message) => Crossed::Cut(into(message)),
            Self::Lost => Crossed::Lost,
        }
    }
}
