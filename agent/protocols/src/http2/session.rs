//! A connection that carries many exchanges at a time, each on a stream with a number: two readers,
//! and the table of open streams between them. A response is paired by its number or not at all.
//!
//! Either reader may start, or lose its way, in the middle; it goes on where the parser can prove a
//! boundary. Streams that were open then may have ended unseen: one that stays silent for
//! [`UNCERTAIN_NS`] is told as not observed.

mod beginning;
mod endings;
mod streams;

pub use streams::{OPEN_BYTES_MAX, STREAMS_MAX};

use super::parser::{Frames, Search};
use super::part::{Part, What};
use crate::exchange::{Outcome, Role};
use crate::family::http::HttpRequest;
use crate::heap;
use crate::listener::{Beginning, Discard, Listener};
use crate::parser::{Flow, Gap};
use crate::reader::{Reader, Step};
use crate::session::{Notes, Session, direction_of, flow_of, role_of};
use crate::stream::{HELD_BYTES_MAX, Moved};
use crate::transport::{Chunk, Direction, End, Extent};
use streams::{StreamPiece, Streams};

pub use beginning::{inherit, open};

/// Times in a row that a reader may turn out to carry something else before the connection is given
/// up.
const INVALID_MAX: u32 = 8;

/// Bytes that are kept while a boundary is looked for.
const SEARCH_BYTES_MAX: usize = 16 * 1024;

/// Streams that are remembered after they were reset.
const RESET_MAX: usize = 16;

/// How long a stream may be silent whose end may have been lost, in nanoseconds.
pub const UNCERTAIN_NS: u64 = 60 * 1_000_000_000;

#[derive(Debug)]
pub(super) struct Multiplex {
    /// Known from the first request or response on.
    role: Option<Role>,
    /// By direction.
    readers: [Reader<Frames>; 2],
    streams: Streams,
    /// The largest number of a stream whose request was seen.
    highest: u64,
    /// Streams that were reset of late, whose responses may have been under way; 0 is none.
    reset: [u64; RESET_MAX],
    next_reset: usize,
    /// When streams that were uncertain then have been silent for too long.
    uncertain_until_ns: Option<u64>,
    invalid: u32,
    /// How often a reader found its way.
    framings: u32,
    notes: Notes,
}

impl Session for Multiplex {
    fn protocol(&self) -> &'static str {
        super::NAME
    }

    fn take_notes(&mut self) -> Notes {
        std::mem::take(&mut self.notes)
    }

    fn has_open_exchange(&self) -> bool {
        self.streams.has_requests()
    }

    fn heap_bytes(&self) -> usize {
        let readers = self.readers.iter();
        let readers = readers.map(|reader| reader.stream.heap_bytes() + reader.parser.heap_bytes());
        heap::boxed::<Self>() + readers.sum::<usize>() + self.streams.heap_bytes()
    }

    fn growing_bytes(&self) -> usize {
        let readers = self.readers.iter();
        let readers =
            readers.map(|reader| reader.stream.held_room() + reader.parser.growing_bytes());
        readers.sum::<usize>() + self.streams.growing_bytes()
    }

    fn awaits_progress(&self) -> bool {
        self.streams.has_requests()
            && self
                .readers
                .iter()
                .any(|reader| reader.is_framed && reader.parser.bytes_left().is_some())
    }

    fn boundary(&self, direction: Direction) -> Option<u64> {
        let reader = &self.readers[direction as usize];
        let held = if reader.stream.is_holding() {
            reader.parser.bytes_left().map(|_| reader.stream.held_len())
        } else {
            None
        };
        let ahead = reader.parser.bytes_left().unwrap_or(0) + held.unwrap_or(0);
        reader
            .is_framed
            .then(|| reader.stream.cursor().saturating_add(ahead))
    }

    fn framings(&self) -> Option<u32> {
        Some(self.framings)
    }

    fn chunk(&mut self, chunk: &Chunk<'_>, listener: &mut dyn Listener) {
        let direction = chunk.direction;
        if self
            .uncertain_until_ns
            .is_some_and(|until| chunk.time_ns > until)
        {
            self.forget_uncertain(chunk.time_ns, listener);
        }
        let arrival = self.readers[direction as usize].stream.chunk(chunk);
        if let Some(gap) = arrival.before {
            self.cross(direction, gap, listener);
        }
        if !arrival.bytes.is_empty() {
            let is_start = arrival.bytes.len() == chunk.bytes.len();
            self.offer(direction, arrival.bytes, is_start, listener);
        }
        if let Some(gap) = arrival.after {
            self.cross(direction, gap, listener);
        }
    }

    fn extent(&mut self, direction: Direction, extent: &Extent, listener: &mut dyn Listener) {
        let reader = &mut self.readers[direction as usize];
        if !reader.stream.extent(extent) || reader.stream.is_holding() {
            return;
        }
        // Elsewhere than in a payload, a chunk may still come that another thread's overtook.
        if reader.is_framed
            && let Some(left) = reader.parser.bytes_left()
            && let Some(gap) = reader.stream.take_ahead(left)
        {
            self.cross(direction, gap, listener);
        }
    }

    fn end(&mut self, end: End, time_ns: u64, listener: &mut dyn Listener) {
        self.end_all(end, time_ns, listener);
    }
}

