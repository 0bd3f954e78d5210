//! What following a process's tasks costs it, and whether that is too much. A probe takes time of
//! the program that it is in, so who makes tasks by the hundred thousand would pay for being
//! watched. It counts, and takes no probe away itself.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::capture::Spent;

/// What a probe takes where the kernel emulates its instruction, the program that it runs included.
const STRIKE: Duration = Duration::from_micros(1);

/// How often is looked.
const EVERY: Duration = Duration::from_secs(2);

/// With less CPU time between two looks nothing is judged: it costs nobody much.
const CPU_MIN: Duration = Duration::from_millis(100);

/// Looks in a row after which it is too much.
const LOOKS: u32 = 2;

/// Processes with probes on their tasks.
#[derive(Debug)]
pub struct Governor {
    /// Percent of a process's CPU time.
    share_max: u8,
    processes: HashMap<u32, Followed>,
    next: Option<Instant>,
}

#[derive(Debug, Default)]
struct Followed {
    before: Option<Spent>,
    /// Looks in a row that found too much.
    looks: u32,
}

impl Governor {
    /// Allows so many percent of a process's CPU time.
    pub fn new(share_max: u8) -> Self {
        Self {
            share_max,
            processes: HashMap::new(),
            next: None,
        }
    }

    /// A process has such probes.
    pub fn follow(&mut self, pid: u32, now: Instant) {
        self.processes.entry(pid).or_default();
        self.next.get_or_insert(now + EVERY);
    }

    /// It has none any longer.
    pub fn forget(&mut self, pid: u32) {
        self.processes.remove(&pid);
        if self.processes.is_empty() {
            self.next = None;
        }
    }

    /// When to look next.
    pub fn next_due(&self) -> Option<Instant> {
        self.next
    }

    /// Looks at all of them, if it is time; which have spent too much, and how many percent.
    pub fn look(&mut self, now: Instant, spent: impl Fn(u32) -> Option<Spent>) -> Vec<(u32, u64)> {
        if self.next.is_none_or(|next| next > now) {
            return Vec::new();
        }
        self.next = Some(now + EVERY);
        let mut found = Vec::new();
        for (&pid, followed) in &mut self.processes {
            let share = spent(pid).and_then(|spent| followed.share(spent));
            match share {
                Some(share) if share > u64::from(self.share_max) => {
                    followed.looks += 1;
                    if followed.looks >= LOOKS {
                        found.push((pid, share));
                    }
                }
                Some(_) => followed.looks = 0,
                None => {}
            }
        }
        found
    }
}

impl Followed {
    /// Percent of its CPU time that its probes took since it was last judged; `None` if it is too
    /// early to say.
    fn share(&mut self, now: Spent) -> Option<u64> {
        let Some(before) = self.before else {
            self.before = Some(now);
            return None;
        };
        let cpu = now.cpu.saturating_sub(before.cpu);
        if cpu < CPU_MIN {
            return None;
        }
        self.before = Some(now);
        let strikes = now.strikes.saturating_sub(before.strikes);
        let took = u128::from(strikes) * STRIKE.as_nanos();
        u64::try_from(took * 100 / cpu.as_nanos()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks `looks` times at a process that has so many strikes a second, and uses one processor
    /// for a part of the time.
    fn looked(strikes: u64, cpu_ms: u64, looks: u32) -> Vec<Vec<(u32, u64)>> {
        let began = Instant::now();
        let mut governor = Governor::new(10);
        governor.follow(7, began);
        (1..=looks)
            .map(|look| {
                let seconds = u64::from(look) * EVERY.as_secs();
                governor.look(began + EVERY * look, |_| {
                    Some(Spent {
                        strikes: strikes * seconds,
                        cpu: Duration::from_millis(cpu_ms * seconds),
                    })
                })
            })
            .collect()
    }

    #[test]
    fn who_spends_too_much_twice_in_a_row_is_told() {
        // 200 ms of a second.
        assert_eq!(looked(200_000, 1000, 3), [vec![], vec![], vec![(7, 20)]]);
        // The same of two processors, which is what is allowed.
        assert_eq!(looked(200_000, 2000, 4).concat(), []);
        // Who does nearly nothing is not judged.
        assert_eq!(looked(20_000, 20, 4).concat(), []);
    }

    #[test]
    fn a_burst_is_forgiven() {
        let began = Instant::now();
        let mut governor = Governor::new(10);
        governor.follow(7, began);
        let strikes = [0, 1_000_000, 1_000_000, 2_000_000, 2_000_000];
        for (look, strikes) in (1..).zip(strikes) {
            let found = governor.look(began + EVERY * look, |_| {
                Some(Spent {
                    strikes,
                    cpu: EVERY * look,
                })
            });
            assert_eq!(found, []);
        }
    }

    #[test]
    fn who_is_gone_is_not_looked_at() {
        let began = Instant::now();
        let mut governor = Governor::new(10);
        governor.follow(7, began);
        assert_eq!(governor.next_due(), Some(began + EVERY));
        governor.forget(7);
        assert_eq!(governor.next_due(), None);
        assert_eq!(governor.look(began + EVERY, |_| unreachable!()), []);
    }
}
