//! What a request says of the remote procedure call that it carries, before it is known what became
//! of that.

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
