//! How messages of a direction are framed: where a head is expected, and where it is within a body.
//! Requests and responses go the same way from one to the other; it does not read heads.

use super::HttpMessage;
use super::body::{BodyProgress, OpenBody};
use super::detect::detect;
use super::head::HeadEndSearch;
use crate::grpc::web;
use crate::heap;
use crate::message::{BodyEnd, Message};
use crate::parser::{Crossed, Flow, Gap, Parsed};
use crate::protocol::Detected;

/// What both parsers remember of the bytes before.
#[derive(Debug, Default)]
pub(super) struct MessageFraming {
    /// The body that is being measured; without one, a head is expected.
    body: Option<OpenBody>,
    /// Reads the body's end, where that says what became of a call.
    web: Option<Box<web::WebTrailers>>,
    search: HeadEndSearch,
    was_invalid: bool,
}

impl MessageFraming {
    /// Bytes of heap that it takes.
    pub fn heap_bytes(&self) -> usize {
        self.web.as_ref().map_or(0, |web| {
            heap::boxed::<web::WebTrailers>() + web.heap_bytes()
        })
    }

    /// Measures the body that `buf` begins in; `None` where a head is expected instead.
    #[inline]
    pub fn skip(&mut self, buf: &[u8]) -> Option<Parsed<HttpMessage>> {
        let web = &mut self.web;
        let content = |bytes: &[u8]| {
            if let Some(web) = web {
                web.take(bytes);
            }
        };
        let parsed = match self.body.as_mut()?.skip(buf, content) {
            BodyProgress::GoesOn => Parsed::Skipped {
                consumed: buf.len(),
            },
            BodyProgress::Ended { consumed, size } => {
                self.body = None;
                Parsed::Message {
                    message: self.end_of(size),
                    consumed,
                }
            }
            BodyProgress::Invalid => Parsed::Invalid,
        };
        self.note(&parsed);
        Some(parsed)
    }

    /// Remembers what became of the bytes that were looked at last.
    #[inline]
    pub fn note(&mut self, parsed: &Parsed<HttpMessage>) {
        self.was_invalid = matches!(parsed, Parsed::Invalid);
    }

    /// Whether `buf`, where a head is expected, is worth parsing; see
    /// [`HeadEndSearch::is_worth_it`].
    #[inline]
    pub fn is_worth_it(&mut self, buf: &[u8]) -> bool {
        self.search.is_worth_it(buf)
    }

    /// The body just ended.
    #[inline]
    fn end_of(&mut self, body_size: Option<u64>) -> HttpMessage {
        let web = self.web.take();
        Message::End(BodyEnd {
            size: body_size,
            call_status: web.and_then(|web| web.status()),
        })
    }

    /// The end of the body that follows is worth reading.
    pub fn watch_web(&mut self, web: web::WebTrailers) {
        self.web = Some(Box::new(web));
    }

    /// A head ended; `body` is what stands behind it.
    #[inline]
    pub fn head_ended(&mut self, body: Option<OpenBody>) {
        self.web = None;
        self.body = body;
        self.search = HeadEndSearch::default();
    }

    /// Measures a gap within a body; `None` where it hides a head instead.
    pub fn cross(&mut self, gap: Gap) -> Option<Crossed<HttpMessage>> {
        let Some(body) = &mut self.body else {
            self.search = HeadEndSearch::default();
            return None;
        };
        if let Some(web) = &mut self.web {
            match body {
                OpenBody::Counted { .. } | OpenBody::UntilEnd { .. } | OpenBody::Unframed => {
                    web.miss(gap.len);
                }
                // Framing may be among it.
                OpenBody::Chunked { .. } | OpenBody::Adrift { .. } => web.miss(u64::MAX),
            }
        }
        Some(match body.cross(gap) {
            Some(body_size) => {
                self.body = None;
                Crossed::Ended(self.end_of(body_size))
            }
            None => Crossed::Over,
        })
    }

    /// The end of the stream completes only a body that lasts until then.
    pub fn end(&mut self) -> Option<HttpMessage> {
        match self.body.take() {
            Some(OpenBody::UntilEnd { size }) => Some(self.end_of(Some(size))),
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
        self.body.as_ref().and_then(OpenBody::bytes_left)
    }

    /// Whether the end of the present body can only be guessed.
    pub fn is_adrift(&self) -> bool {
        matches!(self.body, Some(OpenBody::Adrift { .. }))
    }
}
