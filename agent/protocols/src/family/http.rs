//! HTTP, whatever its version: what was asked and what was answered, as far as spans need it.

use std::sync::Arc;

use super::call::Call;
use crate::heap;
use crate::trace_headers::TraceHeaders;

/// A request and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// What was asked. Boxed, because it changes hands a dozen times before it is a span.
    pub request: Box<HttpRequest>,
    /// What was answered; `None` if that was never observed.
    pub response: Option<HttpResponse>,
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
    /// What it says of the trace that it belongs to.
    pub traces: TraceHeaders,
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
    /// Bytes of heap that it takes, itself included. Of texts that it shares with others it counts
    /// those that nobody but the parser shares yet (see [`heap::first_share`]).
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let shared = [
            &self.host,
            &self.user_agent,
            &self.forwarded_for,
            &self.forwarded_host,
        ];
        let shared = shared.map(|text| heap::first_share(text.as_ref()));
        let method = match &self.method {
            Method::Other(sent) => heap::block(sent.len()),
            _ => 0,
        };
        heap::boxed::<Self>()
            + heap::block(self.target.len())
            + heap::block(self.trace_state.as_deref().map_or(0, str::len))
            + self.traces.heap_bytes()
            + shared.iter().sum::<usize>()
            + method
    }

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
            traces: TraceHeaders::default(),
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
        self.method == Method::Unknown && matches!(self.version, Version::Http10 | Version::Http11)
    }
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

impl HttpResponse {
    /// Whether servers answer so what they can't read: a bad request, a target or fields that are
    /// too long, a method or a version that they don't know.
    #[must_use]
    pub fn refuses_malformed(&self) -> bool {
        matches!(self.status, 400 | 405 | 414 | 431 | 501 | 505)
    }
}

/// Bytes of a method that are kept. The longest that is registered has 17 (`UPDATEREDIRECTREF`).
const METHOD_BYTES_MAX: usize = 256;

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
    /// Not HTTP but FastCGI, which says nothing of the version that was spoken in front of it.
    FastCgi,
    /// The same of the uwsgi protocol's requests; its answers are HTTP/1.
    Uwsgi,
}
