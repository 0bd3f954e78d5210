//! A finished span, in the vocabulary of OpenTelemetry but of no wire format, and how an exchange
//! becomes one. With `semconv` and `enrich` it is the only place that knows attribute names; what a
//! protocol's exchanges look like as spans stands in a file of its own below it.

mod authority;
mod http;
mod leaving;
mod method;
mod rpc;
mod url;
mod via;

use std::borrow::Cow;
use std::sync::Arc;

use wirespan_protocols::exchange::{Exchange, Role};
use wirespan_protocols::heap;
use wirespan_protocols::message::{Request, Response};

pub use authority::HostMemo;
pub use method::KnownMethods;
pub use via::Via;

use crate::endpoints::Endpoints;
use crate::redact::Redaction;
use crate::trace_context::TraceContext;

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
    /// What happened in between, in the order of time.
    pub events: Vec<Event>,
    /// Whether the operation failed.
    pub status: Status,
}

impl Span {
    /// Bytes of memory that it takes, without its resource.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let name = match &self.name {
            Cow::Owned(name) => heap::block(name.capacity()),
            Cow::Borrowed(_) => 0,
        };
        let values = self.attributes.iter().map(|(_, value)| value.heap_bytes());
        size_of::<Self>()
            + name
            + heap::block(self.trace_state.as_deref().map_or(0, str::len))
            + heap::vec::<(&'static str, Value)>(self.attributes.capacity())
            + values.sum::<usize>()
            + heap::vec::<Event>(self.events.capacity())
    }
}

/// Something that happened during a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Low-cardinality name.
    pub name: &'static str,
    /// Nanoseconds since the Unix epoch.
    pub unix_ns: u64,
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
    Owned(String),
    /// 64-bit signed.
    Int(i64),
    /// True or false.
    Bool(bool),
}

impl Value {
    /// Bytes of heap that it alone takes.
    fn heap_bytes(&self) -> usize {
        match self {
            Self::Owned(text) => heap::block(text.capacity()),
            Self::Shared(text) => heap::first_share(Some(text)),
            Self::Static(_) | Self::Int(_) | Self::Bool(_) => 0,
        }
    }

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
    /// Bytes of memory that it takes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let owned = self.attributes.iter().map(|(name, value)| {
            let name = match name {
                Cow::Owned(name) => heap::block(name.capacity()),
                Cow::Borrowed(_) => 0,
            };
            name + value.heap_bytes()
        });
        heap::boxed::<Self>()
            + heap::vec::<(Cow<'static, str>, Value)>(self.attributes.capacity())
            + owned.sum::<usize>()
    }

    /// The value of an attribute.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.attributes
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }
}

/// What is known of a connection's ends.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ends<'a> {
    /// Their addresses, if they were seen.
    pub addresses: Option<&'a Endpoints>,
    /// Others than the two see nothing of it.
    pub is_encrypted: bool,
    /// The name by which the client asked for the server, before it said anything.
    pub server_name: Option<&'a Arc<str>>,
    /// Who is behind the ends, where they are not the client and the server themselves.
    pub via: Option<&'a Via>,
}

/// What is known about an exchange beside the exchange.
#[derive(Debug)]
pub struct Surroundings<'a> {
    /// Whose exchange it is.
    pub resource: &'a Arc<Resource>,
    /// What is known of the connection's ends.
    pub ends: Ends<'a>,
    /// Names of hosts that the connection has carried.
    pub hosts: &'a mut HostMemo,
    /// Add this to a record's time to get nanoseconds since the Unix epoch.
    pub wall_offset_ns: i64,
}

/// Makes spans.
#[derive(Debug)]
pub struct SpanMaker {
    trace_context: TraceContext,
    methods: KnownMethods,
    ignores_health_checks: bool,
    redaction: Redaction,
}

impl SpanMaker {
    /// A maker that takes ids from `trace_context`.
    #[must_use]
    pub fn new(trace_context: TraceContext, methods: KnownMethods) -> Self {
        Self {
            trace_context,
            methods,
            ignores_health_checks: false,
            redaction: Redaction::default(),
        }
    }

    /// The same, which hides what `redaction` says.
    #[must_use]
    pub fn redacting(mut self, redaction: Redaction) -> Self {
        self.redaction = redaction;
        self
    }

    /// What is hidden.
    #[must_use]
    pub fn redaction(&self) -> &Redaction {
        &self.redaction
    }

    /// The same, which makes no spans for gRPC's own health checks and reflection.
    #[must_use]
    pub fn ignoring_health_checks(mut self, ignores: bool) -> Self {
        self.ignores_health_checks = ignores;
        self
    }

    /// Whether nobody wants a span of this exchange.
    #[must_use]
    pub fn ignores(&self, exchange: &Exchange) -> bool {
        let Request::Http(request) = &exchange.request;
        crate::own::is_export(request)
            || self.ignores_health_checks
                && request.call.is_some()
                && rpc::is_house_keeping(request)
    }

    /// Makes the span of an exchange. Its start and end are put on the wall clock with the same
    /// offset, so that a clock step in between does not change its duration.
    pub fn make(&mut self, mut exchange: Exchange, surroundings: Surroundings<'_>) -> Span {
        let wall = |time_ns: u64| time_ns.saturating_add_signed(surroundings.wall_offset_ns);
        let start_unix_ns = wall(exchange.start_ns);
        let end_unix_ns = wall(exchange.end_ns).max(start_unix_ns);

        // Texts are moved out of the exchange one by one: moving all of it costs more.
        let Request::Http(request) = &mut exchange.request;
        let response = exchange
            .response
            .as_ref()
            .map(|Response::Http(response)| response);
        let place = self
            .trace_context
            .place(exchange.role, request.trace_parent);
        let trace_state = request.trace_state.take();
        let trace_state =
            trace_state.and_then(|state| leaving::trace_state(&self.redaction, state));
        let messages = exchange.messages.take();
        let mut description = match request.call {
            Some(call) => rpc::describe(
                exchange.role,
                rpc::Fate {
                    outcome: exchange.outcome,
                    waited_ns: exchange.end_ns.saturating_sub(exchange.start_ns),
                    messages: messages.as_deref(),
                },
                call,
                request,
                response,
                surroundings.ends,
                surroundings.hosts,
            ),
            None => http::describe(
                exchange.role,
                exchange.outcome,
                request,
                response,
                &self.methods,
                surroundings.ends,
                surroundings.hosts,
            ),
        };
        leaving::redact(&self.redaction, &mut description);
        let events = messages.map_or_else(Vec::new, |messages| rpc::events(&messages, wall));
        Span {
            resource: Arc::clone(surroundings.resource),
            name: description.name,
            kind: match exchange.role {
                Role::Client => SpanKind::Client,
                Role::Server => SpanKind::Server,
            },
            trace_id: place.trace_id,
            span_id: place.span_id,
            parent_span_id: place.parent_span_id,
            parent_is_remote: place.parent_is_remote,
            trace_flags: place.flags,
            trace_state,
            start_unix_ns,
            end_unix_ns,
            attributes: description.attributes,
            events,
            status: description.status,
        }
    }
}
