//! The daemon's own counters as OpenTelemetry metrics, over OTLP/HTTP, where an endpoint for them
//! is set. It reads them and counts nothing; metrics of traced programs are not its business.
//!
//! Here the SDK is in its place: one program's own instruments. It brings its thread, which sleeps
//! between two exports; requests go over the exporters' runtime.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Meter, MeterProvider as _};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{MetricExporter, Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use tokio::runtime::Handle;
use wirespan_common::sampling::LeftAlone;

use super::otlp::tls::{self, Connector, Speaks, Way};
use super::otlp::{SCOPE_NAME, SCOPE_VERSION, SetupError};
use crate::asking::PeerEvent;
use crate::config::MetricsConfig;
use crate::health::{Coverage, Destination, Health, LeftOut, Loss};
use crate::links::{Abstained, QuestionFate};
use crate::own::USER_AGENT;
use crate::semconv;
use crate::visible::Visible;

/// Of an answer that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The running export. Dropping it without [`OwnMetrics::finish`] may lose the last values.
#[derive(Debug)]
pub struct OwnMetrics {
    provider: SdkMeterProvider,
}

impl OwnMetrics {
    /// Tells of `health` from now on, once per interval; requests are sent on `runtime`. Nothing is
    /// connected yet.
    ///
    /// # Errors
    /// The endpoint, a header or a certificate file cannot be used.
    pub fn start(
        config: &MetricsConfig,
        health: &Arc<Health>,
        runtime: &Handle,
    ) -> Result<Self, SetupError> {
        let exporter = MetricExporter::builder()
            .with_http()
            .with_http_client(Sender::new(config, runtime)?)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(&config.endpoint)
            .with_timeout(config.timeout)
            .with_headers(config.headers.iter().cloned().collect())
            .build()
            .map_err(|error| SetupError::Metrics(error.to_string()))?;
        let reader = PeriodicReader::builder(exporter)
            .with_interval(config.interval)
            .build();
        let resource = Resource::builder_empty()
            .with_service_name(SCOPE_NAME)
            .with_attributes([
                KeyValue::new(semconv::SERVICE_VERSION, SCOPE_VERSION),
                KeyValue::new(semconv::PROCESS_PID, i64::from(std::process::id())),
            ])
            .build();
        let provider = SdkMeterProvider::builder()
            .with_reader(reader)
            .with_resource(resource)
            .build();
        register(&provider.meter(SCOPE_NAME), health);
        Ok(Self { provider })
    }

    /// Sends the last values, for at most `timeout`. Not to be called on the runtime's own threads.
    pub fn finish(self, timeout: Duration) {
        let (done, finished) = mpsc::channel();
        // The SDK's own bound can't be chosen.
        let flush = std::thread::Builder::new()
            .name("metrics".into())
            .spawn(move || {
                let _ = self.provider.shutdown();
                let _ = done.send(());
            });
        if flush.is_ok() {
            let _ = finished.recv_timeout(timeout);
        }
    }
}

/// Every counter from the start, zeros too, so that a rate can be taken of the first loss.
fn register(meter: &Meter, health: &Arc<Health>) {
    register_totals(meter, health);
    register_left_alone(meter, health);
    register_links(meter, health);
    register_asking(meter, health);
    register_carried(meter, health);
    register_processes(meter, health);
}

/// What is counted of everything together.
fn register_totals(meter: &Meter, health: &Arc<Health>) {
    let read = Arc::clone(health);
    meter
        .u64_observable_counter("wirespan.records.read")
        .with_unit("{record}")
        .with_description("Records taken from the kernel side")
        .with_callback(move |observer| observer.observe(read.records_read(), &[]))
        .build();
    let made = Arc::clone(health);
    meter
        .u64_observable_counter("wirespan.spans.made")
        .with_unit("{span}")
        .with_description("Spans that were made of what was captured")
        .with_callback(move |observer| observer.observe(made.spans_made(), &[]))
        .build();
    let left_out = Arc::clone(health);
    meter
        .u64_observable_counter("wirespan.spans.left_out")
        .with_unit("{span}")
        .with_description("Spans that nobody wanted, by why")
        .with_callback(move |observer| {
            for reason in LeftOut::ALL {
                let count = left_out.spans_left_out(reason);
                observer.observe(count, &[KeyValue::new("reason", reason.name())]);
            }
        })
        .build();
    let early = Arc::clone(health);
    meter
        .u64_observable_counter("wirespan.traces.decided_early")
        .with_unit("{trace}")
        .with_description("Traces that tail sampling had no room for until their end")
        .with_callback(move |observer| observer.observe(early.traces_decided_early(), &[]))
        .build();
    let exported = Arc::clone(health);
    meter
        .u64_observable_counter("wirespan.spans.exported")
        .with_unit("{span}")
        .with_description("Spans that a destination took")
        .with_callback(move |observer| {
            for destination in Destination::ALL {
                if exported.is_open(destination) {
                    let to = KeyValue::new("destination", destination.name());
                    observer.observe(exported.spans_exported(destination), &[to]);
                }
            }
        })
        .build();
    let lost = Arc::clone(health);
    meter
        .u64_observable_counter("wirespan.losses")
        .with_unit("{loss}")
        .with_description("What was discarded or missed, by reason")
        .with_callback(move |observer| {
            for loss in Loss::ALL {
                observer.observe(lost.losses(loss), &[KeyValue::new("reason", loss.name())]);
            }
        })
        .build();
}

