//! One connection: what it has said so far, whose it is, and what the kernel side was told of it.
//! It knows no other one.

use std::sync::Arc;

use wirespan_common::record::{ConnectionId, Direction, Extent, OPEN_COUNTED, Open};
use wirespan_common::sampling::{ALWAYS_FOLLOWED, is_left_out};
use wirespan_protocols::conversation::{self, Conversation, Past, Understanding};
use wirespan_protocols::heap;

use super::again::{Again, Identity};
use super::owners::Owners;
use crate::endpoints::{Endpoints, HostMemo, Via};
use crate::learnt::Places;
use crate::links::Wire;
use crate::unread::{Opening, Reason};

/// One connection.
#[derive(Debug)]
pub struct Connection {
    /// The key in the table.
    pub id: ConnectionId,
    /// `None` if its `Open` was lost.
    pub endpoints: Option<Endpoints>,
    /// Of its socket, as its `Open` told it.
    pub identity: Identity,
    /// By what its other end can be found.
    pub wire: Wire,
    /// Its number among those of which some are left out, once its `Open` told it.
    pub draw: u32,
    /// Its other end may be on this node, by its addresses, and if it is watched announces itself
    /// by then, in nanoseconds of record time; 0 if it cannot be.
    pub may_be_local_until_ns: u64,
    /// Where the positions of records begin, by direction: not at 0 once the kernel side has
    /// forgotten the connection and counts anew.
    pub(super) bases: [u64; 2],
    /// How much of that nobody saw: at least so many bytes.
    pub(super) missed: u64,
    /// What it says.
    pub conversation: Conversation,
    /// Where what was learnt from other connections of its two programs stands.
    pub learnt_places: Places,
    /// Hosts that its requests named.
    pub hosts: HostMemo,
    /// Who owned it when.
    pub owners: Owners,
    /// Of a TLS connection, the name by which the client asked for the server; told of the carrier
    /// and then of the object on it.
    pub server_name: Option<Arc<str>>,
    /// Who is behind its ends, if intermediaries said so; of a TLS object, those of its carrier.
    pub via: Option<Box<Via>>,
    /// A handshake of TLS began on it.
    pub(super) begins_tls: bool,
    /// A TLS object is on it, and tells what it says.
    pub(super) carries: bool,
    /// When the peer or the network tore it down; its process may not have noticed.
    pub reset_ns: Option<u64>,
    /// How it began, for who wonders why it is not understood.
    pub opening: Opening,
    /// Bytes known to have moved, by direction.
    pub(super) seen: [u64; 2],
    pub(super) last_ns: u64,
    pub(super) told: Option<wirespan_common::watch::Verdict>,
    /// [`Conversation::framings`] when the kernel side was last told.
    pub(super) told_framings: Option<u32>,
    pub(super) awaiting: Option<Awaited>,
    /// [`Conversation::growing_bytes`] when it was last counted what it takes.
    pub(super) weighed_at: usize,
}

/// What a connection is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaited {
    /// Bytes that are only counted.
    Progress,
    /// A response that has not begun.
    Response,
}

impl Connection {
    /// One of which nothing has been said yet.
    pub(super) fn new(id: ConnectionId, tgid: u32, now_ns: u64) -> Self {
        Self {
            id,
            endpoints: None,
            identity: Identity::default(),
            wire: Wire::default(),
            draw: ALWAYS_FOLLOWED,
            may_be_local_until_ns: 0,
            bases: [0; 2],
            missed: 0,
            conversation: Conversation::new(),
            learnt_places: Places::default(),
            hosts: HostMemo::default(),
            owners: Owners::new(tgid),
            server_name: None,
            via: None,
            begins_tls: false,
            carries: false,
            reset_ns: None,
            opening: Opening::default(),
            seen: [0; 2],
            last_ns: now_ns,
            told: None,
            told_framings: None,
            awaiting: None,
            weighed_at: 0,
        }
    }

    /// Bytes known to have moved in both directions.
    #[must_use]
    pub fn seen_bytes(&self) -> u64 {
        self.seen[0].saturating_add(self.seen[1])
    }

    /// Bytes of them that were understood.
    #[must_use]
    pub fn understood_bytes(&self) -> u64 {
        self.conversation.understood_bytes().min(self.seen_bytes())
    }

    /// What of it was not understood, and how many bytes. Of a carrier, the object on it tells.
    #[must_use]
    pub fn unread(&self) -> Option<(Reason, u64)> {
        let bytes = self.seen_bytes() - self.understood_bytes();
        if bytes == 0 || self.carries {
            return None;
        }
        let was = self.conversation.protocol();
        let verdict = match self.conversation.verdict() {
            Understanding::Undecided if self.conversation.begins_tls() => Understanding::Encrypted,
            verdict => verdict,
        };
        let reason = self.opening.reason(verdict, was)?;
        Some((reason, bytes))
    }

