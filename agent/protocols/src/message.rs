//! What protocols say, by family: the vocabulary that exchanges, and later spans, are made of.
//! No bytes are parsed here, but for header values that have a type of their own.

use std::sync::Arc;

/// A request, as far as it was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// RFC 9110.
    Http(HttpRequest),
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
    /// As sent.
    pub method: Method,
    /// Request target as sent (RFC 9112 §3.2): origin, absolute, authority or asterisk form.
    pub target: Box<str>,
    /// As sent.
    pub version: Version,
    /// `Host`, or `:authority`.
    pub host: Option<Arc<str>>,
    /// `User-Agent`.
    pub user_agent: Option<Arc<str>>,
    /// First address of `Forwarded` (RFC 7239) or `X-Forwarded-For`, without port and brackets.
    pub forwarded_for: Option<Arc<str>>,
    /// `traceparent`, if it is valid.
    pub trace_parent: Option<TraceParent>,
    /// `tracestate` as sent, where `traceparent` is valid; several fields joined with commas.
    pub trace_state: Option<Box<str>>,
    /// Bytes of the body without framing; `None` while or where it is unknown.
    pub body_size: Option<u64>,
    /// Part of the head was not captured.
    pub truncated: bool,
}

/// An HTTP response's final head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpResponse {
    /// 200 to 599 as a rule; 101 for an upgrade.
    pub status: u16,
    /// As sent.
    pub version: Version,
    /// Bytes of the body without framing; `None` where it is unknown.
    pub body_size: Option<u64>,
    /// Part of the head was not captured.
    pub truncated: bool,
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
}

impl Method {
    /// As sent.
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
            other => Self::Other(other.into()),
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
