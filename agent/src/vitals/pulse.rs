//! When a thread took its last turn. A beat is one store, which no other thread waits for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The last turn of one thread.
#[derive(Debug)]
pub struct Pulse {
    began: Instant,
    /// In nanoseconds since then.
    last_ns: AtomicU64,
}

impl Pulse {
    /// Begins now, as with a beat.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            began: now,
            last_ns: AtomicU64::new(0),
        }
    }

    /// A turn.
    pub fn beat(&self, now: Instant) {
        let since = now.saturating_duration_since(self.began).as_nanos();
        let since = u64::try_from(since).unwrap_or(u64::MAX);
        self.last_ns.store(since, Ordering::Relaxed);
    }

    /// How long ago the last one was.
    #[must_use]
    pub fn silent_for(&self, now: Instant) -> Duration {
        let last = self.began + Duration::from_nanos(self.last_ns.load(Ordering::Relaxed));
        now.saturating_duration_since(last)
    }
}
