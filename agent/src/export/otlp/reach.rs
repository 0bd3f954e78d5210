//! Whether the receiver takes what is sent: what the last attempt came to, and, for who asks while
//! nothing is sent, an empty export. It sends nothing unless somebody asks.
//!
//! Source: OTLP specification 1.x, "Full Success": a request without data is to be answered with
//! success.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::delivery::Delivery;
use crate::config::OtlpProtocol;

/// How long an answer of the receiver is news. Who asks for health does so every few seconds, on
/// every node, and the receiver is not to notice.
const NEWS_FOR: Duration = Duration::from_secs(10);
/// The same for a failure, which may be over.
const FAILURE_FOR: Duration = Duration::from_secs(2);

/// What the last attempt came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reached {
    /// There was none, or it has no answer yet.
    Unknown,
    /// What was sent was taken.
    Takes,
    /// It was not, and why.
    Fails(String),
}

/// The same, and when that was.
#[derive(Clone, Debug)]
pub(super) struct ReachNews {
    reached: Reached,
    at: Instant,
}

impl ReachNews {
    pub(super) fn now(reached: Reached) -> Self {
        let at = Instant::now();
        Self { reached, at }
    }

    fn is_old(&self) -> bool {
        let age = self.at.elapsed();
        match self.reached {
            Reached::Unknown => true,
            Reached::Takes => age >= NEWS_FOR,
            Reached::Fails(_) => age >= FAILURE_FOR,
        }
    }
}

/// Asks about one receiver. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ReceiverReach {
    delivery: Delivery,
    empty: Bytes,
    news: watch::Receiver<ReachNews>,
    /// On which what is asked goes on, however long who asked waits.
    runtime: Handle,
    is_asking: Arc<AtomicBool>,
}

impl ReceiverReach {
    /// To be made on the exporters' runtime.
    pub(super) fn of(delivery: Delivery, protocol: OtlpProtocol) -> Self {
        Self {
            news: delivery.news(),
            delivery,
            empty: Bytes::from_static(match protocol {
                OtlpProtocol::HttpJson => b"{\"resourceSpans\":[]}",
                // A message without fields.
                OtlpProtocol::Grpc | OtlpProtocol::HttpProtobuf => b"",
            }),
            runtime: Handle::current(),
            is_asking: Arc::default(),
        }
    }

    /// The receiver's address, without what may be secret in it.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        self.delivery.endpoint()
    }

    /// What is known now. If that is old, an empty export is sent, for whose answer is waited as
    /// long as `longest`; what is known by then is returned.
    pub async fn look(&self, longest: Duration) -> Reached {
        let mut news = self.news.clone();
        if news.borrow_and_update().is_old() {
            self.ask();
            // Whoever sends, an answer is an answer.
            let _: Result<_, _> = timeout(longest, news.changed()).await;
        }
        news.borrow().reached.clone()
    }

    /// Sends an empty export, unless one is under way.
    fn ask(&self) {
        if self.is_asking.swap(true, Ordering::AcqRel) {
            return;
        }
        let Self {
            delivery, empty, ..
        } = self.clone();
        let is_asking = AskingReceiver(Arc::clone(&self.is_asking));
        self.runtime.spawn(async move {
            let _is_asking = is_asking;
            delivery.ask(empty).await;
        });
    }
}

/// Until this is dropped, also where the runtime ends first.
struct AskingReceiver(Arc<AtomicBool>);

impl Drop for AskingReceiver {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
