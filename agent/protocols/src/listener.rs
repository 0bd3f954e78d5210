//! Who is told what happens on a connection. The listener keeps what it is told, or not; this side
//! keeps nothing of it.

use core::net::SocketAddr;

use crate::exchange::{Exchange, Role, Ticket};
use crate::learnt::Learnt;
use crate::stream::Moved;
use crate::trace_headers::TraceHeaders;
use crate::transport::Direction;

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

/// An exchange as it begins: the head of its request was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beginning<'r> {
    /// Which side was watched.
    pub role: Role,
    /// The first byte of the request: when it moved, by whom, and where in its stream it stands.
    pub start: Moved,
    /// The last byte of its head, with which the one who reads knows what is asked.
    pub head_end: Moved,
    /// Of a connection with streams, the number of its own (RFC 9113 §5.1.1).
    pub stream: Option<u64>,
    /// What the request says of the trace that it belongs to, if it can say that at all.
    pub traces: Option<&'r TraceHeaders>,
    /// What a request of HTTP is for (RFC 9112 §3.2); empty where it is not known.
    pub target: &'r str,
}

/// Hears of exchanges. Each that begins either ends or is withdrawn, once.
pub trait Listener {
    /// A request was made. What is returned comes back when it is known what became of it.
    fn begin(&mut self, beginning: Beginning<'_>) -> Ticket;
    /// The response to a request begins, with a head that ends here. Not told where it is not known
    /// until later, or never, whose response it is.
    fn answer(&mut self, _ticket: Ticket, _head_end: Moved) {}
    /// A request met its fate.
    fn end(&mut self, exchange: Exchange);
    /// What began was no request after all.
    fn withdraw(&mut self, ticket: Ticket);
    /// Something was discarded.
    fn discard(&mut self, what: Discard);
    /// A relay opened the connection, on behalf of a client with this address (PROXY protocol).
    /// What follows is about its requests.
    fn relayed(&mut self, _source: SocketAddr) {}
    /// The connection goes on as a tunnel to this authority (RFC 9110 §9.3.6), as the request named
    /// it: what follows is about exchanges within it.
    fn tunnelled(&mut self, _authority: &str) {}
    /// What is known from other connections of the same two programs, by direction; the role is
    /// that of the traced one.
    fn learnt(&mut self, _role: Role, _direction: Direction) -> Option<&mut Learnt> {
        None
    }
}
