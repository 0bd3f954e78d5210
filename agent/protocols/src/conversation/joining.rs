//! A connection of which neither the protocol nor the roles are known. It looks where a message is
//! likely to begin: at the first chunk, and after each turn. What lies between is dropped.

use super::dialogue::Dialogue;
use super::{Chunk, Direction, Discard, Extent, Sink};
use crate::client_hello::{self, Hello};
use crate::detect::{CHUNKS_MAX, Found, PREFIX_BYTES_MAX, TURNS_MAX, detect};
use crate::exchange::Role;
use crate::parser::Flow;
use crate::registry::Protocol;
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
    Understood(Box<Dialogue>),
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
            Found::No
        };
        match found {
            Found::Match(protocol, flow) => {
                return self.join(protocol, flow, held, chunk, sink);
            }
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
        flow: Flow,
        head: Vec<u8>,
        chunk: &Chunk<'_>,
        sink: &mut impl Sink,
    ) -> Joined {
        let role = match (chunk.direction, flow) {
            (Direction::Ingress, Flow::Requests) | (Direction::Egress, Flow::Responses) => {
                Role::Server
            }
            (Direction::Egress, Flow::Requests) | (Direction::Ingress, Flow::Responses) => {
                Role::Client
            }
        };
        let at_turn = match chunk.direction {
            Direction::Ingress => self.ingress_at_turn,
            Direction::Egress => self.egress_at_turn,
        };
        let mut this = std::mem::take(self.stream(chunk.direction));
        let mut other = std::mem::take(self.stream(chunk.direction.opposite()));
        other.skip_to_reach();
        let is_seamless = this.cursor() == at_turn;
        if flow == Flow::Requests && is_seamless {
            let mut dialogue = Dialogue::new(protocol, role, this, other);
            dialogue.begin(&head, chunk, sink);
            return Joined::Understood(Box::new(dialogue));
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
        let mut dialogue = Dialogue::new(protocol, role, requests, responses);
        dialogue.begin_unframed(flow);
        Joined::Understood(Box::new(dialogue))
    }
}

fn drop_held(stream: &mut Stream) {
    let mut held = stream.take_held();
    stream.advance(held.len() as u64);
    held.clear();
    stream.hold(held);
}
