//! The parser of requests. A request without `Content-Length` and `Transfer-Encoding` has no body
//! (RFC 9112 §6.3); it does not ask whether its method should have one.

use std::sync::Arc;

use super::body::{Framing, OpenBody};
use super::framing::MessageFraming;
use super::head::{self, HeadFound, RequestLine};
use crate::family::call::Call;
use crate::family::http::{Completeness, HttpRequest, Method, Version};
use crate::fields::{Fields, interned, lossy, shortened};
use crate::grpc;
use crate::heap;
use crate::message::{Message, Then};
use crate::parser::{Crossed, Flow, Gap, Parsed, Parser};

use super::HttpMessage;

/// Reads what a client sends.
#[derive(Debug, Default)]
pub struct Requests {
    framing: MessageFraming,
    /// Values that rarely change within a connection.
    host: Option<Arc<str>>,
    user_agent: Option<Arc<str>>,
    forwarded_for: Option<Arc<str>>,
    forwarded_host: Option<Arc<str>>,
    /// The version of the last whole request line.
    version: Option<Version>,
}

impl Parser for Requests {
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
        match head::cut_request(pending) {
            Some((line, fields)) => Crossed::Cut(Message::Request {
                request: Box::new(HttpRequest {
                    truncated: true,
                    ..self.request(line, &fields)
                }),
                then: Then::Unknown,
            }),
            None => Crossed::Lost,
        }
    }

    fn end(&mut self, _pending: &[u8]) -> Option<HttpMessage> {
        self.framing.end()
    }

    fn resync(&mut self, buf: &[u8]) -> Option<usize> {
        self.framing.resync(buf, Flow::Requests)
    }

    fn bytes_left(&self) -> Option<u64> {
        self.framing.bytes_left()
    }

    fn is_adrift(&self) -> bool {
        self.framing.is_adrift()
    }

    fn reset(&mut self) {
        self.framing = MessageFraming::default();
    }

    fn heap_bytes(&self) -> usize {
        let texts = [
            &self.host,
            &self.user_agent,
            &self.forwarded_for,
            &self.forwarded_host,
        ];
        let texts: usize = texts
            .map(|text| heap::remembered(text.as_ref()))
            .iter()
            .sum();
        self.framing.heap_bytes() + texts
    }
}

impl Requests {
    fn parse_head(&mut self, buf: &[u8]) -> Parsed<HttpMessage> {
        // Empty lines before a request are to be ignored (RFC 9112 §2.2).
        let empty = buf
            .iter()
            .position(|&byte| byte != b'\r' && byte != b'\n')
            .unwrap_or(buf.len());
        if empty > 0 {
            return Parsed::Skipped { consumed: empty };
        }
        if !self.framing.is_worth_it(buf) {
            return Parsed::Incomplete;
        }
        let mut fields = Fields::default();
        let (line, consumed) = match head::request(buf, &mut fields) {
            HeadFound::Whole(line, len) => (line, len),
            HeadFound::Partial => return Parsed::Incomplete,
            HeadFound::Invalid => return self.malformed(buf),
        };
        let mut request = Box::new(self.request(line, &fields));
        let (then, body) = match Framing::of(&fields, Framing::NoBody) {
            Framing::NoBody => {
                request.body_size = Some(0);
                (Then::Done, None)
            }
            Framing::Body(body) => (Then::Body, Some(body)),
            // Most servers refuse it, and all of them read its head.
            Framing::Invalid => (Then::Unknown, Some(OpenBody::Unframed)),
        };
        self.version = Some(request.version);
        self.framing.head_ended(body);
        Parsed::Message {
            message: Message::Request { request, then },
            consumed,
        }
    }

    /// What begins with no request line is a request to whoever has to answer it. Nothing of it is
    /// known, nor where it ends.
    #[cold]
    fn malformed(&mut self, buf: &[u8]) -> Parsed<HttpMessage> {
        self.framing.head_ended(Some(OpenBody::Unframed));
        Parsed::Message {
            message: Message::Request {
                request: Box::new(HttpRequest::malformed()),
                then: Then::Unknown,
            },
            consumed: memchr::memchr(b'\n', buf).map_or(buf.len(), |end| end + 1),
        }
    }

