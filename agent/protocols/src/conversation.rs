//! One connection from its first captured byte: stream, detection, parsing, pairing. It knows no
//! address and no process; those belong to whoever owns the connection.

mod dialogue;
mod joining;
mod lane;
mod multiplex;

pub use multiplex::{OPEN_BYTES_MAX, STREAMS_MAX, UNCERTAIN_NS};

pub use crate::sink::{Discard, Sink};
pub use crate::transport::{Chunk, Direction, End, Extent};

use dialogue::{Dialogue, Heir, Next};
use joining::{Joined, Joining};
use multiplex::Multiplex;

use crate::exchange::Role;
use crate::heap;
use crate::parser::Flow;
use crate::protocol::Kind;

/// What the owner of the connection should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Not enough seen yet.
    Undecided,
    /// A protocol of the registry.
    Understood,
    /// Nothing that is understood, or no longer (upgraded): stop capturing.
    Opaque,
    /// TLS: there is nothing to see here, but perhaps elsewhere.
    Encrypted,
}

/// One connection.
#[derive(Debug, Default)]
pub struct Conversation {
    stage: Stage,
    head_was_cut: bool,
    understood_bytes: u64,
}

#[derive(Debug)]
enum Stage {
    /// Which protocol it is, and who asks, is not known.
    Joining(Box<Joining>),
    /// Both are known, and responses come in the order of the requests.
    Dialogue(Box<Dialogue>),
    /// Responses are told apart by numbers.
    Multiplex(Box<Multiplex>),
    /// Neither will be known, or the protocol has given way to another.
    Opaque(Option<&'static str>),
    /// It is TLS; the client asked for the server of that name.
    Encrypted(Option<Box<str>>),
}

impl Default for Stage {
    fn default() -> Self {
        Self::Joining(Box::new(Joining::new()))
    }
}

impl Conversation {
    /// A connection of which nothing has been seen.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the bytes of one call.
    pub fn chunk(&mut self, chunk: Chunk<'_>, sink: &mut impl Sink) {
        if chunk.len == 0 {
            return;
        }
        match &mut self.stage {
            Stage::Joining(joining) => {
                let joined = joining.chunk(&chunk, sink);
                let header_len = joining.header_len();
                match joined {
                    Joined::NotYet => {}
                    Joined::Never => self.stage = Stage::Opaque(None),
                    Joined::Encrypted(name) => self.stage = Stage::Encrypted(name),
                    Joined::Dialogue(dialogue) => {
                        self.understood_bytes += header_len;
                        self.stage = Stage::Dialogue(dialogue);
                    }
                    Joined::Multiplex(multiplex) => {
                        self.understood_bytes += header_len;
                        self.stage = Stage::Multiplex(multiplex);
                    }
                }
            }
            Stage::Dialogue(dialogue) => dialogue.chunk(&chunk, sink),
            Stage::Multiplex(multiplex) => multiplex.chunk(&chunk, sink),
            Stage::Opaque(_) | Stage::Encrypted(_) => {}
        }
        self.note(sink);
    }

    /// Takes notice of bytes that moved without being captured.
    pub fn extent(&mut self, direction: Direction, extent: Extent, sink: &mut impl Sink) {
        match &mut self.stage {
            Stage::Joining(joining) => joining.extent(direction, &extent),
            Stage::Dialogue(dialogue) => dialogue.extent(direction, &extent, sink),
            Stage::Multiplex(multiplex) => multiplex.extent(direction, &extent, sink),
            Stage::Opaque(_) | Stage::Encrypted(_) => {}
        }
        self.note(sink);
    }

    /// The connection or one of its streams ended.
    pub fn end(&mut self, end: End, time_ns: u64, sink: &mut impl Sink) {
        match &mut self.stage {
            Stage::Dialogue(dialogue) => dialogue.end(end, time_ns, sink),
            Stage::Multiplex(multiplex) => multiplex.end(end, time_ns, sink),
            Stage::Joining(_) | Stage::Opaque(_) | Stage::Encrypted(_) => {}
        }
        self.note(sink);
    }

