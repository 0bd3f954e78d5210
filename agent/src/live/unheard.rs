//! Programs that processes began to run, as a shard read in its ring, and of which the control
//! thread had not heard when it said what it last said: a description that comes meanwhile is of
//! the program before. It describes nothing.

use std::collections::HashMap;

use wirespan_common::record::LifeEvent;

use super::path::Lived;
use crate::processes::DESCRIBED_WITHIN_NS;

/// Executions by process.
#[derive(Debug, Default)]
pub struct UnheardExecs(HashMap<u32, Unheard>);

#[derive(Debug)]
struct Unheard {
    count: u32,
    /// Of the last one, in nanoseconds of record time. What the control thread was not told, as the
    /// ring or its queue was full, it will not have heard later either.
    last_ns: u64,
}

impl UnheardExecs {
    /// This was read.
    pub fn read(&mut self, lived: &Lived) {
        match lived.event {
            LifeEvent::Exec => {
                let unheard = self.0.entry(lived.pid).or_insert(Unheard {
                    count: 0,
                    last_ns: 0,
                });
                unheard.count += 1;
                unheard.last_ns = lived.time_ns;
            }
            LifeEvent::Exit => {
                self.0.remove(&lived.pid);
            }
            LifeEvent::Fork | LifeEvent::Listen | LifeEvent::Serve => {}
        }
    }

    /// The control thread has heard of one of them.
    pub fn heard(&mut self, pid: u32) {
        if let Some(unheard) = self.0.get_mut(&pid) {
            unheard.count -= 1;
            if unheard.count == 0 {
                self.0.remove(&pid);
            }
        }
    }

    /// It looks at all processes anew, because it may have missed something.
    pub fn forget_all(&mut self) {
        self.0.clear();
    }

    /// Whether a description that comes now is of the program before.
    pub fn has(&self, pid: u32, now_ns: u64) -> bool {
        self.0
            .get(&pid)
            .is_some_and(|unheard| now_ns < unheard.last_ns.saturating_add(DESCRIBED_WITHIN_NS))
    }
}

#[cfg(test)]
mod tests {
    use wirespan_common::record::Life;
    use zerocopy::FromZeros;

    use super::*;

    fn lived(event: LifeEvent, time_ns: u64) -> Lived {
        Lived {
            pid: 7,
            event,
            life: Life::new_zeroed(),
            time_ns,
        }
    }

    #[test]
    fn a_description_counts_once_every_exec_before_it_was_heard_of() {
        let mut unheard = UnheardExecs::default();
        unheard.heard(7);
        assert!(!unheard.has(7, 5));
        unheard.read(&lived(LifeEvent::Exec, 1));
        unheard.read(&lived(LifeEvent::Exec, 2));
        unheard.heard(7);
        assert!(unheard.has(7, 5) && !unheard.has(8, 5));
        unheard.heard(7);
        assert!(!unheard.has(7, 5));
    }

    #[test]
    fn what_will_never_be_heard_of_does_not_count_for_ever() {
        let mut unheard = UnheardExecs::default();
        unheard.read(&lived(LifeEvent::Exec, 1));
        assert!(!unheard.has(7, 1 + DESCRIBED_WITHIN_NS));
        unheard.read(&lived(LifeEvent::Exit, 2));
        assert!(unheard.0.is_empty());
    }
}
