//! What protocols say, by family: the vocabulary that exchanges, and later spans, are made of.
//! No bytes are parsed here, but for header values that have a type of their own.

use std::sync::Arc;

use crate::heap;

/// What a parser finds in its direction: a head, or the end of the body that a head announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A request begins.
    Request {
        /// Its head.
        request: Request,
        /// What comes behind it.
        then: Then,
    },
    /// A response that another one to the same request will follow (RFC 9110 §15.2).
    Interim,
    /// A final response begins.
    Response {
        /// Its head.
        response: Response,
        /// What comes behind it.
        then: Then,
    },
    /// The body ended that the head before announced.
    End {
        /// Its bytes without framing; `None` where they could not be counted.
        body_size: Option<u64>,
        /// What the body says became of a call (gRPC-Web).
        call_status: Option<u32>,
    },
}

/// What comes behind a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Then {
    /// The next message: there is no body.
    Done,
    /// A body, and [`Message::End`] where it ends.
    Body,
    /// Nobody knows: the head was cut. The parser wants to be resynchronised.
    Unknown,
    /// Bytes of another protocol: both directions are left alone from here on.
    Foreign,
    /// A tunnel (RFC 9110 §9.3.6): what goes through it, in both directions, is a conversation of
    /// its own.
    Tunnel,
    /// HTTP/2 in both directions (`Upgrade: h2c`, RFC 7540 §3.2), whose first stream carries the
    /// response to this request.
    Http2,
}

/// What a parser of a multiplexed protocol finds in its direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What relates a response to its request. Requests of one connection have growing numbers.
    pub stream: u64,
    /// What was said.
    pub what: What,
    /// Nothing else follows in this direction for this stream.
    pub ends: bool,
}

/// What is said about a stream of a multiplexed protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A request begins.
    Request(Request),
    /// A response that another one to the same request will follow.
    Interim,
    /// A final response begins.
    Response(Response),
    /// Fields behind the body.
    Trailers {
        /// `grpc-status`.
        call_status: Option<u32>,
        /// Whether it is known.
        completeness: Completeness,
    },
    /// A head or trailers, of which nothing is known that would tell one from the other.
    Unclear,
    /// Bytes of a body.
    Data {
        /// Where they begin in the bytes that were offered.
        start: usize,
        /// How many there are.
        len: usize,
        /// Bytes behind them that nobody captured.
        missed: u64,
    },
    /// The stream ends here, in both directions.
    Aborted {
        /// RFC 9113 §7.
        code: u32,
    },
    /// Streams of the peer with larger numbers than this one are not served (RFC 9113 §6.8).
    GoingAway,
    /// What the sender of these is prepared to remember of the other direction's header fields
    /// (RFC 7541 §4.2), in bytes.
    TableSize(u32),
}

/// A request, as far as it was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// RFC 9110. Boxed, because it changes hands a dozen times before it is a span.
    Http(Box<HttpRequest>),
}

impl Request {
    /// Bytes of heap that it takes. Of texts that it shares with others it counts those that nobody
    /// but the parser shares yet (see [`heap::first_share`]).
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let Self::Http(request) = self;
        let shared = [
            &request.host,
            &request.user_agent,
            &request.forwarded_for,
            &request.forwarded_host,
        ];
        let shared = shared.map(|text| heap::first_share(text.as_ref()));
        let method = match &request.method {
            Method::Other(sent) => heap::block(sent.len()),
            _ => 0,
        };
        heap::boxed::<HttpRequest>()
            + heap::block(request.target.len())
            + heap::block(request.trace_state.as_deref().map_or(0, str::len))
            + shared.iter().sum::<usize>()
            + method
    }
}

/// A response, as far as it was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// RFC 9110.
    Http(HttpResponse),
}

