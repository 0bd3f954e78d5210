//! The one bound over what others make the daemon remember, and who holds how much of it. Holders
//! count what they hold as it changes; nothing is walked here, and nothing is freed here: who holds
//! too much sheds it, and counts that.
//!
//! What processes, learnt headers, held and waiting spans and descriptions may take are parts;
//! connections may take what these leave. So the sum stays below the bound, whoever tries to fill
//! it, and nobody can take all of it from the others.
//!
//! Of several shards each has an equal part of the bound, and of what is held for all of them: none
//! has to know what another one holds, or sheds because of it.

mod cgroup;
mod heap;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wirespan_common::shard::RING_BYTES;

use crate::config::MemoryConfig;
pub use cgroup::limit as cgroup_limit;
pub use heap::{Freed, give_back, keep_small};

/// The bound where nobody sets one, in bytes.
pub const LIMIT_DEFAULT: usize = 128 << 20;
/// With less than this nothing useful can be remembered.
pub const LIMIT_MIN: usize = 4 << 20;

/// What a control group has to allow beside the bound, in bytes: 40 MiB for the kernel's maps and
/// programs, which it charges too, 12 MiB for the daemon at rest, 11 MiB for pages of files and for
/// what is on its way. As measured on Linux 6.18, x86-64, where the verifier takes up to 60 MiB
/// more while programs are loaded.
pub const UNCOUNTED: u64 = 64 << 20;
/// What each further shard adds to that: its ring, and as much as a thread of its own takes.
const UNCOUNTED_PER_SHARD: u64 = RING_BYTES as u64 + (1 << 20);

/// The bound in a control group that allows so many bytes: three quarters of what is left beside
/// [`UNCOUNTED`], and no more than [`LIMIT_DEFAULT`]. The last quarter is what the allocator loses
/// between blocks: a fourth of what was held, with glibc, under the load of the test.
#[must_use]
pub fn limit_within(allowed: Option<u64>, shards: u8) -> usize {
    let Some(allowed) = allowed else {
        return LIMIT_DEFAULT;
    };
    let further = u64::from(shards.saturating_sub(1));
    let uncounted = UNCOUNTED + further * UNCOUNTED_PER_SHARD;
    let left = usize::try_from(allowed.saturating_sub(uncounted)).unwrap_or(usize::MAX);
    (left / 4 * 3).clamp(LIMIT_MIN * usize::from(shards.max(1)), LIMIT_DEFAULT)
}

/// Who holds memory that is counted outside of the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Holder {
    /// Spans that wait for a destination, or are on their way there.
    Spans,
    /// What is known of watched processes, before it is a record.
    Descriptions,
    /// What is known of pods.
    Pods,
    /// Whom addresses belong to.
    Peers,
    /// Calls of this node that others may ask about, and what they asked.
    Calls,
}

impl Holder {
    const COUNT: usize = 5;
}

/// The bound, and what is held against it outside of the pipeline. Cheap to clone and to ask.
#[derive(Clone, Debug)]
pub struct Ledger {
    limit: Arc<AtomicUsize>,
    /// Among how many it is divided.
    parts: usize,
    held: Arc<[AtomicUsize; Holder::COUNT]>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self::new(LIMIT_DEFAULT)
    }
}

impl Ledger {
    /// Nothing is held yet. The bound is in bytes, at least [`LIMIT_MIN`].
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit: Arc::new(AtomicUsize::new(limit.max(LIMIT_MIN))),
            parts: 1,
            held: Arc::default(),
        }
    }

    /// The part of the bound that each of so many shards has. What is held elsewhere is held
    /// against all of them, each for its part.
    #[must_use]
    pub fn divided(&self, shards: usize) -> Self {
        Self {
            limit: Arc::clone(&self.limit),
            parts: shards.max(1),
            held: Arc::clone(&self.held),
        }
    }

    /// The bound, in bytes, or the part of it that one shard has.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.whole() / self.parts
    }

    fn whole(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// The bound is another one from now on, for all that share it. Who holds too much sheds it
    /// with its next look.
    pub fn reconfigure(&self, config: &MemoryConfig) {
        self.limit
            .store(config.limit.max(LIMIT_MIN), Ordering::Relaxed);
    }

    /// What the pipeline may remember of processes: a fourth.
    #[must_use]
    pub fn of_processes(&self) -> usize {
        self.limit() / 4
    }

    /// What may be remembered of header compression: a sixteenth.
    #[must_use]
    pub fn of_learnt(&self) -> usize {
        self.limit() / 16
    }

    /// What may be held of spans until it is known what became of their traces: an eighth.
    #[must_use]
    pub fn of_tail(&self) -> usize {
        self.limit() / 8
    }

    /// What may wait for one destination: an eighth, of the whole.
    #[must_use]
    pub fn of_spans(&self) -> usize {
        self.whole() / 8
    }

    /// What is known of watched processes before it is a record: an eighth, of the whole.
    #[must_use]
    pub fn of_descriptions(&self) -> usize {
        self.whole() / 8
    }

    /// What may be known of pods: a sixteenth, of the whole.
    #[must_use]
    pub fn of_pods(&self) -> usize {
        self.whole() / 16
    }

    /// What may be remembered of calls that other nodes may ask about: a sixteenth, of the whole.
    #[must_use]
    pub fn of_calls(&self) -> usize {
        self.whole() / 16
    }

    /// Takes note that so many bytes more are held.
    pub fn hold(&self, holder: Holder, bytes: usize) {
        self.held[holder as usize].fetch_add(bytes, Ordering::Relaxed);
    }

    /// Takes note that so many bytes fewer are held.
    pub fn release(&self, holder: Holder, bytes: usize) {
        self.held[holder as usize].fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Sets what is held, for a holder that counts by itself.
    pub fn set(&self, holder: Holder, bytes: usize) {
        self.held[holder as usize].store(bytes, Ordering::Relaxed);
    }

    /// What all of them hold, in bytes, or the part of it that counts for one shard.
    #[must_use]
    pub fn held(&self) -> usize {
        let held = self.held.iter().map(|held| held.load(Ordering::Relaxed));
        held.sum::<usize>().div_ceil(self.parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_together_have_what_one_had() {
        let whole = Ledger::new(64 << 20);
        for shards in 1..=8 {
            let part = whole.divided(shards);
            whole.set(Holder::Spans, 1 << 20);
            assert!(part.limit() * shards <= whole.limit());
            assert!(part.held() * shards >= whole.held(), "nothing is forgotten");
            assert_eq!(part.of_spans(), whole.of_spans(), "one queue for all");
            let all = (part.of_processes() + part.of_learnt()) * shards;
            assert!(all <= whole.of_processes() + whole.of_learnt());
        }
    }

    #[test]
    fn a_control_group_has_room_for_the_rings_of_all_shards() {
        let allowed = Some(160 << 20);
        let one = limit_within(allowed, 1);
        let eight = limit_within(allowed, 8);
        assert_eq!(one - eight, 7 * 5 * (1 << 20) / 4 * 3);
        // Too small for anybody: each shard has the least.
        assert_eq!(limit_within(Some(1 << 20), 4), 4 * LIMIT_MIN);
        assert_eq!(limit_within(None, 4), LIMIT_DEFAULT);
    }
}
