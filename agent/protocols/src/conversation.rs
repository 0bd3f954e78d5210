//! One connection from its first captured byte: stream, detection, parsing, pairing. It knows no
//! address and no process; those belong to whoever owns the connection.

mod joining;

pub use crate::transport::{Chunk, Direction, End, Extent, Past};

use joining::{Joined, Joining};

use crate::heap;
use crate::listener::Listener;
use crate::parser::Flow;
use crate::protocol::Pairing;
use crate::registry::PROTOCOLS;
use crate::session::{Heir, Inheritance, Next, Session, direction_of};

/// What the owner of the connection should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Understanding {
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
    stage: ConversationStage,
    head_was_cut: bool,
    understood_bytes: u64,
}

#[derive(Debug)]
enum ConversationStage {
    /// Which protocol it is, and who asks, is not known.
    Joining(Box<Joining>),
    /// What it speaks is known.
    Known(Box<dyn Session>),
    /// Neither will be known, or the protocol has given way to another.
    Opaque(Option<&'static str>),
    /// It is TLS; the client asked for the server of that name.
    Encrypted(Option<Box<str>>),
}

impl Default for ConversationStage {
    fn default() -> Self {
        Self::Joining(Box::new(Joining::new(Past::Unknown)))
    }
}

impl Conversation {
    /// A connection of which nothing has been seen.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, of which it is known what it has behind it.
    #[must_use]
    pub fn behind(past: Past) -> Self {
        Self {
            stage: ConversationStage::Joining(Box::new(Joining::new(past))),
            ..Self::default()
        }
    }

    /// Takes the bytes of one call.
    pub fn chunk(&mut self, chunk: Chunk<'_>, listener: &mut impl Listener) {
        if chunk.len == 0 {
            return;
        }
        match &mut self.stage {
            ConversationStage::Joining(joining) => {
                let joined = joining.chunk(&chunk, listener);
                let header_len = joining.header_len();
                match joined {
                    Joined::NotYet => {}
                    Joined::Never => self.stage = ConversationStage::Opaque(None),
                    Joined::Encrypted(name) => self.stage = ConversationStage::Encrypted(name),
                    Joined::Known(session) => {
                        self.understood_bytes += header_len;
                        self.stage = ConversationStage::Known(session);
                    }
                }
            }
            ConversationStage::Known(session) => session.chunk(&chunk, listener),
            ConversationStage::Opaque(_) | ConversationStage::Encrypted(_) => {}
        }
        self.note(chunk.time_ns, listener);
    }

    /// Takes notice of bytes that moved without being captured.
    pub fn extent(&mut self, direction: Direction, extent: Extent, listener: &mut impl Listener) {
        match &mut self.stage {
            ConversationStage::Joining(joining) => joining.extent(direction, &extent),
            ConversationStage::Known(session) => session.extent(direction, &extent, listener),
            ConversationStage::Opaque(_) | ConversationStage::Encrypted(_) => {}
        }
        self.note(extent.last_ns, listener);
    }

    /// The connection or one of its streams ended.
    pub fn end(&mut self, end: End, time_ns: u64, listener: &mut impl Listener) {
        if let ConversationStage::Known(session) = &mut self.stage {
            session.end(end, time_ns, listener);
        }
        self.note(time_ns, listener);
    }

    /// What to tell the kernel side.
    #[must_use]
    pub fn verdict(&self) -> Understanding {
        match &self.stage {
            ConversationStage::Joining(_) => Understanding::Undecided,
            ConversationStage::Known(_) => Understanding::Understood,
            ConversationStage::Opaque(_) => Understanding::Opaque,
            ConversationStage::Encrypted(_) => Understanding::Encrypted,
        }
    }

    /// The protocol's name in the registry, once it is known; it stays after an upgrade.
    #[must_use]
    pub fn protocol(&self) -> Option<&'static str> {
        match &self.stage {
            ConversationStage::Joining(_) | ConversationStage::Encrypted(_) => None,
            ConversationStage::Known(session) => Some(session.protocol()),
            ConversationStage::Opaque(was) => *was,
        }
    }

