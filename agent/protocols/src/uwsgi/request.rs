//! The parser of requests: a packet with variables is the head, and as many bytes behind it as one
//! of these says are the body.

use super::UwsgiMessage;
use super::detect::detect;
use super::variables::{HEADER_BYTES, variables, variables_len};
use crate::cgi::{self, Interned};
use crate::family::http::Version;
use crate::message::{BodyEnd, Message, Then};
use crate::parser::{Crossed, Flow, Gap, Parsed, Parser};
use crate::protocol::{Detected, begins_at};

/// Reads what a web server sends.
#[derive(Debug, Default)]
pub struct Requests {
    body: Option<CountedBody>,
    interned: Interned,
    was_invalid: bool,
}

/// A body that has not ended.
#[derive(Clone, Copy, Debug)]
struct CountedBody {
    /// Bytes that are to come, at least 1.
    left: u64,
    size: u64,
}

impl CountedBody {
    /// Moves over `len` bytes; what is left, or the end.
    fn pass(self, len: u64) -> Result<Self, UwsgiMessage> {
        match self.left.checked_sub(len) {
            Some(left @ 1..) => Ok(Self { left, ..self }),
            _ => Err(Message::End(BodyEnd {
                size: Some(self.size),
                call_status: None,
            })),
        }
    }
}

impl Parser for Requests {
    type Message = UwsgiMessage;

    fn parse(&mut self, buf: &[u8]) -> Parsed<UwsgiMessage> {
        let parsed = match self.body.take() {
            Some(body) => self.skip(body, buf),
            None => self.parse_head(buf),
        };
        self.was_invalid = parsed == Parsed::Invalid;
        parsed
    }

    fn cross(&mut self, pending: &[u8], gap: Gap) -> Crossed<UwsgiMessage> {
        if let Some(body) = self.body.take() {
            return match body.pass(gap.len) {
                Ok(body) => {
                    self.body = Some(body);
                    Crossed::Over
                }
                Err(_) if gap.len > body.left => Crossed::Lost,
                Err(end) => Crossed::Ended(end),
            };
        }
        let content = pending.get(HEADER_BYTES..).unwrap_or_default();
        let request = variables(content).request(Version::Uwsgi, true, &mut self.interned);
        cgi::cut(request)
    }

    fn end(&mut self, _pending: &[u8]) -> Option<UwsgiMessage> {
        None
    }

    fn resync(&mut self, buf: &[u8]) -> Option<usize> {
        let at = begins_at(detect, Flow::Requests, buf, self.was_invalid.into())?;
        self.reset();
        Some(at)
    }

    fn bytes_left(&self) -> Option<u64> {
        self.body.map(|body| body.left)
    }

    fn reset(&mut self) {
        (self.body, self.was_invalid) = Default::default();
    }

    fn heap_bytes(&self) -> usize {
        0
    }
}

impl Requests {
    fn parse_head(&mut self, buf: &[u8]) -> Parsed<UwsgiMessage> {
        if detect(buf) == Detected::No {
            return Parsed::Invalid;
        }
        let Some(Some(len)) = variables_len(buf) else {
            return Parsed::Incomplete;
        };
        let consumed = HEADER_BYTES + len;
        let Some(content) = buf.get(HEADER_BYTES..consumed) else {
            return Parsed::Incomplete;
        };
        let variables = variables(content);
        let size = variables.content_length().unwrap_or(0);
        let mut request = variables.request(Version::Uwsgi, false, &mut self.interned);
        let then = match size {
            0 => {
                request.body_size = Some(0);
                Then::Done
            }
            size => {
                self.body = Some(CountedBody { left: size, size });
                Then::Body
            }
        };
        Parsed::Message {
            message: Message::Request {
                request: Box::new(request),
                then,
            },
            consumed,
        }
    }

    fn skip(&mut self, body: CountedBody, buf: &[u8]) -> Parsed<UwsgiMessage> {
        let here = u64::try_from(buf.len()).unwrap_or(u64::MAX).min(body.left);
        let consumed = usize::try_from(here).unwrap_or(buf.len());
        match body.pass(here) {
            Ok(body) => {
                self.body = Some(body);
                Parsed::Skipped { consumed }
            }
            Err(message) => Parsed::Message { message, consumed },
        }
    }
}
