//! Spans to send, what they look like in OTLP's generated types, and exporters to send them with.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as ProtoValue;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue,
};
use opentelemetry_proto::tonic::resource::v1::Resource as ProtoResource;
use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, ScopeSpans, Span as ProtoSpan, Status as ProtoStatus, span::Event as ProtoEvent,
    span::Link as ProtoLink,
};
use wirespan::config::{OtlpConfig, OtlpProtocol, PrinterFormat};
use wirespan::export::{ExportConfig, RetryPolicy};
use wirespan::health::{Health, Loss};
use wirespan::links::Mechanism;
use wirespan::span::{Event, Resource, Span, SpanKind, SpanLink, Status, Value};
use wirespan_common::record::TaskKind;

/// When waiting is given up for what should take no time; no measure of how fast a machine is.
pub const SOON: Duration = Duration::from_secs(60);

pub fn resource(service: &str) -> Arc<Resource> {
    let text = |text: &str| Value::Owned(text.into());
    let attributes = vec![
        ("host.name".into(), text("node-7")),
        ("os.type".into(), Value::Static("linux")),
        ("process.executable.path".into(), text("/usr/sbin/nginx")),
        (
            "container.image.tags".into(),
            Value::List(Box::new(["v1".to_owned(), String::new(), "ä".repeat(200)])),
        ),
        ("process.pid".into(), Value::Int(4711)),
        ("service.instance.id".into(), text("node-7:4711")),
        ("service.name".into(), text(service)),
        ("telemetry.sdk.language".into(), Value::Static("cpp")),
        ("telemetry.sdk.name".into(), Value::Static("wirespan")),
        ("telemetry.sdk.version".into(), Value::Static("0.1.0")),
    ];
    Arc::new(Resource { attributes })
}

/// The span of an HTTP server with 14 attributes; `number` makes it distinct.
pub fn server_span(resource: &Arc<Resource>, number: u64) -> Span {
    let start = 1_795_000_000_123_456_789 + number * 1000;
    let mut trace_id = [7; 16];
    trace_id[8..].copy_from_slice(&number.to_be_bytes());
    Span {
        resource: Arc::clone(resource),
        name: Cow::Borrowed("GET"),
        kind: SpanKind::Server,
        trace_id,
        span_id: (number + 1).to_be_bytes(),
        parent_span_id: None,
        parent_is_remote: false,
        trace_flags: 1,
        trace_state: None,
        start_unix_ns: start,
        end_unix_ns: start + 1_234_567,
        attributes: vec![
            ("http.request.method", Value::Static("GET")),
            (
                "url.path",
                Value::Owned(format!("/catalogue/items/{number}")),
            ),
            ("url.query", Value::Owned("page=2&sort=price".into())),
            ("url.scheme", Value::Static("http")),
            ("http.response.status_code", Value::Int(200)),
            ("server.address", Value::Owned("shop.example.com".into())),
            ("server.port", Value::Int(8080)),
            ("client.address", Value::Owned("10.20.30.40".into())),
            ("network.peer.address", Value::Owned("10.20.30.40".into())),
            ("network.peer.port", Value::Int(54_321)),
            ("network.protocol.version", Value::Static("1.1")),
            (
                "user_agent.original",
                Value::Owned("Mozilla/5.0 (X11; Linux x86_64) curl".into()),
            ),
            ("http.request.body.size", Value::Int(0)),
            ("http.response.body.size", Value::Int(15_234)),
        ],
        events: Vec::new(),
        follows: None,
        status: Status::Unset,
    }
}

/// A span with every optional part, and with values at the edges of their encodings.
pub fn failed_client_span(resource: &Arc<Resource>) -> Span {
    Span {
        name: Cow::Owned("x".repeat(200)),
        kind: SpanKind::Client,
        parent_span_id: Some([9; 8]),
        parent_is_remote: true,
        trace_flags: 3,
        trace_state: Some("vendor=1,other=2".into()),
        events: vec![
            Event {
                name: "wirespan.rpc.request.first_message",
                unix_ns: 1_795_000_000_123_456_789,
            },
            Event {
                name: "wirespan.rpc.response.last_message",
                unix_ns: u64::MAX,
            },
        ],
        follows: Some(Box::new(SpanLink {
            trace_id: [3; 16],
            span_id: [4; 8],
            trace_flags: 1,
            mechanism: Mechanism::Task(TaskKind::Goroutine),
        })),
        attributes: vec![
            ("error.type", Value::Shared("timeout".into())),
            (
                "url.full",
                Value::Owned(format!("http://a/{}", "é\"\\\n".repeat(9000))),
            ),
            ("server.address", Value::Static("")),
            ("server.port", Value::Int(i64::MIN)),
            ("http.request.body.size", Value::Int(i64::MAX)),
            ("wirespan.truncated", Value::Bool(true)),
            ("wirespan.whole", Value::Bool(false)),
        ],
        status: Status::Error,
        ..server_span(resource, u64::MAX / 2_000_000)
    }
}

pub fn server_spans(resource: &Arc<Resource>, numbers: std::ops::Range<u64>) -> Vec<Span> {
    numbers
        .map(|number| server_span(resource, number))
        .collect()
}

// === the same in generated types ===

