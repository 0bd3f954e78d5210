//! A real OTLP receiver for tests: gRPC, HTTP/protobuf and HTTP/JSON on one port, gzip, TLS and
//! mutual TLS. It keeps what it was sent, and it can be told to refuse, to hang and to be away. It
//! is no place to measure against; the binary `otlp-sink` is.

mod grpc;
mod http;
mod points;
mod serve;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::{Result, anyhow};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value::StringValue;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use ::http::HeaderMap;
pub use points::Point;

/// How the next requests are answered instead of being taken.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// Over HTTP: this status, with a `Retry-After` if there is one.
    Http {
        /// The status code.
        status: u16,
        /// The text of `Retry-After`.
        retry_after: Option<String>,
    },
    /// Over gRPC: this code, with a `RetryInfo` if there is a delay.
    Grpc {
        /// The status code.
        code: tonic::Code,
        /// The delay of the `RetryInfo`.
        retry_delay: Option<Duration>,
    },
    /// The request is taken but for this many spans, with this message.
    Partial {
        /// `rejected_spans`.
        rejected: i64,
        /// `error_message`.
        message: String,
    },
}

/// Certificates for TLS, in PEM form.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The receiver's own chain.
    pub chain: String,
    /// Its private key.
    pub key: String,
    /// Clients have to show a certificate signed by this one.
    pub client_ca: Option<String>,
}

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its content.
    pub resource_spans: Vec<ResourceSpans>,
    /// HTTP headers, or gRPC metadata.
    pub headers: HeaderMap,
}

impl Received {
    /// How many spans it brought.
    #[must_use]
    pub fn spans_len(&self) -> usize {
        let scopes = self
            .resource_spans
            .iter()
            .flat_map(|resource| &resource.scope_spans);
        scopes.map(|scope| scope.spans.len()).sum()
    }
}

/// The receiver; it ends when it is dropped.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    tls: Option<Arc<rustls::ServerConfig>>,
    state: Arc<State>,
    server: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    received: Mutex<Vec<Received>>,
    /// What was told last of each metric.
    points: Mutex<Vec<Point>>,
    refusals: Mutex<VecDeque<Refusal>>,
    /// Requests that came, refused and held ones included; marked as changed when a request came
    /// and when it was decided upon.
    attempts: watch::Sender<u64>,
    /// Requests wait while this is true.
    held: watch::Sender<bool>,
}

impl Receiver {
    /// Listens on a free port of the loopback interface.
    ///
    /// # Errors
    /// No port could be had.
    pub async fn start() -> Result<Self> {
        Self::listen(None).await
    }

    /// The same behind TLS.
    ///
    /// # Errors
    /// No port could be had, or the certificates are of no use.
    pub async fn start_tls(files: &TlsFiles) -> Result<Self> {
        Self::listen(Some(Arc::new(serve::tls_config(files)?))).await
    }

    /// Takes what comes to a listener, which may be in another network namespace. It can't come
    /// back there.
    ///
    /// # Errors
    /// It is no listener.
    pub fn on(listener: std::net::TcpListener) -> Result<Self> {
        listener.set_nonblocking(true)?;
        let mut receiver = Self::away(listener.local_addr()?, None);
        receiver.serve(tokio::net::TcpListener::from_std(listener)?);
        Ok(receiver)
    }

    async fn listen(tls: Option<Arc<rustls::ServerConfig>>) -> Result<Self> {
        let mut receiver = Self::away(SocketAddr::from(([127, 0, 0, 1], 0)), tls);
        receiver.come_back().await?;
        Ok(receiver)
    }

    fn away(address: SocketAddr, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        Self {
            address,
            tls,
            state: Arc::new(State::default()),
            server: None,
        }
    }

    fn serve(&mut self, listener: tokio::net::TcpListener) {
        let serve = serve::serve(listener, self.tls.clone(), Arc::clone(&self.state));
        self.server = Some(tokio::spawn(serve));
    }

