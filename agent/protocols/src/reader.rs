//! One direction of a connection whose protocol is known: its stream and its parser, step by step.
//! It decides nothing about the other direction, nor what answers what.

use crate::parser::{Crossed, Gap, Parsed, Parser};
use crate::stream::{Moved, Stream};

/// A stream with the parser that reads it.
#[derive(Debug)]
pub(crate) struct Reader<P> {
    pub stream: Stream,
    pub parser: P,
    /// Whether the parser knows where it is.
    pub is_framed: bool,
    /// Whether a body is being skipped: the last head has not met its end. Never, where bodies are
    /// told in parts.
    pub in_body: bool,
}

/// What one step found.
#[derive(Debug)]
pub(crate) enum Step<T> {
    /// A message, with the times of its first and last byte.
    Message(T, Moved, Moved),
    /// Nothing worth telling.
    Nothing,
    /// More bytes are needed.
    Wait,
    /// Bytes that are not the protocol.
    Invalid,
    /// A head that was cut; then what follows is lost.
    Cut(T, Moved, Moved),
    /// Framing was lost in a gap.
    Lost,
}

impl<P> Reader<P> {
    /// At the stream's cursor.
    pub fn new(parser: P, stream: Stream, is_framed: bool) -> Self {
        Self {
            stream,
            parser,
            is_framed,
            in_body: false,
        }
    }

    /// Takes one step into `buf`, which begins at the stream's cursor, with what `parse` makes of
    /// it; returns the step with the bytes that it took.
    #[inline]
    pub fn step_by<T>(
        &mut self,
        buf: &[u8],
        parse: impl FnOnce(&mut P, &[u8]) -> Parsed<T>,
    ) -> (Step<T>, usize) {
        match parse(&mut self.parser, buf) {
            Parsed::Message { message, consumed } => {
                let consumed = consumed.clamp(1, buf.len());
                let (first, last) = self.pass(consumed as u64);
                (Step::Message(message, first, last), consumed)
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

    /// Takes what is held and as much of `gap` as one message allows: of which `bytes_left` are to
    /// come. Returns the step with the bytes that were understood, and what is left of the gap.
    pub fn cross_by<T>(
        &mut self,
        gap: Gap,
        bytes_left: Option<u64>,
        cross: impl FnOnce(&mut P, &[u8], Gap) -> Crossed<T>,
    ) -> (Step<T>, u64, Option<Gap>) {
        let held = self.stream.take_held();
        let within = match bytes_left {
            Some(left) if left < gap.len => Gap {
                len: left.max(1),
                tail_len: 0,
                ..gap
            },
            _ => gap,
        };
        let crossed = cross(&mut self.parser, &held, within);
        let len = within.len.saturating_add(held.len() as u64);
        let (first, last) = self.pass(len);
        self.hold(held, usize::MAX, &[]);
        let rest = Gap {
            len: gap.len - within.len,
            ..gap
        };
        let (step, understood) = match crossed {
            Crossed::Over => (Step::Nothing, len),
            Crossed::Ended(message) => (Step::Message(message, first, last), len),
            Crossed::Cut(message) => (Step::Cut(message, first, last), len - within.len),
            Crossed::Lost => (Step::Lost, 0),
        };
        (step, understood, (rest.len > 0).then_some(rest))
    }

    /// Gives back a buffer of which `used` bytes were taken, with `more` behind it.
    pub fn hold(&mut self, mut held: Vec<u8>, used: usize, more: &[u8]) {
        held.drain(..used.min(held.len()));
        held.extend_from_slice(more);
        self.stream.hold(held);
    }

    /// Drops what is held and `len` bytes behind it.
    pub fn drop_over(&mut self, len: u64) {
        let held = self.stream.take_held();
        self.stream.advance(len.saturating_add(held.len() as u64));
        self.hold(held, usize::MAX, &[]);
    }

    /// The next byte begins a message, as far as is known.
    pub fn is_between_messages(&self) -> bool {
        self.is_framed && !self.in_body
    }

    fn pass(&mut self, len: u64) -> (Moved, Moved) {
        let start = self.stream.cursor();
        let first = self.stream.moved_at(start);
        let last = self.stream.moved_at(start.saturating_add(len - 1));
        self.stream.advance(len);
        (first, last)
    }
}

impl<P: Parser> Reader<P> {
    /// Takes one step into `buf`, which begins at the stream's cursor; returns it with the bytes
    /// that it took.
    #[inline]
    pub fn step(&mut self, buf: &[u8]) -> (Step<P::Message>, usize) {
        self.step_by(buf, P::parse)
    }

    /// Takes what is held and as much of `gap` as one message allows; returns the step with the
    /// bytes that were understood, and what is left of the gap.
    pub fn cross(&mut self, gap: Gap) -> (Step<P::Message>, u64, Option<Gap>) {
        self.cross_by(gap, self.parser.bytes_left(), P::cross)
    }

    /// Takes what is held for a message that nothing follows, cut as it is; when it began.
    pub fn cut(&mut self) -> (Option<P::Message>, Moved) {
        let held = self.stream.take_held();
        let crossed = self.parser.cross(&held, Gap::unknown(1));
        let (first, _) = self.pass(held.len() as u64);
        self.hold(held, usize::MAX, &[]);
        match crossed {
            Crossed::Cut(message) => (Some(message), first),
            Crossed::Over | Crossed::Ended(_) | Crossed::Lost => (None, first),
        }
    }

    /// Bytes of heap that it takes.
    pub fn heap_bytes(&self) -> usize {
        self.stream.heap_bytes() + self.parser.heap_bytes()
    }

    /// Forgets what was begun and waits for a head at the cursor.
    pub fn restart(&mut self) {
        self.parser.reset();
        self.is_framed = true;
        self.in_body = false;
    }

    /// Whether the end of what is under way can only be guessed, or nothing at all is known.
    pub fn is_guessing(&self) -> bool {
        !self.is_framed || self.parser.is_adrift()
    }
}
