//! Finished exchanges that wait for what they lack before they become spans: the addresses of a TLS
//! object whose socket is not known yet, the description of a process that is being looked at, the
//! trace, while it is not known who asked for it. They wait in record time and within bounds, so
//! that a replay waits as the live run did. It makes no spans.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use wirespan_common::record::ConnectionId;
use wirespan_protocols::exchange::Exchange;
use wirespan_protocols::heap;

use super::Placed;
use crate::endpoints::{Endpoints, Via};
use crate::links::NodeId;
use crate::processes::DESCRIBED_WITHIN_NS;

/// How long one waits for addresses or a description, in nanoseconds of record time: as long as a
/// description may take.
const WAIT_NS: u64 = DESCRIBED_WITHIN_NS;
/// How many wait for those, of all processes and of one; further ones are told as they are.
const WAITING_MAX: usize = 1024;
const WAITING_PER_PROCESS_MAX: u32 = 256;
/// How many wait for their trace, of all processes. How long is the business of links.
const LINKING_MAX: usize = 64 * 1024;

/// An exchange with what its span is made of, apart from its connection, which may be gone by then.
#[derive(Debug)]
pub struct Finished {
    pub exchange: Exchange,
    /// By which links know it.
    pub node: NodeId,
    /// Where it stands, as far as that is known.
    pub placed: Placed,
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
    pub trace: bool,
}

impl Lacks {
    pub fn anything(self) -> bool {
        self.addresses || self.description || self.trace
    }
}

#[derive(Debug)]
struct Held {
    finished: Finished,
    lacks: Lacks,
    /// What it was counted with. Texts are shared, so that later it may be worth more or less.
    bytes: usize,
}

/// Until when one waits for anything but its trace, and in which order they were over.
type Key = (u64, u64);

/// Those that wait.
#[derive(Debug, Default)]
pub struct Waiting {
    held: BTreeMap<Key, Held>,
    serial: u64,
    /// Those that wait for their trace.
    by_node: HashMap<NodeId, Key>,
    /// How many wait for something else, by process and in all.
    by_owner: HashMap<u32, u32>,
    lacking: usize,
    /// How many wait for addresses.
    without_addresses: usize,
    /// Of memory that their texts take.
    bytes: usize,
}

impl Waiting {
    /// Whether there is room for one more of this process that lacks this.
    pub fn has_room(&self, owner: u32, lacks: Lacks) -> bool {
        let of_owner = self.by_owner.get(&owner).copied().unwrap_or_default();
        let is_ordinary = lacks.addresses || lacks.description;
        let has_room = self.lacking < WAITING_MAX && of_owner < WAITING_PER_PROCESS_MAX;
        (!is_ordinary || has_room) && (!lacks.trace || self.by_node.len() < LINKING_MAX)
    }

    /// Bytes of memory that they take.
    pub fn memory_bytes(&self) -> usize {
        self.bytes
            + self.held.len() * size_of::<(Key, Held)>()
            + heap::table::<(NodeId, Key)>(self.by_node.capacity())
    }

    /// Lets one wait from `now_ns` on.
    pub fn hold(&mut self, finished: Finished, lacks: Lacks, now_ns: u64) {
        self.serial += 1;
        let until_ns = if lacks.addresses || lacks.description {
            now_ns.saturating_add(WAIT_NS)
        } else {
            u64::MAX
        };
        let key = (until_ns, self.serial);
        if lacks.trace {
            self.by_node.insert(finished.node, key);
        }
        let bytes = finished.exchange.family.heap_bytes();
        self.bytes += bytes;
        let held = Held {
            finished,
            lacks,
            bytes,
        };
        self.count_in(&held);
        self.held.insert(key, held);
    }

    /// Nothing waits longer than until then, in nanoseconds of record time, but for its trace.
    pub fn until_ns(&self) -> Option<u64> {
        let (&(until_ns, _), _) = self.held.first_key_value()?;
        (until_ns != u64::MAX).then_some(until_ns)
    }

