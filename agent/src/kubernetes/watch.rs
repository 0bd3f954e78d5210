//! Keeps up with the pods of this node, or with other objects: a list, then a watch that goes on
//! from it, over and over, on a thread of its own. Whatever the API server does, it is asked again,
//! later and later; nobody waits for that. It decides nothing about them.
//!
//! Source: Kubernetes, "API concepts": efficient detection of changes, bookmarks, 410 Gone, and
//! what `resourceVersion` means for a list (0: whatever is at hand, which costs the server least).

use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use http::StatusCode;
use tokio::sync::watch;

use super::access::{Access, SERVICE_ACCOUNT};
use super::audience::{Audience, HeardObject, Listeners};
use super::client::{ApiClient, AskFailure, PATIENCE, Waits};
use super::own_node;
use super::own_pod::OwnPod;
use super::resource::{ApiResource, ResourceKind, ResourceNews};
use super::stream;
use super::wire::WatchEvent;
use crate::backoff::{Backoff, jittered};
use crate::config::{ApiReach, KubernetesConfig};
use crate::visible::Visible;

/// How long a watch is asked for, in seconds: between this and twice as much. Each begins with a
/// new connection, by tokens and certificates as they are then.
const WATCH_S: u64 = 240;
/// A watch that ended sooner than this was none.
const WATCH_LEAST: Duration = Duration::from_secs(1);
/// How long until it is asked again whether a right was given, at first and at most.
const FORBIDDEN_PAUSE: Duration = Duration::from_secs(1);
const FORBIDDEN_PAUSE_MAX: Duration = Duration::from_secs(300);
/// Who had the right is refused so often before that counts: an API server that has just begun
/// knows nobody's rights yet.
const FORBIDDEN_SPARED: u32 = 4;

/// What the watch works with.
pub struct WatchSetup {
    /// Whom to ask, and of what.
    pub config: KubernetesConfig,
    /// Where a service account's files are, if not at their usual place.
    pub service_account: Option<PathBuf>,
    /// By what its own pod is found, and so its node.
    pub own: OwnPod,
    /// Nothing is watched unless it is told.
    pub decides: bool,
}

/// The thread, which ends once this is dropped.
pub struct ResourceWatch {
    _stop: watch::Sender<()>,
}

impl ResourceWatch {
    /// Starts it, if anybody is to be asked. `tell` is told what is heard, in order, and may make
    /// it wait; `false` if nobody wants to know any more.
    ///
    /// # Errors
    /// No thread can be started, or there are no descriptors left.
    pub fn start<R: ApiResource>(
        setup: WatchSetup,
        _of: R,
        tell: impl FnMut(ResourceNews<R::Object>) -> bool + Send + 'static,
    ) -> std::io::Result<Option<Self>> {
        let Some(reach) = setup.config.reach.clone() else {
            return Ok(None);
        };
        let (stop, stopped) = watch::channel(());
        let waits = Waits::new(stopped)?;
        let account = setup.service_account;
        let kind = ResourceKind::of::<R>();
        let of_node = kind.is_of_node && setup.config.local_node_alone;
        let asking = ApiQuestions {
            kind,
            reach,
            account: account.unwrap_or_else(|| SERVICE_ACCOUNT.into()),
            node: setup.config.node.filter(|_| of_node),
            finds_node: of_node,
            is_demanded: setup.config.is_demanded,
            decides: setup.decides,
            own: setup.own,
            waits,
            audience: Box::new(Listeners::<R, _>::new(tell)),
            version: KnownUpTo::Any,
            backoff: Backoff::default(),
            forbidden: 0,
            complained: false,
            warned: false,
            is_known: false,
        };
        std::thread::Builder::new()
            .name(format!("k8s-{}", kind.name))
            .spawn(move || asking.run())?;
        Ok(Some(Self { _stop: stop }))
    }
}

/// Up to where it is known how things are.
#[derive(Clone, Debug, PartialEq, Eq)]
enum KnownUpTo {
    /// Nothing is known; whatever the server has at hand will do.
    Any,
    /// What was known is too old, so what it has at hand is not to be believed.
    Newest,
    /// A list has to be at least as new as this.
    AtLeast(String),
    /// Everything up to this was heard.
    Known(String),
}

impl KnownUpTo {
    /// How a list is asked for.
    fn query(&self) -> String {
        match self {
            Self::Any => "resourceVersion=0".to_owned(),
            Self::Newest => String::new(),
            Self::AtLeast(version) | Self::Known(version) => {
                format!("resourceVersion={version}&resourceVersionMatch=NotOlderThan")
            }
        }
    }
}

