//! A connection of which neither the protocol nor the roles are known. It looks where a message is
//! likely to begin: at the first chunk, behind what a relay wrote in front of it, and after each
//! turn. What lies between is dropped.

use crate::client_hello::{self, Hello};
use crate::detect::{CHUNKS_MAX, Found, PREFIX_BYTES_MAX, TURNS_MAX, detect, detect_amid};
use crate::heap;
use crate::listener::{Discard, Listener};
use crate::parser::Flow;
use crate::protocol::Pairing;
use crate::relay::{self, Header};
use crate::session::{
    CorrelatedStart, JoinedAt, MultiplexedStart, OrderedStart, Rest, Session, role_of,
};
use crate::stream::{Moved, Stream};
use crate::transport::{Chunk, Direction, Extent, Past};

/// Where a hello says which one it is, behind the header of its record (RFC 8446 §4).
const HELLO_KIND_AT: usize = 5;
/// A client's.
const CLIENT_HELLO: u8 = 1;

#[derive(Debug, Default)]
pub(super) struct Joining {
    /// By direction.
    sides: [JoiningSide; 2],
    /// Where the last bytes went.
    latest: Option<Direction>,
    turns: u32,
    chunks: u32,
    /// What the connection has behind it; of a tunnel, nothing.
    past: Past,
    /// Bytes of a relay's header.
    header_len: u64,
    /// A client's TLS hello was seen, with whom it named, and the other side has said nothing yet:
    /// a server of plain HTTP refuses it as any other head.
    hello: Option<Helloed>,
}

/// A client that began with TLS.
#[derive(Debug)]
struct Helloed {
    direction: Direction,
    name: Option<Box<str>>,
}

/// One direction.
#[derive(Debug, Default)]
struct JoiningSide {
    stream: Stream,
    /// Position of the first byte that may belong to a message: behind a relay's header, or where
    /// the tunnel begins. `None` if what was sent before is not known.
    begins: Option<u64>,
    /// How far the stream was when the last bytes of the other one moved.
    at_turn: u64,
    /// What begins there, if that is no message of any protocol.
    odd: Option<Moved>,
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
    /// The protocol.
    Known(Box<dyn Session>),
}

impl Joining {
    /// A connection that was not looked at yet.
    pub fn new(past: Past) -> Self {
        let mut joining = Self {
            past,
            ..Self::default()
        };
        for side in &mut joining.sides {
            side.begins = Some(0);
        }
        joining
    }

    /// What goes through a tunnel, from where these streams are; each with whether that is the
    /// tunnel's first byte. What they hold is looked at with what comes next.
    pub fn within(ingress: Rest, egress: Rest) -> Self {
        let side = |Rest { stream, is_framed }: Rest| JoiningSide {
            begins: is_framed.then(|| stream.cursor()),
            at_turn: stream.cursor(),
            stream,
            odd: None,
        };
        Self {
            past: match ingress.is_framed && egress.is_framed {
                true => Past::Empty,
                false => Past::Unknown,
            },
            sides: [side(ingress), side(egress)],
            ..Self::default()
        }
    }

    /// Bytes of a relay's header that were passed over.
    pub fn header_len(&self) -> u64 {
        self.header_len
    }

    /// The client's TLS hello was seen, and whom it named.
    pub fn hello(&self) -> Option<Option<&str>> {
        let hello = self.hello.as_ref()?;
        Some(hello.name.as_deref())
    }

    pub fn chunk(&mut self, chunk: &Chunk<'_>, listener: &mut dyn Listener) -> Joined {
        let goes_on = |hello: &Helloed| hello.direction == chunk.direction;
        if self.hello.as_ref().is_some_and(goes_on) {
            return Joined::Encrypted(self.hello.take().and_then(|hello| hello.name));
        }
        match self.heard(chunk, listener) {
            Joined::NotYet if !self.may_be_refused() => {
                Joined::Encrypted(self.hello.take().and_then(|hello| hello.name))
            }
            joined => joined,
        }
    }

