//! The table of live connections: who owns each, what it has said so far, when it was last heard
//! of. It bounds how many are remembered. It makes no spans and talks to no kernel: what the kernel
//! side should be told piles up as [`ToKernel`] until somebody takes it.

mod again;
mod connection;
mod order;
mod owners;
mod weights;

use hashbrown::HashMap;
use wirespan_common::record::ConnectionId;
use wirespan_protocols::heap;

pub use again::{Again, Identity};
use connection::Awaited;
pub use connection::Connection;
use order::{SlotLinks, SlotList};
pub use owners::Owners;
use weights::Weights;

/// Connections remembered; of more, the least recently active are forgotten.
pub const CONNECTIONS_MAX: usize = 65_536;
/// A connection that says nothing for this long (in record time) and has nothing outstanding is
/// forgotten. Long, because nothing is wrong with it and its addresses cannot be had again: it
/// only keeps what lost its end from staying for good.
pub const IDLE_NS_MAX: u64 = 3600 * 1_000_000_000;
/// How often the table looks for idle connections.
const IDLE_LOOK_NS: u64 = 1_000_000_000;
/// Of how many idle connections it is asked then whether something is outstanding.
const IDLE_LOOKS_MAX: usize = 1024;
/// By how many bytes what is counted for a connection may be wrong: what an ordinary request adds
/// until it is answered.
const UNWEIGHED_MAX: usize = 512;
/// Requests to the kernel side that pile up; beyond that nobody is taking them.
const TO_KERNEL_MAX: usize = 65_536;

/// What the kernel side should be told. All of it is advice: nothing is wrong if it is lost, only
/// dearer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToKernel {
    /// What a connection turned out to be.
    Verdict {
        /// Which one.
        connection: ConnectionId,
        /// Protocol found, or nothing worth copying.
        verdict: wirespan_common::watch::Verdict,
    },
    /// The verdict on a connection is that its bytes are not wanted any more, and there was another
    /// one before, with which the kernel side is content until it is made to look.
    EndCopying {
        /// Which one.
        connection: ConnectionId,
    },
    /// A head did not fit: this process needs larger copies.
    RaiseBudget {
        /// Which process.
        tgid: u32,
    },
    /// This process speaks TLS on a socket: it is time to know its libraries.
    TlsSeen {
        /// Which process.
        tgid: u32,
    },
    /// The connection is not remembered any more; if it goes on, it begins anew with an `Open`.
    Forget {
        /// Which one.
        connection: ConnectionId,
    },
}

/// The table.
#[derive(Debug)]
pub struct Connections {
    connections_max: usize,
    slots: HashMap<ConnectionId, u32>,
    connections: Vec<Option<Box<Connection>>>,
    free: Vec<u32>,
    /// Least recently active first.
    recency: SlotList,
    recency_links: SlotLinks,
    /// Those whose exchange ends in bytes that are only counted; longest silent first.
    awaiting: SlotList,
    /// Those with a request whose response has not begun; longest silent first.
    unanswered: SlotList,
    /// Of both.
    awaiting_links: SlotLinks,
    by_owner: HashMap<u32, SlotList>,
    owner_links: SlotLinks,
    weights: Weights,
    /// Connections whose number is below this one are let go.
    left_out_below: u32,
    /// The latest record's time.
    now_ns: u64,
    look_ns: u64,
    to_kernel: Vec<ToKernel>,
}

/// Where a connection stands in the table, until the next change.
pub type Slot = u32;

impl Connections {
    /// An empty table with room for `connections_max`, at least one.
    #[must_use]
    pub fn new(connections_max: usize) -> Self {
        Self {
            connections_max: connections_max.max(1),
            slots: HashMap::new(),
            connections: Vec::new(),
            free: Vec::new(),
            recency: SlotList::default(),
            recency_links: SlotLinks::default(),
            awaiting: SlotList::default(),
            unanswered: SlotList::default(),
            awaiting_links: SlotLinks::default(),
            by_owner: HashMap::new(),
            owner_links: SlotLinks::default(),
            weights: Weights::default(),
            left_out_below: 0,
            now_ns: 0,
            look_ns: 0,
            to_kernel: Vec::new(),
        }
    }

    /// Connections whose number is below this one are let go from now on, each once nothing is open
    /// on it.
    pub fn leave_out_below(&mut self, below: u32) {
        self.left_out_below = below;
    }