/// An HTTP request's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRequest {
    /// As sent; not known of a request that is [malformed](HttpRequest::is_malformed).
    pub method: Method,
    /// Request target as sent (RFC 9112 §3.2): origin, absolute, authority or asterisk form. Empty
    /// where it is not known.
    pub target: Box<str>,
    /// As sent.
    pub version: Version,
    /// `Host`, or `:authority`.
    pub host: Option<Arc<str>>,
    /// `User-Agent`.
    pub user_agent: Option<Arc<str>>,
    /// First address of `Forwarded` (RFC 7239) or `X-Forwarded-For`, without port and brackets.
    pub forwarded_for: Option<Arc<str>>,
    /// First host of `Forwarded` or `X-Forwarded-Host`, with its port if it has one.
    pub forwarded_host: Option<Arc<str>>,
    /// First scheme of `Forwarded` or `X-Forwarded-Proto`, if it is one that HTTP has.
    pub forwarded_scheme: Option<&'static str>,
    /// `traceparent`, if it is valid.
    pub trace_parent: Option<TraceParent>,
    /// `tracestate` as sent, where `traceparent` is valid; several fields joined with commas.
    pub trace_state: Option<Box<str>>,
    /// Bytes of the body without framing; `None` while or where it is unknown.
    pub body_size: Option<u64>,
    /// Part of the head was not captured.
    pub truncated: bool,
    /// `http` or `https`, where the request says so (`:scheme`).
    pub scheme: Option<&'static str>,
    /// The remote procedure call that it is.
    pub call: Option<Call>,
    /// How much of the head could be decoded. Where the target could not, it is empty.
    pub completeness: Completeness,
}

impl HttpRequest {
    /// What a client sent where a request should begin, and is none that a server could read.
    #[must_use]
    pub fn malformed() -> Self {
        Self {
            method: Method::Unknown,
            target: "".into(),
            version: Version::Http11,
            host: None,
            user_agent: None,
            forwarded_for: None,
            forwarded_host: None,
            forwarded_scheme: None,
            trace_parent: None,
            trace_state: None,
            body_size: None,
            truncated: false,
            scheme: Some("http"),
            call: None,
            completeness: Completeness::Whole,
        }
    }

    /// Whether it is such.
    #[must_use]
    pub fn is_malformed(&self) -> bool {
        self.method == Method::Unknown && self.version != Version::Http2
    }
}

/// What an HTTP request says of the remote procedure call that it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Which protocol the call speaks.
    pub system: CallSystem,
    /// How long the client will wait, in nanoseconds.
    pub timeout_ns: Option<u64>,
    /// It may have named a timeout that is not known.
    pub may_time_out: bool,
}

/// Protocols for calls on top of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallSystem {
    /// gRPC over HTTP/2.
    Grpc,
    /// gRPC-Web: its trailers are part of the body, as a rule.
    GrpcWeb,
}

/// Whether header fields that were sent in a compressed form could be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Completeness {
    /// All that matter.
    #[default]
    Whole,
    /// All that matter, some of them by what other connections taught.
    Inferred,
    /// One that matters is not known.
    Incomplete,
}

/// An HTTP response's final head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpResponse {
    /// 200 to 599 as a rule; 101 for an upgrade; 0 where it could not be decoded.
    pub status: u16,
    /// As sent.
    pub version: Version,
    /// Bytes of the body without framing; `None` where it is unknown.
    pub body_size: Option<u64>,
    /// Part of the head was not captured.
    pub truncated: bool,
    /// `grpc-status`, from the head, the trailers or the body (gRPC-Web).
    pub call_status: Option<u32>,
    /// How much could be decoded.
    pub completeness: Completeness,
}

/// Bytes of a method that are kept. The longest that is registered has 17 (`UPDATEREDIRECTREF`).
const METHOD_BYTES_MAX: usize = 256;
impl HttpResponse {
    /// Whether servers answer so what they can't read: a bad request, a target or fields that are
    /// too long, a method or a version that they don't know.
    #[must_use]
    pub fn refuses_malformed(&self) -> bool {
        matches!(self.status, 400 | 405 | 414 | 431 | 501 | 505)
    }
}

