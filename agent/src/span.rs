//! A finished span, in the vocabulary of OpenTelemetry but of no wire format, and how an exchange
//! becomes one. With `semconv` and `enrich` it is the only place that knows attribute names; what a
//! protocol's exchanges look like as spans stands in a file of its own below it.

mod db;
mod description;
mod ends;
mod http;
mod leaving;
mod method;
mod peers;
mod rpc;
mod stages;
mod url;

use std::borrow::Cow;
use std::sync::Arc;

use wirespan_protocols::exchange::{Exchange, Role};
use wirespan_protocols::family::Family;
use wirespan_protocols::heap;

pub use method::KnownMethods;
pub use stages::stages;

use peers::PeerNames;

use crate::config::{Propagator, SpanConfig};
use crate::endpoints::{Endpoints, HostMemo, Via};
use crate::kubernetes::peer::PeerChange;
use crate::links::Mechanism;
use crate::redact::Redaction;
use crate::semconv;
use crate::trace_context::SpanContext;

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
    /// What it comes of without being part of it.
    pub follows: Option<Box<SpanLink>>,
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
        let mut values = 0;
        for (_, value) in &self.attributes {
            values += value.heap_bytes();
        }
        size_of::<Self>()
            + name
            + heap::block(self.trace_state.as_deref().map_or(0, str::len))
            + heap::vec::<(&'static str, Value)>(self.attributes.capacity())
            + values
            + heap::vec::<Event>(self.events.capacity())
            + self
                .follows
                .as_ref()
                .map_or(0, |_| heap::boxed::<SpanLink>())
    }
}

/// Another span that one points at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanLink {
    /// Not all zero.
    pub trace_id: [u8; 16],
    /// Not all zero.
    pub span_id: [u8; 8],
    /// W3C trace flags of the trace that it is in.
    pub trace_flags: u8,
    /// How it is known.
    pub mechanism: Mechanism,
}

impl From<(SpanContext, Mechanism)> for SpanLink {
    fn from((context, mechanism): (SpanContext, Mechanism)) -> Self {
        Self {
            trace_id: context.trace_id,
            span_id: context.span_id,
            trace_flags: context.flags,
            mechanism,
        }
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
    /// A stage of what it did.
    Internal,
}

/// OpenTelemetry span status; a successful span is `Unset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Not an error.
    Unset,
    /// An error; `error.type` says which.
    Error,
}

/// Texts of so many bytes are short, as the names of hosts are.
const SHORT: usize = 64;

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
    /// Texts, in order.
    List(Box<[String]>),
}

impl Value {
    /// Bytes of heap that it alone takes. Short texts that are shared count for nobody: asking who
    /// holds them costs more than they are worth.
    #[inline]
    fn heap_bytes(&self) -> usize {
        match self {
            Self::Owned(text) => heap::block(text.capacity()),
            Self::Shared(text) if text.len() > SHORT => heap::first_share(Some(text)),
            Self::List(texts) => {
                let each = texts.iter().map(|text| heap::block(text.capacity()));
                heap::vec::<String>(texts.len()) + each.sum::<usize>()
            }
            Self::Shared(_) | Self::Static(_) | Self::Int(_) | Self::Bool(_) => 0,
        }
    }

    /// The text, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Static(text) => Some(text),
            Self::Shared(text) => Some(text),
            Self::Owned(text) => Some(text),
            Self::Int(_) | Self::Bool(_) | Self::List(_) => None,
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
    methods: KnownMethods,
    ignores_health_checks: bool,
    tells_trace_state: bool,
    redaction: Redaction,
    peers: PeerNames,
}

impl SpanMaker {
    /// A maker that knows these methods.
    #[must_use]
    pub fn new(methods: KnownMethods) -> Self {
        Self {
            methods,
            ignores_health_checks: false,
            tells_trace_state: true,
            redaction: Redaction::default(),
            peers: PeerNames::default(),
        }
    }

    /// These are behind addresses from `time_ns` on, in nanoseconds of record time.
    pub fn meet(&mut self, changes: Vec<PeerChange>, time_ns: u64) {
        self.peers.change(changes, time_ns);
    }

    /// Bytes of memory that whom it knows takes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.peers.memory_bytes()
    }

    /// Makes spans from now on as `config` says.
    pub fn reconfigure(&mut self, config: &SpanConfig) {
        self.ignores_health_checks = config.ignores_health_checks();
        // It says something about a trace that is believed.
        self.tells_trace_state = config
            .propagators()
            .any(|it| it == Propagator::TraceContext);
        self.redaction = config.redaction();
    }

    /// What is hidden.
    #[must_use]
    pub fn redaction(&self) -> &Redaction {
        &self.redaction
    }

    /// Whether nobody wants a span of this exchange.
    #[must_use]
    pub fn ignores(&self, exchange: &Exchange) -> bool {
        match &exchange.family {
            Family::Rpc(rpc) => self.ignores_health_checks && rpc::is_house_keeping(rpc),
            Family::Http(_) | Family::Db(_) => false,
        }
    }

    /// Makes the span of an exchange. Its start and end are put on the wall clock with the same
    /// offset, so that a clock step in between does not change its duration.
    pub fn make(
        &mut self,
        exchange: Exchange,
        context: SpanContext,
        link: Option<Mechanism>,
        surroundings: Surroundings<'_>,
    ) -> Span {
        let Exchange {
            role,
            start_ns,
            end_ns,
            outcome,
            mut family,
            ..
        } = exchange;
        let wall = |time_ns: u64| time_ns.saturating_add_signed(surroundings.wall_offset_ns);
        let start_unix_ns = wall(start_ns);
        let end_unix_ns = wall(end_ns).max(start_unix_ns);
        let (ends, hosts) = (surroundings.ends, surroundings.hosts);
        // Texts are moved out of the family one by one: moving all of it costs more.
        let mut description = match &mut family {
            Family::Http(http) => http::describe(role, outcome, http, &self.methods, ends, hosts),
            Family::Rpc(rpc) => {
                let waited_ns = end_ns.saturating_sub(start_ns);
                let fate = rpc::Fate { outcome, waited_ns };
                rpc::describe(role, fate, rpc, ends, hosts, wall)
            }
            Family::Db(db) => db::describe(role, outcome, db, ends),
        };
        self.peers
            .tell(role, start_ns, ends, &mut description.attributes);
        leaving::redact(&self.redaction, &mut description);
        if let Some(link) = link {
            let link = Value::Static(link.name());
            description.attributes.push((semconv::WIRESPAN_LINK, link));
        }
        Span {
            resource: Arc::clone(surroundings.resource),
            name: description.name,
            kind: match role {
                Role::Client => SpanKind::Client,
                Role::Server => SpanKind::Server,
            },
            trace_id: context.trace_id,
            span_id: context.span_id,
            parent_span_id: context.parent.map(|parent| parent.span_id),
            parent_is_remote: context.parent.is_some_and(|parent| parent.is_remote),
            trace_flags: context.flags,
            trace_state: description.trace_state.filter(|_| self.tells_trace_state),
            start_unix_ns,
            end_unix_ns,
            attributes: description.attributes,
            events: description.events,
            follows: None,
            status: description.status,
        }
    }
}
