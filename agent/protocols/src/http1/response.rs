//! The parser of responses. How one ends depends on what was asked, so it is told
//! ([`Answers::answers`]); it remembers no request by itself.

use super::HttpMessage;
use super::body::{Framing, OpenBody};
use super::framing::MessageFraming;
use super::head::{self, HeadFound, StatusLine};
use crate::family::http::{Completeness, HttpRequest, HttpResponse, Method};
use crate::fields::Fields;
use crate::grpc;
use crate::message::{Message, Then};
use crate::parser::{Answers, Crossed, Flow, Gap, Parsed, Parser};

/// Reads what a server sends.
#[derive(Debug, Default)]
pub struct Responses {
    framing: MessageFraming,
    asked: RequestFraming,
    /// The response before had no body, for which some servers send the end of one all the same.
    may_end_twice: bool,
}

/// The end of a chunked body, where there is none.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// HTTP/2 without TLS, as it was asked for in HTTP/1 (RFC 7540 §3.2).
const H2C: &str = "h2c";

/// What of a request matters to the framing of its response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum RequestFraming {
    Head,
    Connect,
    #[default]
    Other,
}

impl Parser for Responses {
    type Message = HttpMessage;

    fn parse(&mut self, buf: &[u8]) -> Parsed<HttpMessage> {
        if let Some(parsed) = self.framing.skip(buf) {
            return parsed;
        }
        let parsed = self.parse_head(buf);
        self.framing.note(&parsed);
        parsed
    }

    fn cross(&mut self, pending: &[u8], gap: Gap) -> Crossed<HttpMessage> {
        if let Some(crossed) = self.framing.cross(gap) {
            return crossed;
        }
        match head::cut_response(pending) {
            // An interim head that was cut hides the final one behind it.
            Some(line) if line.status >= 200 => Crossed::Cut(Message::Response {
                response: HttpResponse {
                    truncated: true,
                    ..head_of(line)
                },
                then: Then::Unknown,
            }),
            _ => Crossed::Lost,
        }
    }

    fn end(&mut self, _pending: &[u8]) -> Option<HttpMessage> {
        self.framing.end()
    }

    fn resync(&mut self, buf: &[u8]) -> Option<usize> {
        self.framing.resync(buf, Flow::Responses)
    }

    fn bytes_left(&self) -> Option<u64> {
        self.framing.bytes_left()
    }

    fn is_adrift(&self) -> bool {
        self.framing.is_adrift()
    }

    fn reset(&mut self) {
        self.framing = MessageFraming::default();
        self.may_end_twice = false;
    }

    fn heap_bytes(&self) -> usize {
        self.framing.heap_bytes()
    }
}

impl Answers<Box<HttpRequest>> for Responses {
    fn answers(&mut self, request: Option<&Box<HttpRequest>>) {
        self.asked = match request.map(|request| &request.method) {
            Some(Method::Head) => RequestFraming::Head,
            Some(Method::Connect) => RequestFraming::Connect,
            _ => RequestFraming::Other,
        };
    }

    fn may_begin(&self, buf: &[u8]) -> bool {
        head::may_begin_response(buf)
    }
}

impl Responses {
    fn parse_head(&mut self, buf: &[u8]) -> Parsed<HttpMessage> {
        if self.may_end_twice && buf[0] == LAST_CHUNK[0] {
            if buf.starts_with(LAST_CHUNK) {
                self.may_end_twice = false;
                return Parsed::Skipped {
                    consumed: LAST_CHUNK.len(),
                };
            }
            if LAST_CHUNK.starts_with(buf) {
                return Parsed::Incomplete;
            }
        }
        if !self.framing.is_worth_it(buf) {
            return Parsed::Incomplete;
        }
        let mut fields = Fields::default();
        let (line, consumed) = match head::response(buf, &mut fields) {
            HeadFound::Whole(line, len) => (line, len),
            HeadFound::Partial => return Parsed::Incomplete,
            HeadFound::Invalid => return Parsed::Invalid,
        };
        let mut response = head_of(line);
        response.call_status = fields.grpc_status.and_then(grpc::status::parse);
        let is_tunnel = self.asked == RequestFraming::Connect && matches!(line.status, 200..=299);
        let is_bodiless =
            self.asked == RequestFraming::Head || matches!(line.status, 100..=199 | 204 | 304);
        // In the order of RFC 9112 §6.3.
        let framing = match (line.status, self.asked) {
            (101, _) => None,
            (200..=299, RequestFraming::Connect) => Some(Framing::NoBody),
            _ if is_bodiless => Some(Framing::NoBody),
            _ => Some(Framing::of(
                &fields,
                Framing::Body(OpenBody::UntilEnd { size: 0 }),
            )),
        };
        let (then, body) = match framing {
            None if line.status == 101 && fields.upgrade == Some(H2C.as_bytes()) => {
                (Then::Upgrade(H2C), None)
            }
            None => (Then::Foreign, None),
            Some(Framing::NoBody) if is_tunnel => (Then::Tunnel, None),
            Some(Framing::NoBody) => {
                response.body_size = Some(0);
                (Then::Done, None)
            }
            Some(Framing::Body(body)) => (Then::Body, Some(body)),
            Some(Framing::Invalid) => (Then::Unknown, Some(OpenBody::Unframed)),
        };
        self.may_end_twice = is_bodiless && line.status >= 200;
        let web = body
            .is_some()
            .then(|| fields.content_type.and_then(grpc::web::WebTrailers::of))
            .flatten();
        self.framing.head_ended(body);
        if let Some(web) = web {
            self.framing.watch_web(web);
        }
        let message = if then == Then::Done && line.status < 200 {
            Message::Interim
        } else {
            Message::Response { response, then }
        };
        Parsed::Message { message, consumed }
    }
}

