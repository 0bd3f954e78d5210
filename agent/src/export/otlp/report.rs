//! Says in the log how delivery goes, once a minute per matter however bad it is. The numbers are
//! in the counters; this is for the reasons.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use log::{info, warn};

use super::RetryPolicy;
use crate::visible::Visible;

const SILENCE: Duration = Duration::from_secs(60);

/// Shared by the workers of one destination.
#[derive(Debug)]
pub(super) struct DeliveryReport {
    endpoint: String,
    /// Whether the last attempt failed.
    failing: AtomicBool,
    /// Whether it was said that the receiver asked for peace.
    quiet_is_known: AtomicBool,
    failures: Throttle,
    refusals: Throttle,
    partials: Throttle,
}

impl DeliveryReport {
    pub(super) fn new(endpoint: &str) -> Self {
        Self {
            endpoint: without_secrets(endpoint),
            failing: AtomicBool::new(false),
            quiet_is_known: AtomicBool::new(false),
            failures: Throttle::default(),
            refusals: Throttle::default(),
            partials: Throttle::default(),
        }
    }

    /// The receiver's address.
    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// A request was answered.
    pub(super) fn reached(&self) {
        if self.failing.load(Ordering::Relaxed) && self.failing.swap(false, Ordering::Relaxed) {
            self.quiet_is_known.store(false, Ordering::Relaxed);
            info!("{} takes spans again", Visible(&self.endpoint));
        }
    }

    /// An attempt failed and will be repeated.
    pub(super) fn will_retry(&self, why: &str) {
        self.failing.store(true, Ordering::Relaxed);
        if self.failures.may_speak() {
            warn!(
                "{} cannot take spans now, trying again: {}",
                Visible(&self.endpoint),
                Visible(why)
            );
        }
    }

    /// The receiver asked for peace, and gets it but for single attempts. Said once until it takes
    /// spans again.
    pub(super) fn asked_for_quiet(&self, asked: Duration, policy: &RetryPolicy) {
        if !self.quiet_is_known.swap(true, Ordering::Relaxed) {
            warn!(
                "{} asks for {} s without spans: it gets at most {} s at a time, and one attempt \
                 every {} s",
                self.endpoint,
                asked.as_secs(),
                policy.quiet_max.as_secs(),
                policy.probe_every.as_secs()
            );
        }
    }

    /// Spans were refused for good.
    pub(super) fn refused(&self, spans: u64, why: &str) {
        if self.refusals.may_speak() {
            warn!(
                "{} refused {spans} spans: {}",
                Visible(&self.endpoint),
                Visible(why)
            );
        }
    }

    /// A request was taken in part, or with a warning.
    pub(super) fn partly_taken(&self, rejected: u64, message: &str) {
        if self.partials.may_speak() {
            warn!(
                "{} rejected {rejected} spans of a request: {}",
                Visible(&self.endpoint),
                Visible(message)
            );
        }
    }
}

/// Scheme, host and port: a path or a user may hold a token.
#[must_use]
pub fn without_secrets(endpoint: &str) -> String {
    let uri: http::Uri = endpoint.parse().unwrap_or_default();
    let port = uri
        .port()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    format!(
        "{}://{}{port}",
        uri.scheme_str().unwrap_or("?"),
        uri.host().unwrap_or("?")
    )
}

/// Lets one through per [`SILENCE`].
#[derive(Debug, Default)]
struct Throttle {
    last: Mutex<Option<Instant>>,
}

impl Throttle {
    fn may_speak(&self) -> bool {
        let mut last = self
            .last
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let may = last.is_none_or(|at| at.elapsed() >= SILENCE);
        if may {
            *last = Some(Instant::now());
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_named_without_its_secrets() {
        let endpoint = "https://user:secret@otlp.example.com:4318/token/v1/traces?key=1";
        assert_eq!(without_secrets(endpoint), "https://otlp.example.com:4318");
    }

    #[test]
    fn the_second_word_within_a_minute_is_swallowed() {
        let throttle = Throttle::default();
        assert!(throttle.may_speak());
        assert!(!throttle.may_speak());
        *throttle.last.lock().unwrap() = Instant::now().checked_sub(SILENCE);
        assert!(throttle.may_speak());
    }
}