/// What a request with these spans has to say, with resources in the order of their first span.
pub fn request_of(spans: &[&Span]) -> ExportTraceServiceRequest {
    let mut groups: Vec<(&Arc<Resource>, Vec<ProtoSpan>)> = Vec::new();
    for span in spans {
        let known = groups
            .iter_mut()
            .find(|(resource, _)| Arc::ptr_eq(resource, &span.resource));
        match known {
            Some((_, group)) => group.push(span_of(span)),
            None => groups.push((&span.resource, vec![span_of(span)])),
        }
    }
    let schema_url = "https://opentelemetry.io/schemas/1.45.0";
    let resource_spans = groups.into_iter().map(|(resource, spans)| ResourceSpans {
        resource: Some(ProtoResource {
            attributes: attributes_of(resource.attributes.iter().map(|(k, v)| (k.as_ref(), v))),
            ..ProtoResource::default()
        }),
        scope_spans: vec![ScopeSpans {
            scope: Some(InstrumentationScope {
                name: "wirespan".into(),
                version: env!("CARGO_PKG_VERSION").into(),
                ..InstrumentationScope::default()
            }),
            spans,
            schema_url: schema_url.into(),
        }],
        schema_url: schema_url.into(),
    });
    ExportTraceServiceRequest {
        resource_spans: resource_spans.collect(),
    }
}

pub fn span_of(span: &Span) -> ProtoSpan {
    ProtoSpan {
        trace_id: span.trace_id.into(),
        span_id: span.span_id.into(),
        trace_state: span.trace_state.as_deref().unwrap_or_default().into(),
        parent_span_id: span.parent_span_id.map(Vec::from).unwrap_or_default(),
        flags: u32::from(span.trace_flags) | 0x100 | if span.parent_is_remote { 0x200 } else { 0 },
        name: span.name.clone().into_owned(),
        kind: match span.kind {
            SpanKind::Server => 2,
            SpanKind::Client => 3,
            SpanKind::Internal => 1,
        },
        start_time_unix_nano: span.start_unix_ns,
        end_time_unix_nano: span.end_unix_ns,
        attributes: attributes_of(span.attributes.iter().map(|(key, value)| (*key, value))),
        events: span
            .events
            .iter()
            .map(|event| ProtoEvent {
                time_unix_nano: event.unix_ns,
                name: event.name.into(),
                ..ProtoEvent::default()
            })
            .collect(),
        links: span
            .follows
            .iter()
            .map(|link| ProtoLink {
                trace_id: link.trace_id.into(),
                span_id: link.span_id.into(),
                flags: u32::from(link.trace_flags) | 0x100,
                attributes: attributes_of(
                    [("wirespan.link", &Value::Static(link.mechanism.name()))].into_iter(),
                ),
                ..ProtoLink::default()
            })
            .collect(),
        status: Some(ProtoStatus {
            message: String::new(),
            code: match span.status {
                Status::Unset => 0,
                Status::Error => 2,
            },
        }),
        ..ProtoSpan::default()
    }
}

fn any_text(text: &String) -> AnyValue {
    AnyValue {
        value: Some(ProtoValue::StringValue(text.clone())),
    }
}

fn attributes_of<'a>(attributes: impl Iterator<Item = (&'a str, &'a Value)>) -> Vec<KeyValue> {
    let any = |value: &Value| match value {
        Value::Static(_) | Value::Shared(_) | Value::Owned(_) => {
            ProtoValue::StringValue(value.as_str().unwrap_or_default().into())
        }
        Value::Int(number) => ProtoValue::IntValue(*number),
        Value::Bool(yes) => ProtoValue::BoolValue(*yes),
        Value::List(texts) => ProtoValue::ArrayValue(ArrayValue {
            values: texts.iter().map(any_text).collect(),
        }),
    };
    let key_value = |(key, value): (&str, _)| KeyValue {
        key: key.into(),
        value: Some(AnyValue {
            value: Some(any(value)),
        }),
        ..KeyValue::default()
    };
    attributes.map(key_value).collect()
}

// === exporters ===

pub const PROTOCOLS: [OtlpProtocol; 3] = [
    OtlpProtocol::Grpc,
    OtlpProtocol::HttpProtobuf,
    OtlpProtocol::HttpJson,
];

pub fn otlp(protocol: OtlpProtocol, receiver: SocketAddr) -> OtlpConfig {
    let path = if protocol == OtlpProtocol::Grpc {
        ""
    } else {
        "/v1/traces"
    };
    OtlpConfig {
        endpoint: format!("http://{receiver}{path}"),
        protocol,
        headers: Vec::new(),
        timeout: SOON,
        gzip: false,
        certificate: None,
        client_identity: None,
        batch_spans_max: 100,
        batch_age_max: Duration::from_millis(20),
    }
}

/// Impatient, or tests would take minutes.
pub fn exporting(otlp: OtlpConfig) -> ExportConfig {
    let retry = RetryPolicy {
        pause_first: Duration::from_millis(10),
        pause_max: Duration::from_millis(50),
        total_max: Duration::from_secs(30),
        ..RetryPolicy::default()
    };
    ExportConfig {
        retry,
        ..ExportConfig::new(Some(otlp), PrinterFormat::Disabled)
    }
}

/// Every span is accounted for once.
pub fn lost_in_export(health: &Health) -> u64 {
    let reasons = [
        Loss::QueueFull,
        Loss::ExportRefused,
        Loss::ExportFailed,
        Loss::ShutdownTimeout,
    ];
    reasons.iter().map(|reason| health.losses(*reason)).sum()
}