    /// Of one that has waited long enough for something else than its trace, takes that for
    /// missing; returns it if it waits for nothing else.
    pub fn take_late(&mut self, now_ns: u64) -> Option<Option<Finished>> {
        self.until_ns().filter(|until_ns| *until_ns <= now_ns)?;
        let (_, mut held) = self.held.pop_first()?;
        self.count_out(&held);
        if !held.lacks.trace {
            return Some(Some(self.leave(held)));
        }
        held.lacks = Lacks {
            trace: true,
            ..Lacks::default()
        };
        self.serial += 1;
        let key = (u64::MAX, self.serial);
        self.by_node.insert(held.finished.node, key);
        self.held.insert(key, held);
        Some(None)
    }

    /// Takes the one that waits longest, whatever it waits for.
    pub fn take_first(&mut self) -> Option<Finished> {
        let (_, held) = self.held.pop_first()?;
        self.by_node.remove(&held.finished.node);
        self.count_out(&held);
        Some(self.leave(held))
    }

    /// It is known where an exchange stands; returned if it lacks nothing any more.
    pub fn settled(&mut self, node: NodeId, placed: Placed) -> Option<Finished> {
        let key = self.by_node.remove(&node)?;
        let held = self.held.get_mut(&key)?;
        held.lacks.trace = false;
        held.finished.placed = placed;
        if held.lacks.anything() {
            return None;
        }
        let held = self.held.remove(&key)?;
        Some(self.leave(held))
    }

    /// A process was described: those that lack nothing any more.
    pub fn described(&mut self, owner: u32) -> Vec<Finished> {
        if !self.by_owner.contains_key(&owner) {
            return Vec::new();
        }
        self.release(|held| {
            if held.finished.placed.owner == owner {
                held.lacks.description = false;
            }
        })
    }

    /// What is known of a connection's addresses now is all that will be: those that lack nothing
    /// any more.
    pub fn addressed(&mut self, connection: ConnectionId, known: Addresses<'_>) -> Vec<Finished> {
        if self.without_addresses == 0 {
            return Vec::new();
        }
        self.release(|held| {
            let finished = &mut held.finished;
            if held.lacks.addresses && finished.connection == connection {
                held.lacks.addresses = false;
                finished.endpoints = known.endpoints.cloned();
                finished.server_name = known.server_name.cloned();
                finished.via = known.via.cloned().map(Box::new);
            }
        })
    }

    /// Lets `know` say what is not lacking any more, of those that lack something else than their
    /// trace, and takes those out that lack nothing.
    fn release(&mut self, mut know: impl FnMut(&mut Held)) -> Vec<Finished> {
        let mut released = Vec::new();
        let ordinary = ..(u64::MAX, 0);
        let keys: Vec<Key> = self.held.range(ordinary).map(|(key, _)| *key).collect();
        for key in keys {
            let Some(mut held) = self.held.remove(&key) else {
                continue;
            };
            self.count_out(&held);
            know(&mut held);
            if held.lacks.anything() {
                self.count_in(&held);
                self.held.insert(key, held);
            } else {
                released.push(self.leave(held));
            }
        }
        released
    }

    fn leave(&mut self, held: Held) -> Finished {
        self.bytes -= held.bytes;
        held.finished
    }

    /// It lacks something else than its trace.
    fn count_in(&mut self, held: &Held) {
        if held.lacks.addresses || held.lacks.description {
            *self.by_owner.entry(held.finished.placed.owner).or_default() += 1;
            self.lacking += 1;
            self.without_addresses += usize::from(held.lacks.addresses);
        }
    }

    fn count_out(&mut self, held: &Held) {
        if !held.lacks.addresses && !held.lacks.description {
            return;
        }
        self.lacking -= 1;
        self.without_addresses -= usize::from(held.lacks.addresses);
        let owner = held.finished.placed.owner;
        if let Some(count) = self.by_owner.get_mut(&owner) {
            *count -= 1;
            if *count == 0 {
                self.by_owner.remove(&owner);
            }
        }
    }
}