// === bytes and gaps ===

impl Multiplex {
    fn offer(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        is_start: bool,
        listener: &mut dyn Listener,
    ) {
        let reader = &mut self.readers[direction as usize];
        if reader.stream.is_holding() {
            let mut held = reader.stream.take_held();
            held.extend_from_slice(bytes);
            // What is held began a call.
            let used = self.parse(direction, &held, true, listener);
            self.readers[direction as usize].hold(held, used, &[]);
            return;
        }
        let used = self.parse(direction, bytes, is_start, listener);
        if used < bytes.len() {
            let reader = &mut self.readers[direction as usize];
            let mut held = reader.stream.take_held();
            held.extend_from_slice(&bytes[used..]);
            reader.stream.hold(held);
        }
    }

    /// Returns how many of the bytes were taken.
    fn parse(
        &mut self,
        direction: Direction,
        buf: &[u8],
        mut is_start: bool,
        listener: &mut dyn Listener,
    ) -> usize {
        let mut used = 0;
        while used < buf.len() {
            let rest = &buf[used..];
            let reader = &mut self.readers[direction as usize];
            if !reader.is_framed {
                let skipped = match reader.parser.find(rest, is_start) {
                    Search::At(at) => {
                        reader.is_framed = true;
                        self.framings += 1;
                        at
                    }
                    Search::Maybe if rest.len() <= SEARCH_BYTES_MAX => break,
                    Search::Maybe | Search::Nowhere => rest.len(),
                };
                reader.stream.advance(skipped as u64);
                used += skipped;
                continue;
            }
            let role = self.role;
            let (step, taken) = reader.step_by(rest, |frames, bytes| {
                let learnt = role.and_then(|role| listener.learnt(role, direction));
                frames.parse(bytes, learnt.map(|learnt| &mut learnt.http2))
            });
            match step {
                Step::Message(part, first, last) | Step::Cut(part, first, last) => {
                    let bytes = match part.what {
                        What::Data { start, len, .. } => &rest[start..start + len],
                        _ => &[],
                    };
                    self.part(direction, part, bytes, (first, last), listener);
                }
                Step::Nothing => self.note_preface(direction),
                Step::Wait if rest.len() > HELD_BYTES_MAX => {
                    self.lose(direction, Discard::HeadTooLong, listener);
                }
                Step::Wait => break,
                Step::Invalid => {
                    self.invalid += 1;
                    self.notes.gave_up |= self.invalid >= INVALID_MAX;
                    self.lose(direction, Discard::Unparsable, listener);
                    // What was just refused must not be found again.
                    self.readers[direction as usize].stream.advance(1);
                    used += 1;
                    is_start = false;
                }
                Step::Lost => self.lose(direction, Discard::StreamGap, listener),
            }
            used += taken;
            self.understood(taken as u64);
        }
        used
    }

    /// Only clients send a preface.
    fn note_preface(&mut self, direction: Direction) {
        if self.role.is_none() && self.readers[direction as usize].parser.has_begun() {
            self.role = Some(role_of(direction, Flow::Requests));
        }
    }

    fn cross(&mut self, direction: Direction, gap: Gap, listener: &mut dyn Listener) {
        let mut left = Some(gap);
        while let Some(gap) = left {
            let reader = &mut self.readers[direction as usize];
            if !reader.is_framed {
                reader.drop_over(gap.len);
                return;
            }
            let held_len = reader.stream.held_len();
            let role = self.role;
            let bytes_left = reader.parser.bytes_left();
            let (step, understood, rest) = reader.cross_by(gap, bytes_left, |frames, held, gap| {
                let learnt = role.and_then(|role| listener.learnt(role, direction));
                frames.cross(held, gap, learnt.map(|learnt| &mut learnt.http2))
            });
            left = rest;
            self.understood(understood);
            match step {
                Step::Message(part, first, last) | Step::Cut(part, first, last) => {
                    // Other bytes than those of a body should have been captured.
                    self.notes.head_was_cut |= held_len > 0 && !gap.lost;
                    self.part(direction, part, &[], (first, last), listener);
                }
                Step::Lost => self.lose(direction, Discard::StreamGap, listener),
                Step::Nothing | Step::Wait | Step::Invalid => {}
            }
        }
    }

