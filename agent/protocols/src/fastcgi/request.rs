//! The parser of requests: a head is the record that begins a request, and parameters to the record
//! that ends them; what comes on the standard input is the body.

use super::CgiMessage;
use super::body::{RecordBody, skipped_but_for_begun};
use super::detect::detect;
use super::params;
use super::record::{BEGIN_BYTES, HEADER_BYTES, RecordHeader, kind};
use crate::cgi::{self, Interned};
use crate::heap;
use crate::message::{BodyEnd, Message, Then};
use crate::parser::{Crossed, Flow, Gap, Parsed, Parser};
use crate::protocol::{Detected, begins_at};

/// An authorizer is asked without a body (specification, 6.3).
const AUTHORIZER: u8 = 2;

/// Reads what a web server sends.
#[derive(Debug, Default)]
pub struct Requests {
    head: ParamsWalk,
    body: Option<RecordBody>,
    interned: Interned,
    was_invalid: bool,
}

/// How far a head was looked at that has not come wholly.
#[derive(Debug, Default)]
struct ParamsWalk {
    /// Where the next record begins.
    at: usize,
    /// Parameters so far, without framing.
    params: Vec<u8>,
    request: u16,
    has_body: bool,
}

impl Parser for Requests {
    type Message = CgiMessage;

    fn parse(&mut self, buf: &[u8]) -> Parsed<CgiMessage> {
        let parsed = match self.body {
            Some(body) => self.skip(body, buf),
            None => self.parse_head(buf),
        };
        self.was_invalid = parsed == Parsed::Invalid;
        parsed
    }

    fn cross(&mut self, pending: &[u8], gap: Gap) -> Crossed<CgiMessage> {
        if let Some(body) = &mut self.body {
            body.cross(pending, gap);
            let is_end = gap.tail_len == 8 && gap.tail == end_of_input(body.request);
            return match body.is_adrift && is_end {
                true => Crossed::Ended(self.ended_somewhere()),
                false => Crossed::Over,
            };
        }
        // What of the record came that is being read.
        if let Some(rest) = pending.get(self.head.at..)
            && let Some(Some(header)) = RecordHeader::read(rest)
            && header.kind == kind::PARAMS
        {
            let content = &rest[HEADER_BYTES..];
            let content = &content[..content.len().min(usize::from(header.len))];
            self.head.params.extend_from_slice(content);
        }
        let head = std::mem::take(&mut self.head);
        let request = params::request(&head.params, true, &mut self.interned);
        cgi::cut(request)
    }

    fn end(&mut self, _pending: &[u8]) -> Option<CgiMessage> {
        None
    }

    fn resync(&mut self, buf: &[u8]) -> Option<usize> {
        let at = begins_at(detect, Flow::Requests, buf, self.was_invalid.into())?;
        self.reset();
        Some(at)
    }

    fn is_adrift(&self) -> bool {
        self.body.is_some_and(|body| body.is_adrift)
    }

    fn reset(&mut self) {
        (self.head, self.body, self.was_invalid) = Default::default();
    }

    fn heap_bytes(&self) -> usize {
        heap::vec::<u8>(self.head.params.capacity())
    }
}

impl Requests {
    /// After a gap that took framing. Where the record that ends a body was not copied, the next
    /// request shows that it has ended.
    fn look_for_end(&mut self, body: RecordBody, buf: &[u8]) -> Parsed<CgiMessage> {
        let wanted = end_of_input(body.request);
        match memchr::memmem::find(buf, &wanted) {
            Some(at) => Parsed::Message {
                message: self.ended_somewhere(),
                consumed: at + wanted.len(),
            },
            None => skipped_but_for_begun(buf, &wanted),
        }
    }

    fn ended_somewhere(&mut self) -> CgiMessage {
        self.body = None;
        Message::End(BodyEnd::default())
    }

    fn parse_head(&mut self, buf: &[u8]) -> Parsed<CgiMessage> {
        loop {
            let head = &mut self.head;
            // What was looked at before is offered again.
            let rest = buf.get(head.at..).unwrap_or_default();
            let header = match RecordHeader::read(rest) {
                None => return Parsed::Invalid,
                Some(None) => return Parsed::Incomplete,
                Some(Some(header)) => header,
            };
            let is_first = head.at == 0;
            let is_begin = header.kind == kind::BEGIN_REQUEST;
            if is_first != is_begin || !is_first && header.request != head.request {
                return Parsed::Invalid;
            }
            if is_begin && detect(rest) == Detected::No {
                return Parsed::Invalid;
            }
            if !matches!(header.kind, kind::BEGIN_REQUEST | kind::PARAMS) {
                return Parsed::Invalid;
            }
            let len = HEADER_BYTES + header.rest();
            let Some(record) = rest.get(..len) else {
                return Parsed::Incomplete;
            };
            let content = &record[HEADER_BYTES..HEADER_BYTES + usize::from(header.len)];
            head.at += len;
            if is_begin {
                head.request = header.request;
                head.has_body = content.len() == BEGIN_BYTES && content[1] != AUTHORIZER;
            } else if content.is_empty() {
                return self.whole();
            } else {
                head.params.extend_from_slice(content);
            }
        }
    }

    fn whole(&mut self) -> Parsed<CgiMessage> {
        let ParamsWalk {
            at,
            params,
            request: number,
            has_body,
        } = std::mem::take(&mut self.head);
        let mut request = params::request(&params, false, &mut self.interned);
        let then = match has_body {
            true => Then::Body,
            false => Then::Done,
        };
        if has_body {
            self.body = Some(RecordBody {
                request: number,
                left: 0,
                size: 0,
                is_adrift: false,
            });
        } else {
            request.body_size = Some(0);
        }
        Parsed::Message {
            message: Message::Request {
                request: Box::new(request),
                then,
            },
            consumed: at,
        }
    }

    fn skip(&mut self, mut body: RecordBody, buf: &[u8]) -> Parsed<CgiMessage> {
        if body.is_adrift {
            return self.look_for_end(body, buf);
        }
        if let Some(skipped) = body.skip(buf) {
            self.body = Some(body);
            return skipped;
        }
        let header = match body.next(buf) {
            Ok(header) => header,
            Err(parsed) => return parsed,
        };
        let is_end = match header.kind {
            kind::STDIN => header.len == 0,
            kind::ABORT_REQUEST => true,
            _ => return Parsed::Invalid,
        };
        if is_end {
            let consumed = HEADER_BYTES + header.rest();
            if buf.len() < consumed {
                return Parsed::Incomplete;
            }
            self.body = None;
            let size = Some(body.size).filter(|_| header.kind == kind::STDIN);
            return Parsed::Message {
                message: Message::End(BodyEnd {
                    size,
                    call_status: None,
                }),
                consumed,
            };
        }
        body.left = header.rest();
        body.size += u64::from(header.len);
        self.body = Some(body);
        Parsed::Skipped {
            consumed: HEADER_BYTES,
        }
    }
}

/// The record that ends the standard input of a request, as those who frame it write it.
fn end_of_input(request: u16) -> [u8; HEADER_BYTES] {
    RecordHeader::unpadded(kind::STDIN, request, 0)
}
