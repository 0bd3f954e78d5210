//! Remote procedure calls. What carries a call is an HTTP request and its response; what makes it a
//! call stands beside them.

use super::http::Http;

/// A call and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rpc {
    /// What the client asked for.
    pub call: Call,
    /// What carries it.
    pub http: Http,
    /// What was seen of its messages.
    pub messages: Option<Box<Messages>>,
}

/// What an HTTP request says of the remote procedure call that it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Which protocol the call speaks.
    pub system: CallSystem,
    /// How long the client will wait, in nanoseconds.
    pub timeout_ns: Option<u64>,
    /// It may have named a timeout that is not known.
    pub may_time_out: bool,
}

/// Protocols for calls on top of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallSystem {
    /// gRPC over HTTP/2.
    Grpc,
    /// gRPC-Web: its trailers are part of the body, as a rule.
    GrpcWeb,
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