/// What is counted of connections that are not followed, and of what keeps them few.
fn register_left_alone(meter: &Meter, health: &Arc<Health>) {
    let connections = Arc::clone(health);
    meter
        .u64_observable_counter("wirespan.connections.left_alone")
        .with_unit("{connection}")
        .with_description("Connections that the kernel side left alone from some moment on, by why")
        .with_callback(move |observer| {
            for reason in LeftAlone::ALL {
                let count = connections.left_alone(reason).connections;
                observer.observe(count, &[KeyValue::new("reason", reason.name())]);
            }
        })
        .build();
    let bytes = Arc::clone(health);
    meter
        .u64_observable_counter("wirespan.connections.left_alone.io")
        .with_unit("By")
        .with_description("Bytes that moved on connections while they were left alone, by why")
        .with_callback(move |observer| {
            for reason in LeftAlone::ALL {
                let count = bytes.left_alone(reason).bytes;
                observer.observe(count, &[KeyValue::new("reason", reason.name())]);
            }
        })
        .build();
    let followed = Arc::clone(health);
    meter
        .f64_observable_gauge("wirespan.connections.followed")
        .with_unit("1")
        .with_description("The part of all connections that is followed")
        .with_callback(move |observer| observer.observe(followed.followed(), &[]))
        .build();
    let cores = Arc::clone(health);
    meter
        .f64_observable_gauge("wirespan.cpu.usage")
        .with_unit("{cpu}")
        .with_description("Cores that wirespan took in the last seconds, where they are limited")
        .with_callback(move |observer| observer.observe(cores.cores(), &[]))
        .build();
}

/// What is counted of links.
fn register_links(meter: &Meter, health: &Arc<Health>) {
    let found = Arc::clone(health);
    meter
        .u64_observable_counter("wirespan.links")
        .with_unit("{link}")
        .with_description("Spans whose parent was found, by how that is known")
        .with_callback(move |observer| {
            for (kind, count) in found.links.linked() {
                observer.observe(count, &[KeyValue::new("kind", kind)]);
            }
        })
        .build();
    let abstained = Arc::clone(health);
    meter
        .u64_observable_counter("wirespan.links.abstained")
        .with_unit("{call}")
        .with_description("Calls that have no parent, by why it is not known")
        .with_callback(move |observer| {
            for why in Abstained::ALL {
                let reason = KeyValue::new("reason", why.name());
                observer.observe(abstained.links.abstained(why), &[reason]);
            }
        })
        .build();
}

/// What is counted of agents that ask each other.
fn register_asking(meter: &Meter, health: &Arc<Health>) {
    let asked = Arc::clone(health);
    meter
        .u64_observable_counter("wirespan.peers.questions")
        .with_unit("{question}")
        .with_description(
            "Requests of which other nodes were asked who made them, by what came of it",
        )
        .with_callback(move |observer| {
            for fate in QuestionFate::ALL {
                let outcome = KeyValue::new("outcome", fate.name());
                observer.observe(asked.links.questions(fate), &[outcome]);
            }
        })
        .build();
    let happened = Arc::clone(health);
    meter
        .u64_observable_counter("wirespan.peers.events")
        .with_unit("{event}")
        .with_description(
            "What was told to agents of other nodes, and what was refused, by what it is",
        )
        .with_callback(move |observer| {
            for event in PeerEvent::ALL {
                let kind = KeyValue::new("kind", event.name());
                observer.observe(happened.asking.events(event), &[kind]);
            }
        })
        .build();
    let moved = Arc::clone(health);
    meter
        .u64_observable_counter("wirespan.peers.io")
        .with_unit("By")
        .with_description("Bytes read from agents of other nodes and written to them, within TLS")
        .with_callback(move |observer| {
            let ways = ["receive", "transmit"]
                .into_iter()
                .zip(moved.asking.bytes());
            for (way, bytes) in ways {
                observer.observe(bytes, &[KeyValue::new("direction", way)]);
            }
        })
        .build();
    let connected = Arc::clone(health);
    meter
        .u64_observable_gauge("wirespan.peers.connected")
        .with_unit("{agent}")
        .with_description("Agents of other nodes that are connected")
        .with_callback(move |observer| observer.observe(connected.asking.streams(), &[]))
        .build();
}

