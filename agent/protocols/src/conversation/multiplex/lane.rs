//! One direction of a multiplexed connection: its stream and its parser. It knows nothing of what
//! the parts mean.

use crate::http2::hpack::Lore;
use crate::message::Part;
use crate::parser::{AnyStreamParser, Crossed, Gap, Parsed};
use crate::stream::{Moved, Stream};

/// A stream with the parser that reads it.
#[derive(Debug)]
pub(super) struct Lane {
    pub stream: Stream,
    pub parser: AnyStreamParser,
    /// Whether the cursor is known to stand where the parser believes it does.
    pub is_framed: bool,
}

/// What one step found.
#[derive(Debug)]
pub(super) enum Step {
    /// A part, with the times of its first and last byte.
    Part(Part, Moved, Moved),
    /// Nothing worth telling.
    Nothing,
    /// More bytes are needed.
    Wait,
    /// Bytes that are not the protocol.
    Invalid,
    /// Framing was lost in a gap.
    Lost,
}

impl Lane {
    /// Takes one step into `buf`, which begins at the cursor; returns it with the bytes it took.
    #[inline]
    pub fn step(&mut self, buf: &[u8], lore: Option<&mut Lore>) -> (Step, usize) {
        match self.parser.parse(buf, lore) {
            Parsed::Message { message, consumed } => {
                let consumed = consumed.clamp(1, buf.len());
                let (first, last) = self.pass(consumed as u64);
                (Step::Part(message, first, last), consumed)
            }
            Parsed::Skipped { consumed } => {
                let consumed = consumed.clamp(1, buf.len());
                self.stream.advance(consumed as u64);
                (Step::Nothing, consumed)
            }
            Parsed::Incomplete => (Step::Wait, 0),
            Parsed::Invalid => (Step::Invalid, 0),
        }
    }

    /// Takes what is held and as much of `gap` as one message allows; returns the step with the
    /// bytes that were understood, and what is left of the gap.
    pub fn cross(&mut self, gap: Gap, lore: Option<&mut Lore>) -> (Step, u64, Option<Gap>) {
        let held = self.stream.take_held();
        let within = match self.parser.bytes_left() {
            Some(left) if left < gap.len => Gap {
                len: left.max(1),
                tail_len: 0,
                ..gap
            },
            _ => gap,
        };
        let crossed = self.parser.cross(&held, within, lore);
        let len = within.len.saturating_add(held.len() as u64);
        let (first, last) = self.pass(len);
        self.hold(held, usize::MAX);
        let rest = Gap {
            len: gap.len - within.len,
            ..gap
        };
        let (step, understood) = match crossed {
            Crossed::Over => (Step::Nothing, len),
            Crossed::Ended(part) | Crossed::Cut(part) => (Step::Part(part, first, last), len),
            Crossed::Lost => (Step::Lost, 0),
        };
        (step, understood, (rest.len > 0).then_some(rest))
    }

    /// Gives back a buffer of which `used` bytes were taken.
    pub fn hold(&mut self, mut held: Vec<u8>, used: usize) {
        held.drain(..used.min(held.len()));
        self.stream.hold(held);
    }

    /// Drops what is held and `len` bytes behind it.
    pub fn drop_over(&mut self, len: u64) {
        let held = self.stream.take_held();
        self.stream.advance(len.saturating_add(held.len() as u64));
        self.hold(held, usize::MAX);
    }

    /// Bytes of heap that it takes.
    pub fn heap_bytes(&self) -> usize {
        self.stream.heap_bytes() + self.parser.memory_bytes()
    }

    /// Where the next message certainly begins.
    pub fn boundary(&self) -> Option<u64> {
        let held = if self.stream.is_holding() {
            self.parser.bytes_left().map(|_| self.stream.held_len())
        } else {
            None
        };
        let ahead = self.parser.bytes_left().unwrap_or(0) + held.unwrap_or(0);
        self.is_framed
            .then(|| self.stream.cursor().saturating_add(ahead))
    }

    fn pass(&mut self, len: u64) -> (Moved, Moved) {
        let start = self.stream.cursor();
        let first = self.stream.moved_at(start);
        let last = self.stream.moved_at(start.saturating_add(len - 1));
        self.stream.advance(len);
        (first, last)
    }
}
