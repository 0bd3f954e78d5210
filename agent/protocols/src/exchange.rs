//! An exchange: one request with what came of it. This is the envelope, which is the same for all:
//! who, when, how it ended. What was said is its [`Family`]. It knows times and outcomes, not
//! spans.

use crate::family::Family;
use crate::transport::End;

/// Which side of the connection the traced process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// It sent the request.
    Client,
    /// It received the request.
    Server,
}

/// What a [`Listener`](crate::listener::Listener) calls an exchange from its beginning to its end.
/// It means something to that listener alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ticket(pub u64);

/// One request and what came of it. Times are those of the records (monotonic nanoseconds).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// What the listener called it when it began.
    pub ticket: Ticket,
    /// Which side was watched.
    pub role: Role,
    /// Thread that moved the first byte of the request.
    pub tid: u32,
    /// First byte of the request.
    pub start_ns: u64,
    /// First byte of the final response, if any was seen.
    pub first_response_ns: Option<u64>,
    /// Last byte of the response; without one, the moment the outcome was known.
    pub end_ns: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// What was asked and answered.
    pub family: Family,
}

/// How an exchange ended. Nothing is assumed: what was not observed has its own name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The response was seen to its last byte.
    Complete,
    /// Nobody answers such a request: it was over with its last byte.
    OneWay,
    /// The response began; its framing was not captured, so its end is the last byte seen before
    /// the connection went on or ended.
    EndInferred,
    /// The client went away within a response that had promised no length: so end streams of events
    /// and whatever else has no end of its own.
    Left,
    /// The connection ended before the response did (or before it began).
    Closed,
    /// The peer or the network reset the connection before the response was complete.
    Reset,
    /// The process ended first.
    ProcessExited,
    /// The response fell into a gap of the capture.
    NotObserved,
    /// One side ended this exchange alone, before the response was complete. What it said: an error
    /// code of RFC 9113 §7.
    Aborted(u32),
    /// The server said that it would not serve it (RFC 9113 §6.8).
    Refused,
    /// No longer remembered: too many connections or requests at once, or silent for too long.
    Evicted,
}

impl Outcome {
    /// What became of a request that was not answered when its connection, or the server's stream,
    /// ended so.
    #[must_use]
    pub fn of_unanswered(end: End) -> Self {
        match end {
            End::Ingress | End::Egress | End::Closed => Self::Closed,
            End::Reset => Self::Reset,
            End::ProcessExited => Self::ProcessExited,
            End::Evicted => Self::Evicted,
            End::LostSight => Self::NotObserved,
        }
    }
}
