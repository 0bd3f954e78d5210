//! Sees one encoded batch through: sent, tried again, given up. It keeps one batch and no queue;
//! what piles up meanwhile is the queue's matter.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::reach::{ReachNews, Reached};
use super::reply::Reply;
use super::report::DeliveryReport;
use super::{grpc, http};
use crate::config::OtlpConfig;
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
    /// What a receiver may ask for at a time: the number comes from outside and could be anything,
    /// and an hour of peace for one bad minute costs an hour of spans.
    pub quiet_max: Duration,
    /// How often one batch tries all the same while a receiver asks for longer peace than this.
    pub probe_every: Duration,
}

impl Default for RetryPolicy {
    /// A receiver that was restarted gets spans again within 5 s; a batch waits a minute for it.
    fn default() -> Self {
        Self {
            pause_first: Duration::from_millis(500),
            pause_max: Duration::from_secs(5),
            total_max: Duration::from_secs(60),
            quiet_max: Duration::from_secs(60),
            probe_every: Duration::from_secs(15),
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
    shared: Arc<DeliveryShared>,
}

/// What the workers of a destination tell each other.
#[derive(Debug)]
struct DeliveryShared {
    report: DeliveryReport,
    quiet: Mutex<Quiet>,
    /// Heard by those who wait, when the receiver takes spans again.
    calm: Notify,
    /// What the last attempt came to.
    news: watch::Sender<ReachNews>,
}

/// What the receiver asked for. It holds for all batches, or one worker would wait while the others
/// go on knocking; but one of them knocks now and then.
#[derive(Clone, Copy, Debug)]
struct Quiet {
    /// It asked not to be bothered before this.
    until: Instant,
    /// One batch may bother it from here on.
    probe_at: Instant,
}

impl Delivery {
    pub(super) fn new(client: Client, config: &OtlpConfig, retry: RetryPolicy) -> Self {
        let report = DeliveryReport::new(&config.endpoint);
        let now = Instant::now();
        let shared = Arc::new(DeliveryShared {
            report,
            quiet: Mutex::new(Quiet {
                until: now,
                probe_at: now,
            }),
            calm: Notify::new(),
            news: watch::Sender::new(ReachNews::now(Reached::Unknown)),
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
            if !self.wait_for_turn(begin, give_up).await {
                return batch.lost(Loss::ExportFailed);
            }
            match self.attempt(body.clone()).await {
                Reply::Taken { rejected, message } => {
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
                    if let Some(asked) = after {
                        self.begin_quiet(asked);
                    }
                    begin = Instant::now() + self.retry.pause(failures, fastrand::f64());
                }
            }
        }
    }

    /// Sends an export without spans, once, to find out whether the receiver takes any. While it
    /// asked for peace, what it said last stands.
    pub(super) async fn ask(&self, empty: Bytes) {
        if self.take_turn(Instant::now()).is_err() {
            return;
        }
        let body = self.client.prepare(empty);
        if let Reply::Later {
            after: Some(asked), ..
        } = self.attempt(body).await
        {
            self.begin_quiet(asked);
        }
    }

    /// The receiver's address, without what may be secret in it.
    pub(super) fn endpoint(&self) -> &str {
        self.shared.report.endpoint()
    }

    /// What each attempt comes to, from now on.
    pub(super) fn news(&self) -> watch::Receiver<ReachNews> {
        self.shared.news.subscribe()
    }

    /// Sends once.
    async fn attempt(&self, body: Bytes) -> Reply {
        let attempt = timeout(self.timeout, self.client.send(body));
        let reply = attempt.await;
        let reply = reply.unwrap_or_else(|_| Reply::timed_out(self.timeout));
        let reached = match &reply {
            Reply::Taken { .. } => {
                self.shared.report.reached();
                self.end_quiet();
                Reached::Takes
            }
            Reply::Refused(why) | Reply::Later { why, .. } => Reached::Fails(why.clone()),
        };
        self.shared.news.send_replace(ReachNews::now(reached));
        reply
    }

    /// Waits until an attempt may begin, `begin` at the earliest; `false` if that is too late.
    async fn wait_for_turn(&self, begin: Instant, give_up: Instant) -> bool {
        loop {
            let calm = self.shared.calm.notified();
            let Err(next) = self.take_turn(begin) else {
                return true;
            };
            tokio::select! {
                () = sleep_until(next.min(give_up)) => {}
                () = calm => continue,
            }
            if next > give_up {
                return self.take_turn(begin).is_ok();
            }
        }
    }

    /// Whether an attempt may begin now, or when to ask again. Who is the first when a probe is due
    /// is the only one.
    fn take_turn(&self, begin: Instant) -> Result<(), Instant> {
        let now = Instant::now();
        if now < begin {
            return Err(begin);
        }
        let mut quiet = self.quiet();
        if now < quiet.until {
            if now < quiet.probe_at {
                return Err(quiet.until.min(quiet.probe_at));
            }
            quiet.probe_at = now + self.retry.probe_every;
        }
        Ok(())
    }

    /// The receiver asked for peace. A shorter wish does not take back a longer one.
    fn begin_quiet(&self, asked: Duration) {
        let now = Instant::now();
        let mut quiet = self.quiet();
        if quiet.until <= now {
            quiet.probe_at = now + self.retry.probe_every;
        }
        quiet.until = quiet.until.max(now + asked.min(self.retry.quiet_max));
        drop(quiet);
        if asked > self.retry.probe_every {
            self.shared.report.asked_for_quiet(asked, &self.retry);
        }
    }

    /// It takes spans: whatever it asked for is over.
    fn end_quiet(&self) {
        let now = Instant::now();
        let mut quiet = self.quiet();
        if now < quiet.until {
            quiet.until = now;
            drop(quiet);
            self.shared.calm.notify_waiters();
        }
    }

    fn quiet(&self) -> MutexGuard<'_, Quiet> {
        let quiet = self.shared.quiet.lock();
        quiet.unwrap_or_else(PoisonError::into_inner)
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
        let policy = RetryPolicy::default();
        let one = Delivery::new(client, &config, policy);
        let other = one.clone();
        let now = Instant::now();
        assert_eq!(other.take_turn(now), Ok(()));
        one.begin_quiet(Duration::from_secs(30));
        let until = one.quiet().until;
        assert!(until > now + Duration::from_secs(29));
        let probe_at = other.take_turn(now).expect_err("it asked for peace");
        assert!(probe_at < until && probe_at >= now + policy.probe_every);
        // A shorter wish does not take back a longer one, nor put off who knocks.
        one.begin_quiet(Duration::from_secs(1));
        assert_eq!(other.take_turn(now), Err(probe_at));
        // No wish is granted for ever, and none is too large for the clock.
        one.begin_quiet(Duration::MAX);
        assert!(one.quiet().until <= Instant::now() + policy.quiet_max);
        // One of all knocks when it is time.
        one.quiet().probe_at = now;
        assert_eq!(other.take_turn(now), Ok(()));
        assert!(one.take_turn(now).is_err());
        // What is taken ends it.
        one.end_quiet();
        assert_eq!(other.take_turn(now), Ok(()));
        assert_eq!(one.take_turn(now), Ok(()));
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
