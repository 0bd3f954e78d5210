//! Who listens to the conversation of a connection: exchanges begin and end, what lacks nothing
//! becomes a span, discards are counted.

use std::net::{IpAddr, SocketAddr};

use wirespan_common::record::{ConnectionId, is_object};
use wirespan_protocols::conversation::{self, Conversation};
use wirespan_protocols::exchange::{Exchange, Role, Ticket};
use wirespan_protocols::learnt::Learnt;
use wirespan_protocols::listener::{Beginning, Discard, Listener};
use wirespan_protocols::stream::Moved;

use super::material::Material;
use super::{Addresses, Finished, Lacks};
use crate::connections::{Connection, Owners};
use crate::endpoints::{Endpoints, HostMemo, Via};
use crate::health::Loss;
use crate::learnt::Places;
use crate::links::{Actor, Begun, Ends as LinkEnds, Meeting, Wire};
use crate::outlet::Outlet;
use crate::own;
use crate::span::{Ends, Surroundings};

/// Processes that are named where nobody asks for them.
const EXPORTERS_MAX: usize = 256;

/// The call that the record which is heard tells of.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// When it returned.
    pub time_ns: u64,
    /// Who made it.
    pub actor: Actor,
    /// How far the socket under a TLS object was by then; see
    /// [`wirespan_common::record::Chunk::carrier_sequences`].
    pub carrier_sequences: Option<[u32; 2]>,
    /// Bytes that were inserted into what the connection sends, before this call and modulo 2^32.
    pub inserted: u32,
}