/// Methods of RFC 9110 and RFC 5789; the rest as sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each name is the method's own")]
pub enum Method {
    Connect,
    Delete,
    Get,
    Head,
    Options,
    Patch,
    Post,
    Put,
    Trace,
    /// Any other token (RFC 9110 §9.1), as sent.
    Other(Box<str>),
    /// Not decoded.
    Unknown,
}

impl Method {
    /// As sent; empty if it is not known.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Connect => "CONNECT",
            Self::Delete => "DELETE",
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Patch => "PATCH",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Trace => "TRACE",
            Self::Other(sent) => sent,
            Self::Unknown => "",
        }
    }

    /// Reads a method token; methods are case-sensitive.
    #[must_use]
    pub fn from_token(token: &str) -> Self {
        match token {
            "CONNECT" => Self::Connect,
            "DELETE" => Self::Delete,
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "OPTIONS" => Self::Options,
            "PATCH" => Self::Patch,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "TRACE" => Self::Trace,
            // A token is ASCII.
            other => Self::Other(other.get(..METHOD_BYTES_MAX).unwrap_or(other).into()),
        }
    }
}

/// HTTP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// RFC 1945.
    Http10,
    /// RFC 9112.
    Http11,
    /// RFC 9113.
    Http2,
}

/// W3C Trace Context `traceparent`, version 00 or what later versions share with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// Not all zero.
    pub trace_id: [u8; 16],
    /// Not all zero.
    pub parent_id: [u8; 8],
    /// Bit 0: sampled.
    pub flags: u8,
}

impl TraceParent {
    /// Reads a field value (W3C Trace Context, Level 2, §3.2.2): lower-case hex only, no version
    /// ff, no id of zeros; version 00 ends with the flags, later ones may go on behind a dash.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let version = hex::<1>(value.get(0..2)?)?[0];
        let rest_fits = match version {
            0xff => false,
            0 => value.len() == 55,
            _ => value.len() == 55 || value.get(55) == Some(&b'-'),
        };
        if !rest_fits
            || [2, 35, 52]
                .iter()
                .any(|&dash| value.get(dash) != Some(&b'-'))
        {
            return None;
        }
        let parsed = Self {
            trace_id: hex(value.get(3..35)?)?,
            parent_id: hex(value.get(36..52)?)?,
            flags: hex::<1>(value.get(53..55)?)?[0],
        };
        (parsed.trace_id != [0; 16] && parsed.parent_id != [0; 8]).then_some(parsed)
    }
}

fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let nibble = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_is_read() {
        let parsed = TraceParent::parse(VALID.as_bytes()).expect("valid");
        assert_eq!(parsed.trace_id[..3], [0x0a, 0xf7, 0x65]);
        assert_eq!(parsed.parent_id[6..], [0x33, 0x31]);
        assert_eq!(parsed.flags, 1);
    }

    #[test]
    fn what_the_specification_forbids_is_refused() {
        let zero_trace = VALID.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32));
        let zero_parent = VALID.replace("b7ad6b7169203331", &"0".repeat(16));
        for bad in [
            &VALID[..54],
            &format!("{VALID}-00"),
            &format!("{VALID}0"),
            &VALID.to_uppercase(),
            &VALID.replacen("00", "ff", 1),
            &VALID.replacen('-', "_", 1),
            &zero_trace,
            &zero_parent,
            "",
        ] {
            assert_eq!(TraceParent::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_later_version_may_go_on_behind_a_dash() {
        let later = VALID.replacen("00", "cc", 1);
        assert!(TraceParent::parse(later.as_bytes()).is_some());
        assert!(TraceParent::parse(format!("{later}-what-ever").as_bytes()).is_some());
        assert!(TraceParent::parse(format!("{later}.what").as_bytes()).is_none());
    }
}