    /// Whether nothing that was said speaks against it that a hello, if there was one, is refused
    /// by a server that does not speak TLS.
    fn may_be_refused(&self) -> bool {
        self.hello.as_ref().is_none_or(|hello| {
            let answer = &self.sides[hello.direction.opposite() as usize];
            answer.is_at_start()
        })
    }

    fn heard(&mut self, chunk: &Chunk<'_>, listener: &mut dyn Listener) -> Joined {
        let turned = self.latest != Some(chunk.direction);
        self.latest = Some(chunk.direction);
        self.chunks += 1;
        self.side(chunk.direction.opposite()).note_turn();
        let side = self.side(chunk.direction);
        let arrival = side.stream.chunk(chunk);
        if let Some(gap) = arrival.before {
            drop_held(&mut side.stream);
            side.stream.advance(gap.len);
        }
        let bytes = side.behind_header(arrival.bytes);
        let mut held = side.stream.take_held();
        let is_candidate = (turned || !held.is_empty() || side.is_at_start()) && !bytes.is_empty();
        let found = if is_candidate {
            held.extend_from_slice(bytes);
            match self.pass_header(chunk.direction, &mut held, listener) {
                Passed::All => detect(&held),
                Passed::NotYet => Found::NotYet,
            }
        } else {
            amid(bytes, &mut held)
        };
        if matches!(found, Found::Encrypted)
            && let Some(hello) = self.hello.take()
        {
            return Joined::Encrypted(hello.name);
        }
        let side = self.side(chunk.direction);
        match found {
            Found::Match(protocol, flow) => {
                if let Some(session) = self.open(protocol.kind, flow, held, chunk, listener) {
                    return Joined::Known(session);
                }
            }
            Found::NotYet if arrival.after.is_none() => side.stream.hold(held),
            Found::Foreign => return Joined::Never,
            Found::Encrypted => {
                let is_whole = arrival.after.is_none();
                if let Some(joined) = self.heard_encrypted(chunk.direction, held, is_whole) {
                    return joined;
                }
            }
            Found::NotYet | Found::No => {
                if is_candidate && side.is_at_start() && matches!(found, Found::No) {
                    side.odd = Some(side.stream.moved_at(side.stream.cursor()));
                }
                let rest = if is_candidate { 0 } else { bytes.len() };
                let dropped = held.len() + rest;
                let missing = arrival.after.map_or(0, |gap| gap.len);
                side.stream.advance(dropped as u64 + missing);
                self.turns += u32::from(dropped > 0 && is_candidate);
            }
        }
        if self.turns >= TURNS_MAX || self.chunks >= CHUNKS_MAX {
            Joined::Never
        } else {
            Joined::NotYet
        }
    }

    /// What reads a connection of this kind, of which `held` are bytes that go this way. `None` if
    /// it takes more to know which way.
    fn open(
        &mut self,
        kind: Pairing,
        flow: Option<Flow>,
        held: Vec<u8>,
        chunk: &Chunk<'_>,
        listener: &mut dyn Listener,
    ) -> Option<Box<dyn Session>> {
        match (kind, flow) {
            (Pairing::Ordered { open, refuses }, Some(flow)) => {
                let (start, lost) = self.ordered(flow, refuses, &held, chunk);
                if let Some(lost) = lost {
                    listener.discard(lost);
                }
                Some(open(start, listener))
            }
            (Pairing::Correlated { open }, Some(flow)) => {
                Some(open(self.correlated(flow, &held, chunk), listener))
            }
            (Pairing::Multiplexed { open, .. }, flow) => {
                self.side(chunk.direction).stream.hold(held);
                Some(open(self.multiplexed(flow, chunk), listener))
            }
            (Pairing::Ordered { .. } | Pairing::Correlated { .. }, None) => {
                self.side(chunk.direction).stream.hold(held);
                None
            }
        }
    }

