//! Where the yield of a conversation goes. It keeps nothing.

use core::net::SocketAddr;

use crate::exchange::{Exchange, Role};
use crate::http2::hpack::Lore;
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

/// Receives what a conversation yields.
pub trait Sink {
    /// A request met its fate.
    fn exchange(&mut self, exchange: Exchange);
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
    fn lore(&mut self, _role: Role, _direction: Direction) -> Option<&mut Lore> {
        None
    }
}
