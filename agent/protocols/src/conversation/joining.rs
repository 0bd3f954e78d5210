//! A connection of which neither the protocol nor the roles are known. It looks where a message is
//! likely to begin: at the first chunk, and after each turn. What lies between is dropped.

use super::dialogue::Dialogue;
use super::multiplex::Multiplex;
use super::{Chunk, Direction, Discard, Extent, Sink, role_of};
use crate::client_hello::{self, Hello};
use crate::detect::{CHUNKS_MAX, Found, PREFIX_BYTES_MAX, TURNS_MAX, detect, detect_amid};
use crate::parser::{AnyParser, AnyStreamParser, Flow};
use crate::protocol::{Kind, Protocol};
use crate::stream::Stream;

#[derive(Debug, Default)]
pub(super) struct Joining {
    ingress: Stream,
    egress: Stream,
    /// How far each stream was when the last bytes of the other one moved.
    ingress_at_turn: u64,
    egress_at_turn: u64,
    /// Where the last bytes went.
    latest: Option<Direction>,
    turns: u32,
    chunks: u32,
}

/// What a chunk revealed.
#[derive(Debug)]
pub(super) enum Joined {
    /// Nothing.
    NotYet,
    /// That there is no point in looking on.
    Never,
    /// TLS, and the name that the client asked for.
    Encrypted(Option<Box<str>>),
    /// Protocol and roles.
    Dialogue(Box<Dialogue>),
    /// The same, of a protocol with streams; the roles may show later.
    Multiplex(Box<Multiplex>),
}

impl Joining {
    pub fn chunk(&mut self, chunk: &Chunk<'_>, sink: &mut impl Sink) -> Joined {
        let turned = self.latest != Some(chunk.direction);
        self.latest = Some(chunk.direction);
        self.chunks += 1;
        self.note_turn(chunk.direction.opposite());
        let stream = self.stream(chunk.direction);
        let arrival = stream.chunk(chunk);
        if let Some(gap) = arrival.before {
            drop_held(stream);
            stream.advance(gap.len);
        }
        let mut held = stream.take_held();
        let is_candidate = (turned || !held.is_empty()) && !arrival.bytes.is_empty();
        let found = if is_candidate {
            held.extend_from_slice(arrival.bytes);
            detect(&held)
        } else {
            let found = detect_amid(arrival.bytes);
            if matches!(found, Found::Match(..)) {
                held.extend_from_slice(arrival.bytes);
            }
            found
        };
        match found {
            Found::Match(protocol, flow) => match (protocol.kind, flow) {
                (Kind::Dialogue(parser), Some(flow)) => {
                    return self.join(protocol, parser, flow, held, chunk, sink);
                }
                (Kind::Multiplexed(parser), flow) => {
                    stream.hold(held);
                    return self.join_streams(protocol.name, parser, flow, chunk, sink);
                }
                (Kind::Dialogue(_), None) => stream.hold(held),
            },
            Found::NotYet if arrival.after.is_none() => stream.hold(held),
            Found::Foreign => return Joined::Never,
            Found::Encrypted => match client_hello::server_name(&held) {
                Hello::Incomplete if arrival.after.is_none() && held.len() < PREFIX_BYTES_MAX => {
                    stream.hold(held);
                }
                Hello::Incomplete => return Joined::Encrypted(None),
                Hello::Name(name) => return Joined::Encrypted(name),
            },
            Found::NotYet | Found::No => {
                let dropped = if is_candidate {
                    held.len()
                } else {
                    held.len() + arrival.bytes.len()
                };
                stream.advance(dropped as u64);
                if let Some(gap) = arrival.after {
                    stream.advance(gap.len);
                }
                if is_candidate {
                    self.turns += 1;
                }
            }
        }
        if self.turns >= TURNS_MAX || self.chunks >= CHUNKS_MAX {
            Joined::Never
        } else {
            Joined::NotYet
        }
    }

    pub fn extent(&mut self, direction: Direction, extent: &Extent) {
        if self.stream(direction).extent(extent) {
            self.latest = Some(direction);
            self.note_turn(direction.opposite());
        }
    }

    /// Bytes of heap that it takes, besides itself.
    pub fn heap_bytes(&self) -> usize {
        self.ingress.heap_bytes() + self.egress.heap_bytes()
    }

    fn note_turn(&mut self, other: Direction) {
        match other {
            Direction::Ingress => self.ingress_at_turn = self.ingress.reach(),
            Direction::Egress => self.egress_at_turn = self.egress.reach(),
        }
    }

    fn stream(&mut self, direction: Direction) -> &mut Stream {
        match direction {
            Direction::Ingress => &mut self.ingress,
            Direction::Egress => &mut self.egress,
        }
    }

    /// Roles are what a direction's flow makes them. `head` are the bytes that were recognised.
    fn join(
        &mut self,
        protocol: &'static Protocol,
        parser: fn(Flow) -> AnyParser,
        flow: Flow,
        head: Vec<u8>,
        chunk: &Chunk<'_>,
        sink: &mut impl Sink,
    ) -> Joined {
        let role = role_of(chunk.direction, flow);
        let at_turn = match chunk.direction {
            Direction::Ingress => self.ingress_at_turn,
            Direction::Egress => self.egress_at_turn,
        };
        let mut this = std::mem::take(self.stream(chunk.direction));
        let mut other = std::mem::take(self.stream(chunk.direction.opposite()));
        other.skip_to_reach();
        let is_seamless = this.cursor() == at_turn;
        if flow == Flow::Requests && is_seamless {
            let mut dialogue = Dialogue::new(protocol, parser, role, this, other);
            dialogue.begin(&head, chunk, sink);
            return Joined::Dialogue(Box::new(dialogue));
        }
        sink.discard(match flow {
            // Requests before it may have been missed whose responses are still to come.
            Flow::Requests => Discard::StreamGap,
            // Nobody knows what it answers, nor therefore where it ends.
            Flow::Responses => Discard::UnmatchedResponse,
        });
        this.extent(&Extent {
            position: chunk.position.saturating_add(chunk.len),
            last_ns: chunk.time_ns,
            ..Extent::default()
        });
        this.skip_to_reach();
        let (requests, responses) = match flow {
            Flow::Requests => (this, other),
            Flow::Responses => (other, this),
        };
        let mut dialogue = Dialogue::new(protocol, parser, role, requests, responses);
        dialogue.begin_unframed(flow);
        Joined::Dialogue(Box::new(dialogue))
    }
}

impl Joining {
    /// What both streams hold is looked at again: it may begin with frames.
    fn join_streams(
        &mut self,
        name: &'static str,
        parser: fn() -> AnyStreamParser,
        flow: Option<Flow>,
        chunk: &Chunk<'_>,
        sink: &mut impl Sink,
    ) -> Joined {
        let direction = chunk.direction;
        let ingress = std::mem::take(&mut self.ingress);
        let egress = std::mem::take(&mut self.egress);
        let other = match direction {
            Direction::Ingress => &egress,
            Direction::Egress => &ingress,
        };
        let is_whole = other.cursor() == 0 && other.reach() == other.held_len();
        let mut multiplex = Box::new(Multiplex::new(name, parser, ingress, egress));
        if let Some(flow) = flow {
            multiplex.set_role(role_of(direction, flow));
        }
        multiplex.join(direction, is_whole, sink);
        // What of this call was not captured.
        multiplex.extent_of(chunk, sink);
        Joined::Multiplex(multiplex)
    }
}

fn drop_held(stream: &mut Stream) {
    let mut held = stream.take_held();
    stream.advance(held.len() as u64);
    held.clear();
    stream.hold(held);
}
