//! One connection to the API server, which asks and hands over what is answered as it comes. It
//! follows nobody who sends it elsewhere, and reads no more than it is asked to.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Buf, Bytes};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, LOCATION, USER_AGENT};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self};
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::ServerName;
use tokio::runtime::{self, Runtime};
use tokio::sync::watch;

use super::access::{Access, NoAccess};
use super::wire::Failed;
use crate::backoff::retry_after;
use crate::visible::Visible;

/// For a connection to come about, with TLS.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// For an answer to begin, and between two pieces of one that is not a watch.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// A path that silently died is noticed by this.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Of a refusal that is read, and of its message that is repeated.
const REFUSAL_BYTES_MAX: usize = 16 << 10;
const MESSAGE_CHARS_MAX: usize = 200;
/// The longest that is waited because the server asks for it.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// What keeps an answer from being had.
#[derive(Debug)]
pub enum AskFailure {
    /// The run is over.
    Stopped,
    /// Nobody can be asked.
    NoAccess(NoAccess),
    /// It can't be reached, or went away; why.
    Away(String),
    /// The asking has no right to this.
    Forbidden(String),
    /// Nothing that it tells speaks for any node: not even for one of this name, which is what the
    /// machine calls itself.
    NoNode(String),
    /// It asks for patience.
    Busy(Duration),
    /// What was asked for is too old to be told (410).
    Expired,
    /// It answers something else; what.
    Refused(StatusCode, String),
    /// What it writes can't be understood; why.
    Garbage(String),
}

impl fmt::Display for AskFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("the run is over"),
            Self::NoAccess(NoAccess(why)) => write!(f, "it can't be asked: {}", Visible(why)),
            Self::Away(why) => write!(f, "it can't be reached: {}", Visible(why)),
            Self::Forbidden(why) => write!(f, "it refuses: {}", Visible(why)),
            Self::NoNode(host) => write!(
                f,
                "it knows neither wirespan's own pod nor a node {} with pods, as the machine calls \
                 itself: NODE_NAME has to say which node this is (the downward API's \
                 spec.nodeName)",
                Visible(host)
            ),
            Self::Busy(wait) => write!(f, "it is busy, and asks for {} s", wait.as_secs()),
            Self::Expired => f.write_str("what was known is too old"),
            Self::Refused(status, why) => write!(f, "it answers {status}: {}", Visible(why)),
            Self::Garbage(why) => write!(f, "its answer can't be understood: {}", Visible(why)),
        }
    }
}

/// What lets a thread wait for a connection and for the end of the run. The runtime is the
/// thread's own: with another one's, which may end first, waiting would be a panic.
#[derive(Clone)]
pub struct Waits {
    runtime: Arc<Runtime>,
    stop: watch::Receiver<()>,
}

impl Waits {
    /// For one thread, and not one of a runtime's. The run is over once the sender of `stop` is
    /// dropped.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn new(stop: watch::Receiver<()>) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(Self {
            runtime: Arc::new(runtime),
            stop,
        })
    }

    /// What comes of it in time; `None` if the run is over before.
    fn wait<T>(
        &self,
        patience: Duration,
        what: impl Future<Output = T>,
    ) -> Option<Result<T, Late>> {
        let mut stop = self.stop.clone();
        self.runtime.block_on(async {
            tokio::select! {
                _ = stop.changed() => None,
                done = tokio::time::timeout(patience, what) => Some(done.map_err(|_| Late)),
            }
        })
    }

    /// Whether the run is over.
    #[must_use]
    pub fn are_over(&self) -> bool {
        self.stop.has_changed().is_err()
    }

    /// Waits; `false` if the run is over.
    #[must_use]
    pub fn pause(&self, pause: Duration) -> bool {
        self.wait(pause, std::future::pending::<()>()).is_some()
    }
}

/// It took too long.
struct Late;

type HttpsClient = legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Asks.
pub struct ApiClient {
    http: HttpsClient,
    base: Uri,
    headers: HeaderMap,
    waits: Waits,
}

