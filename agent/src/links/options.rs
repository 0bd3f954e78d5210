//! What TCP options said of who made requests, as the kernel side tells it when their first bytes
//! are read: of which trace a request is, and where on its connection it begins. Of a connection
//! the last one counts; its record comes a moment after that of the bytes, or before the request
//! is known, so that either waits for the other. It links nothing.

use hashbrown::HashMap;
use wirespan_common::carriers::{OPTION_REACH, derived_trace_id};
use wirespan_common::record::{CALLER_KNOWN, Caller};
use wirespan_protocols::heap;

use super::{CallerContext, JoinKey, Meeting, NodeId, OVERTAKEN_NS};
use crate::trace_context::FLAG_SAMPLED;

/// Connections of which that is kept; of more, all are forgotten and begun anew: links are missed.
const CONNECTIONS_MAX: usize = 64 * 1024;
/// Requests of a connection that wait at a time; of more, the first ones stand alone.
const WAITING_MAX: usize = 32;
/// What of HTTP/2 may come before the first request in the first message of a connection: preface,
/// settings and a window's size, in bytes.
const BEFORE_FIRST: u32 = 256;
/// A stream that begins later is of another message than the one that an option came with, in
/// nanoseconds of record time.
const SAME_MESSAGE_NS: u64 = 1_000_000_000;

/// Where a request is on its TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpPlace {
    /// Sequence numbers of the first byte that the client sent, and of the first that the server
    /// did.
    pub starts: [u32; 2],
    /// Where in what the client sent, in bytes modulo 2^32.
    pub at: TcpPoint,
    /// It has a stream of its own.
    pub is_stream: bool,
}

/// A point of a stream of bytes that tells where a request is, modulo 2^32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpPoint {
    /// Its first byte.
    Begin(u32),
    /// The end of the encrypted bytes that its head is in.
    EncryptedEnd(u32),
}

/// What an option said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToldTrace {
    trace_id: [u8; 16],
    flags: u8,
    /// The trace begins with the request: its id is the one that follows from where the request
    /// begins.
    is_derived: bool,
}

impl ToldTrace {
    /// Where the client's span stands, of a request that both ends know by `key`. A trace that
    /// begins with it has the id that the client's own agent derives, which may know the request by
    /// more than where it begins.
    pub fn context(&self, key: JoinKey) -> CallerContext {
        let derived = Meeting::Tcp(key).trace_id().filter(|_| self.is_derived);
        CallerContext {
            trace_id: derived.unwrap_or(self.trace_id),
            span_id: key.span_id(),
            flags: if self.is_derived {
                FLAG_SAMPLED
            } else {
                self.flags
            },
            // Of a trace that begins here and there alike all decide by its id.
            decided: (!self.is_derived).then_some(self.flags & FLAG_SAMPLED != 0),
            randomness: None,
        }
    }
}

/// All that is heard.
#[derive(Debug, Default)]
pub struct OptionsHeard {
    is_on: bool,
    connections: HashMap<[u32; 2], HeardConnection>,
    /// What was said of requests whose own number is known only when they are answered.
    held: HashMap<NodeId, ToldTrace>,
}

#[derive(Debug, Default)]
struct HeardConnection {
    last: Option<LastOption>,
    waiting: Vec<WaitingRequest>,
}

#[derive(Clone, Copy, Debug)]
struct LastOption {
    told: ToldTrace,
    at: u32,
    heard_ns: u64,
    /// When the request was read that it was believed of first.
    taken_ns: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct WaitingRequest {
    node: NodeId,
    place: TcpPlace,
    read_ns: u64,
}

impl OptionsHeard {
    /// Requests wait for what options say, or don't.
    pub fn heed(&mut self, heeds: bool) {
        self.is_on = heeds;
        if !heeds {
            self.connections = HashMap::new();
            self.held = HashMap::new();
        }
    }

    /// Whether they do.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.is_on
    }

    /// What was said of a request whose head was read at that time, in nanoseconds of record time.
    pub fn take(&mut self, place: &TcpPlace, read_ns: u64) -> Option<ToldTrace> {
        let last = self.connections.get_mut(&place.starts)?.last.as_mut()?;
        last.take(place, read_ns)
    }