/// What is counted of calls that may carry their trace.
fn register_carried(meter: &Meter, health: &Arc<Health>) {
    let carried = Arc::clone(health);
    meter
        .u64_observable_counter("wirespan.context.carried")
        .with_unit("{event}")
        .with_description("Connections and requests that may carry context, by what became of them")
        .with_callback(move |observer| {
            for (what, count) in carried.carried.counts() {
                observer.observe(count, &[KeyValue::new("outcome", what.name())]);
            }
        })
        .build();
}

/// What is counted for each process.
fn register_processes(meter: &Meter, health: &Arc<Health>) {
    let lost = Arc::clone(health);
    meter
        .u64_observable_counter("wirespan.process.records.lost")
        .with_unit("{record}")
        .with_description("Records of a process that the kernel's ring buffer had no room for")
        .with_callback(move |observer| {
            for coverage in lost.coverage() {
                observer.observe(coverage.lost_records, &who(&coverage));
            }
        })
        .build();
    let covered = Arc::clone(health);
    meter
        .f64_observable_gauge("wirespan.coverage")
        .with_unit("1")
        .with_description("Bytes understood of the bytes that a process moved")
        .with_callback(move |observer| {
            for coverage in covered.coverage() {
                observer.observe(coverage.ratio(), &who(&coverage));
            }
        })
        .build();
    let not_understood = Arc::clone(health);
    meter
        .u64_observable_gauge("wirespan.not_understood")
        .with_unit("By")
        .with_description("Bytes that a process moved and that are not understood, by reason")
        .with_callback(move |observer| {
            for coverage in not_understood.coverage() {
                let mut by_name: BTreeMap<&str, u64> = BTreeMap::new();
                for (reason, amount) in coverage.unread.tallies() {
                    *by_name.entry(reason.name()).or_default() += amount.bytes;
                }
                for (name, bytes) in by_name {
                    let mut attributes = who(&coverage);
                    attributes.push(KeyValue::new("reason", name));
                    observer.observe(bytes, &attributes);
                }
            }
        })
        .build();
}

/// Those that are no longer remembered have no name.
fn who(coverage: &Coverage) -> Vec<KeyValue> {
    match coverage.pid {
        0 => Vec::new(),
        pid => vec![
            KeyValue::new(semconv::SERVICE_NAME, coverage.service.clone()),
            KeyValue::new(semconv::PROCESS_PID, i64::from(pid)),
        ],
    }
}

/// Sends requests on a runtime, whoever waits for the answers.
#[derive(Debug)]
struct Sender {
    client: legacy::Client<Connector, Full<Bytes>>,
    runtime: Handle,
    timeout: Duration,
    /// A failure was logged and no success came since.
    failed: AtomicBool,
}

impl Sender {
    fn new(config: &MetricsConfig, runtime: &Handle) -> Result<Self, SetupError> {
        let way = Way {
            endpoint: &config.endpoint,
            timeout: config.timeout,
            certificate: config.certificate.as_ref(),
            client_identity: config.client_identity.as_ref(),
        };
        Ok(Self {
            client: legacy::Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .build(tls::connector(way, Speaks::Http1)?),
            runtime: runtime.clone(),
            timeout: config.timeout,
            failed: AtomicBool::new(false),
        })
    }

    /// The first of several failures is logged: the SDK is silent.
    fn note(&self, failure: Option<String>) {
        let failed = self.failed.swap(failure.is_some(), Ordering::Relaxed);
        if let Some(why) = failure
            && !failed
        {
            log::warn!("own metrics were not delivered: {}", Visible(why));
        }
    }
}

#[tonic::async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        // The exporter has a name of its own, and which of two wins is left to chance there.
        let headers = request.headers_mut();
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        let (sending, timeout) = (exchange(self.client.clone(), request), self.timeout);
        // The timer is made within the runtime too: the SDK's thread is not part of it.
        let sending = self
            .runtime
            .spawn(async move { tokio::time::timeout(timeout, sending).await });
        let answer = match sending.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err("no answer in time".into()),
            Err(stopped) => Err(stopped.into()),
        };
        self.note(match &answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(answer.status().to_string()),
            Err(error) => Some(error.to_string()),
        });
        answer
    }
}

async fn exchange(
    client: legacy::Client<Connector, Full<Bytes>>,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, HttpError> {
    let (head, body) = client.request(request.map(Full::new)).await?.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await?;
    Ok(Response::from_parts(head, body.to_bytes()))
}