impl ApiClient {
    /// One that connects with its first question.
    pub fn new(access: Access, waits: Waits) -> Result<Self, AskFailure> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEP_ALIVE));
        tcp.set_connect_timeout(Some(CONNECT_MAX));
        let mut tls = HttpsConnectorBuilder::new()
            .with_tls_config(access.tls)
            .https_or_http();
        if let Some(name) = access.server_name {
            let none = |_| AskFailure::NoAccess(NoAccess("tls-server-name is no name".to_owned()));
            let name = ServerName::try_from(name).map_err(none)?;
            tls = tls.with_server_name_resolver(FixedServerNameResolver::new(name));
        }
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(1)
            .build(tls.enable_http1().wrap_connector(tcp));
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(crate::own::ASKING_USER_AGENT),
        );
        if let Some(authorization) = access.authorization {
            headers.insert(AUTHORIZATION, authorization);
        }
        Ok(Self {
            http,
            base: access.base,
            headers,
            waits,
        })
    }

    /// Asks for `path`, with its query; what is answered may be silent for `silence` at a time.
    pub fn get(&self, path: &str, silence: Duration) -> Result<ApiAnswer, AskFailure> {
        self.ask(path, Request::new(Full::default()), silence)
    }

    /// Puts a question that is written as JSON to `path`; the answer comes as with
    /// [`ApiClient::get`].
    pub fn post(
        &self,
        path: &str,
        json: String,
        silence: Duration,
    ) -> Result<ApiAnswer, AskFailure> {
        let mut request = Request::new(Full::from(json));
        *request.method_mut() = Method::POST;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json);
        self.ask(path, request, silence)
    }

    fn ask(
        &self,
        path: &str,
        mut request: Request<Full<Bytes>>,
        silence: Duration,
    ) -> Result<ApiAnswer, AskFailure> {
        let base = self.base.to_string();
        let uri = format!("{}{path}", base.trim_end_matches('/'));
        let uri: Uri = uri
            .parse()
            .map_err(|_| AskFailure::Away("no such URL".to_owned()))?;
        *request.uri_mut() = uri;
        request.headers_mut().extend(self.headers.clone());
        let answered = self.waits.wait(PATIENCE, self.http.request(request));
        let response = match answered.ok_or(AskFailure::Stopped)? {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(AskFailure::Away(with_causes(&error))),
            Err(Late) => return Err(AskFailure::Away("it does not answer".to_owned())),
        };
        let (head, body) = response.into_parts();
        let answer = ApiAnswer {
            body,
            chunk: Bytes::new(),
            silence,
            waits: self.waits.clone(),
        };
        // What was put to it may be 201 (Created), though it keeps none of it.
        if [StatusCode::OK, StatusCode::CREATED].contains(&head.status) {
            return Ok(answer);
        }
        Err(refusal(head.status, &head.headers, answer))
    }
}

fn refusal(status: StatusCode, headers: &HeaderMap, answer: ApiAnswer) -> AskFailure {
    // A moment ago is no answer to how long.
    let retry_after = || {
        let asked = retry_after(headers, SystemTime::now()).filter(|wait| !wait.is_zero());
        asked.map(|wait| wait.min(RETRY_AFTER_MAX))
    };
    if status.is_redirection() {
        let to = headers
            .get(LOCATION)
            .map(|to| String::from_utf8_lossy(to.as_bytes()));
        let to = to.unwrap_or_default();
        let why = format!(
            "a redirection, which is not followed, to {}",
            first_chars(&to)
        );
        return AskFailure::Refused(status, why);
    }
    match (status, retry_after()) {
        (StatusCode::GONE, _) => return AskFailure::Expired,
        (StatusCode::TOO_MANY_REQUESTS, wait) => {
            return AskFailure::Busy(wait.unwrap_or(Duration::from_secs(1)));
        }
        (StatusCode::SERVICE_UNAVAILABLE, Some(wait)) => return AskFailure::Busy(wait),
        _ => {}
    }
    let mut text = Vec::new();
    // What can't be read has no message.
    let _ = answer
        .short()
        .take(REFUSAL_BYTES_MAX as u64)
        .read_to_end(&mut text);
    let failed: Failed = serde_json::from_slice(&text).unwrap_or_default();
    let why = first_chars(&failed.message);
    match status {
        StatusCode::FORBIDDEN => AskFailure::Forbidden(why),
        _ => AskFailure::Refused(status, why),
    }
}

fn first_chars(text: &str) -> String {
    text.chars().take(MESSAGE_CHARS_MAX).collect()
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        said.push_str(": ");
        said.push_str(&error.to_string());
        cause = error.source();
    }
    first_chars(&said)
}

/// An answer, read as it comes.
pub struct ApiAnswer {
    body: Incoming,
    chunk: Bytes,
    silence: Duration,
    waits: Waits,
}

impl ApiAnswer {
    /// The same, without much patience.
    fn short(mut self) -> Self {
        self.silence = CONNECT_MAX;
        self
    }
}

impl Read for ApiAnswer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            let frame = self.waits.wait(self.silence, self.body.frame());
            let frame = match frame {
                // The run is over, and nobody wants to know what is missing.
                None => return Ok(0),
                Some(Err(Late)) => return Err(io::ErrorKind::TimedOut.into()),
                Some(Ok(None)) => return Ok(0),
                Some(Ok(Some(Err(error)))) => return Err(io::Error::other(with_causes(&error))),
                Some(Ok(Some(Ok(frame)))) => frame,
            };
            self.chunk = frame.into_data().unwrap_or_default();
        }
        let len = buffer.len().min(self.chunk.len());
        self.chunk.copy_to_slice(&mut buffer[..len]);
        Ok(len)
    }
}
