//! One connection from its first captured byte: stream, detection, parsing, pairing. It knows no
//! address and no process; those belong to whoever owns the connection.

mod dialogue;
mod joining;
mod lane;

pub use crate::sink::{Discard, Sink};
pub use crate::transport::{Chunk, Direction, End, Extent};

use dialogue::Dialogue;
use joining::{Joined, Joining};

/// What the owner of the connection should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Not enough seen yet.
    Undecided,
    /// A protocol of the registry.
    Understood,
    /// Nothing that is understood, or no longer (upgraded, tunnelled): stop capturing.
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
    /// Both are known.
    Understood(Box<Dialogue>),
    /// Neither will be known, or the protocol has given way to another.
    Opaque(Option<&'static str>),
    /// It is TLS; the client asked for the server of that name.
    Encrypted(Option<Box<str>>),
}

impl Default for Stage {
    fn default() -> Self {
        Self::Joining(Box::default())
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
            Stage::Joining(joining) => match joining.chunk(&chunk, sink) {
                Joined::NotYet => {}
                Joined::Never => self.stage = Stage::Opaque(None),
                Joined::Encrypted(name) => self.stage = Stage::Encrypted(name),
                Joined::Understood(dialogue) => self.stage = Stage::Understood(dialogue),
            },
            Stage::Understood(dialogue) => dialogue.chunk(&chunk, sink),
            Stage::Opaque(_) | Stage::Encrypted(_) => {}
        }
        self.note();
    }

    /// Takes notice of bytes that moved without being captured.
    pub fn extent(&mut self, direction: Direction, extent: Extent, sink: &mut impl Sink) {
        match &mut self.stage {
            Stage::Joining(joining) => joining.extent(direction, &extent),
            Stage::Understood(dialogue) => dialogue.extent(direction, &extent, sink),
            Stage::Opaque(_) | Stage::Encrypted(_) => {}
        }
        self.note();
    }

    /// The connection or one of its streams ended.
    pub fn end(&mut self, end: End, time_ns: u64, sink: &mut impl Sink) {
        if let Stage::Understood(dialogue) = &mut self.stage {
            dialogue.end(end, time_ns, sink);
        }
        self.note();
    }

    /// What to tell the kernel side.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match &self.stage {
            Stage::Joining(_) => Verdict::Undecided,
            Stage::Understood(_) => Verdict::Understood,
            Stage::Opaque(_) => Verdict::Opaque,
            Stage::Encrypted(_) => Verdict::Encrypted,
        }
    }

    /// The protocol's name in the registry, once it is known; it stays after an upgrade.
    #[must_use]
    pub fn protocol(&self) -> Option<&'static str> {
        match &self.stage {
            Stage::Joining(_) | Stage::Encrypted(_) => None,
            Stage::Understood(dialogue) => Some(dialogue.protocol()),
            Stage::Opaque(was) => *was,
        }
    }

    /// The name by which the client of a TLS connection asked for its server.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        match &self.stage {
            Stage::Encrypted(name) => name.as_deref(),
            Stage::Joining(_) | Stage::Understood(_) | Stage::Opaque(_) => None,
        }
    }

    /// An exchange is open whose end lies in bytes that may be counted without a record: somebody
    /// should ask how far the streams are.
    #[must_use]
    pub fn awaits_progress(&self) -> bool {
        matches!(&self.stage, Stage::Understood(dialogue) if dialogue.awaits_progress())
    }

    /// A request was seen whose fate has not been told: its response may be hours away,
    /// and somebody should look now and then whether the connection is still there.
    #[must_use]
    pub fn has_open_exchange(&self) -> bool {
        matches!(&self.stage, Stage::Understood(dialogue) if dialogue.has_open_exchange())
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

    /// Takes over what the dialogue has to say besides exchanges.
    fn note(&mut self) {
        if let Stage::Understood(dialogue) = &mut self.stage {
            let notes = dialogue.take_notes();
            self.head_was_cut |= notes.head_was_cut;
            self.understood_bytes = self.understood_bytes.saturating_add(notes.understood_bytes);
            if notes.gave_up {
                self.stage = Stage::Opaque(Some(dialogue.protocol()));
            }
        }
    }
}
