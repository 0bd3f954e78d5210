//! Who listens to a conversation: exchanges become spans where they fall, discards are counted.
//! Also the translation from records to what conversations hear; nothing is decided here.

use std::net::SocketAddr;
use std::sync::Arc;

use wirespan_common::record::{self, CHUNK_AFTER_LOSS, ConnectionId, Record, is_object};
use wirespan_protocols::conversation::{self, Conversation, Discard, Sink};
use wirespan_protocols::exchange::{Exchange, Role};
use wirespan_protocols::http2::hpack::Lore;

use crate::connections::{Connection, Owners};
use crate::health::{Health, Loss};
use crate::lore::{Lores, Places};
use crate::processes::Processes;
use crate::span::{Ends, HostMemo, Span, SpanMaker, Surroundings, Via};

use super::waiting::{Addresses, Finished, Lacks, Waiting};

/// What the spans of all connections are made of.
#[derive(Debug)]
pub struct Material {
    pub processes: Processes,
    pub spans: SpanMaker,
    pub lores: Lores,
    pub waiting: Waiting,
    pub wall_offset_ns: i64,
    /// Time of the record that is heard.
    pub now_ns: u64,
    pub health: Arc<Health>,
}

impl Material {
    /// Makes spans of what has waited.
    pub fn tell(&mut self, finished: impl IntoIterator<Item = Finished>, out: &mut Vec<Span>) {
        for it in finished {
            let span = self.spans.make(
                it.exchange,
                Surroundings {
                    resource: self.processes.resource(it.owner),
                    ends: Ends {
                        addresses: it.endpoints.as_ref(),
                        is_encrypted: it.is_encrypted,
                        server_name: it.server_name.as_ref(),
                        via: it.via.as_deref(),
                    },
                    hosts: &mut HostMemo::default(),
                    wall_offset_ns: it.wall_offset_ns,
                },
            );
            out.push(span);
        }
    }

    /// Makes spans of what has waited long enough, as it is.
    pub fn tell_late(&mut self, out: &mut Vec<Span>) {
        while let Some(late) = self.waiting.take_late(self.now_ns) {
            self.health.lose(Loss::Incomplete, 1);
            self.tell([late], out);
        }
    }
}

/// All that the span of an exchange is made of, borrowed for one record.
pub struct Ear<'a> {
    material: &'a mut Material,
    ends: Ends<'a>,
    via: &'a mut Option<Box<Via>>,
    hosts: &'a mut HostMemo,
    owners: &'a Owners,
    lore_places: &'a mut Places,
    connection: ConnectionId,
    /// Addresses may still come.
    lacks_addresses: bool,
    out: &'a mut Vec<Span>,
}

impl<'a> Ear<'a> {
    /// A connection's conversation, and an ear for what it says.
    pub fn at(
        connection: &'a mut Connection,
        material: &'a mut Material,
        out: &'a mut Vec<Span>,
    ) -> (&'a mut Conversation, Self) {
        let ear = Self {
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
            lore_places: &mut connection.lore_places,
            connection: connection.id,
            lacks_addresses: is_object(connection.id) && connection.endpoints.is_none(),
            out,
        };
        (&mut connection.conversation, ear)
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
        let released = self.material.waiting.addressed(self.connection, known);
        self.material.tell(released, self.out);
    }
}

impl Sink for Ear<'_> {
    fn exchange(&mut self, exchange: Exchange) {
        if self.material.spans.ignores(&exchange) {
            return;
        }
        let owner = self.owners.at(exchange.start_ns);
        let material = &mut *self.material;
        let (resource, is_awaited) = material.processes.known(owner, material.now_ns);
        let lacks = Lacks {
            addresses: self.lacks_addresses,
            description: is_awaited,
        };
        if lacks.anything() {
            if material.waiting.has_room(owner) {
                let finished = Finished {
                    exchange,
                    connection: self.connection,
                    owner,
                    endpoints: self.ends.addresses.cloned(),
                    is_encrypted: self.ends.is_encrypted,
                    server_name: self.ends.server_name.cloned(),
                    via: self.via.clone(),
                    wall_offset_ns: material.wall_offset_ns,
                };
                material.waiting.hold(finished, lacks, material.now_ns);
                return;
            }
            material.health.lose(Loss::Incomplete, 1);
        }
        let span = material.spans.make(
            exchange,
            Surroundings {
                resource,
                ends: Ends {
                    via: self.via.as_deref(),
                    ..self.ends
                },
                hosts: self.hosts,
                wall_offset_ns: material.wall_offset_ns,
            },
        );
        self.out.push(span);
    }

    fn relayed(&mut self, source: SocketAddr) {
        self.via.get_or_insert_default().relay(source);
    }

    fn tunnelled(&mut self, authority: &str) {
        self.via.get_or_insert_default().tunnel(authority);
    }

    fn lore(&mut self, role: Role, direction: conversation::Direction) -> Option<&mut Lore> {
        let place = &mut self.lore_places[direction as usize];
        if place.is_none() {
            let executable = self.material.processes.executable(self.owners.current())?;
            *place = self
                .material
                .lores
                .place(executable, self.ends.addresses?, role, direction);
        }
        self.material.lores.at((*place)?)
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

pub fn direction(direction: record::Direction) -> conversation::Direction {
    match direction {
        record::Direction::Ingress => conversation::Direction::Ingress,
        record::Direction::Egress => conversation::Direction::Egress,
    }
}

pub fn extent(extent: &record::Extent) -> conversation::Extent {
    conversation::Extent {
        position: extent.position,
        last_ns: extent.last_ns,
        tail: extent.tail,
        tail_len: extent.tail_len,
    }
}

pub fn chunk<'a>(
    record: &Record<'_>,
    chunk: &record::Chunk,
    direction: record::Direction,
    bytes: &'a [u8],
) -> conversation::Chunk<'a> {
    conversation::Chunk {
        direction: self::direction(direction),
        position: chunk.position,
        len: chunk.len.into(),
        bytes,
        tail: chunk.tail,
        tail_len: chunk.tail_len,
        time_ns: record.time_ns,
        tid: record.tid,
        after_loss: chunk.flags & CHUNK_AFTER_LOSS != 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_translated_without_a_loss() {
        let extent = record::Extent {
            position: 3,
            last_ns: 4,
            tail: *b"abcdefgh",
            tail_len: 5,
            reserved: [0; 7],
        };
        let told = super::extent(&extent);
        assert_eq!((told.position, told.last_ns), (3, 4));
        assert_eq!((&told.tail, told.tail_len), (b"abcdefgh", 5));

        let mut raw = record::Chunk {
            connection: 1,
            position: 20,
            len: 30,
            captured: 2,
            direction: record::Direction::Egress as u8,
            flags: CHUNK_AFTER_LOSS,
            tail_len: 6,
            reserved: [0; 5],
            tail: *b"hgfedcba",
            opposite: extent,
        };
        let whole = Record {
            time_ns: 40,
            tgid: 50,
            tid: 60,
            body: record::Body::Process(b""),
        };
        let told = chunk(&whole, &raw, record::Direction::Egress, b"hi");
        assert_eq!(told.direction, conversation::Direction::Egress);
        assert_eq!((told.position, told.len, told.bytes), (20, 30, &b"hi"[..]));
        assert_eq!((&told.tail, told.tail_len), (b"hgfedcba", 6));
        assert_eq!((told.time_ns, told.tid, told.after_loss), (40, 60, true));
        raw.flags = !CHUNK_AFTER_LOSS;
        assert!(!chunk(&whole, &raw, record::Direction::Egress, b"hi").after_loss);
    }
}
