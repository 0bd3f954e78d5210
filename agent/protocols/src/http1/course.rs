//! Where in the course of its messages a direction is: where a head is expected or within a body.
//! Requests and responses go the same way from one to the other; it does not read heads.

use super::body::{Body, Progress};
use super::detect::detect;
use super::head::Search;
use crate::detect::Detected;
use crate::message::Message;
use crate::parser::{Crossed, Flow, Gap, Parsed};

/// What both parsers remember of the bytes before.
#[derive(Debug, Default)]
pub(super) struct Course {
    /// The body that is being measured; without one, a head is expected.
    body: Option<Body>,
    search: Search,
    was_invalid: bool,
}

impl Course {
    /// Measures the body that `buf` begins in; `None` where a head is expected instead.
    #[inline]
    pub fn skip(&mut self, buf: &[u8]) -> Option<Parsed<Message>> {
        let parsed = match self.body.as_mut()?.skip(buf) {
            Progress::GoesOn => Parsed::Skipped {
                consumed: buf.len(),
            },
            Progress::Ended { consumed, size } => {
                self.body = None;
                Parsed::Message {
                    message: Message::End { body_size: size },
                    consumed,
                }
            }
            Progress::Invalid => Parsed::Invalid,
        };
        self.note(&parsed);
        Some(parsed)
    }

    /// Remembers what became of the bytes that were looked at last.
    #[inline]
    pub fn note(&mut self, parsed: &Parsed<Message>) {
        self.was_invalid = *parsed == Parsed::Invalid;
    }

    /// Whether `buf`, where a head is expected, is worth parsing; see [`Search::is_worth_it`].
    #[inline]
    pub fn is_worth_it(&mut self, buf: &[u8]) -> bool {
        self.search.is_worth_it(buf)
    }

    /// A head ended; `body` is what stands behind it.
    #[inline]
    pub fn head_ended(&mut self, body: Option<Body>) {
        self.body = body;
        self.search = Search::default();
    }

    /// Measures a gap within a body; `None` where it hides a head instead.
    pub fn cross(&mut self, gap: Gap) -> Option<Crossed<Message>> {
        let Some(body) = &mut self.body else {
            self.search = Search::default();
            return None;
        };
        Some(match body.cross(gap) {
            Some(body_size) => {
                self.body = None;
                Crossed::Ended(Message::End { body_size })
            }
            None => Crossed::Over,
        })
    }

    /// The end of the stream completes only a body that lasts until then.
    pub fn end(&mut self) -> Option<Message> {
        match self.body.take() {
            Some(Body::UntilEnd { size }) => Some(Message::End {
                body_size: Some(size),
            }),
            _ => None,
        }
    }

    /// The first line in `buf` that begins a message of this flow, or might, where a head is
    /// expected from then on; not the very first bytes if those were just found invalid.
    pub fn resync(&mut self, buf: &[u8], flow: Flow) -> Option<usize> {
        let begins = |at: usize| match detect(&buf[at..]) {
            Detected::Match(found) => found == flow,
            Detected::NotYet => at < buf.len(),
            Detected::Either | Detected::No => false,
        };
        let at = if !self.was_invalid && begins(0) {
            0
        } else {
            memchr::memchr_iter(b'\n', buf)
                .map(|line_end| line_end + 1)
                .find(|&at| begins(at))?
        };
        *self = Self::default();
        Some(at)
    }

    /// Bytes after which the present body certainly ends.
    pub fn bytes_left(&self) -> Option<u64> {
        self.body.as_ref().and_then(Body::bytes_left)
    }

    /// Whether the end of the present body can only be guessed.
    pub fn is_adrift(&self) -> bool {
        matches!(self.body, Some(Body::Adrift { .. }))
    }
}