    /// What was heard begins as TLS does; `is_whole` if nothing is missing behind it. `None` if it
    /// may yet turn out that nobody speaks TLS here.
    fn heard_encrypted(
        &mut self,
        direction: Direction,
        held: Vec<u8>,
        is_whole: bool,
    ) -> Option<Joined> {
        let side = self.side(direction);
        match client_hello::server_name(&held) {
            Hello::Incomplete if is_whole && held.len() < PREFIX_BYTES_MAX => {
                // Some servers refuse it before they have read all of it.
                if side.is_at_start() {
                    side.odd = Some(side.stream.moved_at(side.stream.cursor()));
                }
                side.stream.hold(held);
                None
            }
            Hello::Name(name)
                if side.is_at_start()
                    && held.get(HELLO_KIND_AT) == Some(&CLIENT_HELLO)
                    && is_whole =>
            {
                side.odd = Some(side.stream.moved_at(side.stream.cursor()));
                side.stream.advance(held.len() as u64);
                let other = self.side(direction.opposite());
                if other.stream.reach() != other.begins.unwrap_or(u64::MAX) {
                    return Some(Joined::Encrypted(name));
                }
                self.hello = Some(Helloed { direction, name });
                None
            }
            Hello::Name(name) => Some(Joined::Encrypted(name)),
            Hello::Incomplete => Some(Joined::Encrypted(None)),
        }
    }

    pub fn extent(&mut self, direction: Direction, extent: &Extent) {
        if self.side(direction).stream.extent(extent) {
            self.latest = Some(direction);
            self.side(direction.opposite()).note_turn();
        }
    }

    /// Bytes of heap that it takes, besides itself.
    pub fn heap_bytes(&self) -> usize {
        let [ingress, egress] = &self.sides;
        let name = self.hello().flatten().map_or(0, str::len);
        ingress.stream.heap_bytes() + egress.stream.heap_bytes() + heap::block(name)
    }

    fn side(&mut self, direction: Direction) -> &mut JoiningSide {
        &mut self.sides[direction as usize]
    }

    /// Passes over what a relay wrote before the first message. `held` are the bytes at the cursor.
    fn pass_header(
        &mut self,
        direction: Direction,
        held: &mut Vec<u8>,
        listener: &mut dyn Listener,
    ) -> Passed {
        let side = self.side(direction);
        // Only there, and only once.
        if side.stream.cursor() != 0 || side.begins != Some(0) {
            return Passed::All;
        }
        match relay::header(held) {
            Header::None => Passed::All,
            Header::Incomplete => Passed::NotYet,
            Header::Whole { len, source } => {
                let here = usize::try_from(len).map_or(held.len(), |len| len.min(held.len()));
                held.drain(..here);
                side.begins = Some(len);
                side.at_turn = side.at_turn.max(len);
                side.stream.advance(here as u64);
                self.header_len = len;
                if let Some(source) = source {
                    listener.relayed(source);
                }
                if held.is_empty() {
                    Passed::NotYet
                } else {
                    Passed::All
                }
            }
        }
    }

