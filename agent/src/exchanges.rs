//! The life of exchanges, from the head of a request to the span: those that are open, and those
//! that are over and wait for what they lack. A conversation tells when one begins and ends
//! ([`ConnectionListener`]). It parses nothing and makes no spans.
//!
//! Trace and span ids are given out when an exchange begins, in the order of the records, so that
//! whatever happens while it is open can refer to it, and a replay gives the same ones.

mod listener;
mod live;
mod material;
mod waiting;

pub use listener::ConnectionListener;
pub use live::{LiveExchange, LiveExchanges};
pub use material::Material;
pub use waiting::{Addresses, Finished, Lacks, Waiting};

use wirespan_protocols::exchange::Ticket;
use wirespan_protocols::listener::Beginning;

use crate::trace_context::TraceContext;

/// All that are open or wait.
#[derive(Debug)]
pub struct Exchanges {
    trace_context: TraceContext,
    live: LiveExchanges,
    /// Those that are over.
    pub waiting: Waiting,
}

impl Exchanges {
    /// None yet; ids will be taken from `trace_context`.
    #[must_use]
    pub fn new(trace_context: TraceContext) -> Self {
        Self {
            trace_context,
            live: LiveExchanges::default(),
            waiting: Waiting::default(),
        }
    }

    /// One of this process begins.
    pub fn begin(&mut self, beginning: &Beginning, owner: u32) -> Ticket {
        let context = self.trace_context.place(beginning.role, beginning.context);
        self.live.begin(LiveExchange { context, owner })
    }

    /// One ended, or was none; `None` if that was told before.
    pub fn end(&mut self, ticket: Ticket) -> Option<LiveExchange> {
        self.live.end(ticket)
    }

    /// How many are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.live.len()
    }

    /// Bytes of memory that they take.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.live.memory_bytes() + self.waiting.memory_bytes()
    }
}
