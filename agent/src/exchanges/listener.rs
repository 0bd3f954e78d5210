//! Who listens to the conversation of a connection: exchanges begin and end, what lacks nothing
//! becomes a span, discards are counted.

use std::net::SocketAddr;

use wirespan_common::record::{ConnectionId, is_object};
use wirespan_protocols::conversation::{self, Conversation};
use wirespan_protocols::exchange::{Exchange, Role, Ticket};
use wirespan_protocols::learnt::Learnt;
use wirespan_protocols::listener::{Beginning, Discard, Listener};

use super::material::{Material, deliver};
use super::{Addresses, Finished, Lacks};
use crate::connections::{Connection, Owners};
use crate::endpoints::{HostMemo, Via};
use crate::health::Loss;
use crate::learnt::Places;
use crate::outlet::Outlet;
use crate::own;
use crate::span::{Ends, Surroundings};

/// All that exchanges of one connection need, borrowed for one record.
pub struct ConnectionListener<'a> {
    material: &'a mut Material,
    ends: Ends<'a>,
    via: &'a mut Option<Box<Via>>,
    hosts: &'a mut HostMemo,
    owners: &'a Owners,
    learnt_places: &'a mut Places,
    connection: ConnectionId,
    /// Addresses may still come.
    lacks_addresses: bool,
    out: &'a mut dyn Outlet,
}

impl<'a> ConnectionListener<'a> {
    /// A connection's conversation, and a listener for what it says.
    pub fn at(
        connection: &'a mut Connection,
        material: &'a mut Material,
        out: &'a mut dyn Outlet,
    ) -> (&'a mut Conversation, Self) {
        let listener = Self {
            material,
            ends: Ends {
                addresses: connection.endpoints.as_ref(),
                is_encrypted: is_object(connection.id),
                server_name: connection.server_name.as_ref(),
                via: None,
            },
            via: &mut connection.via,
            hosts: &mut connection.hosts,
            owners: &connection.owners,
            learnt_places: &mut connection.learnt_places,
            connection: connection.id,
            lacks_addresses: is_object(connection.id) && connection.endpoints.is_none(),
            out,
        };
        (&mut connection.conversation, listener)
    }

    /// What is known of its addresses by now is all that will be.
    pub fn know_addresses(&mut self) {
        self.lacks_addresses = false;
        let Ends {
            addresses,
            server_name,
            ..
        } = self.ends;
        let known = Addresses {
            endpoints: addresses,
            server_name,
            via: self.via.as_deref(),
        };
        let waiting = &mut self.material.exchanges.waiting;
        let released = waiting.addressed(self.connection, known);
        self.material.tell(released, self.out);
    }
}

impl Listener for ConnectionListener<'_> {
    fn begin(&mut self, beginning: Beginning) -> Ticket {
        let owner = self.owners.at(beginning.start.time_ns);
        self.material.exchanges.begin(&beginning, owner)
    }

    fn withdraw(&mut self, ticket: Ticket) {
        self.material.exchanges.end(ticket);
    }

    fn end(&mut self, exchange: Exchange) {
        let Material {
            processes,
            spans,
            exchanges,
            health,
            now_ns,
            wall_offset_ns,
            spans_made,
            ..
        } = &mut *self.material;
        let Some(live) = exchanges.end(exchange.ticket) else {
            debug_assert!(false, "it never began: {exchange:?}");
            return;
        };
        if own::is_export(&exchange) {
            return;
        }
        let (resource, is_awaited) = processes.known(live.owner, *now_ns);
        let lacks = Lacks {
            addresses: self.lacks_addresses,
            description: is_awaited,
        };
        if lacks.anything() {
            if exchanges.waiting.has_room(live.owner) {
                let finished = Finished {
                    exchange,
                    live,
                    connection: self.connection,
                    endpoints: self.ends.addresses.cloned(),
                    is_encrypted: self.ends.is_encrypted,
                    server_name: self.ends.server_name.cloned(),
                    via: self.via.clone(),
                    wall_offset_ns: *wall_offset_ns,
                };
                exchanges.waiting.hold(finished, lacks, *now_ns);
                return;
            }
            health.lose(Loss::Incomplete, 1);
        }
        let surroundings = Surroundings {
            resource,
            ends: Ends {
                via: self.via.as_deref(),
                ..self.ends
            },
            hosts: self.hosts,
            wall_offset_ns: *wall_offset_ns,
        };
        *spans_made += deliver(spans, exchange, live, surroundings, self.out);
    }

    fn relayed(&mut self, source: SocketAddr) {
        self.via.get_or_insert_default().relay(source);
    }

    fn tunnelled(&mut self, authority: &str) {
        self.via.get_or_insert_default().tunnel(authority);
    }

    fn learnt(&mut self, role: Role, direction: conversation::Direction) -> Option<&mut Learnt> {
        let place = &mut self.learnt_places[direction as usize];
        if place.is_none() {
            let executable = self.material.processes.executable(self.owners.current())?;
            *place = self
                .material
                .learnt
                .place(executable, self.ends.addresses?, role, direction);
        }
        self.material.learnt.at((*place)?)
    }

    fn discard(&mut self, what: Discard) {
        let loss = match what {
            Discard::StreamGap => Loss::StreamGap,
            Discard::Unparsable => Loss::Unparsable,
            Discard::UnmatchedResponse => Loss::UnmatchedResponse,
            Discard::PipelineFull => Loss::PipelineFull,
            Discard::HeadTooLong => Loss::HeadTooLong,
        };
        self.material.health.lose(loss, 1);
    }
}
