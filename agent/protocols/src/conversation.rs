//! One connection from its first captured byte: stream, detection, parsing, pairing. It knows no
//! address and no process; those belong to whoever owns the connection.

use crate::exchange::Exchange;

/// Which of the two streams; seen from the traced process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Read by it.
    Ingress,
    /// Written by it.
    Egress,
}

/// Bytes that moved in one call.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    /// Which stream.
    pub direction: Direction,
    /// Where in the stream the first byte stands.
    pub position: u64,
    /// Bytes that moved, captured or not.
    pub len: u64,
    /// The first of them; `bytes.len() <= len`.
    pub bytes: &'a [u8],
    /// The last of them where not all are captured; `tail[8 - tail_len..]` are valid.
    pub tail: [u8; 8],
    /// Valid bytes in `tail`.
    pub tail_len: u8,
    /// When the call returned.
    pub time_ns: u64,
    /// Which thread called.
    pub tid: u32,
    /// Records were lost before this one.
    pub after_loss: bool,
}

/// How far a stream has come, told without bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Bytes so far.
    pub position: u64,
    /// When the last of them moved.
    pub last_ns: u64,
    /// The last of them; `tail[8 - tail_len..]` are valid.
    pub tail: [u8; 8],
    /// Valid bytes in `tail`.
    pub tail_len: u8,
}

/// How a connection, or one stream of it, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// The process read the end of the peer's stream.
    Ingress,
    /// The process shut its own stream down.
    Egress,
    /// The process closed the socket.
    Closed,
    /// The connection was reset.
    Reset,
    /// The process ended.
    ProcessExited,
    /// The owner of the connection table needs the room, or has heard nothing for too long.
    Evicted,
}

/// What the owner of the connection should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Not enough seen yet.
    Undecided,
    /// A protocol of the registry.
    Understood,
    /// Nothing that is understood, or no longer (upgraded, tunnelled): stop capturing.
    Opaque,
}

/// Things that were discarded, for whoever counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Discard {
    /// Bytes were missing where a message's framing was needed.
    StreamGap,
    /// Bytes that are not the protocol that was detected.
    Unparsable,
    /// A response for which no request is remembered.
    UnmatchedResponse,
    /// More requests outstanding than are remembered.
    PipelineFull,
    /// A head longer than what is kept.
    HeadTooLong,
}

/// Receives what a conversation yields.
pub trait Sink {
    /// A request met its fate.
    fn exchange(&mut self, exchange: Exchange);
    /// Something was discarded.
    fn discard(&mut self, what: Discard);
}

/// One connection.
#[derive(Debug, Default)]
pub struct Conversation {}

impl Conversation {
    /// A connection of which nothing has been seen.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the bytes of one call.
    pub fn chunk(&mut self, _chunk: Chunk<'_>, _sink: &mut impl Sink) {}

    /// Takes notice of bytes that moved without being captured.
    pub fn extent(&mut self, _direction: Direction, _extent: Extent, _sink: &mut impl Sink) {}

    /// The connection or one of its streams ended.
    pub fn end(&mut self, _end: End, _time_ns: u64, _sink: &mut impl Sink) {}

    /// What to tell the kernel side.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        Verdict::Undecided
    }

    /// The protocol's name in the registry, once it is known.
    #[must_use]
    pub fn protocol(&self) -> Option<&'static str> {
        None
    }

    /// An exchange is open whose end lies in bytes that may be counted without a record: somebody
    /// should ask how far the streams are.
    #[must_use]
    pub fn awaits_progress(&self) -> bool {
        false
    }

    /// Whether, since the last call, a head did not fit into what is captured of one turn.
    pub fn take_head_was_cut(&mut self) -> bool {
        false
    }

    /// Bytes that belong to messages that were understood, both directions.
    #[must_use]
    pub fn understood_bytes(&self) -> u64 {
        0
    }
}
