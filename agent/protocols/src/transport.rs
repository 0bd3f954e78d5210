//! What is heard of a connection: bytes that moved, how far its streams have come, how it ended.
//! The input of a conversation; it draws no conclusions.

/// Which of the two streams; seen from the traced process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Read by it.
    Ingress,
    /// Written by it.
    Egress,
}

impl Direction {
    /// The other one.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Ingress => Self::Egress,
            Self::Egress => Self::Ingress,
        }
    }
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

/// What a connection has behind it when it is seen first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Past {
    /// Nothing: its first bytes are to come.
    Empty,
    /// Bytes moved that nobody saw, and then none for so long.
    Unseen {
        /// In nanoseconds; 0 if nobody knows.
        silent_ns: u64,
    },
    /// Nobody knows.
    #[default]
    Unknown,
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
    /// It goes on, but an unknown number of bytes of either direction was missed.
    LostSight,
}
