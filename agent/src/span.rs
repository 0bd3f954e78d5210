//! A finished span, in the vocabulary of OpenTelemetry but of no wire format.

use std::borrow::Cow;
use std::sync::Arc;

/// What an exporter receives.
#[derive(Clone, Debug)]
pub struct Span {
    /// Whose span it is; shared by all spans of a process.
    pub resource: Arc<Resource>,
    /// Low-cardinality name.
    pub name: Cow<'static, str>,
    /// Which side of the call.
    pub kind: SpanKind,
    /// Not all zero.
    pub trace_id: [u8; 16],
    /// Not all zero.
    pub span_id: [u8; 8],
    /// `None` for a root.
    pub parent_span_id: Option<[u8; 8]>,
    /// The parent came from another process by `traceparent`.
    pub parent_is_remote: bool,
    /// W3C trace flags.
    pub trace_flags: u8,
    /// W3C `tracestate` as received.
    pub trace_state: Option<Box<str>>,
    /// Nanoseconds since the Unix epoch.
    pub start_unix_ns: u64,
    /// Nanoseconds since the Unix epoch.
    pub end_unix_ns: u64,
    /// Names are semantic conventions or begin with `wirespan.`.
    pub attributes: Vec<(&'static str, Value)>,
    /// Whether the operation failed.
    pub status: Status,
}

/// OpenTelemetry span kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// The traced process was called.
    Server,
    /// The traced process called.
    Client,
}

/// OpenTelemetry span status; a successful span is `Unset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Not an error.
    Unset,
    /// An error; `error.type` says which.
    Error,
}

/// An attribute's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A constant.
    Static(&'static str),
    /// Shared between spans.
    Shared(Arc<str>),
    /// Of this span alone.
    Owned(Box<str>),
    /// 64-bit signed.
    Int(i64),
    /// True or false.
    Bool(bool),
}

impl Value {
    /// The text, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Static(text) => Some(text),
            Self::Shared(text) => Some(text),
            Self::Owned(text) => Some(text),
            Self::Int(_) | Self::Bool(_) => None,
        }
    }
}

/// What all spans of one process have in common; built once per process.
#[derive(Clone, Debug, Default)]
pub struct Resource {
    /// Sorted by name, without duplicates. Names come from conventions or from the user's
    /// `OTEL_RESOURCE_ATTRIBUTES`.
    pub attributes: Vec<(Cow<'static, str>, Value)>,
}

impl Resource {
    /// The value of an attribute.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.attributes
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }
}
