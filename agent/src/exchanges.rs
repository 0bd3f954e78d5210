//! The life of exchanges, from the head of a request to the span: those that are open, and those
//! that are over and wait for what they lack. A conversation tells when one begins and ends
//! ([`ConnectionListener`]); who asked for it is the business of [`crate::links`]. It parses
//! nothing and makes no spans.
//!
//! Trace and span ids are given out when an exchange begins, in the order of the records, so that
//! whatever happens while it is open can refer to it, and a replay gives the same ones.

mod listener;
mod material;
mod tail;
mod teller;
mod waiting;

pub use listener::{ConnectionListener, Moment};
pub use material::Material;
pub use tail::{HeldTraces, TailSpan};
pub use teller::Teller;
pub use waiting::{Addresses, Finished, Lacks, Waiting};

use crate::links::{Links, Mechanism, NodeId};
use crate::span::SpanLink;
use crate::trace_context::{SpanContext, TraceContext};

/// Where an exchange that is over stands.
#[derive(Clone, Debug)]
pub struct Placed {
    /// In its trace; as far as that is known, until it is told.
    pub context: SpanContext,
    /// How it is known who asked for it.
    pub link: Option<Mechanism>,
    /// The process that it belongs to.
    pub owner: u32,
    /// When somebody began to serve it, if that was seen, in nanoseconds of record time.
    pub served_ns: Option<u64>,
    /// An SDK in that process makes its span.
    pub is_left_to_sdk: bool,
    /// What it comes of without being part of it, and how that is known.
    pub follows: Option<Box<SpanLink>>,
}

/// All that are open or wait.
#[derive(Debug)]
pub struct Exchanges {
    /// Those that are open, or lately over, and who asked for whom.
    pub links: Links,
    /// Those that are over.
    pub waiting: Waiting,
}

impl Exchanges {
    /// None yet; ids will be taken from `trace_context`.
    #[must_use]
    pub fn new(trace_context: TraceContext) -> Self {
        Self {
            links: Links::new(trace_context),
            waiting: Waiting::default(),
        }
    }

    /// Where an exchange stands, and whether that is all that will be known.
    fn placed(&self, node: NodeId) -> Option<(Placed, bool)> {
        let known = self.links.get(node)?;
        let (owner, served_ns) = (known.owner, known.served_ns);
        let is_left_to_sdk = known.is_left_to_sdk;
        let follows = self.links.follows(node).map(|it| Box::new(it.into()));
        let (context, link, is_settled) = self.links.place(node)?;
        let placed = Placed {
            context,
            link,
            owner,
            served_ns,
            is_left_to_sdk,
            follows,
        };
        Some((placed, is_settled))
    }

    /// How many are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.links.open()
    }

    /// Bytes of memory that they take.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.links.memory_bytes() + self.waiting.memory_bytes()
    }
}
