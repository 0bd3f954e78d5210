//! Requests that are over for longer than what they started may be part of them: where they stand,
//! for a while, so that what comes of them all the same can point at them. It links nothing.

use std::collections::VecDeque;

use hashbrown::HashMap;
use wirespan_protocols::heap;

use super::NodeId;
use crate::trace_context::SpanContext;

/// How long they are remembered, in nanoseconds of record time.
const REMEMBERED_NS: u64 = 60_000_000_000;
/// How many are.
const REMEMBERED_MAX: usize = 8 * 1024;

/// They.
#[derive(Debug, Default)]
pub(super) struct Gone {
    /// Each until that time.
    places: HashMap<NodeId, (u64, SpanContext)>,
    order: VecDeque<(u64, NodeId)>,
}

impl Gone {
    /// One that ended then is forgotten otherwise.
    pub fn add(&mut self, id: NodeId, context: SpanContext, ended_ns: u64) {
        while let Some(&(until_ns, oldest)) = self.order.front()
            && (until_ns <= ended_ns || self.order.len() >= REMEMBERED_MAX)
        {
            self.order.pop_front();
            self.places.remove(&oldest);
        }
        let until_ns = ended_ns.saturating_add(REMEMBERED_NS);
        self.places.insert(id, (until_ns, context));
        self.order.push_back((until_ns, id));
    }

    /// Where one stands.
    pub fn get(&self, id: NodeId, now_ns: u64) -> Option<SpanContext> {
        let (until_ns, context) = self.places.get(&id)?;
        (now_ns < *until_ns).then_some(*context)
    }

    /// Memory is scarce.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Bytes of memory that they take.
    pub fn memory_bytes(&self) -> usize {
        heap::table::<(NodeId, (u64, SpanContext))>(self.places.capacity())
            + heap::vec::<(u64, NodeId)>(self.order.capacity())
    }
}

#[cfg(test)]
mod tests {
    use wirespan_protocols::exchange::Ticket;

    use super::*;

    #[test]
    fn only_so_many_are_remembered_and_only_so_long() {
        let context = SpanContext {
            trace_id: [1; 16],
            span_id: [2; 8],
            parent: None,
            flags: 1,
            decided: None,
            randomness: None,
        };
        let id = |number: usize| NodeId::of(Ticket(number as u64));
        let mut gone = Gone::default();
        for number in 0..=REMEMBERED_MAX {
            gone.add(id(number), context, 0);
        }
        assert!(gone.get(id(0), 0).is_none() && gone.get(id(1), 0).is_some());
        assert!(gone.get(id(1), REMEMBERED_NS).is_none());
        gone.add(id(0), context, REMEMBERED_NS);
        assert_eq!((gone.places.len(), gone.order.len()), (1, 1));
    }
}
