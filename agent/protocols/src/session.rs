//! A connection whose protocol is known. What reads it is chosen when it is detected; its owner
//! knows no more of it than stands here.

use std::fmt::Debug;

use crate::exchange::{Role, Ticket};
use crate::family::Family;
use crate::listener::Listener;
use crate::parser::Flow;
use crate::stream::{Moved, Stream};
use crate::transport::{Chunk, Direction, End, Extent, Past};

/// Reads both directions of one connection and pairs what was asked with what was answered.
pub trait Session: Debug + Send {
    /// The protocol's name in the registry.
    fn protocol(&self) -> &'static str;

    /// Takes the bytes of one call.
    fn chunk(&mut self, chunk: &Chunk<'_>, listener: &mut dyn Listener);

    /// Takes notice of bytes that moved without being captured.
    fn extent(&mut self, direction: Direction, extent: &Extent, listener: &mut dyn Listener);

    /// The connection or one of its streams ended.
    fn end(&mut self, end: End, time_ns: u64, listener: &mut dyn Listener);

    /// What is to be told besides exchanges, since the last call.
    fn take_notes(&mut self) -> Notes;

    /// What the connection goes on as, if it is something else from here on.
    fn take_heir(&mut self) -> Option<Heir> {
        None
    }

    /// A request was seen whose fate has not been told.
    fn has_open_exchange(&self) -> bool;

    /// The same, and its end lies in bytes that may be counted without a record.
    fn awaits_progress(&self) -> bool;

    /// Bytes of heap that it takes, itself included. Nothing is walked for it.
    fn heap_bytes(&self) -> usize;

    /// Bytes of what grows and shrinks with what is said: held bytes, open requests, tables.
    /// Cheaper than [`Session::heap_bytes`], which changes by about as much.
    fn growing_bytes(&self) -> usize;

    /// Of a protocol whose frames tell how much of a stream is of no interest, how often they were
    /// found after nobody knew where they begin.
    fn framings(&self) -> Option<u32> {
        None
    }

    /// Position of a stream at which a frame is known to begin, the latest that is known, be it
    /// ahead of what was seen.
    fn boundary(&self, _direction: Direction) -> Option<u64> {
        None
    }
}

/// What the owner of a session wants to know besides exchanges.
#[derive(Clone, Copy, Debug, Default)]
pub struct Notes {
    /// A head did not fit into what is captured of one turn.
    pub head_was_cut: bool,
    /// Bytes of messages that were understood.
    pub understood_bytes: u64,
    /// Another protocol took over, or this one was never spoken.
    pub gave_up: bool,
}

/// A request that is open, without what became of it.
#[derive(Debug)]
pub struct Asked {
    /// What the listener calls the exchange.
    pub ticket: Ticket,
    /// Its first byte.
    pub start: Moved,
    /// What was asked, with no response.
    pub family: Family,
}

/// What takes over from a session.
#[derive(Debug)]
pub enum Next {
    /// The protocol with this upgrade token, which answers this request.
    Upgrade(&'static str, Asked),
    /// A tunnel to this authority.
    Tunnel(Box<str>),
}

/// What a session leaves to what takes over.
#[derive(Debug)]
pub struct Heir {
    /// What that is.
    pub next: Next,
    /// Of the traced process, until here.
    pub role: Role,
    /// What came from the client.
    pub requests: Rest,
    /// What came from the server.
    pub responses: Rest,
}

/// One direction, from where another protocol left it.
#[derive(Debug)]
pub struct Rest {
    /// Where it stands, with what it holds.
    pub stream: Stream,
    /// Whether that is at the first byte of what comes next.
    pub is_framed: bool,
}

/// What a session with numbered exchanges begins with that another one asked for.
#[derive(Debug)]
pub struct Inheritance {
    /// Of the traced process.
    pub role: Role,
    /// What came from the client.
    pub requests: Rest,
    /// What came from the server.
    pub responses: Rest,
    /// The request that it answers first.
    pub asked: Asked,
}

/// How a session begins in which responses come in the order of the requests.
#[derive(Debug)]
pub struct OrderedStart<'a> {
    /// Of the traced process.
    pub role: Role,
    /// From the client.
    pub requests: Stream,
    /// From the server.
    pub responses: Stream,
    /// What is behind it.
    pub past: Past,
    /// What was recognised.
    pub entry: JoinedAt<'a>,
}

/// How a session begins in which responses name their requests.
#[derive(Debug)]
pub struct CorrelatedStart<'a> {
    /// Of the traced process.
    pub role: Role,
    /// From the client.
    pub requests: Stream,
    /// From the server.
    pub responses: Stream,
    /// Which of them was recognised.
    pub flow: Flow,
    /// The bytes by which it was; they are not held by the stream.
    pub head: &'a [u8],
    /// Which brought the last of them.
    pub chunk: &'a Chunk<'a>,
}

/// Where a session was joined.
#[derive(Debug)]
pub enum JoinedAt<'a> {
    /// At a request: `head` are its bytes, the last of them from `chunk`.
    Request {
        /// They are not held by the stream.
        head: &'a [u8],
        /// Which brought the last of them.
        chunk: &'a Chunk<'a>,
    },
    /// At a response that refuses what was not understood.
    Refusal {
        /// Where that began.
        asked: Moved,
        /// Bytes of the response; they are not held by the stream.
        head: &'a [u8],
        /// Which brought the last of them.
        chunk: &'a Chunk<'a>,
    },
    /// Among messages of which nobody knows what came before them.
    Amid {
        /// Where the last bytes went.
        latest: Flow,
    },
}

/// How a session begins in which responses are told apart by numbers.
#[derive(Debug)]
pub struct MultiplexedStart<'a> {
    /// Read by the traced process.
    pub ingress: Stream,
    /// Written by it.
    pub egress: Stream,
    /// Where frames were found; the stream holds them.
    pub direction: Direction,
    /// Which way they go, if they show it.
    pub flow: Option<Flow>,
    /// Whether nothing was missed of what the other direction holds.
    pub is_whole: bool,
    /// What was captured last.
    pub chunk: &'a Chunk<'a>,
}

/// The traced process's role, if this flow goes that way.
#[must_use]
pub fn role_of(direction: Direction, flow: Flow) -> Role {
    match (direction, flow) {
        (Direction::Ingress, Flow::Requests) | (Direction::Egress, Flow::Responses) => Role::Server,
        (Direction::Egress, Flow::Requests) | (Direction::Ingress, Flow::Responses) => Role::Client,
    }
}

/// What a direction carries, if the traced process has this role.
#[must_use]
pub fn flow_of(role: Role, direction: Direction) -> Flow {
    match (role, direction) {
        (Role::Server, Direction::Ingress) | (Role::Client, Direction::Egress) => Flow::Requests,
        (Role::Server, Direction::Egress) | (Role::Client, Direction::Ingress) => Flow::Responses,
    }
}

/// Which way a flow goes, seen from a process with this role.
#[must_use]
pub fn direction_of(role: Role, flow: Flow) -> Direction {
    match (role, flow) {
        (Role::Server, Flow::Requests) | (Role::Client, Flow::Responses) => Direction::Ingress,
        (Role::Client, Flow::Requests) | (Role::Server, Flow::Responses) => Direction::Egress,
    }
}
