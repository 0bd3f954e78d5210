//! How long to wait before somebody is asked again: longer with each failure, and never as long as
//! another agent that failed at the same moment. It keeps no time.

use std::time::Duration;

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

#[cfg(test)]
mod tests {
    use super::*;

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
