//! Spans to an OTLP receiver: many services in one request, several requests in flight, tried again
//! where the specification says so. It keeps nothing beyond the batches in flight.
//!
//! The exporter of the crate `opentelemetry-otlp` is not used: it is built for one program's own
//! spans. It takes the SDK's `SpanData` and holds one `Resource` per exporter
//! (`set_resource(&mut self, …)`), under which it puts every span of a request; a hundred traced
//! services would be a hundred exporters with a connection, a queue and a half-empty request each.

pub mod json;
pub mod protobuf;

mod answer;
mod delivery;
mod grpc;
mod http;
mod reach;
mod reply;
mod report;
pub(super) mod tls;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use opentelemetry_proto::tonic::trace::v1::{SpanFlags, span, status::StatusCode};
use tokio::task::JoinHandle;

use super::queue::SinkOutlet;
use crate::config::{OtlpConfig, OtlpProtocol};
use crate::semconv;
use crate::span::{Span, SpanKind, SpanLink, Value};
use crate::visible::Visible;

pub use delivery::RetryPolicy;
pub use reach::{Reached, ReceiverReach};
pub use report::without_secrets as endpoint_without_secrets;

/// Requests in flight at once: enough to hide a round trip of 10 ms at 180,000 spans per second in
/// batches of 512.
const FLIGHTS_MAX: usize = 4;

/// Longest request, uncompressed, unless a single span is longer: gRPC servers, the Collector among
/// them, refuse messages above 4 MiB unless told otherwise.
const REQUEST_BYTES_MAX: usize = 4_000_000;

/// What resources and scopes claim to follow.
pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.45.0";
/// The instrumentation scope of every span.
pub const SCOPE_NAME: &str = "wirespan";
/// Its version: the agent's.
pub const SCOPE_VERSION: &str = env!("CARGO_PKG_VERSION");

/// A setting that cannot be used. The text names the value at fault.
#[derive(Debug)]
pub enum SetupError {
    /// Not an `http://` or `https://` URL.
    Endpoint(String),
    /// A header that HTTP does not allow.
    Header(String),
    /// A certificate or key file: which, and why not.
    Certificate(PathBuf, String),
    /// The exporter of the daemon's own metrics refused to start.
    Metrics(String),
    /// The machine has no trusted certificates, and none were given.
    NoTrustedCertificates(String),
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(endpoint) => {
                write!(
                    f,
                    "OTLP endpoint {endpoint:?}: expected http://host:port or https://…"
                )
            }
            Self::Header(name) => write!(f, "OTLP header {name:?} is not allowed in a request"),
            Self::Certificate(path, why) => write!(f, "{}: {why}", Visible(path.display())),
            Self::Metrics(why) => write!(f, "own metrics: {why}"),
            Self::NoTrustedCertificates(why) => write!(
                f,
                "no trusted certificates on this machine ({why}); \
                 install ca-certificates or set OTEL_EXPORTER_OTLP_CERTIFICATE"
            ),
        }
    }
}

impl std::error::Error for SetupError {}

/// Starts the workers that empty a sink, and who can be asked about the receiver.
pub(super) fn start(
    config: &OtlpConfig,
    retry: RetryPolicy,
    outlet: &Arc<SinkOutlet>,
) -> Result<(Vec<JoinHandle<()>>, ReceiverReach), SetupError> {
    let client = match config.protocol {
        OtlpProtocol::Grpc => delivery::Client::Grpc(grpc::Client::new(config)?.into()),
        OtlpProtocol::HttpProtobuf | OtlpProtocol::HttpJson => {
            delivery::Client::Http(http::Client::new(config)?.into())
        }
    };
    let delivery = delivery::Delivery::new(client, config, retry);
    let worker = || {
        let worker = Worker {
            protocol: config.protocol,
            outlet: Arc::clone(outlet),
            delivery: delivery.clone(),
        };
        tokio::spawn(worker.run())
    };
    let workers = (0..FLIGHTS_MAX).map(|_| worker()).collect();
    Ok((
        workers,
        ReceiverReach::of(delivery.clone(), config.protocol),
    ))
}