    /// It was not said yet, but may be.
    pub fn await_for(&mut self, node: NodeId, place: TcpPlace, read_ns: u64) {
        let connection = self.connection(place.starts);
        let is_late = |it: &WaitingRequest| read_ns.saturating_sub(it.read_ns) > OVERTAKEN_NS;
        connection.waiting.retain(|it| !is_late(it));
        if connection.waiting.len() >= WAITING_MAX {
            connection.waiting.remove(0);
        }
        connection.waiting.push(WaitingRequest {
            node,
            place,
            read_ns,
        });
    }

    /// An option came, at this time in nanoseconds of record time; the requests that waited for it,
    /// and what it says of them.
    pub fn hear(&mut self, caller: &Caller, now_ns: u64) -> Vec<(NodeId, ToldTrace)> {
        if !self.is_on || caller.bits & CALLER_KNOWN == 0 || caller.trace_id == [0; 16] {
            return Vec::new();
        }
        let connection = self.connection(caller.starts);
        let [high, low] = derived_trace_id(caller.starts, caller.at);
        let derived = u128::from(high) << 64 | u128::from(low);
        let mut last = LastOption {
            told: ToldTrace {
                trace_id: caller.trace_id,
                flags: caller.flags,
                is_derived: caller.trace_id == derived.to_be_bytes(),
            },
            at: caller.at as u32,
            heard_ns: now_ns,
            taken_ns: None,
        };
        let mut found = Vec::new();
        connection.waiting.retain(|it| {
            let told = last.take(&it.place, it.read_ns);
            found.extend(told.map(|told| (it.node, told)));
            told.is_none()
        });
        connection.last = Some(last);
        found
    }

    /// That was said of a request whose own number is not known yet.
    pub fn hold(&mut self, node: NodeId, told: ToldTrace) {
        self.held.insert(node, told);
    }

    /// What was said of it, if anything was. It is held no longer.
    pub fn release(&mut self, node: NodeId) -> Option<ToldTrace> {
        match self.held.is_empty() {
            true => None,
            false => self.held.remove(&node),
        }
    }

    /// A connection is gone.
    pub fn closed(&mut self, starts: [u32; 2]) {
        if !self.connections.is_empty() {
            self.connections.remove(&starts);
        }
    }

    /// Bytes of memory that they take.
    pub fn memory_bytes(&self) -> usize {
        heap::table::<([u32; 2], HeardConnection)>(self.connections.capacity())
            + self.connections.len() * heap::vec::<WaitingRequest>(4)
            + heap::table::<(NodeId, ToldTrace)>(self.held.capacity())
    }

    fn connection(&mut self, starts: [u32; 2]) -> &mut HeardConnection {
        if self.connections.len() >= CONNECTIONS_MAX && !self.connections.contains_key(&starts) {
            self.connections = HashMap::new();
        }
        self.connections.entry(starts).or_default()
    }
}

impl LastOption {
    /// What it says of a request, if it is about that. Of streams that came with one message it is
    /// about all, where each begins a trace, and else about the first.
    fn take(&mut self, place: &TcpPlace, read_ns: u64) -> Option<ToldTrace> {
        let is_taken = match self.taken_ns {
            None => false,
            Some(taken_ns) => !(place.is_stream && self.told.is_derived && taken_ns == read_ns),
        };
        if is_taken || !self.is_about(place, read_ns) {
            return None;
        }
        self.taken_ns.get_or_insert(read_ns);
        Some(self.told)
    }

    fn is_about(&self, place: &TcpPlace, read_ns: u64) -> bool {
        let is_derived = self.told.is_derived;
        let is_now = read_ns.saturating_sub(self.heard_ns) < SAME_MESSAGE_NS;
        let ahead = |at: u32| at.wrapping_sub(self.at);
        match (place.at, place.is_stream) {
            (TcpPoint::Begin(at), false) => at == self.at,
            // What else a message of several streams says is somebody else's, but for the first.
            (TcpPoint::Begin(at), true) if is_derived => ahead(at) < OPTION_REACH && is_now,
            (TcpPoint::Begin(at), true) => at == self.at || self.at == 0 && at < BEFORE_FIRST,
            // Where a connection begins, it is a handshake.
            (TcpPoint::EncryptedEnd(_), _) if self.at == 0 => false,
            (TcpPoint::EncryptedEnd(at), false) => ahead(at).wrapping_sub(1) < OPTION_REACH,
            (TcpPoint::EncryptedEnd(at), true) => {
                is_derived && is_now && ahead(at).wrapping_sub(1) < OPTION_REACH
            }
        }
    }
}
