//! The same exchange, seen at both ends of its connection on this node: the server's side was asked
//! for by the client's. Both ends of a TCP connection compute the same key from TCP's own numbers,
//! which addresses that are translated on the way leave as they are.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
pub use wirespan_common::carriers::OF_STREAM;
use wirespan_common::carriers::{client_span_id, derived_trace_id};
use wirespan_common::record::ConnectionId;
use wirespan_protocols::exchange::Role;
use wirespan_protocols::heap;

use super::turns::Turns;
use super::{Node, NodeId};

/// Addresses of this node that are remembered.
const ADDRESSES_MAX: usize = 4096;

/// What identifies a request among all that are made over TCP, wherever it is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct JoinKey {
    /// Sequence numbers of the first byte that the client sent, and of the first that the server
    /// did.
    pub starts: [u32; 2],
    /// Where the request begins in what the client sent, in bytes; or, with [`OF_STREAM`], the
    /// number of its stream; or, with [`OF_CARRIER`], where its encrypted bytes end.
    pub at: u64,
}

/// In [`JoinKey::at`]: it is a position in what carries a TLS connection.
pub const OF_CARRIER: u64 = 1 << 62;

impl JoinKey {
    /// The id of the client's span: whoever sees either end of the connection can compute it.
    #[must_use]
    pub fn span_id(&self) -> [u8; 8] {
        client_span_id(self.starts, self.at).to_be_bytes()
    }
}

/// Where an exchange may be seen at the other end of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// By which number.
    pub key: Meeting,
    /// The other end may be on this node.
    pub may_be_local: bool,
    /// Where the request begins, in bytes that this end saw before it, modulo 2^32.
    pub position: u32,
}

/// By what both ends of an exchange know each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Meeting {
    /// Over TCP.
    Tcp(JoinKey),
    /// Over a Unix socket: the client's end of it, and the stream where there are streams.
    Unix(ConnectionId, Option<u64>),
}

impl Meeting {
    /// The id of the client's span, where it follows from it.
    #[must_use]
    pub fn span_id(&self) -> Option<[u8; 8]> {
        match self {
            Self::Tcp(key) => Some(key.span_id()),
            Self::Unix(..) => None,
        }
    }

    /// The id of the trace that begins with the exchange, where nobody named one: the kernel side
    /// computes it too, but for what is encrypted, of which both ends know the same when it is
    /// answered.
    #[must_use]
    pub fn trace_id(&self) -> Option<[u8; 16]> {
        match self {
            Self::Tcp(JoinKey { starts, at }) => {
                let known_by = match at & (OF_STREAM | OF_CARRIER) {
                    0 => u64::from(*at as u32),
                    _ => *at,
                };
                let [high, low] = derived_trace_id(*starts, known_by);
                Some((u128::from(high) << 64 | u128::from(low)).to_be_bytes())
            }
            Self::Unix(..) => None,
        }
    }

    /// Whether it is the first request of a connection that was seen from its beginning.
    #[must_use]
    pub fn is_first(&self) -> bool {
        const FIRST_STREAM: u64 = OF_STREAM | 1;
        matches!(self, Self::Tcp(key) if matches!(key.at, 0 | FIRST_STREAM))
    }

    /// The connection, where exchanges on it are told apart by their turns alone.
    pub(super) fn in_turn(&self) -> Option<ConnectionId> {
        match self {
            Self::Unix(client, None) => Some(*client),
            Self::Tcp(_) | Self::Unix(_, Some(_)) => None,
        }
    }
}

/// Exchanges that may meet: they do where there is one on either side.
#[derive(Debug, Default)]
struct Party {
    client: Side,
    server: Side,
}

/// Those of one side. Which one is left when others have gone is not known.
#[derive(Debug, Default)]
struct Side {
    only: Option<NodeId>,
    count: u32,
}

impl Side {
    fn comes(&mut self, id: NodeId) {
        self.only = (self.count == 0).then_some(id);
        self.count += 1;
    }

    fn goes(&mut self, id: NodeId) {
        if self.only == Some(id) {
            self.only = None;
        }
        self.count = self.count.saturating_sub(1);
    }
}

/// Who waits for whom.
#[derive(Debug, Default)]
pub struct Joins {
    parties: HashMap<Meeting, Party>,
    /// Ends of TCP connections that are on this node: how many, by their first sequence numbers.
    ends: HashMap<[u32; 2], u8>,
    addresses: HashSet<Arc<str>>,
    turns: Turns,
}

