//! Sees one encoded batch through: sent, tried again, given up. It keeps one batch and no queue;
//! what piles up meanwhile is the queue's matter.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout};

use super::reply::Reply;
use super::report::Report;
use super::{grpc, http};
use crate::export::queue::Unsettled;
use crate::health::Loss;

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
    fn pause(&self, failures: u32, asked: Option<Duration>, chance: f64) -> Duration {
        let doubled = self.pause_first.saturating_mul(1 << failures.min(16));
        let pause = doubled.min(self.pause_max).mul_f64(0.5 + chance / 2.0);
        pause.max(asked.unwrap_or_default())
    }
}

/// The transports; an `enum`, since which one is known at start and there are two.
#[derive(Clone, Debug)]
pub(super) enum Client {
    Grpc(grpc::Client),
    Http(http::Client),
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
    pub(super) client: Client,
    /// For one attempt.
    pub(super) timeout: Duration,
    pub(super) retry: RetryPolicy,
    pub(super) report: Arc<Report>,
}

impl Delivery {
    /// Returns when the batch is accounted for.
    pub(super) async fn deliver(&self, body: Bytes, batch: Unsettled) {
        let body = self.client.prepare(body);
        let give_up = Instant::now() + self.retry.total_max;
        for failures in 0.. {
            let attempt = timeout(self.timeout, self.client.send(body.clone()));
            let reply = attempt
                .await
                .unwrap_or_else(|_| Reply::timed_out(self.timeout));
            match reply {
                Reply::Taken { rejected, message } => {
                    self.report.reached();
                    if rejected > 0 || !message.is_empty() {
                        self.report.partly_taken(rejected, &message);
                    }
                    return batch.accepted_but(rejected);
                }
                Reply::Refused(why) => {
                    self.report.refused(batch.spans(), &why);
                    return batch.lost(Loss::ExportRefused);
                }
                Reply::Later { after, why } => {
                    self.report.will_retry(&why);
                    let pause = self.retry.pause(failures, after, fastrand::f64());
                    if Instant::now() + pause > give_up {
                        return batch.lost(Loss::ExportFailed);
                    }
                    sleep(pause).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_bound_and_respect_what_was_asked() {
        let policy = RetryPolicy::default();
        let longest = |failures| policy.pause(failures, None, 1.0);
        assert_eq!(longest(0), Duration::from_millis(500));
        assert_eq!(longest(1), Duration::from_secs(1));
        assert_eq!(longest(3), Duration::from_secs(4));
        assert_eq!(longest(4), Duration::from_secs(5));
        assert_eq!(longest(u32::MAX), Duration::from_secs(5));
        assert_eq!(policy.pause(0, None, 0.0), Duration::from_millis(250));
        let asked = Duration::from_secs(20);
        assert_eq!(policy.pause(4, Some(asked), 0.3), asked);
    }
}
