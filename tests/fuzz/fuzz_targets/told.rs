//! What a conversation told, and what holds of it whatever the bytes are.

use std::collections::HashSet;

use wirespan_protocols::exchange::{Exchange, Outcome, Ticket};
use wirespan_protocols::listener::{Beginning, Discard, Listener};

/// Counts, and checks.
#[derive(Default)]
pub struct Told {
    pub exchanges: u64,
    begun: u64,
    open: HashSet<Ticket>,
}

impl Told {
    /// All that began has ended or was none.
    pub fn check_over(&self) {
        assert!(self.open.is_empty(), "{:?}", self.open);
    }
}

impl Listener for Told {
    fn begin(&mut self, _beginning: Beginning<'_>) -> Ticket {
        self.begun += 1;
        self.open.insert(Ticket(self.begun));
        Ticket(self.begun)
    }

    fn end(&mut self, exchange: Exchange) {
        assert!(self.open.remove(&exchange.ticket), "it ends once");
        assert!(exchange.start_ns <= exchange.end_ns);
        if exchange.outcome == Outcome::Complete
            && let Some(http) = exchange.family.http()
        {
            assert!(http.response.is_some());
        }
        self.exchanges += 1;
    }

    fn withdraw(&mut self, ticket: Ticket) {
        assert!(self.open.remove(&ticket), "it ends once");
    }

    fn discard(&mut self, _what: Discard) {}
}