    /// What the kernel side is to make of it; `None` while that is not known.
    pub(super) fn verdict_for_kernel(&self) -> Option<wirespan_common::watch::Verdict> {
        use wirespan_common::watch::Verdict as ForKernel;

        let framings = self.conversation.framings();
        let is_told = self.told.is_some() && framings == self.told_framings;
        match self.conversation.verdict() {
            Understanding::Undecided => None,
            // Boundaries grow with every frame; they are told when they were found.
            Understanding::Understood if framings.is_some() && is_told => self.told,
            Understanding::Understood if framings.is_some() => Some(ForKernel::Http2 {
                ingress_boundary: self.boundary(conversation::Direction::Ingress),
                egress_boundary: self.boundary(conversation::Direction::Egress),
            }),
            Understanding::Understood => Some(ForKernel::Understood),
            Understanding::Opaque => Some(ForKernel::Ignored),
            Understanding::Encrypted => Some(ForKernel::Carrier),
        }
    }

    /// What it is waiting for, if it is worth waiting for.
    pub(super) fn awaits(&self) -> Option<Awaited> {
        if self.is_ignored() {
            None
        } else if self.reset_ns.is_some() || self.conversation.awaits_progress() {
            Some(Awaited::Progress)
        } else if self.conversation.has_open_exchange() {
            Some(Awaited::Response)
        } else {
            None
        }
    }

    /// Nothing that it says is of interest any more.
    #[must_use]
    pub fn is_ignored(&self) -> bool {
        use wirespan_common::watch::Verdict;

        matches!(
            self.told,
            Some(Verdict::Ignored | Verdict::Carrier | Verdict::LeftOut)
        )
    }

    /// It was followed, and is left out until it is announced again.
    #[must_use]
    pub fn is_let_go(&self) -> bool {
        self.told == Some(wirespan_common::watch::Verdict::LeftOut)
    }

    /// Whether it is let go where those below this number are left out: only where nothing is open
    /// on it, so that an exchange is told whole or not at all, and only once it is known what it
    /// speaks: what is on it, if it is TLS, is let go by itself.
    pub(super) fn may_be_let_go(&self, left_out_below: u32) -> bool {
        is_left_out(self.draw, left_out_below)
            && self.reset_ns.is_none()
            && self.conversation.verdict() == Understanding::Understood
            && !self.conversation.has_open_exchange()
            && !self.conversation.awaits_progress()
    }

    /// What it says is told by a TLS object. The kernel side knows.
    pub fn carry(&mut self) {
        self.carries = true;
        self.told = Some(wirespan_common::watch::Verdict::Carrier);
    }

    /// Whether it was seen moving bytes, none of which somebody else tells.
    #[must_use]
    pub fn carries(&self) -> bool {
        self.carries
    }

    /// Bytes of memory that it takes. Cheap: it is asked after every record.
    pub(super) fn memory_bytes(&self) -> usize {
        heap::boxed::<Self>()
            + self.conversation.heap_bytes()
            + self.endpoints.as_ref().map_or(0, Endpoints::heap_bytes)
            + self.hosts.heap_bytes()
            + heap::vec::<(u64, u32)>(self.owners.past.capacity())
            + heap::remembered(self.server_name.as_ref())
    }

    /// What an announcement of a connection with its number means.
    #[must_use]
    pub fn again(&self, identity: &Identity, endpoints: Option<&Endpoints>) -> Again {
        let moved = self.seen.map(|seen| seen.saturating_sub(self.missed));
        let ends = [self.endpoints.as_ref(), endpoints];
        self.identity.again(moved, identity, ends)
    }

    /// The socket announces itself, before it says anything, and said nothing for so long, in
    /// nanoseconds; 0 if that is not known.
    pub fn opened(&mut self, open: &Open, silent_ns: u64) {
        if open.flags & OPEN_COUNTED == 0 || self.seen_bytes() > 0 {
            return;
        }
        let past = match open.first_positions {
            [0, 0] => Past::Empty,
            _ => Past::Unseen { silent_ns },
        };
        self.conversation = Conversation::behind(past);
    }

    /// Begins behind bytes that nobody saw, so that nobody takes its first bytes for the first of
    /// all, or for those that directly follow what was seen.
    pub fn begin_amid(&mut self) {
        self.bases = [1; 2];
        self.missed = 1;
    }

    /// The same where it was spoken on all the while, so that anything may be outstanding.
    pub fn begin_unseen(&mut self) {
        self.begin_amid();
        self.conversation = Conversation::behind(Past::Unseen { silent_ns: 0 });
    }

    /// Where in its stream a byte stands that a record gives this position.
    #[must_use]
    pub fn position(&self, direction: Direction, position: u64) -> u64 {
        position.saturating_add(self.bases[direction as usize])
    }

    /// The same for how far a stream has come.
    #[must_use]
    pub fn extent(&self, direction: Direction, extent: &Extent) -> Extent {
        Extent {
            position: self.position(direction, extent.position),
            ..*extent
        }
    }

    /// Notes how far a stream has come and tells whether that is farther than was known.
    pub fn advance(&mut self, direction: Direction, position: u64) -> bool {
        let seen = &mut self.seen[direction as usize];
        let farther = position > *seen;
        *seen = position.max(*seen);
        farther
    }

    /// A frame boundary in the words of the kernel side, which counts from `bases` on.
    pub(super) fn boundary(&self, direction: conversation::Direction) -> u64 {
        self.conversation
            .boundary(direction)
            .and_then(|position| position.checked_sub(self.bases[direction as usize]))
            .unwrap_or(wirespan_common::watch::NO_BOUNDARY)
    }
}
