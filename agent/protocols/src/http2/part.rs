//! What is said on a connection, stream by stream.

use crate::family::http::{Completeness, HttpRequest, HttpResponse};
use crate::parser::Flow;

/// What the parser finds in its direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What relates a response to its request. Requests of one connection have growing numbers.
    pub stream: u64,
    /// What was said.
    pub what: What,
    /// Nothing else follows in this direction for this stream.
    pub ends: bool,
}

/// What is said about a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A request begins.
    Request(Box<HttpRequest>),
    /// A response that another one to the same request will follow.
    Interim,
    /// A final response begins.
    Response(HttpResponse),
    /// Fields behind the body.
    Trailers {
        /// `grpc-status`.
        call_status: Option<u32>,
        /// Whether it is known.
        completeness: Completeness,
    },
    /// A head or trailers, of which nothing is known that would tell one from the other.
    Unclear,
    /// Bytes of a body.
    Data {
        /// Where they begin in the bytes that were offered.
        start: usize,
        /// How many there are.
        len: usize,
        /// Bytes behind them that nobody captured.
        missed: u64,
    },
    /// The stream ends here, in both directions.
    Aborted {
        /// RFC 9113 §7.
        code: u32,
    },
    /// Streams of the peer with larger numbers than this one are not served (RFC 9113 §6.8).
    GoingAway,
    /// What the sender of these is prepared to remember of the other direction's header fields
    /// (RFC 7541 §4.2), in bytes.
    TableSize(u32),
}

impl What {
    /// What its direction carries, if that shows.
    #[must_use]
    pub fn flow(&self) -> Option<Flow> {
        match self {
            Self::Request(_) => Some(Flow::Requests),
            Self::Response(_) | Self::Interim => Some(Flow::Responses),
            _ => None,
        }
    }
}
