//! An exchange: one request with what came of it. It knows times and outcomes, not spans.

use crate::message::{Request, Response};

/// Which side of the connection the traced process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// It sent the request.
    Client,
    /// It received the request.
    Server,
}

/// One request and what came of it. Times are those of the records (monotonic nanoseconds).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
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
    /// What was asked.
    pub request: Request,
    /// What was answered; `None` if that was never observed.
    pub response: Option<Response>,
    /// How it ended.
    pub outcome: Outcome,
    /// What was seen of the messages of a remote procedure call.
    pub messages: Option<Box<Messages>>,
}

/// The messages of a call, by direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Messages {
    /// From the client.
    pub requests: Flown,
    /// From the server.
    pub responses: Flown,
}

/// The messages of a call in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flown {
    /// How many began; `None` where that could not be counted.
    pub count: Option<u64>,
    /// First byte of the first one, if there was one.
    pub first_ns: Option<u64>,
    /// Last byte of the last one.
    pub last_ns: Option<u64>,
}

/// How an exchange ended. Nothing is assumed: what was not observed has its own name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The response was seen to its last byte.
    Complete,
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