fn head_of(line: StatusLine) -> HttpResponse {
    HttpResponse {
        status: line.status,
        version: line.version,
        body_size: None,
        truncated: false,
        call_status: None,
        completeness: Completeness::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::BodyEnd;

    fn then(asked: RequestFraming, head: &str) -> Option<Then> {
        let mut parser = Responses {
            asked,
            ..Responses::default()
        };
        match parser.parse(head.as_bytes()) {
            Parsed::Message {
                message: Message::Response { then, .. },
                ..
            } => Some(then),
            Parsed::Message {
                message: Message::Interim,
                ..
            } => None,
            other => panic!("{head}: {other:?}"),
        }
    }

    #[test]
    fn what_was_asked_and_the_code_decide_about_the_body() {
        let length = "Content-Length: 5\r\n\r\n";
        for (asked, line, wanted) in [
            (RequestFraming::Other, "200 OK", Some(Then::Body)),
            (RequestFraming::Head, "200 OK", Some(Then::Done)),
            (RequestFraming::Connect, "200 OK", Some(Then::Tunnel)),
            (RequestFraming::Connect, "407 No", Some(Then::Body)),
            (RequestFraming::Other, "204 No", Some(Then::Done)),
            (RequestFraming::Other, "304 No", Some(Then::Done)),
            (RequestFraming::Other, "100 Go", None),
            (RequestFraming::Other, "103 Go", None),
            (RequestFraming::Other, "101 Go", Some(Then::Foreign)),
        ] {
            let head = format!("HTTP/1.1 {line}\r\n{length}");
            assert_eq!(then(asked, &head), wanted, "{line}");
        }
    }

    #[test]
    fn without_a_length_the_end_of_the_stream_ends_the_body() {
        let mut parser = Responses::default();
        let head = b"HTTP/1.0 200 OK\r\n\r\n";
        assert!(matches!(
            parser.parse(head),
            Parsed::Message { consumed: 19, .. }
        ));
        assert_eq!(parser.parse(b"hello"), Parsed::Skipped { consumed: 5 });
        assert_eq!(
            parser.end(b""),
            Some(Message::End(BodyEnd {
                size: Some(5),
                call_status: None
            }))
        );
        assert_eq!(parser.end(b""), None);
    }

    #[test]
    fn the_body_of_a_web_call_says_what_became_of_it() {
        let body = b"\0\0\0\0\x05reply\x80\0\0\0\x10grpc-status: 5\r\n";
        let len = body.len();
        let counted = [format!("Content-Length: {len}\r\n\r\n").as_bytes(), body].concat();
        let (one, other) = body.split_at(12);
        let chunked = [
            b"Transfer-Encoding: chunked\r\n\r\nc\r\n",
            one,
            b"\r\n13\r\n",
            other,
            b"\r\n0\r\n\r\n",
        ]
        .concat();
        for framed in [counted, chunked] {
            let mut parser = Responses::default();
            let head = b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc-web\r\n";
            let bytes = [&head[..], &framed].concat();
            let Parsed::Message { consumed, .. } = parser.parse(&bytes) else {
                panic!("a head");
            };
            assert_eq!(
                parser.parse(&bytes[consumed..]),
                Parsed::Message {
                    message: Message::End(BodyEnd {
                        size: Some(len as u64),
                        call_status: Some(5)
                    }),
                    consumed: bytes.len() - consumed,
                }
            );
        }
    }

    #[test]
    fn a_counted_body_crosses_a_gap() {
        let mut parser = Responses::default();
        parser.parse(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n");
        assert_eq!(parser.bytes_left(), Some(10));
        let gap = Gap {
            len: 10,
            tail: [0; 8],
            tail_len: 0,
            lost: true,
        };
        assert_eq!(
            parser.cross(b"", gap),
            Crossed::Ended(Message::End(BodyEnd {
                size: Some(10),
                call_status: None
            }))
        );
    }
}
