//! When processes are looked at for TLS libraries: as soon as they are watched, when their loader
//! has had time to work, and when they are seen speaking TLS. It looks at nothing itself.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long after the first look another one follows: a program that has just begun to run maps its
/// libraries within this time as a rule. Those that come later are found when they are used.
const AGAIN_AFTER: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(300)];
/// A process that speaks TLS and whose libraries are known is not looked at more often.
const SEEN_EVERY: Duration = Duration::from_millis(200);
/// Looks that are outstanding; of more, the first are not taken.
const DUE_MAX: usize = 16 * 1024;

/// Looks to be taken.
#[derive(Debug, Default)]
pub struct Looks {
    /// In no order: there are few.
    due: VecDeque<(Instant, u32)>,
    /// Taken because TLS was seen, and when.
    seen: VecDeque<(Instant, u32)>,
}

impl Looks {
    /// The process began to be watched, or to run another program.
    pub fn began(&mut self, pid: u32, now: Instant) {
        self.push(now, pid);
        for after in AGAIN_AFTER {
            self.push(now + after, pid);
        }
    }

    /// The process speaks TLS.
    pub fn seen(&mut self, pid: u32, now: Instant) {
        while self.seen.front().is_some_and(|(at, _)| *at + SEEN_EVERY <= now) {
            self.seen.pop_front();
        }
        if self.seen.len() < DUE_MAX && !self.seen.iter().any(|(_, other)| *other == pid) {
            self.seen.push_back((now, pid));
            self.push(now, pid);
            // What came too late for this look is seen by the next.
            self.push(now + SEEN_EVERY, pid);
        }
    }

    /// Nobody needs to look at the process any more.
    pub fn forget(&mut self, pid: u32) {
        self.due.retain(|(_, other)| *other != pid);
    }

    /// Takes a process that is to be looked at now.
    pub fn take(&mut self, now: Instant) -> Option<u32> {
        let index = self.due.iter().position(|(at, _)| *at <= now)?;
        let (_, pid) = self.due.remove(index)?;
        // One look is as good as several at the same time.
        self.due.retain(|(at, other)| *other != pid || *at > now);
        Some(pid)
    }

    fn push(&mut self, at: Instant, pid: u32) {
        if self.due.len() == DUE_MAX {
            self.due.pop_front();
        }
        self.due.push_back((at, pid));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(looks: &mut Looks, now: Instant) -> Vec<u32> {
        std::iter::from_fn(|| looks.take(now)).collect()
    }

    #[test]
    fn a_new_process_is_looked_at_at_once_and_again() {
        let now = Instant::now();
        let mut looks = Looks::default();
        looks.began(1, now);
        assert_eq!(taken(&mut looks, now), [1]);
        assert_eq!(taken(&mut looks, now), []);
        assert_eq!(taken(&mut looks, now + AGAIN_AFTER[0]), [1]);
        looks.began(2, now);
        looks.forget(1);
        assert_eq!(taken(&mut looks, now + AGAIN_AFTER[1]), [2]);
    }

    #[test]
    fn tls_seen_often_is_looked_at_now_and_then() {
        let now = Instant::now();
        let mut looks = Looks::default();
        for _ in 0..3 {
            looks.seen(1, now);
        }
        assert_eq!(taken(&mut looks, now), [1]);
        assert_eq!(taken(&mut looks, now + SEEN_EVERY), [1]);
        looks.seen(1, now + SEEN_EVERY);
        assert_eq!(taken(&mut looks, now + SEEN_EVERY), [1]);
    }
}