struct Worker {
    protocol: OtlpProtocol,
    outlet: Arc<SinkOutlet>,
    delivery: delivery::Delivery,
}

impl Worker {
    async fn run(self) {
        // Its memory is used again once the request that was cut from it is gone.
        let mut buffer = BytesMut::new();
        let mut requests = Vec::new();
        while let Some(batch) = self.outlet.next_batch().await {
            {
                let mut spans = batch.spans();
                bring_together(&mut spans);
                encode_bounded(self.protocol, &spans, &mut buffer, &mut requests);
            }
            let mut batch = batch.into_unsettled();
            for Request { body, spans } in requests.drain(..) {
                self.delivery.deliver(body, batch.split_off(spans)).await;
            }
        }
    }
}

struct Request {
    body: Bytes,
    spans: u64,
}

/// Encodes into one request or, where that would be too large, into several.
fn encode_bounded(
    protocol: OtlpProtocol,
    spans: &[&Span],
    buffer: &mut BytesMut,
    requests: &mut Vec<Request>,
) {
    encode(protocol, spans, buffer);
    let body = buffer.split().freeze();
    if body.len() > REQUEST_BYTES_MAX && spans.len() > 1 {
        // Rare enough to do the work again.
        let (first, second) = spans.split_at(spans.len() / 2);
        encode_bounded(protocol, first, buffer, requests);
        encode_bounded(protocol, second, buffer, requests);
    } else {
        requests.push(Request {
            body,
            spans: spans.len() as u64,
        });
    }
}

fn encode(protocol: OtlpProtocol, spans: &[&Span], to: &mut BytesMut) {
    match protocol {
        OtlpProtocol::Grpc | OtlpProtocol::HttpProtobuf => protobuf::encode(spans, to),
        OtlpProtocol::HttpJson => {
            let mut text = Vec::with_capacity(spans.len() * 1024);
            json::write(spans, &mut text);
            to.extend_from_slice(&text);
        }
    }
}

/// Orders spans by resource, and those of one resource as they were.
pub fn bring_together(spans: &mut [&Span]) {
    spans.sort_by_key(|span| Arc::as_ptr(&span.resource));
}

/// Runs of spans with the same resource: the same allocation, since a process has one.
fn by_resource<'a>(spans: &'a [&'a Span]) -> impl Iterator<Item = &'a [&'a Span]> {
    spans.chunk_by(|a, b| Arc::ptr_eq(&a.resource, &b.resource))
}

/// `Span.flags`: the W3C trace flags below, and above them that it is known whether the parent is
/// remote, and whether it is.
fn span_flags(span: &Span) -> u32 {
    let mut flags = u32::from(span.trace_flags) | SpanFlags::ContextHasIsRemoteMask as u32;
    if span.parent_is_remote {
        flags |= SpanFlags::ContextIsRemoteMask as u32;
    }
    flags
}

/// `Link.flags`: the same of the span that it points at, which is one of this process.
fn link_flags(link: &SpanLink) -> u32 {
    u32::from(link.trace_flags) | SpanFlags::ContextHasIsRemoteMask as u32
}

/// What says how a link is known.
fn link_attribute(link: &SpanLink) -> (&'static str, Value) {
    (semconv::WIRESPAN_LINK, Value::Static(link.mechanism.name()))
}

const fn span_kind(kind: SpanKind) -> u8 {
    match kind {
        SpanKind::Server => span::SpanKind::Server as u8,
        SpanKind::Client => span::SpanKind::Client as u8,
        SpanKind::Internal => span::SpanKind::Internal as u8,
    }
}

const STATUS_CODE_ERROR: u8 = StatusCode::Error as u8;
