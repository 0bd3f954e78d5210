//! Who listens to a conversation: exchanges become spans where they fall, discards are counted.
//! Also the translation from records to what conversations hear; nothing is decided here.

use std::net::SocketAddr;
use std::sync::Arc;

use wirespan_common::record::{self, CHUNK_AFTER_LOSS, Record, is_object};
use wirespan_protocols::conversation::{self, Conversation, Discard, Sink};
use wirespan_protocols::exchange::{Exchange, Role};
use wirespan_protocols::http2::hpack::Lore;

use crate::connections::{Connection, Owners};
use crate::health::{Health, Loss};
use crate::lore::{Lores, Places};
use crate::processes::Processes;
use crate::span::{Ends, HostMemo, Span, SpanMaker, Surroundings, Via};

/// What the spans of all connections are made of.
#[derive(Debug)]
pub struct Material {
    pub processes: Processes,
    pub spans: SpanMaker,
    pub lores: Lores,
    pub wall_offset_ns: i64,
    pub health: Arc<Health>,
}

/// All that the span of an exchange is made of, borrowed for one record.
pub struct Ear<'a> {
    material: &'a mut Material,
    ends: Ends<'a>,
    via: &'a mut Option<Box<Via>>,
    hosts: &'a mut HostMemo,
    owners: &'a Owners,
    lore_places: &'a mut Places,
    /// Exchanges whose addresses are still to come, and whether there are such.
    held: &'a mut Vec<Exchange>,
    is_holding: bool,
    out: &'a mut Vec<Span>,
}

/// Exchanges of a TLS object that wait until its socket is known; further ones are told without
/// addresses.
const HELD_MAX: usize = 16;

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
            is_holding: is_object(connection.id) && connection.endpoints.is_none(),
            held: &mut connection.held,
            out,
        };
        (&mut connection.conversation, ear)
    }

    /// Tells what waited, and holds nothing back from now on.
    pub fn let_go(&mut self) {
        self.is_holding = false;
        for exchange in std::mem::take(self.held) {
            self.tell(exchange);
        }
    }

    fn tell(&mut self, exchange: Exchange) {
        let owner = self.owners.at(exchange.start_ns);
        let span = self.material.spans.make(
            exchange,
            Surroundings {
                resource: self.material.processes.resource(owner),
                ends: Ends {
                    via: self.via.as_deref(),
                    ..self.ends
                },
                hosts: self.hosts,
                wall_offset_ns: self.material.wall_offset_ns,
            },
        );
        self.out.push(span);
    }
}

impl Sink for Ear<'_> {
    fn exchange(&mut self, exchange: Exchange) {
        if self.material.spans.ignores(&exchange) {
            return;
        }
        if self.is_holding && self.held.len() < HELD_MAX {
            self.held.push(exchange);
        } else {
            self.tell(exchange);
        }
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
