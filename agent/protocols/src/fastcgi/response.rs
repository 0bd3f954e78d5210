//! The parser of responses: the head is that of CGI (RFC 3875, 6), on the standard output between
//! lines of errors; the record that ends the request ends the body.

use super::CgiMessage;
use super::body::{RecordBody, skipped_but_for_begun};
use super::detect::detect;
use super::record::{END_BYTES, HEADER_BYTES, RecordHeader, kind};
use crate::family::http::{Completeness, HttpRequest, HttpResponse, Version};
use crate::fields::digits;
use crate::heap;
use crate::message::{BodyEnd, Message, Then};
use crate::parser::{Answers, Crossed, Flow, Gap, Parsed, Parser};
use crate::protocol::begins_at;

/// Reads what php-fpm, or somebody like it, sends.
#[derive(Debug, Default)]
pub struct Responses {
    head: OutputWalk,
    body: Option<RecordBody>,
    was_invalid: bool,
}

/// How far a head was looked at that has not come wholly.
#[derive(Debug, Default)]
struct OutputWalk {
    /// Where the present record begins.
    at: usize,
    /// Bytes of its content that were taken.
    taken: usize,
    /// What came on the standard output.
    output: Vec<u8>,
    request: Option<u16>,
}

impl Parser for Responses {
    type Message = CgiMessage;

    fn parse(&mut self, buf: &[u8]) -> Parsed<CgiMessage> {
        let parsed = match self.body {
            Some(body) if body.is_adrift => self.look_for_end(body, buf),
            Some(body) => self.skip(body, buf),
            None => self.parse_head(buf),
        };
        self.was_invalid = parsed == Parsed::Invalid;
        parsed
    }

    fn cross(&mut self, pending: &[u8], gap: Gap) -> Crossed<CgiMessage> {
        if let Some(body) = &mut self.body {
            body.cross(pending, gap);
            return Crossed::Over;
        }
        let head = std::mem::take(&mut self.head);
        match field(&head.output, b"status").and_then(status) {
            Some(status) => Crossed::Cut(Message::Response {
                response: HttpResponse {
                    truncated: true,
                    ..response(status)
                },
                then: Then::Unknown,
            }),
            None => Crossed::Lost,
        }
    }

    /// Who lost the framing can't tell whether that was said which ends it; who did not knows that
    /// it was not.
    fn end(&mut self, _pending: &[u8]) -> Option<CgiMessage> {
        let body = self.body.take()?;
        body.is_adrift.then_some(Message::End(BodyEnd::default()))
    }

    fn resync(&mut self, buf: &[u8]) -> Option<usize> {
        let at = begins_at(detect, Flow::Responses, buf, self.was_invalid.into())?;
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
        heap::vec::<u8>(self.head.output.capacity())
    }
}

impl Answers<Box<HttpRequest>> for Responses {
    fn may_begin(&self, buf: &[u8]) -> bool {
        use kind::{END_REQUEST, STDERR, STDOUT};
        matches!(buf, [] | [1] | [1, END_REQUEST | STDOUT | STDERR, ..])
    }
}