struct ApiQuestions {
    kind: ResourceKind,
    reach: ApiReach,
    account: PathBuf,
    /// Which node's pods are asked for.
    node: Option<String>,
    /// It is not known yet which one, and has to be.
    finds_node: bool,
    is_demanded: bool,
    /// See [`WatchSetup::decides`].
    decides: bool,
    own: OwnPod,
    waits: Waits,
    audience: Box<dyn Audience>,
    version: KnownUpTo,
    backoff: Backoff,
    /// How often it was refused, or named no node, since it last answered.
    forbidden: u32,
    /// The log says that something is wrong.
    complained: bool,
    /// The log warns of how it is asked.
    warned: bool,
    /// A list was told.
    is_known: bool,
}

impl ApiQuestions {
    fn run(mut self) {
        loop {
            let failure = match self.round() {
                Ok(()) => continue,
                Err(_) if self.waits.are_over() => return,
                Err(failure) => failure,
            };
            let pause = self.after(failure);
            if !self.waits.pause(pause) {
                return;
            }
        }
    }

    /// What is to be said of a failure, and how long to wait.
    fn after(&mut self, failure: AskFailure) -> Duration {
        match failure {
            AskFailure::Expired => {
                let kind = Visible(self.kind.name);
                log::debug!("the API server: {failure}: asking for all {kind} anew");
                self.version = match self.version {
                    KnownUpTo::Known(_) => KnownUpTo::AtLeast(self.known().unwrap_or_default()),
                    _ => KnownUpTo::Newest,
                };
                self.backoff.failed()
            }
            // The server goes back in time: it was restored, or another one is behind.
            AskFailure::Refused(StatusCode::GATEWAY_TIMEOUT | StatusCode::BAD_REQUEST, _) => {
                self.complain(&failure);
                self.version = KnownUpTo::Newest;
                self.backoff.failed()
            }
            AskFailure::Busy(wait) => {
                self.complain(&failure);
                jittered(wait * 2).max(wait)
            }
            AskFailure::Forbidden(_) => {
                self.forbidden = self.forbidden.saturating_add(1);
                if self.is_known && self.forbidden <= FORBIDDEN_SPARED {
                    log::debug!("the API server: {}", Visible(&failure));
                } else {
                    self.complain(&failure);
                    self.audience.silence();
                }
                self.long_pause()
            }
            AskFailure::NoNode(_) => {
                self.forbidden = self.forbidden.saturating_add(1);
                self.complain(&failure);
                self.audience.silence();
                self.long_pause()
            }
            AskFailure::NoAccess(_) if !self.is_known => {
                self.complain(&failure);
                // What would have been waited for is not to be had.
                self.audience.silence();
                self.backoff.failed()
            }
            _ => {
                self.complain(&failure);
                self.backoff.failed()
            }
        }
    }

    /// Until something may have changed that only a human changes.
    fn long_pause(&self) -> Duration {
        let before = self.forbidden.saturating_sub(1).min(9);
        let due = FORBIDDEN_PAUSE.saturating_mul(1 << before);
        jittered(due.min(FORBIDDEN_PAUSE_MAX))
    }

    /// One line for as long as it goes on.
    fn complain(&mut self, failure: &AskFailure) {
        let known = if self.is_known {
            format!("what is known of {} stays", self.kind.name)
        } else if self.decides {
            format!("nothing is watched until it tells of {}", self.kind.name)
        } else {
            self.kind.lacking.to_owned()
        };
        let line = match failure {
            AskFailure::Forbidden(_) => format!(
                "Kubernetes' API server: {failure}. {known}, until a ClusterRole that is bound to \
                 wirespan's service account has the rule: apiGroups [\"\"], resources [{}], \
                 verbs [list, watch]",
                self.kind.name
            ),
            _ => format!("Kubernetes' API server: {failure}; {known}, and it is asked again"),
        };
        let is_said = std::mem::replace(&mut self.complained, true);
        let is_optional = match failure {
            AskFailure::NoAccess(_) => !self.is_demanded,
            _ => !self.kind.is_awaited,
        };
        // Who watches pods says what is wrong with all.
        let is_said =
            is_said || !self.kind.is_awaited && !matches!(failure, AskFailure::Forbidden(_));
        match (is_said, is_optional) {
            (true, _) => log::debug!("{}", Visible(line)),
            (false, _) if self.decides => log::error!("{}", Visible(line)),
            (false, true) => log::info!("{}", Visible(line)),
            (false, false) => log::warn!("{}", Visible(line)),
        }
    }

    fn succeeded(&mut self) {
        self.backoff.succeeded();
        self.forbidden = 0;
        if std::mem::take(&mut self.complained) {
            let kind = Visible(self.kind.name);
            log::info!("Kubernetes' API server answers, and tells of {kind}");
        }
    }

    fn known(&self) -> Option<String> {
        match &self.version {
            KnownUpTo::Known(version) => Some(version.clone()),
            _ => None,
        }
    }

