//! How much memory each connection takes, and which of them to give up when all take too much: the
//! largest that has been silent the longest. It counts and orders slots; it frees nothing.
//!
//! Connections stand in lists by the power of two of their size, each in the order of activity. The
//! head of a list has been silent longest of its size, so looking at the heads finds a good one in
//! constant time. Small ones, which are most, stand in none: for them the table's own order does.

use super::order::{SlotLinks, SlotList};

/// Smaller connections are in no list, in bytes.
const LISTED_MIN: usize = 8 * 1024;
/// Lists: from [`LISTED_MIN`] on, each for twice the size; the last one for all that is larger.
const LISTS: usize = 10;
/// Silence counts from here to here, in nanoseconds: a small connection that has been silent for an
/// hour is no better to give up than a large one that was for a second.
const IDLE_NS: std::ops::RangeInclusive<u64> = 10_000_000..=10_000_000_000;

/// The sizes of all connections, by slot.
#[derive(Debug, Default)]
pub struct Weights {
    bytes: Vec<usize>,
    lists: [SlotList; LISTS],
    links: SlotLinks,
    total: usize,
}

impl Weights {
    /// What all connections take, in bytes.
    pub fn total(&self) -> usize {
        self.total
    }

    /// What the counting takes itself: bytes for each slot that there ever was.
    pub const PER_SLOT: usize = size_of::<usize>() + SlotLinks::PER_SLOT;

    /// Sets what a connection takes; 0 takes it out.
    pub fn set(&mut self, slot: u32, bytes: usize) {
        let index = slot as usize;
        if self.bytes.len() <= index {
            self.bytes.resize(index + 1, 0);
        }
        let before = std::mem::replace(&mut self.bytes[index], bytes);
        if before == bytes {
            return;
        }
        self.total = self.total - before + bytes;
        let (old, new) = (list_of(before), list_of(bytes));
        if old != new {
            if let Some(old) = old {
                self.lists[old].remove(&mut self.links, slot);
            }
            if let Some(new) = new {
                self.lists[new].push_last(&mut self.links, slot);
            }
        }
    }

    /// The connection was active just now.
    #[inline]
    pub fn note_active(&mut self, slot: u32) {
        let bytes = self.bytes.get(slot as usize).copied().unwrap_or(0);
        if let Some(list) = list_of(bytes) {
            self.lists[list].move_last(&mut self.links, slot);
        }
    }

    /// The connection to give up: among the longest silent of each size, and `idlest` of all, the
    /// one with the most bytes times silence. `idle_ns` tells how long a slot has been silent.
    pub fn worst(&self, idlest: Option<u32>, idle_ns: impl Fn(u32) -> u64) -> Option<u32> {
        let heads = self.lists.iter().filter_map(SlotList::first);
        heads.chain(idlest).max_by_key(|slot| {
            let bytes = self.bytes.get(*slot as usize).copied().unwrap_or(0) as u128;
            bytes * u128::from(idle_ns(*slot).clamp(*IDLE_NS.start(), *IDLE_NS.end()))
        })
    }
}

#[inline]
fn list_of(bytes: usize) -> Option<usize> {
    (bytes >= LISTED_MIN).then(|| ((bytes / LISTED_MIN).ilog2() as usize).min(LISTS - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn size_counts_as_long_as_nobody_was_silent_for_much_longer() {
        let mut weights = Weights::default();
        for (slot, bytes) in [(0, 2_000), (1, 100_000), (2, 20_000), (3, 700_000)] {
            weights.set(slot, bytes);
        }
        assert_eq!(weights.total(), 822_000);
        let idle = |of: [u64; 4]| move |slot: u32| of[slot as usize];
        assert_eq!(weights.worst(Some(0), idle([SECOND; 4])), Some(3));
        let busy = [3600 * SECOND, SECOND, SECOND / 2, SECOND / 100];
        assert_eq!(weights.worst(Some(0), idle(busy)), Some(1));
        weights.set(1, 0);
        assert_eq!(weights.worst(Some(0), idle(busy)), Some(0));
        assert_eq!(Weights::default().worst(None, |_| 0), None);
    }

    #[test]
    fn activity_moves_a_connection_behind_its_equals() {
        let mut weights = Weights::default();
        for slot in 0..3 {
            weights.set(slot, 100_000);
        }
        weights.note_active(0);
        weights.set(1, 101_000);
        assert_eq!(weights.lists[3].first(), Some(1));
        weights.set(1, 10);
        assert_eq!(weights.lists[3].first(), Some(2));
        weights.set(2, 0);
        weights.set(0, 0);
        assert_eq!((weights.total(), weights.lists[3].first()), (10, None));
    }
}
