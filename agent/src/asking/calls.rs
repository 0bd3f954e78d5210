//! Calls of this node by which others know them, and where those stand: what a question is answered
//! from. Bounded by number and by age; what is gone is not known.

use std::collections::VecDeque;
use std::time::Duration;

use hashbrown::HashMap;
use wirespan_protocols::heap;

use crate::links::{CallerContext, JoinKey};

/// A call is asked about as its request is read, or answered; how long it is remembered.
const REMEMBERED: Duration = Duration::from_secs(20);

/// What is known of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallPlace {
    /// It was made; where it stands is not known yet.
    Begun,
    /// There.
    Stands(CallerContext),
    /// Nobody is told.
    Untold,
}

/// All of them.
#[derive(Debug)]
pub struct CallTable {
    places: HashMap<JoinKey, CallPlace>,
    /// By when they came, in nanoseconds.
    order: VecDeque<(u64, JoinKey)>,
    count_max: usize,
}

impl CallTable {
    /// None yet, and room for so many bytes.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self {
            places: HashMap::new(),
            order: VecDeque::new(),
            // Tables and queues are up to half empty.
            count_max: (bytes_max / (2 * Self::ENTRY_BYTES)).max(1),
        }
    }

    const ENTRY_BYTES: usize = size_of::<(JoinKey, CallPlace)>() + size_of::<(u64, JoinKey)>();

    /// A call is there, or elsewhere than before.
    pub fn set(&mut self, key: JoinKey, place: CallPlace, now_ns: u64) {
        if self.places.insert(key, place).is_none() {
            self.order.push_back((now_ns, key));
        }
        while self.order.len() > self.count_max {
            self.forget_first();
        }
    }

    /// Where it is, if that is remembered.
    #[must_use]
    pub fn get(&self, key: &JoinKey) -> Option<&CallPlace> {
        self.places.get(key)
    }

    /// Forgets those that are too old.
    pub fn tick(&mut self, now_ns: u64) {
        let age_max = REMEMBERED.as_nanos() as u64;
        while let Some((came_ns, _)) = self.order.front()
            && now_ns.saturating_sub(*came_ns) >= age_max
        {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some((_, key)) = self.order.pop_front() {
            self.places.remove(&key);
        }
    }

    /// Bytes of memory that they take.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        heap::table::<(JoinKey, CallPlace)>(self.places.capacity())
            + heap::vec::<(u64, JoinKey)>(self.order.capacity())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(at: u64) -> JoinKey {
        JoinKey { starts: [1, 2], at }
    }

    #[test]
    fn the_oldest_are_forgotten_by_number_and_by_age() {
        let mut table = CallTable::new(4 * 2 * CallTable::ENTRY_BYTES);
        for at in 0..6 {
            table.set(key(at), CallPlace::Begun, at);
            // It is where it was, and no younger.
            table.set(key(at), CallPlace::Untold, at + 1);
        }
        let known = |table: &CallTable| {
            let known = (0..6).filter(|at| table.get(&key(*at)).is_some());
            known.collect::<Vec<_>>()
        };
        assert_eq!(known(&table), [2, 3, 4, 5]);
        assert_eq!(table.get(&key(5)), Some(&CallPlace::Untold));
        table.tick(REMEMBERED.as_nanos() as u64 + 3);
        assert_eq!(known(&table), [4, 5]);
        assert!(table.memory_bytes() > 0);
    }
}
