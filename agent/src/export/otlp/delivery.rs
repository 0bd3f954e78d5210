//! Sees one encoded batch through: sent, tried again, given up. It keeps one batch and no queue;
//! what piles up meanwhile is the queue's matter.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep_until, timeout};

use super::reply::Reply;
use super::report::Report;
use super::{grpc, http};
use crate::config::OtlpConfig;
use crate::export::queue::Unsettled;
use crate::health::Loss;

/// What a receiver may ask for; the number comes from outside and could be anything.
const ASKED_MAX: Duration = Duration::from_secs(3600);

/// How often and how long a batch is tried.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// Pause after the first failure; it doubles with each further one.
    pub pause_first: Duration,
    /// Longest pause, unless the receiver asks for a longer one.
    pub pause_max: Duration,
    /// A batch is given up when its next attempt would begin later than this after the first.
    pub total_max: Duration,
}

impl Default for RetryPolicy {
    /// A receiver that was restarted gets spans again within 5 s; a batch waits a minute for it.
    fn default() -> Self {
        Self {
            pause_first: Duration::from_millis(500),
            pause_max: Duration::from_secs(5),
            total_max: Duration::from_secs(60),
        }
    }
}

impl RetryPolicy {
    /// Half of the pause is left to chance, so that agents that failed together do not come back
    /// together. `chance` is in `0.0..1.0`.
    fn pause(&self, failures: u32, chance: f64) -> Duration {
        let doubled = self.pause_first.saturating_mul(1 << failures.min(16));
        doubled.min(self.pause_max).mul_f64(0.5 + chance / 2.0)
    }
}

/// The transports; an `enum`, since which one is known at start and there are two.
#[derive(Clone, Debug)]
pub(super) enum Client {
    Grpc(Box<grpc::Client>),
    Http(Box<http::Client>),
}

impl Client {
    fn prepare(&self, body: Bytes) -> Bytes {
        match self {
            Self::Grpc(_) => body,
            Self::Http(client) => client.prepare(body),
        }
    }

    async fn send(&self, body: Bytes) -> Reply {
        match self {
            Self::Grpc(client) => client.send(body).await,
            Self::Http(client) => client.send(body).await,
        }
    }
}

/// What it takes to bring a batch home.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    client: Client,
    /// For one attempt.
    timeout: Duration,
    retry: RetryPolicy,
    shared: Arc<Shared>,
}

/// What the workers of a destination tell each other.
#[derive(Debug)]
struct Shared {
    report: Report,
    /// The receiver asked not to be bothered before this.
    quiet_until: Mutex<Instant>,
}

impl Delivery {
    pub(super) fn new(client: Client, config: &OtlpConfig, retry: RetryPolicy) -> Self {
        let report = Report::new(&config.endpoint);
        let shared = Arc::new(Shared {
            report,
            quiet_until: Mutex::new(Instant::now()),
        });
        Self {
            client,
            timeout: config.timeout,
            retry,
            shared,
        }
    }

    /// Returns when the batch is accounted for.
    pub(super) async fn deliver(&self, body: Bytes, batch: Unsettled) {
        let body = self.client.prepare(body);
        let give_up = Instant::now() + self.retry.total_max;
        let mut begin = Instant::now();
        for failures in 0.. {
            begin = begin.max(self.quiet_until(None));
            sleep_until(begin.min(give_up)).await;
            if begin > give_up {
                return batch.lost(Loss::ExportFailed);
            }
            let attempt = timeout(self.timeout, self.client.send(body.clone()));
            let reply = attempt
                .await
                .unwrap_or_else(|_| Reply::timed_out(self.timeout));
            match reply {
                Reply::Taken { rejected, message } => {
                    self.shared.report.reached();
                    if rejected > 0 || !message.is_empty() {
                        self.shared.report.partly_taken(rejected, &message);
                    }
                    return batch.accepted_but(rejected);
                }
                Reply::Refused(why) => {
                    self.shared.report.refused(batch.spans(), &why);
                    return batch.lost(Loss::ExportRefused);
                }
                Reply::Later { after, why } => {
                    self.shared.report.will_retry(&why);
                    self.quiet_until(after);
                    begin = Instant::now() + self.retry.pause(failures, fastrand::f64());
                }
            }
        }
    }

    /// Until when the receiver wants peace, having heard what it `asked` for just now. It holds for
    /// all batches, or one worker would wait while the others go on knocking.
    fn quiet_until(&self, asked: Option<Duration>) -> Instant {
        let mut until = self
            .shared
            .quiet_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(asked) = asked {
            *until = (*until).max(Instant::now() + asked.min(ASKED_MAX));
        }
        *until
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::OtlpProtocol;

    #[test]
    fn what_a_receiver_asks_of_one_worker_holds_for_all() {
        let config = OtlpConfig {
            endpoint: "http://localhost:4318/v1/traces".into(),
            protocol: OtlpProtocol::HttpProtobuf,
            headers: Vec::new(),
            timeout: Duration::from_secs(10),
            gzip: false,
            certificate: None,
            client_identity: None,
            batch_spans_max: 512,
            batch_age_max: Duration::from_secs(1),
        };
        let client = Client::Http(http::Client::new(&config).unwrap().into());
        let one = Delivery::new(client, &config, RetryPolicy::default());
        let other = one.clone();
        assert!(other.quiet_until(None) <= Instant::now());
        let until = one.quiet_until(Some(Duration::from_secs(30)));
        assert!(until > Instant::now() + Duration::from_secs(29));
        assert_eq!(other.quiet_until(None), until);
        // A shorter wish does not take back a longer one.
        assert_eq!(other.quiet_until(Some(Duration::from_secs(1))), until);
        // No wish is granted for ever, and none is too large for the clock.
        let until = one.quiet_until(Some(Duration::MAX));
        assert!(until <= Instant::now() + ASKED_MAX);
    }

    #[test]
    fn pauses_double_up_to_their_bound() {
        let policy = RetryPolicy::default();
        let longest = |failures| policy.pause(failures, 1.0);
        assert_eq!(longest(0), Duration::from_millis(500));
        assert_eq!(longest(1), Duration::from_secs(1));
        assert_eq!(longest(3), Duration::from_secs(4));
        assert_eq!(longest(4), Duration::from_secs(5));
        assert_eq!(longest(u32::MAX), Duration::from_secs(5));
        assert_eq!(policy.pause(0, 0.0), Duration::from_millis(250));
    }
}
