//! Spans → OTLP/JSON, compact, with default values left out as the Collector's file exporter does.
//! It knows no transport and no file.
//!
//! The mapping (opentelemetry-proto, `docs/specification.md`, "JSON Protobuf Encoding"): ids are
//! hexadecimal, enumerations are numbers, names are lowerCamelCase; 64-bit numbers are decimal
//! strings, as protobuf's own JSON mapping has it.

use std::fmt::Display;

use serde::{Serialize, Serializer};

use super::{
    SCHEMA_URL, SCOPE_NAME, SCOPE_VERSION, STATUS_CODE_ERROR, link_attribute, link_flags,
    span_flags, span_kind,
};
use crate::span::{Event, Resource, Span, SpanLink, Status, Value};

/// One document (`TracesData`, or the body of a request: the two look alike) on one line. Spans of
/// one resource have to stand together.
pub fn write(spans: &[&Span], to: &mut Vec<u8>) {
    let document = Document {
        resource_spans: Groups(spans),
    };
    serde_json::to_writer(to, &document)
        .expect("no map with odd keys inside, and a vector takes all");
}

/// The same, indented for people.
pub fn write_indented(spans: &[&Span], to: &mut Vec<u8>) {
    let document = Document {
        resource_spans: Groups(spans),
    };
    serde_json::to_writer_pretty(to, &document)
        .expect("no map with odd keys inside, and a vector takes all");
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    resource_spans: Groups<'a>,
}

struct Groups<'a>(&'a [&'a Span]);

impl Serialize for Groups<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(super::by_resource(self.0).map(|spans| ResourceSpans {
            resource: JsonAttributes {
                attributes: ResourceAttributes(&spans[0].resource),
            },
            scope_spans: [ScopeSpans {
                scope: Scope {
                    name: SCOPE_NAME,
                    version: SCOPE_VERSION,
                },
                spans: Spans(spans),
                schema_url: SCHEMA_URL,
            }],
            schema_url: SCHEMA_URL,
        }))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans<'a> {
    resource: JsonAttributes<'a>,
    scope_spans: [ScopeSpans<'a>; 1],
    schema_url: &'static str,
}

#[derive(Serialize)]
struct JsonAttributes<'a> {
    attributes: ResourceAttributes<'a>,
}

struct ResourceAttributes<'a>(&'a Resource);

impl Serialize for ResourceAttributes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(
            self.0
                .attributes
                .iter()
                .map(|(key, value)| KeyValue::new(key, value)),
        )
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ScopeSpans<'a> {
    scope: Scope,
    spans: Spans<'a>,
    schema_url: &'static str,
}

#[derive(Serialize)]
struct Scope {
    name: &'static str,
    version: &'static str,
}

struct Spans<'a>(&'a [&'a Span]);

impl Serialize for Spans<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|span| JsonSpan::new(span)))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonSpan<'a> {
    trace_id: Hex<'a>,
    span_id: Hex<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_state: Option<&'a str>,
    /// Written for a root too, empty, as the Collector does.
    parent_span_id: Hex<'a>,
    flags: u32,
    name: &'a str,
    kind: u8,
    start_time_unix_nano: Decimal<u64>,
    end_time_unix_nano: Decimal<u64>,
    attributes: SpanAttributes<'a>,
    #[serde(skip_serializing_if = "Events::is_empty")]
    events: Events<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    links: Option<[JsonLink<'a>; 1]>,
    status: JsonStatus,
}

struct Events<'a>(&'a [Event]);

impl Events<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Events<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|event| JsonEvent {
            time_unix_nano: Decimal(event.unix_ns),
            name: event.name,
        }))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonEvent {
    time_unix_nano: Decimal<u64>,
    name: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonLink<'a> {
    trace_id: Hex<'a>,
    span_id: Hex<'a>,
    attributes: [LinkAttribute; 1],
    flags: u32,
}

/// One that owns its value.
#[derive(Debug)]
struct LinkAttribute(&'static str, Value);

impl Serialize for LinkAttribute {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        KeyValue::new(self.0, &self.1).serialize(serializer)
    }
}

impl<'a> JsonLink<'a> {
    fn new(link: &'a SpanLink) -> Self {
        let (key, value) = link_attribute(link);
        Self {
            trace_id: Hex(&link.trace_id),
            span_id: Hex(&link.span_id),
            attributes: [LinkAttribute(key, value)],
            flags: link_flags(link),
        }
    }
}

#[derive(Serialize)]
struct JsonStatus {
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u8>,
}

impl<'a> JsonSpan<'a> {
    fn new(span: &'a Span) -> Self {
        Self {
            trace_id: Hex(&span.trace_id),
            span_id: Hex(&span.span_id),
            trace_state: span.trace_state.as_deref(),
            parent_span_id: Hex(span.parent_span_id.as_ref().map_or(&[], |id| id)),
            flags: span_flags(span),
            name: &span.name,
            kind: span_kind(span.kind),
            start_time_unix_nano: Decimal(span.start_unix_ns),
            end_time_unix_nano: Decimal(span.end_unix_ns),
            attributes: SpanAttributes(&span.attributes),
            events: Events(&span.events),
            links: span.follows.as_deref().map(|link| [JsonLink::new(link)]),
            status: JsonStatus {
                code: (span.status == Status::Error).then_some(STATUS_CODE_ERROR),
            },
        }
    }
}

struct SpanAttributes<'a>(&'a [(&'static str, Value)]);

impl Serialize for SpanAttributes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|(key, value)| KeyValue::new(key, value)))
    }
}

#[derive(Serialize)]
struct KeyValue<'a> {
    key: &'a str,
    value: AnyValue<'a>,
}

#[derive(Serialize)]
enum AnyValue<'a> {
    #[serde(rename = "stringValue")]
    Text(&'a str),
    #[serde(rename = "boolValue")]
    Bool(bool),
    #[serde(rename = "intValue")]
    Int(Decimal<i64>),
    #[serde(rename = "arrayValue")]
    List { values: Vec<AnyValue<'a>> },
}

impl<'a> KeyValue<'a> {
    fn new(key: &'a str, value: &'a Value) -> Self {
        let value = match value {
            Value::Static(text) => AnyValue::Text(text),
            Value::Shared(text) => AnyValue::Text(text),
            Value::Owned(text) => AnyValue::Text(text),
            Value::Bool(yes) => AnyValue::Bool(*yes),
            Value::Int(number) => AnyValue::Int(Decimal(*number)),
            Value::List(texts) => AnyValue::List {
                values: texts.iter().map(|text| AnyValue::Text(text)).collect(),
            },
        };
        Self { key, value }
    }
}

struct Decimal<N>(N);

impl<N: Display> Serialize for Decimal<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

struct Hex<'a>(&'a [u8]);

impl Serialize for Hex<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 32];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 0xf)];
        }
        let text = str::from_utf8(&text[..self.0.len() * 2]).expect("only digits");
        serializer.serialize_str(text)
    }
}