    /// What to tell the kernel side.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match &self.stage {
            Stage::Joining(_) => Verdict::Undecided,
            Stage::Dialogue(_) | Stage::Multiplex(_) => Verdict::Understood,
            Stage::Opaque(_) => Verdict::Opaque,
            Stage::Encrypted(_) => Verdict::Encrypted,
        }
    }

    /// The protocol's name in the registry, once it is known; it stays after an upgrade.
    #[must_use]
    pub fn protocol(&self) -> Option<&'static str> {
        match &self.stage {
            Stage::Joining(_) | Stage::Encrypted(_) => None,
            Stage::Dialogue(dialogue) => Some(dialogue.protocol()),
            Stage::Multiplex(multiplex) => Some(multiplex.protocol()),
            Stage::Opaque(was) => *was,
        }
    }

    /// The name by which the client of a TLS connection asked for its server.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        match &self.stage {
            Stage::Encrypted(name) => name.as_deref(),
            Stage::Joining(joining) => joining.hello().flatten(),
            _ => None,
        }
    }

    /// Whether it speaks TLS, or its client began to and nobody has answered yet.
    #[must_use]
    pub fn begins_tls(&self) -> bool {
        match &self.stage {
            Stage::Encrypted(_) => true,
            Stage::Joining(joining) => joining.hello().is_some(),
            _ => false,
        }
    }

    /// An exchange is open whose end lies in bytes that may be counted without a record: somebody
    /// should ask how far the streams are.
    #[must_use]
    pub fn awaits_progress(&self) -> bool {
        match &self.stage {
            Stage::Dialogue(dialogue) => dialogue.awaits_progress(),
            Stage::Multiplex(multiplex) => multiplex.awaits_progress(),
            Stage::Joining(_) | Stage::Opaque(_) | Stage::Encrypted(_) => false,
        }
    }

    /// A request was seen whose fate has not been told: its response may be hours away,
    /// and somebody should look now and then whether the connection is still there.
    #[must_use]
    pub fn has_open_exchange(&self) -> bool {
        match &self.stage {
            Stage::Dialogue(dialogue) => dialogue.has_open_exchange(),
            Stage::Multiplex(multiplex) => multiplex.has_open_exchange(),
            Stage::Joining(_) | Stage::Opaque(_) | Stage::Encrypted(_) => false,
        }
    }

    /// Whether it carries HTTP/2, whose frames tell how much of a stream is of no interest.
    #[must_use]
    pub fn is_multiplexed(&self) -> bool {
        matches!(self.stage, Stage::Multiplex(_))
    }

    /// Position of a stream at which a frame is known to begin, the latest that is known, be it
    /// ahead of what was seen; `None` where none is.
    #[must_use]
    pub fn boundary(&self, direction: Direction) -> Option<u64> {
        match &self.stage {
            Stage::Multiplex(multiplex) => multiplex.boundary(direction),
            _ => None,
        }
    }

    /// How often frames were found after nobody knew where they begin. A change means that
    /// [`Conversation::boundary`] is worth telling.
    #[must_use]
    pub fn framings(&self) -> u32 {
        match &self.stage {
            Stage::Multiplex(multiplex) => multiplex.framings(),
            _ => 0,
        }
    }

    /// Whether, since the last call, a head did not fit into what is captured of one turn.
    pub fn take_head_was_cut(&mut self) -> bool {
        std::mem::take(&mut self.head_was_cut)
    }

    /// Bytes that belong to messages that were understood, both directions.
    #[must_use]
    pub fn understood_bytes(&self) -> u64 {
        self.understood_bytes
    }

    /// Bytes of heap that it takes. Cheap: it may be asked after every chunk.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        match &self.stage {
            Stage::Joining(joining) => heap::boxed::<Joining>() + joining.heap_bytes(),
            Stage::Dialogue(dialogue) => heap::boxed::<Dialogue>() + dialogue.heap_bytes(),
            Stage::Multiplex(multiplex) => heap::boxed::<Multiplex>() + multiplex.heap_bytes(),
            Stage::Opaque(_) => 0,
            Stage::Encrypted(name) => heap::block(name.as_deref().map_or(0, str::len)),
        }
    }

    /// Takes over what the protocol has to say besides exchanges.
    fn note(&mut self, sink: &mut impl Sink) {
        let (notes, protocol) = match &mut self.stage {
            Stage::Dialogue(dialogue) => (dialogue.take_notes(), dialogue.protocol()),
            Stage::Multiplex(multiplex) => (multiplex.take_notes(), multiplex.protocol()),
            Stage::Joining(_) | Stage::Opaque(_) | Stage::Encrypted(_) => return,
        };
        self.head_was_cut |= notes.head_was_cut;
        self.understood_bytes = self.understood_bytes.saturating_add(notes.understood_bytes);
        if notes.gave_up {
            self.stage = Stage::Opaque(Some(protocol));
        } else if let Stage::Dialogue(dialogue) = &mut self.stage
            && let Some(heir) = dialogue.take_heir()
        {
            self.give_way(heir, sink);
        }
    }

    fn give_way(&mut self, heir: Heir, sink: &mut impl Sink) {
        let Heir {
            next,
            role,
            requests,
            responses,
            is_framed: [requests_are_framed, responses_are_framed],
        } = heir;
        match next {
            Next::Tunnel(authority) => {
                sink.tunnelled(&authority);
                let requests = (requests, requests_are_framed);
                let responses = (responses, responses_are_framed);
                let joining = match direction_of(role, Flow::Requests) {
                    Direction::Ingress => Joining::within(requests, responses),
                    Direction::Egress => Joining::within(responses, requests),
                };
                self.stage = Stage::Joining(Box::new(joining));
            }
            Next::Http2(request, start) => {
                let http2 = crate::http2::PROTOCOL;
                let Kind::Multiplexed(parser) = http2.kind else {
                    return;
                };
                let flow = direction_of(role, Flow::Requests);
                let (ingress, egress) = match flow {
                    Direction::Ingress => (requests, responses),
                    Direction::Egress => (responses, requests),
                };
                let mut multiplex = Box::new(Multiplex::new(http2.name, parser, ingress, egress));
                multiplex.set_role(role);
                multiplex.begin(flow, requests_are_framed);
                multiplex.begin(flow.opposite(), responses_are_framed);
                multiplex.adopt(UPGRADED_STREAM, request, start);
                multiplex.look(sink);
                self.stage = Stage::Multiplex(multiplex);
                self.note(sink);
            }
        }
    }
}

/// The stream that answers the request which asked for HTTP/2 (RFC 7540 §3.2).
const UPGRADED_STREAM: u64 = 1;

/// What the owner of a conversation wants to know besides exchanges.
#[derive(Clone, Copy, Debug, Default)]
struct Notes {
    head_was_cut: bool,
    understood_bytes: u64,
    /// Another protocol took over, or this one was never spoken.
    gave_up: bool,
}

/// The traced process's role, if this flow goes that way.
fn role_of(direction: Direction, flow: Flow) -> Role {
    match (direction, flow) {
        (Direction::Ingress, Flow::Requests) | (Direction::Egress, Flow::Responses) => Role::Server,
        (Direction::Egress, Flow::Requests) | (Direction::Ingress, Flow::Responses) => Role::Client,
    }
}

/// Which way a flow goes, seen from a process with this role.
fn direction_of(role: Role, flow: Flow) -> Direction {
    if role_of(Direction::Ingress, flow) == role {
        Direction::Ingress
    } else {
        Direction::Egress
    }
}
