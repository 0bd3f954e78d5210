//! What the spans of all connections are made of, and the making.

use std::sync::Arc;

use wirespan_protocols::exchange::Exchange;

use super::{Exchanges, Finished, LiveExchange};
use crate::endpoints::HostMemo;
use crate::health::{Health, Loss};
use crate::learnt::LearntStore;
use crate::outlet::{Observation, Outlet};
use crate::processes::Processes;
use crate::span::{Ends, SpanMaker, Surroundings};

/// All that is there beside connections.
#[derive(Debug)]
pub struct Material {
    /// Whose exchanges they are.
    pub processes: Processes,
    /// Makes spans.
    pub spans: SpanMaker,
    /// What connections learnt for each other.
    pub learnt: LearntStore,
    /// Those that are open, or wait.
    pub exchanges: Exchanges,
    /// Add it to a record's time to get nanoseconds since the Unix epoch.
    pub wall_offset_ns: i64,
    /// Time of the record that is heard.
    pub now_ns: u64,
    /// Who counts losses.
    pub health: Arc<Health>,
    /// Spans made since somebody took the number.
    pub spans_made: u64,
}

impl Material {
    /// Makes spans of what has waited.
    pub fn tell(&mut self, finished: impl IntoIterator<Item = Finished>, out: &mut dyn Outlet) {
        for it in finished {
            let surroundings = Surroundings {
                resource: self.processes.resource(it.live.owner),
                ends: Ends {
                    addresses: it.endpoints.as_ref(),
                    is_encrypted: it.is_encrypted,
                    server_name: it.server_name.as_ref(),
                    via: it.via.as_deref(),
                },
                hosts: &mut HostMemo::default(),
                wall_offset_ns: it.wall_offset_ns,
            };
            let spans = &mut self.spans;
            self.spans_made += deliver(spans, it.exchange, it.live, surroundings, out);
        }
    }

    /// Makes spans of what has waited long enough, as it is.
    pub fn tell_late(&mut self, out: &mut dyn Outlet) {
        while let Some(late) = self.exchanges.waiting.take_late(self.now_ns) {
            self.health.lose(Loss::Incomplete, 1);
            self.tell([late], out);
        }
    }
}

/// Shows an exchange to who counts, and makes its span, if anybody wants one; how many were made.
pub(super) fn deliver(
    spans: &mut SpanMaker,
    exchange: Exchange,
    live: LiveExchange,
    surroundings: Surroundings<'_>,
    out: &mut dyn Outlet,
) -> u64 {
    out.observe(&Observation {
        exchange: &exchange,
        resource: surroundings.resource,
        ends: surroundings.ends,
    });
    if spans.ignores(&exchange) {
        return 0;
    }
    out.span(spans.make(exchange, live.context, surroundings));
    1
}
