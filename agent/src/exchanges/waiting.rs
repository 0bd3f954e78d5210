//! Finished exchanges that wait for what they lack before they become spans: the addresses of a TLS
//! object whose socket is not known yet, the description of a process that is being looked at. They
//! wait in record time and within bounds, so that a replay waits as the live run did. It makes no
//! spans.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;
use wirespan_common::record::ConnectionId;
use wirespan_protocols::exchange::Exchange;
use wirespan_protocols::heap;

use super::LiveExchange;
use crate::endpoints::{Endpoints, Via};
use crate::processes::DESCRIBED_WITHIN_NS;

/// How long one waits, in nanoseconds of record time: as long as a description may take.
const WAIT_NS: u64 = DESCRIBED_WITHIN_NS;
/// How many wait, of all processes and of one; further ones are told as they are.
const WAITING_MAX: usize = 1024;
const WAITING_PER_PROCESS_MAX: u32 = 256;

/// An exchange with what its span is made of, apart from its connection, which may be gone by then.
#[derive(Debug)]
pub struct Finished {
    pub exchange: Exchange,
    /// What was known when it began.
    pub live: LiveExchange,
    pub connection: ConnectionId,
    pub endpoints: Option<Endpoints>,
    pub is_encrypted: bool,
    pub server_name: Option<Arc<str>>,
    /// Who is behind its ends.
    pub via: Option<Box<Via>>,
    /// In force when it was over.
    pub wall_offset_ns: i64,
}

/// What is known of a connection's ends.
#[derive(Clone, Copy, Debug)]
pub struct Addresses<'a> {
    pub endpoints: Option<&'a Endpoints>,
    pub server_name: Option<&'a Arc<str>>,
    pub via: Option<&'a Via>,
}

/// What an exchange waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lacks {
    pub addresses: bool,
    pub description: bool,
}

impl Lacks {
    pub fn anything(self) -> bool {
        self.addresses || self.description
    }
}

#[derive(Debug)]
struct Held {
    finished: Finished,
    lacks: Lacks,
    until_ns: u64,
    /// What it was counted with. Texts are shared, so that later it may be worth more or less.
    bytes: usize,
}

/// Those that wait, in the order in which they were over.
#[derive(Debug, Default)]
pub struct Waiting {
    held: VecDeque<Held>,
    by_owner: HashMap<u32, u32>,
    /// Of memory that their texts take.
    bytes: usize,
}

impl Waiting {
    /// Whether there is room for one more of this process.
    pub fn has_room(&self, owner: u32) -> bool {
        let of_owner = self.by_owner.get(&owner).copied().unwrap_or_default();
        self.held.len() < WAITING_MAX && of_owner < WAITING_PER_PROCESS_MAX
    }

    /// Bytes of memory that they take.
    pub fn memory_bytes(&self) -> usize {
        self.bytes + heap::vec::<Held>(self.held.capacity())
    }

    /// Lets one wait from `now_ns` on.
    pub fn hold(&mut self, finished: Finished, lacks: Lacks, now_ns: u64) {
        *self.by_owner.entry(finished.live.owner).or_default() += 1;
        let bytes = finished.exchange.family.heap_bytes();
        self.bytes += bytes;
        self.held.push_back(Held {
            finished,
            lacks,
            bytes,
            until_ns: now_ns.saturating_add(WAIT_NS),
        });
    }

    /// Nothing waits longer than until then, in nanoseconds of record time.
    pub fn until_ns(&self) -> Option<u64> {
        Some(self.held.front()?.until_ns)
    }

    /// Takes one that has waited long enough.
    pub fn take_late(&mut self, now_ns: u64) -> Option<Finished> {
        self.until_ns().filter(|until_ns| *until_ns <= now_ns)?;
        self.take_first()
    }

    /// Takes the one that waits longest.
    pub fn take_first(&mut self) -> Option<Finished> {
        let held = self.held.pop_front()?;
        self.count_out(&held);
        Some(held.finished)
    }

    /// A process was described: those that lack nothing any more.
    pub fn described(&mut self, owner: u32) -> Vec<Finished> {
        if !self.by_owner.contains_key(&owner) {
            return Vec::new();
        }
        self.release(|held| {
            if held.finished.live.owner == owner {
                held.lacks.description = false;
            }
        })
    }

    /// What is known of a connection's addresses now is all that will be: those that lack nothing
    /// any more.
    pub fn addressed(&mut self, connection: ConnectionId, known: Addresses<'_>) -> Vec<Finished> {
        self.release(
            |Held {
                 finished, lacks, ..
             }| {
                if lacks.addresses && finished.connection == connection {
                    lacks.addresses = false;
                    finished.endpoints = known.endpoints.cloned();
                    finished.server_name = known.server_name.cloned();
                    finished.via = known.via.cloned().map(Box::new);
                }
            },
        )
    }

    fn release(&mut self, mut tell: impl FnMut(&mut Held)) -> Vec<Finished> {
        let mut released = Vec::new();
        if self.held.is_empty() {
            return released;
        }
        for mut held in std::mem::take(&mut self.held) {
            tell(&mut held);
            if held.lacks.anything() {
                self.held.push_back(held);
            } else {
                self.count_out(&held);
                released.push(held.finished);
            }
        }
        released
    }

    fn count_out(&mut self, held: &Held) {
        let owner = held.finished.live.owner;
        self.bytes -= held.bytes;
        if let Some(count) = self.by_owner.get_mut(&owner) {
            *count -= 1;
            if *count == 0 {
                self.by_owner.remove(&owner);
            }
        }
    }
}