    /// Where it listens, also while it is away.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops listening and cuts all connections.
    pub async fn go_away(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
            // The listener and the connections are gone when the task is.
            let _ = server.await;
        }
    }

    /// Listens again on the same port.
    ///
    /// # Errors
    /// Somebody else took the port.
    pub async fn come_back(&mut self) -> Result<()> {
        let listener = tokio::net::TcpListener::bind(self.address).await?;
        self.address = listener.local_addr()?;
        self.serve(listener);
        Ok(())
    }

    /// The next requests get these answers, one each.
    pub fn refuse(&self, refusals: impl IntoIterator<Item = Refusal>) {
        lock(&self.state.refusals).extend(refusals);
    }

    /// Requests that come from now on are read and not answered, until [`Receiver::release`].
    pub fn hold(&self) {
        self.state.held.send_replace(true);
    }

    /// Answers what was held.
    pub fn release(&self) {
        self.state.held.send_replace(false);
    }

    /// All requests that were taken so far.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        lock(&self.state.received).clone()
    }

    /// All spans that were taken so far.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        spans_of(&lock(&self.state.received))
    }

    /// The latest value of each metric, with its attributes.
    #[must_use]
    pub fn points(&self) -> Vec<Point> {
        lock(&self.state.points).clone()
    }

    /// Requests that came so far, refused and held ones included.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        *self.state.attempts.borrow()
    }

    /// Waits until that many requests came, refused and held ones included.
    ///
    /// # Errors
    /// They did not come in time.
    pub async fn wait_for_attempts(&self, attempts: u64, timeout: Duration) -> Result<()> {
        let mut seen = self.state.attempts.subscribe();
        let enough = seen.wait_for(|seen| *seen >= attempts);
        match tokio::time::timeout(timeout, enough).await {
            Ok(_) => Ok(()),
            Err(_) => Err(anyhow!("{} requests came, not {attempts}", self.attempts())),
        }
    }

    /// Waits until the spans taken so far satisfy `enough`, and returns them.
    ///
    /// # Errors
    /// They did not in time; the error says how many there were.
    pub async fn wait_for(
        &self,
        enough: impl Fn(&[Span]) -> bool,
        timeout: Duration,
    ) -> Result<Vec<Span>> {
        let waited = self.wait(|| self.spans(), |spans| enough(spans), timeout);
        waited
            .await
            .map_err(|spans| anyhow!("after {timeout:?} there were {} spans", spans.len()))
    }

    /// Waits until the metrics satisfy `enough`, and returns them.
    ///
    /// # Errors
    /// They did not in time; the error tells them.
    pub async fn wait_for_points(
        &self,
        enough: impl Fn(&[Point]) -> bool,
        timeout: Duration,
    ) -> Result<Vec<Point>> {
        let waited = self.wait(|| self.points(), |points| enough(points), timeout);
        waited
            .await
            .map_err(|points| anyhow!("after {timeout:?} there were {points:?}"))
    }

    /// Waits until what is `seen` is `enough`; what there was if it never is.
    async fn wait<T>(
        &self,
        seen: impl Fn() -> T,
        enough: impl Fn(&T) -> bool,
        timeout: Duration,
    ) -> Result<T, T> {
        let deadline = tokio::time::Instant::now() + timeout;
        let mut changes = self.state.attempts.subscribe();
        loop {
            changes.mark_unchanged();
            let now = seen();
            if enough(&now) {
                return Ok(now);
            }
            let changed = tokio::time::timeout_at(deadline, changes.changed());
            if changed.await.is_err() {
                return Err(now);
            }
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            server.abort();
        }
    }
}

impl State {
    /// Keeps the points of one request in place of the ones before.
    fn take_metrics(&self, request: ExportMetricsServiceRequest) {
        *lock(&self.points) = points::points_of(request);
        self.attempts.send_modify(|_| {});
    }

    /// What every transport does with a request: hold, refuse or keep it.
    async fn take(
        &self,
        request: ExportTraceServiceRequest,
        headers: HeaderMap,
    ) -> Result<ExportTraceServiceResponse, Refusal> {
        self.attempts.send_modify(|attempts| *attempts += 1);
        if *self.held.borrow() {
            // The sender lives in `self`.
            let _ = self.held.subscribe().wait_for(|held| !held).await;
        }
        let refusal = lock(&self.refusals).pop_front();
        let answer = match refusal {
            Some(Refusal::Partial { rejected, message }) => Ok(Some((rejected, message))),
            Some(refusal) => Err(refusal),
            None => Ok(None),
        };
        let answer = answer.map(|partial| {
            let received = Received {
                resource_spans: request.resource_spans,
                headers,
            };
            lock(&self.received).push(received);
            ExportTraceServiceResponse {
                partial_success: partial.map(|(rejected_spans, error_message)| {
                    ExportTracePartialSuccess {
                        rejected_spans,
                        error_message,
                    }
                }),
            }
        });
        // Wakes whoever waits for spans.
        self.attempts.send_modify(|_| {});
        answer
    }
}

fn spans_of(received: &[Received]) -> Vec<Span> {
    let resources = received.iter().flat_map(|request| &request.resource_spans);
    let scopes = resources.flat_map(|resource| &resource.scope_spans);
    scopes
        .flat_map(|scope| scope.spans.iter().cloned())
        .collect()
}

/// The text of a span's attribute.
#[must_use]
pub fn text_of<'a>(span: &'a Span, name: &str) -> Option<&'a str> {
    let mut attributes = span.attributes.iter();
    let attribute = attributes.find(|attribute| attribute.key == name)?;
    match attribute.value.as_ref()?.value.as_ref()? {
        StringValue(text) => Some(text),
        _ => None,
    }
}

/// A test that failed while it held the lock has said so already.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}
