//! `/healthz` and `/readyz` over HTTP/1.1, on a thread of its own, so that it answers whatever the
//! others do. Whoever can reach it may be anybody: a connection has one request and two seconds,
//! and of too many the oldest is closed. It serves nothing else.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::{Diagnosis, Vitals};
use crate::listening::listen_on;
use crate::sandbox;
use crate::visible::Visible;

/// Connections at a time.
const CONNECTIONS_MAX: usize = 32;
/// For all of a connection: who asks is a machine that is near.
const CONNECTION_MAX: Duration = Duration::from_secs(2);
/// Of that, for the receiver of spans to answer. A kubelet waits a second unless told otherwise.
const RECEIVER_MAX: Duration = Duration::from_millis(700);
/// Longest head of a request.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// After a connection could not be accepted: without descriptors it fails at once again.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// It can't listen there.
#[derive(Debug)]
pub struct ListenError {
    address: SocketAddr,
    why: std::io::Error,
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, why } = self;
        write!(
            f,
            "can't answer health checks on {address}: {}",
            Visible(why)
        )
    }
}

impl std::error::Error for ListenError {}

/// Serves until it is dropped, which waits for the thread's end: a moment.
#[derive(Debug)]
pub struct HealthServer {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl HealthServer {
    /// Begins to serve.
    ///
    /// # Errors
    /// It can't listen there, or there is no thread to be had.
    pub fn start(address: SocketAddr, vitals: &Arc<Vitals>) -> Result<Self, ListenError> {
        let refused = |why| ListenError { address, why };
        let listener = listen_on(address).map_err(refused)?;
        let bound = listener.local_addr().map_err(refused)?;
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_io().enable_time().build().map_err(refused)?;
        let (stop, stopped) = oneshot::channel();
        let vitals = Arc::clone(vitals);
        let thread = std::thread::Builder::new().name("health".into());
        let thread = thread
            .spawn(move || {
                sandbox::without_rights();
                runtime.block_on(async {
                    // It is a listener that does not block.
                    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
                        return;
                    };
                    tokio::select! {
                        () = serve(listener, vitals) => {}
                        // Also without a word.
                        _ = stopped => {}
                    }
                });
            })
            .map_err(refused)?;
        Ok(Self {
            address: bound,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for HealthServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It has nothing to say.
            let _: Result<(), _> = thread.join();
        }
    }
}

async fn serve(listener: tokio::net::TcpListener, vitals: Arc<Vitals>) {
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_AGAIN).await;
            continue;
        };
        open.retain(|connection| !connection.is_finished());
        if open.len() >= CONNECTIONS_MAX
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        let connection = tokio::spawn(tokio::time::timeout(
            CONNECTION_MAX,
            converse(stream, Arc::clone(&vitals)),
        ));
        open.push_back(connection.abort_handle());
    }
}

fn converse(stream: TcpStream, vitals: Arc<Vitals>) -> impl Future<Output = ()> {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(CONNECTION_MAX)
        .keep_alive(false)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(
            TokioIo::new(stream),
            service_fn(move |request| {
                let vitals = Arc::clone(&vitals);
                async move { Ok::<_, Infallible>(answer(&request, &vitals).await) }
            }),
        );
    async move {
        // Who asks may go before the answer.
        let _: Result<(), _> = connection.await;
    }
}

async fn answer(request: &Request<Incoming>, vitals: &Vitals) -> Response<Full<Bytes>> {
    let is_known = ["/healthz", "/readyz"].contains(&request.uri().path());
    if !is_known {
        let body = "only /healthz and /readyz are here\n";
        return plain(StatusCode::NOT_FOUND, body.to_owned());
    }
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, String::new());
        let allowed = HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(ALLOW, allowed);
        return response;
    }
    if request.uri().path() == "/healthz" {
        return told(&vitals.live(Instant::now()));
    }
    told(&vitals.ready(RECEIVER_MAX).await)
}

fn told(diagnosis: &Diagnosis) -> Response<Full<Bytes>> {
    let status = if diagnosis.is_good() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    plain(status, diagnosis.to_string())
}

fn plain(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(CONTENT_TYPE, text);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
