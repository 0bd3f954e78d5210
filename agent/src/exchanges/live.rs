//! Exchanges that have begun and not ended: where each stands in its trace, and whose it is.
//! Whatever asks for one that is open finds it by its ticket. It bounds nothing: requests are
//! bounded where they are remembered, and each of them is here once.

use wirespan_protocols::exchange::Ticket;
use wirespan_protocols::heap;

use crate::trace_context::SpanContext;

/// Room for more than this is given back once most of it is empty.
const ROOM_KEPT: usize = 1024;

/// An exchange that has begun.
#[derive(Clone, Copy, Debug)]
pub struct LiveExchange {
    /// Of its span.
    pub context: SpanContext,
    /// The process that it belongs to.
    pub owner: u32,
}

/// All that have begun and not ended.
#[derive(Debug, Default)]
pub struct LiveExchanges {
    /// By the low half of their tickets; with the high half, which no two of a place share.
    places: Vec<Option<(u32, LiveExchange)>>,
    /// Places that were left. Those that are no more are passed over when their turn comes.
    left: Vec<u32>,
    serial: u32,
    open: usize,
}

impl LiveExchanges {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open
    }

    /// Bytes of memory that they take.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        heap::vec::<Option<(u32, LiveExchange)>>(self.places.capacity())
            + heap::vec::<u32>(self.left.capacity())
    }

    /// One begins.
    pub fn begin(&mut self, exchange: LiveExchange) -> Ticket {
        self.open += 1;
        self.serial = self.serial.wrapping_add(1);
        let entry = Some((self.serial, exchange));
        while let Some(place) = self.left.pop() {
            if let Some(free @ None) = self.places.get_mut(place as usize) {
                *free = entry;
                return ticket(self.serial, place);
            }
        }
        self.places.push(entry);
        // There is less memory than would make more of them.
        ticket(self.serial, (self.places.len() - 1) as u32)
    }

    /// One ended, or was none; `None` if that was told before.
    pub fn end(&mut self, ticket: Ticket) -> Option<LiveExchange> {
        let place = ticket.0 as u32;
        let serial = (ticket.0 >> 32) as u32;
        let (_, exchange) = self
            .places
            .get_mut(place as usize)?
            .take_if(|(known, _)| *known == serial)?;
        self.open -= 1;
        self.left.push(place);
        if self.open == 0 && self.places.len() > ROOM_KEPT {
            (self.places, self.left) = (Vec::new(), Vec::new());
        }
        Some(exchange)
    }
}

fn ticket(serial: u32, place: u32) -> Ticket {
    Ticket(u64::from(serial) << 32 | u64::from(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(owner: u32) -> LiveExchange {
        LiveExchange {
            context: SpanContext {
                trace_id: [1; 16],
                span_id: [1; 8],
                parent: None,
                flags: 0,
            },
            owner,
        }
    }

    #[test]
    fn a_ticket_is_good_once() {
        let mut live = LiveExchanges::default();
        let first = live.begin(of(1));
        let second = live.begin(of(2));
        assert_eq!(live.end(first).map(|it| it.owner), Some(1));
        let third = live.begin(of(3));
        assert!(live.end(first).is_none(), "its place is somebody else's");
        assert_eq!(live.end(third).map(|it| it.owner), Some(3));
        assert_eq!(live.end(second).map(|it| it.owner), Some(2));
        assert_eq!(live.len(), 0);
    }

    #[test]
    fn places_are_used_again_and_given_back() {
        let mut live = LiveExchanges::default();
        let many: Vec<_> = (0..4 * ROOM_KEPT as u32)
            .map(|n| live.begin(of(n)))
            .collect();
        let full = live.memory_bytes();
        for ticket in &many[1..] {
            live.end(*ticket).expect("open");
        }
        for n in 1..many.len() as u32 {
            live.begin(of(n));
        }
        assert_eq!(live.places.len(), many.len());
        assert!(live.memory_bytes() >= full);
        for place in 0..many.len() {
            let (serial, _) = live.places[place].expect("open");
            live.end(ticket(serial, place as u32)).expect("open");
        }
        assert_eq!(live.memory_bytes(), 0);
    }
}
