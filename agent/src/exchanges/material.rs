//! What the spans of all connections are made of, and the making.

use std::sync::Arc;

use super::{Exchanges, Finished, Teller};
use crate::endpoints::HostMemo;
use crate::health::{Health, Loss};
use crate::learnt::LearntStore;
use crate::outlet::Outlet;
use crate::processes::Processes;
use crate::span::{Ends, Surroundings};
use crate::trace_context::Propagation;

/// Between two looks at what has waited long enough, in nanoseconds of record time: a look at each
/// record costs more than some records do.
const LOOK_NS: u64 = 1_000_000;

/// All that is there beside connections.
#[derive(Debug)]
pub struct Material {
    /// Whose exchanges they are.
    pub processes: Processes,
    /// Makes spans.
    pub teller: Teller,
    /// Which of what headers say is believed.
    pub propagation: Propagation,
    /// Spans of processes that export traces themselves are left to these.
    pub leaves_to_sdks: bool,
    /// Processes of which it became known that they do.
    pub exporters: Vec<u32>,
    /// What connections learnt for each other.
    pub learnt: LearntStore,
    /// Those that are open, or wait.
    pub exchanges: Exchanges,
    /// Add it to a record's time to get nanoseconds since the Unix epoch.
    pub wall_offset_ns: i64,
    /// Time of the record that is heard.
    pub now_ns: u64,
    /// When it was last looked at what has waited long enough.
    pub looked_ns: u64,
    /// Who counts losses.
    pub health: Arc<Health>,
}

impl Material {
    /// Whether spans of what a process does from now on are left to an SDK in it.
    #[inline]
    pub fn leaves_to_sdk(&self, owner: u32) -> bool {
        self.leaves_to_sdks && self.processes.exports_itself(owner)
    }

    /// Makes spans of what has waited.
    pub fn tell(&mut self, finished: impl IntoIterator<Item = Finished>, out: &mut dyn Outlet) {
        for it in finished {
            let surroundings = Surroundings {
                resource: self.processes.resource(it.placed.owner),
                ends: Ends {
                    addresses: it.endpoints.as_ref(),
                    is_encrypted: it.is_encrypted,
                    server_name: it.server_name.as_ref(),
                    via: it.via.as_deref(),
                },
                hosts: &mut HostMemo::default(),
                wall_offset_ns: it.wall_offset_ns,
            };
            self.teller
                .tell(self.now_ns, it.exchange, it.placed, surroundings, out);
        }
    }

    /// Whether it is time to look at what has waited long enough, or is too much.
    #[inline]
    pub fn is_look_due(&self) -> bool {
        self.now_ns.wrapping_sub(self.looked_ns) >= LOOK_NS || self.exchanges.links.is_full()
    }

    /// Makes spans of what has waited long enough, as it is, and of what waited for its trace and
    /// knows it now.
    pub fn tell_due(&mut self, out: &mut dyn Outlet) {
        self.looked_ns = self.now_ns;
        while let Some(late) = self.exchanges.waiting.take_late(self.now_ns) {
            self.health.lose(Loss::Incomplete, 1);
            self.tell(late, out);
        }
        self.exchanges.links.tick(self.now_ns);
        self.tell_settled(out);
        self.teller.tail.tick(self.now_ns, out);
    }

    /// There will be no more records: makes spans of all that waits.
    pub fn tell_rest(&mut self, out: &mut dyn Outlet) {
        self.exchanges.links.finish();
        self.tell_settled(out);
        while let Some(finished) = self.exchanges.waiting.take_first() {
            self.tell([finished], out);
        }
        self.teller.tail.finish(out);
    }

    /// Makes spans of what waited for its trace and knows it now.
    pub fn tell_settled(&mut self, out: &mut dyn Outlet) {
        while let Some(node) = self.exchanges.links.next_settled() {
            if let Some((placed, _)) = self.exchanges.placed(node) {
                let settled = self.exchanges.waiting.settled(node, placed);
                self.tell(settled, out);
            }
        }
    }
}
