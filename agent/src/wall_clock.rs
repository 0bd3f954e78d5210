//! How the clock of the records relates to the one that people read. It keeps no time itself.

use rustix::time::{ClockId, clock_gettime};

/// Smaller changes than this, in nanoseconds, are not told: slewing by NTP goes on all the time.
const TOLD_FROM_NS: u64 = 100_000;

/// Notices when the wall clock was set.
#[derive(Debug, Default)]
pub struct WallClock {
    told_ns: Option<i64>,
}

impl WallClock {
    /// The monotonic time and the wall clock's offset from it, both in nanoseconds, if the offset
    /// is not what was returned last.
    pub fn changed(&mut self) -> Option<(u64, i64)> {
        let before = monotonic_ns();
        let wall = nanoseconds(ClockId::Realtime);
        // A reader that was interrupted between two readings must not take that for a step.
        let after = monotonic_ns();
        if after - before > TOLD_FROM_NS / 2 && self.told_ns.is_some() {
            return None;
        }
        let offset = wall.wrapping_sub(before) as i64;
        if self
            .told_ns
            .is_some_and(|told| told.abs_diff(offset) < TOLD_FROM_NS)
        {
            return None;
        }
        self.told_ns = Some(offset);
        Some((before, offset))
    }

    /// The offset that was told last, in nanoseconds.
    #[must_use]
    pub fn told_ns(&self) -> i64 {
        self.told_ns.unwrap_or_default()
    }
}

/// Nanoseconds of `CLOCK_MONOTONIC`, as the kernel side uses it.
#[must_use]
pub fn monotonic_ns() -> u64 {
    nanoseconds(ClockId::Monotonic)
}

fn nanoseconds(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    // Neither clock is before its epoch, and nanoseconds fit 64 bits until the year 2554.
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_told_once() {
        let mut clock = WallClock::default();
        let (now, offset) = clock.changed().expect("nothing was told yet");
        let wall = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .expect("after 1970")
            .as_nanos() as i64;
        assert!((wall - (now as i64 + offset)).abs() < 1_000_000_000);
        assert_eq!(clock.changed(), None);
    }

    #[test]
    fn a_step_is_told() {
        let mut clock = WallClock { told_ns: Some(0) };
        assert!(clock.changed().is_some());
    }
}
