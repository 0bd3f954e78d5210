//! How long to wait before somebody is asked again: longer with each failure, and never as long as
//! another agent that failed at the same moment. It keeps no time.

use std::time::{Duration, SystemTime};

use http::header::{HeaderMap, RETRY_AFTER};

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(30);

/// Failures since the last success.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Something came of it.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Nothing failed since the last success.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.failures == 0
    }

    /// Nothing came of it; how long to wait: between half and all of what is due.
    pub fn failed(&mut self) -> Duration {
        let due = FIRST.saturating_mul(1 << self.failures.min(8)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        jittered(due)
    }
}

/// Between half of it and all.
pub fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(fastrand::f64().midpoint(1.0))
}

/// How long the one who was asked wants to be left alone, from `now` on: seconds or a date (RFC
/// 9110, section 10.2.3). A date that is over is no time at all.
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_wait_is_seconds_or_a_date() {
        let now = httpdate::parse_http_date("Sat, 21 Nov 2026 07:00:00 GMT").expect("a date");
        let asked = |text: &str| {
            let value = text.parse().expect("a header's value");
            retry_after(&HeaderMap::from_iter([(RETRY_AFTER, value)]), now)
        };
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
        assert_eq!(asked("7"), Some(Duration::from_secs(7)));
        let soon = asked("Sat, 21 Nov 2026 07:00:30 GMT");
        assert_eq!(soon, Some(Duration::from_secs(30)));
        let past = asked("Sat, 21 Nov 2026 06:00:00 GMT");
        assert_eq!(past, Some(Duration::ZERO));
        assert_eq!(asked("soon"), None);
    }

    #[test]
    fn it_grows_to_a_bound_and_begins_anew() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..20).map(|_| backoff.failed()).collect();
        assert!((FIRST / 2..=FIRST).contains(&waits[0]), "{waits:?}");
        for wait in &waits[10..] {
            assert!((LONGEST / 2..=LONGEST).contains(wait), "{waits:?}");
        }
        backoff.succeeded();
        assert!(backoff.failed() <= FIRST);
    }
}
