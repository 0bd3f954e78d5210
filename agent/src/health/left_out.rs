//! Spans that nobody lost and nobody wanted, by why. What was made is what was exported, lost or
//! left out.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why a span of an exchange was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum LeftOut {
    /// The sampler did not choose its trace.
    Sampler,
    /// What became of its trace was not worth telling.
    Tail,
    /// An SDK in the process makes its own.
    Instrumented,
}

impl LeftOut {
    /// All reasons, in order of their discriminants.
    pub const ALL: [Self; 3] = [Self::Sampler, Self::Tail, Self::Instrumented];

    /// The reason as it stands in logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sampler => "sampler",
            Self::Tail => "tail",
            Self::Instrumented => "instrumented",
        }
    }
}

/// A number for each reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOutTally([u64; LeftOut::ALL.len()]);

impl LeftOutTally {
    /// Counts spans.
    pub fn add(&mut self, reason: LeftOut, count: u64) {
        self.0[reason as usize] += count;
    }
}

/// A counter for each reason.
#[derive(Debug, Default)]
pub(super) struct LeftOutCounts([AtomicU64; LeftOut::ALL.len()]);

impl LeftOutCounts {
    pub(super) fn add(&self, tally: LeftOutTally) {
        for (counter, count) in self.0.iter().zip(tally.0) {
            if count > 0 {
                counter.fetch_add(count, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn get(&self, reason: LeftOut) -> u64 {
        self.0[reason as usize].load(Ordering::Relaxed)
    }
}