    /// The name by which the client of a TLS connection asked for its server.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        match &self.stage {
            ConversationStage::Encrypted(name) => name.as_deref(),
            ConversationStage::Joining(joining) => joining.hello().flatten(),
            _ => None,
        }
    }

    /// Whether it speaks TLS, or its client began to and nobody has answered yet.
    #[must_use]
    pub fn begins_tls(&self) -> bool {
        match &self.stage {
            ConversationStage::Encrypted(_) => true,
            ConversationStage::Joining(joining) => joining.hello().is_some(),
            _ => false,
        }
    }

    /// An exchange is open whose end lies in bytes that may be counted without a record: somebody
    /// should ask how far the streams are.
    #[must_use]
    pub fn awaits_progress(&self) -> bool {
        self.session().is_some_and(Session::awaits_progress)
    }

    /// A request was seen whose fate has not been told: its response may be hours away,
    /// and somebody should look now and then whether the connection is still there.
    #[must_use]
    pub fn has_open_exchange(&self) -> bool {
        self.session().is_some_and(Session::has_open_exchange)
    }

    /// Position of a stream at which a frame is known to begin, the latest that is known, be it
    /// ahead of what was seen; `None` where none is.
    #[must_use]
    pub fn boundary(&self, direction: Direction) -> Option<u64> {
        self.session()?.boundary(direction)
    }

    /// Of a protocol whose frames tell how much of a stream is of no interest: how often they were
    /// found after nobody knew where they begin. A change means that [`Conversation::boundary`] is
    /// worth telling.
    #[must_use]
    pub fn framings(&self) -> Option<u32> {
        self.session()?.framings()
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

    /// A number that moves with [`Conversation::heap_bytes`] and is cheaper to have: it may be
    /// asked after every chunk.
    #[must_use]
    pub fn growing_bytes(&self) -> usize {
        /// So that a change of stage shows.
        const KNOWN: usize = 1 << 16;
        match &self.stage {
            ConversationStage::Joining(joining) => joining.heap_bytes(),
            ConversationStage::Known(session) => KNOWN + session.growing_bytes(),
            ConversationStage::Opaque(_) | ConversationStage::Encrypted(_) => 2 * KNOWN,
        }
    }

    /// Bytes of heap that it takes.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        match &self.stage {
            ConversationStage::Joining(joining) => heap::boxed::<Joining>() + joining.heap_bytes(),
            ConversationStage::Known(session) => session.heap_bytes(),
            ConversationStage::Opaque(_) => 0,
            ConversationStage::Encrypted(name) => heap::block(name.as_deref().map_or(0, str::len)),
        }
    }

    fn session(&self) -> Option<&dyn Session> {
        match &self.stage {
            ConversationStage::Known(session) => Some(&**session),
            ConversationStage::Joining(_)
            | ConversationStage::Opaque(_)
            | ConversationStage::Encrypted(_) => None,
        }
    }

    /// Takes over what the protocol has to say besides exchanges.
    fn note(&mut self, time_ns: u64, listener: &mut dyn Listener) {
        let ConversationStage::Known(session) = &mut self.stage else {
            return;
        };
        let notes = session.take_notes();
        self.head_was_cut |= notes.head_was_cut;
        self.understood_bytes = self.understood_bytes.saturating_add(notes.understood_bytes);
        if notes.gave_up {
            // What is open then will never be told from what comes.
            session.end(End::LostSight, time_ns, listener);
            self.stage = ConversationStage::Opaque(Some(session.protocol()));
        } else if let Some(heir) = session.take_heir() {
            self.give_way(heir, time_ns, listener);
        }
    }

    fn give_way(&mut self, heir: Heir, time_ns: u64, listener: &mut dyn Listener) {
        let Heir {
            next,
            role,
            requests,
            responses,
        } = heir;
        match next {
            Next::Tunnel(authority) => {
                listener.tunnelled(&authority);
                let joining = match direction_of(role, Flow::Requests) {
                    Direction::Ingress => Joining::within(requests, responses),
                    Direction::Egress => Joining::within(responses, requests),
                };
                self.stage = ConversationStage::Joining(Box::new(joining));
            }
            Next::Upgrade(token, asked) => {
                let inheritance = Inheritance {
                    role,
                    requests,
                    responses,
                    asked,
                };
                let ticket = inheritance.asked.ticket;
                match by_upgrade_token(token).and_then(|inherit| inherit(inheritance, listener)) {
                    Some(session) => {
                        self.stage = ConversationStage::Known(session);
                        self.note(time_ns, listener);
                    }
                    None => listener.withdraw(ticket),
                }
            }
        }
    }
}

/// What makes a session from an inheritance.
type Inherit = fn(Inheritance, &mut dyn Listener) -> Option<Box<dyn Session>>;

fn by_upgrade_token(wanted: &str) -> Option<Inherit> {
    PROTOCOLS.iter().find_map(|protocol| match protocol.kind {
        Pairing::Multiplexed {
            upgrade_token,
            inherit,
            ..
        } if upgrade_token == wanted => Some(inherit),
        _ => None,
    })
}