impl Joins {
    /// A server's side begins; its client's, if that is known. Whose is not on this node is not
    /// kept; of the first request of a connection that may not be known yet.
    pub fn server(&mut self, node: NodeId, ends: Ends) -> Option<NodeId> {
        let is_expected = ends.may_be_local || ends.key.is_first();
        if !is_expected && !self.parties.contains_key(&ends.key) {
            return None;
        }
        let party = self.parties.entry(ends.key).or_default();
        party.server.comes(node);
        self.turns.begins(ends, Role::Server, node);
        let (client, server) = party.meets()?;
        self.turns
            .believes(ends.key, client, server)
            .then_some(client)
    }

    /// A client's side begins; its server's, if that is known. Where an address is translated on
    /// the way, a client does not see that the server is on this node.
    pub fn client(&mut self, node: NodeId, ends: Ends) -> Option<NodeId> {
        let party = self.parties.entry(ends.key).or_default();
        party.client.comes(node);
        self.turns.begins(ends, Role::Client, node);
        let (client, server) = party.meets()?;
        self.turns
            .believes(ends.key, client, server)
            .then_some(server)
    }

    /// A client's side is answered; the server's that was over before the client's began, as the
    /// records have it: a client that is put to sleep within its call is told of when it wakes.
    pub fn overtaken(&mut self, node: NodeId, ends: Ends) -> Option<NodeId> {
        self.turns.overtaken(ends.key.in_turn()?, node)
    }

    /// One of them is over. What it may meet in later records, or, on a connection where requests
    /// are answered in turn, nobody, but for a client that it overtook: returns whether it waits.
    pub fn end(&mut self, id: NodeId, node: &mut Node) -> bool {
        let Some(ends) = node.ends else {
            return false;
        };
        let Some(connection) = ends.key.in_turn() else {
            return true;
        };
        self.forget(id, node);
        node.ends = None;
        node.role == Role::Server && self.turns.is_over(connection, id)
    }

    /// One of them is remembered no longer.
    pub fn forget(&mut self, id: NodeId, node: &Node) {
        let Some(Ends { key, .. }) = node.ends else {
            return;
        };
        let Some(party) = self.parties.get_mut(&key) else {
            return;
        };
        match node.role {
            Role::Client => party.client.goes(id),
            Role::Server => party.server.goes(id),
        }
        if party.client.count == 0 && party.server.count == 0 {
            self.parties.remove(&key);
        }
    }

    /// One end of a TCP connection with these first sequence numbers is on this node, and has this
    /// address; whether that is news.
    pub fn opened(&mut self, starts: Option<[u32; 2]>, address: Option<&Arc<str>>) -> bool {
        if let Some(starts) = starts {
            *self.ends.entry(unordered(starts)).or_default() += 1;
        }
        let is_new =
            |it: &&Arc<str>| self.addresses.len() < ADDRESSES_MAX && !self.addresses.contains(*it);
        let Some(address) = address.filter(is_new) else {
            return false;
        };
        self.addresses.insert(address.clone())
    }

    /// Such an end is gone.
    pub fn closed(&mut self, starts: [u32; 2]) {
        let starts = unordered(starts);
        if let Some(ends) = self.ends.get_mut(&starts) {
            *ends -= 1;
            if *ends == 0 {
                self.ends.remove(&starts);
            }
        }
    }

    /// Whether the other end of a connection is known to be on this node.
    pub fn has_both(&self, starts: [u32; 2]) -> bool {
        self.ends
            .get(&unordered(starts))
            .is_some_and(|ends| *ends > 1)
    }

    /// Whether an address is one of this node's.
    pub fn is_own(&self, address: &str) -> bool {
        self.addresses.contains(address)
    }

    /// Bytes of memory that they take.
    pub fn memory_bytes(&self) -> usize {
        heap::table::<(Meeting, Party)>(self.parties.capacity())
            + heap::table::<([u32; 2], u8)>(self.ends.capacity())
            + heap::table::<Arc<str>>(self.addresses.capacity())
            + self.turns.memory_bytes()
    }
}

impl Party {
    fn meets(&self) -> Option<(NodeId, NodeId)> {
        Some((self.client.only?, self.server.only?))
    }
}

fn unordered([a, b]: [u32; 2]) -> [u32; 2] {
    [a.min(b), a.max(b)]
}
