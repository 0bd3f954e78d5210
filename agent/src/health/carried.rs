//! What became of calls that may carry their trace, as the kernel side counts it, where that was
//! asked for.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use wirespan_common::carriers::Carried;

/// A counter for each thing that was done or declined.
#[derive(Debug, Default)]
pub struct CarriedHealth {
    is_on: AtomicBool,
    counters: [AtomicU64; Carried::ALL.len()],
}

impl CarriedHealth {
    /// Sets a counter to its present value.
    pub fn set(&self, what: Carried, total: u64) {
        self.counters[what as usize].store(total, Ordering::Relaxed);
        self.is_on.store(true, Ordering::Relaxed);
    }

    /// How often each was done or declined so far; none where nothing is carried.
    pub fn counts(&self) -> impl Iterator<Item = (Carried, u64)> + '_ {
        let is_on = self.is_on.load(Ordering::Relaxed);
        let all = if is_on { &Carried::ALL[..] } else { &[] };
        all.iter().map(|what| {
            let count = self.counters[*what as usize].load(Ordering::Relaxed);
            (*what, count)
        })
    }
}