impl Responses {
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
            if *head.request.get_or_insert(header.request) != header.request {
                return Parsed::Invalid;
            }
            let len = HEADER_BYTES + header.rest();
            match header.kind {
                kind::STDOUT => {
                    let content = &rest[HEADER_BYTES..];
                    let come = content.len().min(usize::from(header.len));
                    let before = head.output.len();
                    head.output.extend_from_slice(&content[head.taken..come]);
                    if let Some(end) = head_end(&head.output, before) {
                        let taken = head.taken + end - before;
                        let consumed = head.at + HEADER_BYTES + taken;
                        return self.whole(end, consumed, &header, taken);
                    }
                    head.taken = come;
                }
                kind::STDERR => {}
                kind::END_REQUEST if usize::from(header.len) == END_BYTES => {
                    if rest.len() < len {
                        return Parsed::Incomplete;
                    }
                    return self.ended(len);
                }
                _ => return Parsed::Invalid,
            }
            if rest.len() < len {
                return Parsed::Incomplete;
            }
            head.at += len;
            head.taken = 0;
        }
    }

    fn whole(
        &mut self,
        end: usize,
        consumed: usize,
        header: &RecordHeader,
        taken: usize,
    ) -> Parsed<CgiMessage> {
        let head = std::mem::take(&mut self.head);
        let is_elsewhere = || field(&head.output[..end], b"location").is_some();
        let status = match field(&head.output[..end], b"status") {
            // One that is none is nothing that could be told.
            Some(said) => status(said).unwrap_or(0),
            None if is_elsewhere() => 302,
            None => 200,
        };
        let in_body = usize::from(header.len) - taken;
        self.body = Some(RecordBody {
            request: header.request,
            left: header.rest() - taken,
            size: in_body as u64,
            is_adrift: false,
        });
        Parsed::Message {
            message: Message::Response {
                response: response(status),
                then: Then::Body,
            },
            consumed,
        }
    }

    /// The request was ended before its response began: what became of it is not said.
    fn ended(&mut self, len: usize) -> Parsed<CgiMessage> {
        let head = std::mem::take(&mut self.head);
        let status = field(&head.output, b"status").and_then(status);
        Parsed::Message {
            message: Message::Response {
                response: HttpResponse {
                    body_size: Some(0),
                    ..response(status.unwrap_or(0))
                },
                then: Then::Done,
            },
            consumed: head.at + len,
        }
    }

    fn skip(&mut self, mut body: RecordBody, buf: &[u8]) -> Parsed<CgiMessage> {
        if let Some(skipped) = body.skip(buf) {
            self.body = Some(body);
            return skipped;
        }
        let header = match body.next(buf) {
            Ok(header) => header,
            Err(parsed) => return parsed,
        };
        match header.kind {
            kind::STDOUT => body.size += u64::from(header.len),
            kind::STDERR => {}
            kind::END_REQUEST if usize::from(header.len) == END_BYTES => {
                let consumed = HEADER_BYTES + header.rest();
                return match buf.len() < consumed {
                    true => Parsed::Incomplete,
                    false => self.end_at(consumed, Some(body.size)),
                };
            }
            _ => return Parsed::Invalid,
        }
        body.left = header.rest();
        self.body = Some(body);
        Parsed::Skipped {
            consumed: HEADER_BYTES,
        }
    }

    fn end_at(&mut self, consumed: usize, size: Option<u64>) -> Parsed<CgiMessage> {
        self.body = None;
        Parsed::Message {
            message: Message::End(BodyEnd {
                size,
                call_status: None,
            }),
            consumed,
        }
    }

    /// After a gap that took framing.
    fn look_for_end(&mut self, body: RecordBody, buf: &[u8]) -> Parsed<CgiMessage> {
        let wanted = RecordHeader::unpadded(kind::END_REQUEST, body.request, END_BYTES as u8);
        let len = HEADER_BYTES + END_BYTES;
        match memchr::memmem::find(buf, &wanted) {
            Some(at) if buf.len() >= at + len => self.end_at(at + len, None),
            Some(0) => Parsed::Incomplete,
            Some(at) => Parsed::Skipped { consumed: at },
            None => skipped_but_for_begun(buf, &wanted),
        }
    }
}

fn response(status: u16) -> HttpResponse {
    HttpResponse {
        status,
        version: Version::FastCgi,
        body_size: None,
        truncated: false,
        call_status: None,
        completeness: Completeness::Whole,
    }
}

/// Where the empty line behind a head ends, of which `seen` bytes were looked at before.
fn head_end(output: &[u8], seen: usize) -> Option<usize> {
    let from = seen.saturating_sub(2);
    memchr::memchr_iter(b'\n', &output[from..])
        .map(|at| from + at)
        .find(|&at| {
            let line = &output[..at];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            line.is_empty() || line.ends_with(b"\n")
        })
        .map(|at| at + 1)
}

/// The value of a field, by its name in small letters.
fn field<'b>(head: &'b [u8], wanted: &[u8]) -> Option<&'b [u8]> {
    // The last line may be cut.
    let whole = memchr::memrchr(b'\n', head).map_or(0, |end| end + 1);
    head[..whole].split(|byte| *byte == b'\n').find_map(|line| {
        let colon = memchr::memchr(b':', line)?;
        let (name, value) = line.split_at(colon);
        name.eq_ignore_ascii_case(wanted)
            .then(|| value[1..].trim_ascii())
    })
}

/// A code of three digits, and whatever is behind it.
fn status(value: &[u8]) -> Option<u16> {
    let code = digits(value.get(..3)?)?;
    let is_alone = value.get(3).is_none_or(|byte| !byte.is_ascii_digit());
    let code = u16::try_from(code).ok()?;
    (is_alone && (100..1000).contains(&code)).then_some(code)
}
