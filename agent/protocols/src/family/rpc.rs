//! Remote procedure calls. What carries a call is an HTTP request and its response; what makes it a
//! call stands beside them.

use super::call::Call;
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