    /// Roles are what a direction's flow makes them. `head` are the bytes that were recognised.
    /// Also returns what was lost before, if anything was.
    fn ordered<'a>(
        &mut self,
        flow: Flow,
        refuses: fn(&[u8]) -> bool,
        head: &'a [u8],
        chunk: &'a Chunk<'a>,
    ) -> (OrderedStart<'a>, Option<Discard>) {
        let past = match self.past {
            Past::Empty | Past::Unseen { .. }
                if !self.sides.iter().all(JoiningSide::is_at_start) =>
            {
                Past::Unseen { silent_ns: 0 }
            }
            past => past,
        };
        let this = std::mem::take(self.side(chunk.direction));
        let other = std::mem::take(self.side(chunk.direction.opposite()));
        let refused = match flow {
            Flow::Responses => other.odd.filter(|_| this.is_at_start() && refuses(head)),
            Flow::Requests => None,
        };
        let (at_turn, mut this, mut other) = (this.at_turn, this.stream, other.stream);
        other.skip_to_reach();
        let is_seamless = this.cursor() == at_turn;
        let (entry, lost) = match (flow, refused) {
            (Flow::Requests, _) if is_seamless => (JoinedAt::Request { head, chunk }, None),
            (_, Some(asked)) => (JoinedAt::Refusal { asked, head, chunk }, None),
            _ => {
                this.extent(&Extent {
                    position: chunk.position.saturating_add(chunk.len),
                    last_ns: chunk.time_ns,
                    ..Extent::default()
                });
                this.skip_to_reach();
                let lost = match flow {
                    // Requests before it may have been missed whose responses are still to come.
                    Flow::Requests => Discard::StreamGap,
                    // Nobody knows what it answers, nor therefore where it ends.
                    Flow::Responses => Discard::UnmatchedResponse,
                };
                (JoinedAt::Amid { latest: flow }, Some(lost))
            }
        };
        let (requests, responses) = match flow {
            Flow::Requests => (this, other),
            Flow::Responses => (other, this),
        };
        let role = role_of(chunk.direction, flow);
        let start = OrderedStart {
            role,
            requests,
            responses,
            past,
            entry,
        };
        (start, lost)
    }

    fn correlated<'a>(
        &mut self,
        flow: Flow,
        head: &'a [u8],
        chunk: &'a Chunk<'a>,
    ) -> CorrelatedStart<'a> {
        let this = std::mem::take(self.side(chunk.direction)).stream;
        let mut other = std::mem::take(self.side(chunk.direction.opposite())).stream;
        other.skip_to_reach();
        let (requests, responses) = match flow {
            Flow::Requests => (this, other),
            Flow::Responses => (other, this),
        };
        CorrelatedStart {
            role: role_of(chunk.direction, flow),
            requests,
            responses,
            flow,
            head,
            chunk,
        }
    }

    fn multiplexed<'a>(
        &mut self,
        flow: Option<Flow>,
        chunk: &'a Chunk<'a>,
    ) -> MultiplexedStart<'a> {
        let direction = chunk.direction;
        let other = self.side(direction.opposite());
        let is_whole = other.is_at_start()
            && other.stream.reach() - other.stream.cursor() == other.stream.held_len();
        let [ingress, egress] = std::mem::take(&mut self.sides).map(|side| side.stream);
        MultiplexedStart {
            ingress,
            egress,
            direction,
            flow,
            is_whole,
            chunk,
        }
    }
}

/// Whether a relay's header is still under way.
enum Passed {
    NotYet,
    All,
}

impl JoiningSide {
    fn note_turn(&mut self) {
        self.at_turn = self.stream.reach();
    }

    /// Whether nothing that may belong to a message was dropped.
    fn is_at_start(&self) -> bool {
        self.begins == Some(self.stream.cursor())
    }

    /// What of new bytes is not the rest of a relay's header, which is passed over.
    fn behind_header<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let left = self
            .begins
            .unwrap_or(0)
            .saturating_sub(self.stream.cursor());
        if left == 0 {
            return bytes;
        }
        let here = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        self.stream.advance(here as u64);
        &bytes[here..]
    }
}

/// Looks into bytes that stand in the middle of what one side says; keeps them if they are found
/// to be something.
fn amid(bytes: &[u8], held: &mut Vec<u8>) -> Found {
    let found = detect_amid(bytes);
    if matches!(found, Found::Match(..)) {
        held.extend_from_slice(bytes);
    }
    found
}

fn drop_held(stream: &mut Stream) {
    let mut held = stream.take_held();
    stream.advance(held.len() as u64);
    held.clear();
    stream.hold(held);
}
