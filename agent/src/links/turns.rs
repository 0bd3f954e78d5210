//! Connections on which both ends know each other's exchanges by nothing but their turns: Unix
//! sockets with one call at a time. Records come when calls end, and a client may be put to sleep
//! within the very call that woke the server, so that the server's side is over before the
//! client's begins. Both ends count bytes, from wherever they were first seen; by how far they are
//! apart, the one that was overtaken is found again. It links nobody.

use hashbrown::HashMap;
use wirespan_common::record::ConnectionId;
use wirespan_protocols::exchange::Role;
use wirespan_protocols::heap;

use super::{Ends, Meeting, NodeId};

/// Connections that are remembered; beyond, all are forgotten, and learnt anew.
const TURNS_MAX: usize = 16 * 1024;

/// See the module.
#[derive(Debug, Default)]
pub struct Turns {
    connections: HashMap<ConnectionId, SocketTurns>,
}

/// What is known of a connection, by the client's end of it.
#[derive(Debug, Default)]
struct SocketTurns {
    /// The sides that began last, with the positions of their requests.
    client: Option<(NodeId, u32)>,
    server: Option<(NodeId, u32)>,
    /// The last two that met, and how many bytes of requests the client's end had seen more.
    met: Option<(NodeId, NodeId, u32)>,
    /// A server's side that was over before anybody met it.
    over: Option<(NodeId, u32)>,
}

impl Turns {
    /// One side of an exchange begins.
    pub fn begins(&mut self, ends: Ends, role: Role, node: NodeId) {
        let Some(connection) = ends.key.in_turn() else {
            return;
        };
        if self.connections.len() >= TURNS_MAX && !self.connections.contains_key(&connection) {
            self.connections.clear();
        }
        let turn = self.connections.entry(connection).or_default();
        let side = match role {
            Role::Client => &mut turn.client,
            Role::Server => &mut turn.server,
        };
        *side = Some((node, ends.position));
    }

    /// Two are the only ones that are open on either side; whether they are of one exchange.
    pub fn believes(&mut self, key: Meeting, client: NodeId, server: NodeId) -> bool {
        let turn = key.in_turn().map(|it| self.connections.get_mut(&it));
        let Some(turn) = turn.flatten() else {
            return true;
        };
        if turn
            .met
            .is_some_and(|(one, other, _)| one == client || other == server)
        {
            // The other one is of the next exchange, and its own end is still to come.
            return false;
        }
        let at = |side: Option<(NodeId, u32)>, node| side.filter(|(it, _)| *it == node);
        turn.met = match (at(turn.client, client), at(turn.server, server)) {
            (Some((_, client_at)), Some((_, server_at))) => {
                Some((client, server, client_at.wrapping_sub(server_at)))
            }
            _ => None,
        };
        turn.over = None;
        true
    }

    /// A server's side is over; whether it waits for a client's.
    pub fn is_over(&mut self, connection: ConnectionId, server: NodeId) -> bool {
        let Some(turn) = self.connections.get_mut(&connection) else {
            return false;
        };
        let has_met = turn.met.is_some_and(|(_, met, _)| met == server);
        turn.over = turn.server.filter(|(it, _)| *it == server && !has_met);
        turn.over.is_some()
    }

    /// A client's side is answered. Its server's, had it not been over before, would have been met
    /// by now, as it was read before it was answered. Before anybody met it is not known how far
    /// the two ends are apart, and nobody is believed.
    pub fn overtaken(&mut self, connection: ConnectionId, client: NodeId) -> Option<NodeId> {
        let turn = self.connections.get_mut(&connection)?;
        let (met, _, ahead) = turn.met?;
        let (server, server_at) = turn.over?;
        let (_, client_at) = turn.client.filter(|(it, _)| *it == client)?;
        if met == client || client_at.wrapping_sub(server_at) != ahead {
            return None;
        }
        turn.met = Some((client, server, ahead));
        turn.over = None;
        Some(server)
    }

    /// Bytes of memory that they take.
    pub fn memory_bytes(&self) -> usize {
        heap::table::<(ConnectionId, SocketTurns)>(self.connections.capacity())
    }
}