    /// Finds a connection.
    #[must_use]
    pub fn find(&self, id: ConnectionId) -> Option<Slot> {
        self.slots.get(&id).copied()
    }

    /// The connection in a slot that was just handed out.
    ///
    /// # Panics
    /// If the slot is empty: the caller kept it across a change.
    pub fn at(&mut self, slot: Slot) -> &mut Connection {
        self.connections[slot as usize]
            .as_mut()
            .expect("a slot is used before the table changes")
    }

    /// Finds a connection or begins to remember it, and notes that it is active. If there is no
    /// room, the least recently active is taken out and returned.
    pub fn touch(
        &mut self,
        id: ConnectionId,
        tgid: u32,
        time_ns: u64,
    ) -> (Slot, Option<Box<Connection>>) {
        self.now_ns = self.now_ns.max(time_ns);
        if let Some(slot) = self.find(id) {
            self.note_active(slot);
            return (slot, None);
        }
        let evicted = if self.slots.len() >= self.connections_max {
            self.recency.first().and_then(|slot| self.take(slot))
        } else {
            None
        };
        if let Some(evicted) = &evicted {
            self.tell_forgotten(evicted);
        }
        (self.insert(id, tgid), evicted)
    }

    /// Notes that `tgid` moves bytes over the connection.
    pub fn used_by(&mut self, slot: Slot, tgid: u32, time_ns: u64) {
        let owners = &mut self.at(slot).owners;
        if owners.current != tgid {
            let former = owners.current;
            owners.hand_over(tgid, time_ns);
            self.change_owner(slot, former, tgid);
        }
        self.at(slot).owners.active = true;
    }

    /// Counts what a connection takes by now.
    pub fn weigh(&mut self, slot: Slot) {
        if let Some(connection) = self.connections[slot as usize].as_deref_mut() {
            connection.weighed_at = connection.conversation.growing_bytes();
            self.weights.set(slot, connection.memory_bytes());
        }
    }

    /// The same after something was said on it, unless it takes about as much as before.
    pub fn weigh_again(&mut self, slot: Slot) {
        let connection = self.at(slot);
        let growing_bytes = connection.conversation.growing_bytes();
        if growing_bytes.abs_diff(connection.weighed_at) >= UNWEIGHED_MAX {
            self.weigh(slot);
        }
    }