    /// A connection: a list if there is need of one, and a watch.
    fn round(&mut self) -> Result<(), AskFailure> {
        let access = Access::read(&self.reach, &self.account).map_err(AskFailure::NoAccess)?;
        if let Some(warning) = access.warning
            && !std::mem::replace(&mut self.warned, true)
        {
            log::warn!("the kubeconfig says {}", Visible(warning));
        }
        let namespace = access.namespace.clone();
        let client = ApiClient::new(access, self.waits.clone())?;
        if self.finds_node && self.node.is_none() {
            let found = own_node::find(&client, namespace.as_deref(), &self.own)?;
            own_node::say(&found);
            self.node = Some(found.name);
        }
        let version = match self.known() {
            Some(version) => version,
            None => self.list(&client)?,
        };
        self.watch(&client, version)
    }

    fn path(&self, query: &[&str]) -> String {
        let of_node = self.node.as_deref().map(on_node);
        let query = query.iter().copied().chain(of_node.as_deref());
        let query: Vec<&str> = query.filter(|part| !part.is_empty()).collect();
        format!("/api/v1/{}?{}", self.kind.name, query.join("&"))
    }

    fn list(&mut self, client: &ApiClient) -> Result<String, AskFailure> {
        let answer = client.get(&self.path(&[&self.version.query()]), PATIENCE)?;
        let node = self.node.as_deref();
        self.audience.list_begins();
        let version = stream::list(answer, |json| self.audience.listed(json, node));
        let version = version.map_err(garbage)?;
        self.succeeded();
        self.version = KnownUpTo::Known(version.clone());
        let told = self.audience.list_ends();
        if !std::mem::replace(&mut self.is_known, true) {
            let of = match &self.node {
                Some(node) => format!(" of node {}", Visible(node)),
                None if self.kind.is_of_node => " of all nodes".to_owned(),
                None => String::new(),
            };
            let count = told.count;
            let kind = self.kind.name;
            log::info!("{count} {kind}{of} are known, as Kubernetes' API server tells");
            if count == 0 && self.node.is_some() {
                log::warn!("no pod is on this node, not even wirespan's: is NODE_NAME its name?");
            }
        }
        if !told.goes_on {
            return Err(AskFailure::Stopped);
        }
        Ok(version)
    }

    fn watch(&mut self, client: &ApiClient, version: String) -> Result<(), AskFailure> {
        let began = Instant::now();
        let seconds = fastrand::u64(WATCH_S..2 * WATCH_S);
        let path = self.path(&[
            "watch=true&allowWatchBookmarks=true",
            &format!(
                "timeoutSeconds={seconds}&resourceVersion={}",
                escaped(&version)
            ),
        ]);
        let answer = client.get(&path, Duration::from_secs(seconds) + PATIENCE)?;
        let mut heard_of_any = false;
        let node = self.node.as_deref();
        for event in stream::events(answer) {
            let heard = match event.map_err(garbage)? {
                WatchEvent::Is(json) => self.audience.is(json.get(), node),
                WatchEvent::Gone(json) => self.audience.gone(json.get()),
                WatchEvent::Bookmark(version) => Some(HeardObject::of(version)),
                WatchEvent::Error(410, _) => return Err(AskFailure::Expired),
                WatchEvent::Error(code, message) => {
                    let status = StatusCode::from_u16(code);
                    let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                    let message = message.chars().take(200).collect();
                    return Err(AskFailure::Refused(status, message));
                }
            };
            let Some(heard) = heard else { continue };
            heard_of_any = true;
            if !heard.resource_version.is_empty() {
                self.version = KnownUpTo::Known(heard.resource_version);
            }
            if !heard.goes_on {
                return Err(AskFailure::Stopped);
            }
        }
        if heard_of_any || began.elapsed() >= WATCH_LEAST {
            self.succeeded();
            return Ok(());
        }
        Err(AskFailure::Away("it ends each watch at once".to_owned()))
    }
}

/// It went away in the middle, or writes what it should not.
pub(super) fn garbage(error: std::io::Error) -> AskFailure {
    let why = error.to_string().chars().take(200).collect();
    match error.kind() {
        ErrorKind::UnexpectedEof => AskFailure::Away("it ended in the middle of an answer".into()),
        ErrorKind::TimedOut => AskFailure::Away("it is silent in the middle of an answer".into()),
        ErrorKind::InvalidData => AskFailure::Garbage(why),
        _ => AskFailure::Away(why),
    }
}

/// The part of a query that asks for the pods of a node alone.
pub(super) fn on_node(node: &str) -> String {
    format!("fieldSelector=spec.nodeName%3D{}", escaped(node))
}

/// Percent-encoded, but for what is unreserved (RFC 3986, 2.3).
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}