    fn lose(&mut self, direction: Direction, why: Discard, listener: &mut dyn Listener) {
        listener.discard(why);
        let reader = &mut self.readers[direction as usize];
        reader.parser.lose();
        reader.is_framed = false;
        let now_ns = reader.stream.last_ns();
        if !self.streams.is_empty() {
            self.streams.lose(self.is_requests(direction));
            self.uncertain_until_ns = Some(now_ns.saturating_add(UNCERTAIN_NS));
        }
    }

    fn is_requests(&self, direction: Direction) -> Option<bool> {
        Some(flow_of(self.role?, direction) == Flow::Requests)
    }

    fn understood(&mut self, bytes: u64) {
        self.notes.understood_bytes = self.notes.understood_bytes.saturating_add(bytes);
    }
}

// === parts ===

impl Multiplex {
    fn part(
        &mut self,
        direction: Direction,
        part: Part,
        bytes: &[u8],
        (first, last): (Moved, Moved),
        listener: &mut dyn Listener,
    ) {
        self.invalid = 0;
        let Part { stream, what, ends } = part;
        if self.role.is_none() {
            self.role = what.flow().map(|flow| role_of(direction, flow));
        }
        let is_request = self.is_requests(direction);
        match what {
            What::Request(request) => {
                if is_request == Some(true) {
                    self.request(stream, request, ends, (first, last), listener);
                } else {
                    listener.discard(Discard::Unparsable);
                }
                return;
            }
            What::TableSize(_) => {
                self.readers[direction.opposite() as usize]
                    .parser
                    .hear(&what);
                return;
            }
            What::GoingAway => {
                if is_request == Some(false) {
                    self.refuse_above(stream, last.time_ns, listener);
                }
                return;
            }
            What::Aborted { code } => {
                self.abort(stream, code, last.time_ns, listener);
                return;
            }
            What::Data { missed, .. } => {
                if let (Some(is_request), Some(open)) = (is_request, self.streams.get(stream)) {
                    open.is_uncertain = false;
                    open.move_on(StreamPiece {
                        is_request,
                        bytes,
                        missed,
                        first,
                        last,
                    });
                }
            }
            What::Interim | What::Response(_) | What::Trailers { .. } | What::Unclear => {
                if is_request == Some(false) {
                    self.response(stream, what, (first, last), listener);
                }
            }
        }
        if ends && let Some(is_request) = is_request {
            self.half_end(stream, is_request, last, listener);
        }
    }

    fn request(
        &mut self,
        stream: u64,
        request: Box<HttpRequest>,
        ends: bool,
        (first, last): (Moved, Moved),
        listener: &mut dyn Listener,
    ) {
        if stream > self.highest {
            if stream == 1 && self.streams.is_empty() {
                // Nothing was asked before, and so nothing answered.
                let responses = match self.role {
                    Some(role) => direction_of(role, Flow::Responses),
                    None => Direction::Egress,
                };
                self.readers[responses as usize].parser.begin();
            }
            self.highest = stream;
            if self.role == Some(Role::Client) {
                self.drop_unasked_below(stream, listener);
            }
        }
        if self
            .streams
            .get(stream)
            .is_some_and(|open| open.request.is_some())
        {
            // Its end was missed.
            self.tell(stream, Outcome::NotObserved, first.time_ns, listener);
        }
        while self.streams.is_full() {
            let Some(oldest) = self.streams.oldest() else {
                break;
            };
            listener.discard(Discard::PipelineFull);
            self.tell(oldest, Outcome::Evicted, first.time_ns, listener);
        }
        let ticket = listener.begin(Beginning {
            role: self.role.unwrap_or(Role::Server),
            start: first,
            head_end: last,
            stream: Some(stream),
            traces: Some(&request.traces),
            target: &request.target,
        });
        self.streams.ask(stream, request, first, ticket);
        if let Some(open) = self.streams.get(stream) {
            if ends {
                open.end(true);
            }
            if open.is_answered() {
                self.tell(stream, Outcome::Complete, first.time_ns, listener);
            }
        }
    }
}