    fn request(&mut self, line: RequestLine<'_>, fields: &Fields<'_>) -> HttpRequest {
        let method = Method::from_token(line.method);
        // The target's authority beats the field (RFC 9112 §3.2.2).
        let host = match (&method, fields.host) {
            (Method::Connect, None) => Some(line.target.as_bytes()),
            (_, field) => authority(line.target.as_bytes()).or(field),
        };
        let forwarded = fields.forwarded();
        let (traces, trace_state) = fields.traces();
        let host = interned(&mut self.host, host.map(shortened));
        let target = shortened(line.target.as_bytes());
        let is_whole = target.len() == line.target.len();
        HttpRequest {
            method,
            // Cut within a letter, it is not text.
            target: if is_whole {
                line.target.into()
            } else {
                lossy(target).into()
            },
            // A line that was cut before its version is taken to speak like the one before it.
            version: line.version.or(self.version).unwrap_or(Version::Http11),
            host,
            user_agent: interned(&mut self.user_agent, fields.user_agent.map(shortened)),
            forwarded_for: interned(&mut self.forwarded_for, forwarded.client),
            forwarded_host: interned(&mut self.forwarded_host, forwarded.host),
            forwarded_scheme: forwarded.scheme,
            traces,
            trace_state,
            body_size: None,
            truncated: !is_whole,
            scheme: None,
            call: fields
                .content_type
                .and_then(grpc::system)
                .map(|system| Call {
                    system,
                    timeout_ns: None,
                    may_time_out: false,
                }),
            completeness: Completeness::Whole,
        }
    }
}

/// The authority of a target in absolute form, without user information.
fn authority(target: &[u8]) -> Option<&[u8]> {
    if target.first() == Some(&b'/') {
        return None;
    }
    let rest = target
        .strip_prefix(b"http://")
        .or_else(|| target.strip_prefix(b"https://"))?;
    let end = rest
        .iter()
        .position(|byte| b"/?#".contains(byte))
        .unwrap_or(rest.len());
    let authority = &rest[..end];
    let host = match memchr::memrchr(b'@', authority) {
        Some(at) => &authority[at + 1..],
        None => authority,
    };
    (!host.is_empty()).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(head: &str) -> (HttpRequest, Then) {
        match Requests::default().parse(head.as_bytes()) {
            Parsed::Message {
                message: Message::Request { request, then },
                consumed,
            } => {
                assert_eq!(consumed, head.len());
                (*request, then)
            }
            other => panic!("{head}: {other:?}"),
        }
    }

    #[test]
    fn targets_are_kept_as_sent_and_name_the_host() {
        for (line, target, host) in [
            ("GET /a?b=c", "/a?b=c", "field"),
            (
                "GET http://u:p@there:81/a",
                "http://u:p@there:81/a",
                "there:81",
            ),
            ("OPTIONS *", "*", "field"),
            ("CONNECT there:443", "there:443", "field"),
        ] {
            let (request, _) = parse(&format!("{line} HTTP/1.1\r\nHost: field\r\n\r\n"));
            assert_eq!(&*request.target, target);
            assert_eq!(request.host.as_deref(), Some(host));
        }
    }

    #[test]
    fn equal_values_share_one_allocation() {
        let head = b"GET / HTTP/1.1\r\nHost: h\r\nUser-Agent: a\r\n\r\n";
        let mut parser = Requests::default();
        let mut agent = || match parser.parse(head) {
            Parsed::Message {
                message: Message::Request { request, .. },
                ..
            } => request.user_agent.expect("sent"),
            other => panic!("{other:?}"),
        };
        assert!(Arc::ptr_eq(&agent(), &agent()));
    }

    #[test]
    fn behind_a_length_that_contradicts_itself_nothing_is_known() {
        let (request, then) =
            parse("POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n");
        assert_eq!((&*request.target, request.body_size), ("/", None));
        assert_eq!(then, Then::Unknown);
        let (_, then) =
            parse("POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert_eq!(then, Then::Body);
    }

    #[test]
    fn a_state_without_a_parent_is_not_kept() {
        let parent = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n";
        let head = |fields: &str| format!("GET / HTTP/1.1\r\n{fields}tracestate: a=1\r\n\r\n");
        assert_eq!(parse(&head(parent)).0.trace_state.as_deref(), Some("a=1"));
        assert_eq!(parse(&head("")).0.trace_state, None);
    }
}