/// All that exchanges of one connection need, borrowed for one record.
pub struct ConnectionListener<'a> {
    material: &'a mut Material,
    ends: Ends<'a>,
    via: &'a mut Option<Box<Via>>,
    hosts: &'a mut HostMemo,
    owners: &'a Owners,
    learnt_places: &'a mut Places,
    connection: ConnectionId,
    wire: Wire,
    may_be_local_until_ns: u64,
    moment: Option<Moment>,
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
            wire: connection.wire,
            may_be_local_until_ns: connection.may_be_local_until_ns,
            moment: None,
            lacks_addresses: is_object(connection.id) && connection.endpoints.is_none(),
            out,
        };
        (&mut connection.conversation, listener)
    }

    /// The record that is heard tells of this call.
    pub fn during(&mut self, moment: Moment) {
        self.moment = Some(moment);
    }

    /// The call in which a byte moved, if it is the one that is heard of: what is told late was not
    /// done by who does something now.
    fn moment_of(&self, byte: Moved) -> Option<Moment> {
        let is_now = |now: &Moment| now.time_ns == byte.time_ns && now.actor.tid == byte.tid;
        self.moment.filter(is_now)
    }

    /// Where an exchange that begins at `position` may be seen at the other end.
    fn link_ends(&self, meeting: Option<Meeting>, position: u64) -> Option<LinkEnds> {
        Some(LinkEnds {
            key: meeting?,
            may_be_local: self.may_be_local(),
            position: position as u32,
        })
    }

    /// The other end of the connection is watched on this node, or that may still become known.
    fn may_be_local(&self) -> bool {
        let Material {
            exchanges, now_ns, ..
        } = &*self.material;
        let starts = self.wire.starts();
        *now_ns < self.may_be_local_until_ns
            || starts.is_some_and(|starts| exchanges.links.has_both(starts))
    }

    /// The address that tells whom to ask for a client.
    fn asked_for(&self, role: Role) -> Option<IpAddr> {
        let is_asked = role == Role::Server && self.material.exchanges.links.asks_peers();
        let addresses = self.ends.addresses.filter(|_| is_asked);
        addresses.and_then(Endpoints::peer_ip)
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
    fn begin(&mut self, beginning: Beginning<'_>) -> Ticket {
        let Beginning {
            role,
            start,
            head_end,
            stream,
            traces,
            target,
        } = beginning;
        // The other end counts what was inserted on the way out.
        let inserted = match (role, self.moment_of(head_end)) {
            (Role::Client, Some(moment)) => moment.inserted.into(),
            _ => 0,
        };
        let position = start.position.wrapping_add(inserted);
        let meeting = self.wire.meeting(role, position, stream);
        let owner = self.owners.at(start.time_ns);
        if role == Role::Server && own::is_for_traces(target) {
            let processes = &mut self.material.processes;
            processes.is_asked_to_export(owner, head_end.time_ns);
        }
        let named = traces.map(|traces| self.material.propagation.named(traces));
        let named = named.unwrap_or_default();
        let peer = self.asked_for(role);
        let is_asked = named.parent.is_none() && self.material.exchanges.links.asks_peers();
        let heeds_options = role == Role::Server && self.material.exchanges.links.heeds_options();
        let place = heeds_options.then(|| {
            let moment = self.moment_of(head_end);
            let sequences = moment.and_then(|moment| moment.carrier_sequences);
            self.wire.place(start.position, stream.is_some(), sequences)
        });
        let begun = Begun {
            role,
            owner,
            connection: self.connection,
            stream,
            actor: self.moment_of(head_end).map(|moment| moment.actor),
            ends: self.link_ends(meeting, start.position),
            peer,
            place: place.flatten(),
            may_meet_later: meeting.is_none()
                && self.wire.meets_at_answer()
                && (is_asked || self.may_be_local()),
            time_ns: head_end.time_ns,
            is_left_to_sdk: self.material.leaves_to_sdk(owner),
        };
        let links = &mut self.material.exchanges.links;
        links.begin(&begun, named).ticket()
    }

    fn answer(&mut self, ticket: Ticket, head_end: Moved) {
        let moment = self.moment_of(head_end);
        let carried = moment.and_then(|moment| moment.carrier_sequences);
        let role = self.material.exchanges.links.role(ticket);
        let meeting = match (role, carried) {
            (Some(role), Some(sequences)) => self.wire.meeting_at_answer(role, sequences),
            _ => None,
        };
        // Nobody asks where.
        let ends = self.link_ends(meeting, 0);
        let actor = moment.map(|moment| moment.actor);
        let peer = ends.and(role).and_then(|role| self.asked_for(role));
        let links = &mut self.material.exchanges.links;
        links.answer(ticket, actor, ends, peer);
    }

    fn withdraw(&mut self, ticket: Ticket) {
        let now_ns = self.material.now_ns;
        self.material.exchanges.links.end(ticket, now_ns);
    }

    fn end(&mut self, exchange: Exchange) {
        let Material {
            processes,
            teller,
            exchanges,
            health,
            now_ns,
            wall_offset_ns,
            exporters,
            ..
        } = &mut *self.material;
        let node = exchanges.links.end(exchange.ticket, *now_ns);
        let known = node.and_then(|node| Some((node, exchanges.placed(node)?)));
        let Some((node, (placed, is_settled))) = known else {
            debug_assert!(false, "it never began: {exchange:?}");
            return;
        };
        if own::is_export(&exchange) {
            return;
        }
        if own::exports_traces(&exchange)
            && processes.exports(placed.owner, exchange.role, *now_ns)
            && exporters.len() < EXPORTERS_MAX
        {
            exporters.push(placed.owner);
        }
        let (resource, is_awaited) = processes.known(placed.owner, *now_ns);
        let lacks = Lacks {
            addresses: self.lacks_addresses,
            description: is_awaited,
            trace: !is_settled,
        };
        if lacks.anything() {
            if exchanges.waiting.has_room(placed.owner, lacks) {
                if lacks.trace {
                    exchanges.links.tell_when_settled(node);
                }
                let finished = Finished {
                    exchange,
                    node,
                    placed,
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
        teller.tell(*now_ns, exchange, placed, surroundings, self.out);
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