    /// Bytes that all connections take, without the table.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.weights.total()
    }

    /// Bytes of memory that all connections take, and the table itself.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        const PER_SLOT: usize = size_of::<Option<Box<Connection>>>()
            + size_of::<u32>()
            + 3 * SlotLinks::PER_SLOT
            + Weights::PER_SLOT;
        self.weights.total()
            + heap::block(self.connections.capacity() * PER_SLOT)
            + heap::table::<(ConnectionId, u32)>(self.slots.capacity())
            + heap::table::<(u32, SlotList)>(self.by_owner.capacity())
            + heap::vec::<ToKernel>(self.to_kernel.capacity())
    }

    /// Takes out the connection that is worth the most memory and the least else: one of the
    /// largest that have been silent longest.
    pub fn take_worst(&mut self) -> Option<Box<Connection>> {
        let now_ns = self.now_ns;
        let slot = self.weights.worst(self.recency.first(), |slot| {
            let connection = self.connections[slot as usize].as_deref();
            connection.map_or(0, |connection| now_ns.saturating_sub(connection.last_ns))
        })?;
        let worst = self.take(slot)?;
        self.tell_forgotten(&worst);
        Some(worst)
    }

    /// Notes what the connection's conversation has come to, after it heard something.
    /// `raise_budget` is asked whether this is the first head of a process that did not fit.
    pub fn settle(&mut self, slot: Slot, raise_budget: impl FnOnce(u32) -> bool) {
        use wirespan_common::watch::Verdict;

        let left_out_below = self.left_out_below;
        let connection = self.at(slot);
        let id = connection.id;
        let tgid = connection.owners.current;
        let head_was_cut = connection.conversation.take_head_was_cut();
        if connection.carries || connection.is_let_go() {
            return;
        }
        let verdict = match connection.may_be_let_go(left_out_below) {
            true => Some(Verdict::LeftOut),
            false => connection.verdict_for_kernel(),
        };
        let news = verdict.filter(|_| verdict != connection.told);
        let begins_tls = connection.conversation.begins_tls() && !connection.begins_tls;
        if begins_tls {
            connection.begins_tls = true;
            // An object's was told by its carrier, and stays until another handshake begins in it.
            let name = connection.conversation.server_name();
            connection.server_name = name.map(Into::into);
        }
        let is_revised = news.is_some() && connection.told.is_some();
        if news.is_some() {
            connection.told = news;
            connection.told_framings = connection.conversation.framings();
        }
        let awaits = connection.awaits();
        let awaited = std::mem::replace(&mut connection.awaiting, awaits);
        if let Some(awaited) = awaited {
            self.stop_awaiting(slot, awaited);
        }
        match awaits {
            Some(Awaited::Progress) => self.awaiting.push_last(&mut self.awaiting_links, slot),
            Some(Awaited::Response) => self.unanswered.push_last(&mut self.awaiting_links, slot),
            None => {}
        }
        if begins_tls {
            self.tell(ToKernel::TlsSeen { tgid });
        }
        if let Some(verdict) = news {
            self.tell(ToKernel::Verdict {
                connection: id,
                verdict,
            });
            // The kernel side may have come to a verdict of its own on what is let go.
            let is_final = matches!(verdict, Verdict::Ignored | Verdict::Carrier);
            if is_revised && is_final || verdict == Verdict::LeftOut {
                self.tell(ToKernel::EndCopying { connection: id });
            }
        }
        if head_was_cut && raise_budget(tgid) {
            self.tell(ToKernel::RaiseBudget { tgid });
        }
    }

    /// Connections whose progress somebody should ask for, as no record of theirs came since
    /// `quiet_since_ns`: those that were reset, and those with an exchange that ends in bytes that
    /// are only counted. The one that has been silent longest comes first; the work is proportional
    /// to what is returned.
    ///
    /// Who asks and finds that a connection is gone says so with a record of its end.
    pub fn wants_progress(&self, quiet_since_ns: u64) -> impl Iterator<Item = ConnectionId> + '_ {
        self.silent_of(&self.awaiting, quiet_since_ns)
    }

    /// Connections whose existence somebody should check: those with a request whose response has
    /// not begun, and of which no record came since `quiet_since_ns`. The answer is a record too.
    pub fn wants_look(&self, quiet_since_ns: u64) -> impl Iterator<Item = ConnectionId> + '_ {
        self.silent_of(&self.unanswered, quiet_since_ns)
    }

    /// Somebody asked about a connection, whatever the answer is: others come first the next time.
    pub fn asked(&mut self, id: ConnectionId) {
        let Some(slot) = self.find(id) else {
            return;
        };
        let list = match self.at(slot).awaiting {
            Some(Awaited::Progress) => &mut self.awaiting,
            Some(Awaited::Response) => &mut self.unanswered,
            None => return,
        };
        list.move_last(&mut self.awaiting_links, slot);
    }

    fn silent_of(
        &self,
        list: &SlotList,
        quiet_since_ns: u64,
    ) -> impl Iterator<Item = ConnectionId> + '_ {
        list.iter(&self.awaiting_links)
            .filter_map(|slot| self.connections[slot as usize].as_deref())
            .take_while(move |connection| connection.last_ns <= quiet_since_ns)
            .map(|connection| connection.id)
    }

    fn stop_awaiting(&mut self, slot: Slot, awaited: Awaited) {
        let list = match awaited {
            Awaited::Progress => &mut self.awaiting,
            Awaited::Response => &mut self.unanswered,
        };
        list.remove(&mut self.awaiting_links, slot);
    }

    /// The kernel side forgot a connection that goes on, and counts anew from here. What it was
    /// told is told again.
    pub fn resume(&mut self, slot: Slot) {
        let connection = self.at(slot);
        connection.bases = connection.seen.map(|seen| seen.max(connection.missed));
        let id = connection.id;
        if !connection.is_ignored() {
            connection.told = None;
        } else if let Some(verdict) = connection.told {
            self.tell(ToKernel::Verdict {
                connection: id,
                verdict,
            });
        }
    }

    /// Takes out a connection.
    pub fn remove(&mut self, id: ConnectionId) -> Option<Box<Connection>> {
        let slot = self.find(id)?;
        self.take(slot)
    }

    /// Takes out a connection that has been idle for too long, if there is one.
    pub fn take_idle(&mut self, time_ns: u64) -> Option<Box<Connection>> {
        self.now_ns = self.now_ns.max(time_ns);
        if self.now_ns < self.look_ns {
            return None;
        }
        for _ in 0..IDLE_LOOKS_MAX {
            let Some(slot) = self.recency.first() else {
                break;
            };
            let now_ns = self.now_ns;
            let connection = self.at(slot);
            if now_ns.saturating_sub(connection.last_ns) < IDLE_NS_MAX {
                break;
            }
            if connection.conversation.has_open_exchange() {
                // Something is outstanding. It is looked at again when the others of its age have
                // been, and an hour later.
                self.note_active(slot);
                continue;
            }
            let idle = self.take(slot)?;
            self.tell_forgotten(&idle);
            return Some(idle);
        }
        self.look_ns = self.now_ns.saturating_add(IDLE_LOOK_NS);
        None
    }

    /// Takes out a connection of a process that ended, or hands it back to the last process that
    /// used it before and is still alive. `None` when there are no more.
    pub fn take_of(
        &mut self,
        tgid: u32,
        is_alive: impl Fn(u32) -> bool,
    ) -> Option<Box<Connection>> {
        while let Some(slot) = self.by_owner.get(&tgid).and_then(SlotList::first) {
            let owners = &mut self.at(slot).owners;
            let heir = owners
                .past
                .iter()
                .rev()
                .map(|(_, earlier)| *earlier)
                .find(|earlier| *earlier != tgid && is_alive(*earlier));
            if let Some(heir) = heir {
                owners.current = heir;
                self.change_owner(slot, tgid, heir);
                continue;
            }
            let id = self.at(slot).id;
            self.tell(ToKernel::Forget { connection: id });
            return self.take(slot);
        }
        None
    }

    /// Takes out the least recently active connection, whichever it is.
    pub fn take_first(&mut self) -> Option<Box<Connection>> {
        let slot = self.recency.first()?;
        self.take(slot)
    }

    /// All connections, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.connections.iter().flatten().map(Box::as_ref)
    }

    /// How many are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether none is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Takes what the kernel side should be told, oldest first.
    pub fn drain_to_kernel(&mut self) -> std::vec::Drain<'_, ToKernel> {
        self.to_kernel.drain(..)
    }

    fn insert(&mut self, id: ConnectionId, tgid: u32) -> Slot {
        let connection = Some(Box::new(Connection::new(id, tgid, self.now_ns)));
        let slot = match self.free.pop() {
            Some(slot) => {
                self.connections[slot as usize] = connection;
                slot
            }
            None => {
                let slot = self.connections.len() as Slot;
                self.connections.push(connection);
                slot
            }
        };
        self.slots.insert(id, slot);
        self.recency.push_last(&mut self.recency_links, slot);
        self.by_owner
            .entry(tgid)
            .or_default()
            .push_last(&mut self.owner_links, slot);
        self.weigh(slot);
        slot
    }

    fn take(&mut self, slot: Slot) -> Option<Box<Connection>> {
        let connection = self.connections[slot as usize].take()?;
        self.weights.set(slot, 0);
        self.slots.remove(&connection.id);
        self.recency.remove(&mut self.recency_links, slot);
        if let Some(awaited) = connection.awaiting {
            self.stop_awaiting(slot, awaited);
        }
        self.leave_owner(slot, connection.owners.current);
        self.free.push(slot);
        Some(connection)
    }

    fn note_active(&mut self, slot: Slot) {
        let now_ns = self.now_ns;
        self.at(slot).last_ns = now_ns;
        self.recency.move_last(&mut self.recency_links, slot);
        self.weights.note_active(slot);
    }

    fn change_owner(&mut self, slot: Slot, former: u32, tgid: u32) {
        self.leave_owner(slot, former);
        self.by_owner
            .entry(tgid)
            .or_default()
            .push_last(&mut self.owner_links, slot);
    }

    fn leave_owner(&mut self, slot: Slot, tgid: u32) {
        if let Some(list) = self.by_owner.get_mut(&tgid) {
            list.remove(&mut self.owner_links, slot);
            if list.first().is_none() {
                self.by_owner.remove(&tgid);
            }
        }
    }

    /// The kernel side need not forget what it ignores: if it did, it would copy it again.
    fn tell_forgotten(&mut self, connection: &Connection) {
        if !connection.is_ignored() {
            self.tell(ToKernel::Forget {
                connection: connection.id,
            });
        }
    }

    fn tell(&mut self, what: ToKernel) {
        if self.to_kernel.len() < TO_KERNEL_MAX {
            self.to_kernel.push(what);
        }
    }
}

#[cfg(test)]
mod tests;
