//! A connection that carries many exchanges at a time, each on a stream with a number: two lanes,
//! and the table of open streams between them. A response is paired by its number or not at all.
//!
//! Either lane may start, or lose its way, in the middle; it goes on where the parser can prove a
//! boundary. Streams that were open then may have ended unseen: one that stays silent for
//! [`UNCERTAIN_NS`] is told as not observed.

mod beginning;
mod fates;
mod lane;
mod streams;

pub use streams::{OPEN_BYTES_MAX, STREAMS_MAX};

use super::{Chunk, Direction, Discard, End, Extent, Sink};
use crate::exchange::{Outcome, Role};
use crate::message::{Part, Request, What};
use crate::parser::{Gap, Search};
use crate::stream::{HELD_BYTES_MAX, Moved};
use beginning::role_by;
use lane::{Lane, Step};
use streams::{Piece, Streams};

/// Times in a row that a lane may turn out to carry something else before the connection is given
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
    name: &'static str,
    /// Known from the first request or response on.
    role: Option<Role>,
    /// By direction.
    lanes: [Lane; 2],
    streams: Streams,
    /// The largest number of a stream whose request was seen.
    highest: u64,
    /// Streams that were reset of late, whose responses may have been under way; 0 is none.
    reset: [u64; RESET_MAX],
    next_reset: usize,
    /// When streams that were uncertain then have been silent for too long.
    uncertain_until_ns: Option<u64>,
    invalid: u32,
    /// How often a lane found its way.
    framings: u32,
    notes: super::Notes,
}

impl Multiplex {
    pub fn protocol(&self) -> &'static str {
        self.name
    }

    pub fn take_notes(&mut self) -> super::Notes {
        std::mem::take(&mut self.notes)
    }

    pub fn has_open_exchange(&self) -> bool {
        self.streams.has_requests()
    }

    /// Bytes of heap that it takes, besides itself.
    pub fn heap_bytes(&self) -> usize {
        let [ingress, egress] = &self.lanes;
        ingress.heap_bytes() + egress.heap_bytes() + self.streams.heap_bytes()
    }

    pub fn awaits_progress(&self) -> bool {
        self.streams.has_requests()
            && self
                .lanes
                .iter()
                .any(|lane| lane.is_framed && lane.parser.bytes_left().is_some())
    }

    /// Where a message is known to begin, as far ahead as can be told.
    pub fn boundary(&self, direction: Direction) -> Option<u64> {
        self.lanes[direction as usize].boundary()
    }

    pub fn framings(&self) -> u32 {
        self.framings
    }

    pub fn chunk(&mut self, chunk: &Chunk<'_>, sink: &mut impl Sink) {
        let direction = chunk.direction;
        if self
            .uncertain_until_ns
            .is_some_and(|until| chunk.time_ns > until)
        {
            self.forget_uncertain(chunk.time_ns, sink);
        }
        let arrival = self.lanes[direction as usize].stream.chunk(chunk);
        if let Some(gap) = arrival.before {
            self.cross(direction, gap, sink);
        }
        if !arrival.bytes.is_empty() {
            let is_start = arrival.bytes.len() == chunk.bytes.len();
            self.offer(direction, arrival.bytes, is_start, sink);
        }
        if let Some(gap) = arrival.after {
            self.cross(direction, gap, sink);
        }
    }

    pub fn extent(&mut self, direction: Direction, extent: &Extent, sink: &mut impl Sink) {
        let lane = &mut self.lanes[direction as usize];
        if !lane.stream.extent(extent) || lane.stream.is_holding() {
            return;
        }
        // Elsewhere than in a payload, a chunk may still come that another thread's overtook.
        if lane.is_framed
            && let Some(left) = lane.parser.bytes_left()
            && let Some(gap) = lane.stream.take_ahead(left)
        {
            self.cross(direction, gap, sink);
        }
    }
}

// === bytes and gaps ===

impl Multiplex {
    fn offer(&mut self, direction: Direction, bytes: &[u8], is_start: bool, sink: &mut impl Sink) {
        let lane = &mut self.lanes[direction as usize];
        if lane.stream.is_holding() {
            let mut held = lane.stream.take_held();
            held.extend_from_slice(bytes);
            // What is held began a call.
            let used = self.parse(direction, &held, true, sink);
            self.lanes[direction as usize].hold(held, used);
            return;
        }
        let used = self.parse(direction, bytes, is_start, sink);
        if used < bytes.len() {
            let lane = &mut self.lanes[direction as usize];
            let mut held = lane.stream.take_held();
            held.extend_from_slice(&bytes[used..]);
            lane.stream.hold(held);
        }
    }

    /// Returns how many of the bytes were taken.
    fn parse(
        &mut self,
        direction: Direction,
        buf: &[u8],
        mut is_start: bool,
        sink: &mut impl Sink,
    ) -> usize {
        let mut used = 0;
        while used < buf.len() {
            let rest = &buf[used..];
            let lane = &mut self.lanes[direction as usize];
            if !lane.is_framed {
                let skipped = match lane.parser.find(rest, is_start) {
                    Search::At(at) => {
                        lane.is_framed = true;
                        self.framings += 1;
                        at
                    }
                    Search::Maybe if rest.len() <= SEARCH_BYTES_MAX => break,
                    Search::Maybe | Search::Nowhere => rest.len(),
                };
                lane.stream.advance(skipped as u64);
                used += skipped;
                continue;
            }
            let (step, taken) =
                lane.step(rest, self.role.and_then(|role| sink.lore(role, direction)));
            match step {
                Step::Part(part, first, last) => {
                    let bytes = match part.what {
                        What::Data { start, len, .. } => &rest[start..start + len],
                        _ => &[],
                    };
                    self.part(direction, part, bytes, (first, last), sink);
                }
                Step::Nothing => self.note_preface(direction),
                Step::Wait if rest.len() > HELD_BYTES_MAX => {
                    self.lose(direction, Discard::HeadTooLong, sink);
                }
                Step::Wait => break,
                Step::Invalid => {
                    self.invalid += 1;
                    self.notes.gave_up |= self.invalid >= INVALID_MAX;
                    self.lose(direction, Discard::Unparsable, sink);
                    // What was just refused must not be found again.
                    self.lanes[direction as usize].stream.advance(1);
                    used += 1;
                    is_start = false;
                }
                Step::Lost => self.lose(direction, Discard::StreamGap, sink),
            }
            used += taken;
            self.understood(taken as u64);
        }
        used
    }

    /// Only clients send a preface.
    fn note_preface(&mut self, direction: Direction) {
        if self.role.is_none() && self.lanes[direction as usize].parser.has_begun() {
            self.role = Some(match direction {
                Direction::Egress => Role::Client,
                Direction::Ingress => Role::Server,
            });
        }
    }

    fn cross(&mut self, direction: Direction, gap: Gap, sink: &mut impl Sink) {
        let mut left = Some(gap);
        while let Some(gap) = left {
            let lane = &mut self.lanes[direction as usize];
            if !lane.is_framed {
                lane.drop_over(gap.len);
                return;
            }
            let held_len = lane.stream.held_len();
            let (step, understood, rest) =
                lane.cross(gap, self.role.and_then(|role| sink.lore(role, direction)));
            left = rest;
            self.understood(understood);
            match step {
                Step::Part(part, first, last) => {
                    // Other bytes than those of a body should have been captured.
                    self.notes.head_was_cut |= held_len > 0 && !gap.lost;
                    self.part(direction, part, &[], (first, last), sink);
                }
                Step::Lost => self.lose(direction, Discard::StreamGap, sink),
                Step::Nothing | Step::Wait | Step::Invalid => {}
            }
        }
    }

    fn lose(&mut self, direction: Direction, why: Discard, sink: &mut impl Sink) {
        sink.discard(why);
        let lane = &mut self.lanes[direction as usize];
        lane.parser.lose();
        lane.is_framed = false;
        let now_ns = lane.stream.last_ns();
        if !self.streams.is_empty() {
            self.streams.lose(self.is_requests(direction));
            self.uncertain_until_ns = Some(now_ns.saturating_add(UNCERTAIN_NS));
        }
    }

    fn is_requests(&self, direction: Direction) -> Option<bool> {
        let role = self.role?;
        Some(matches!(
            (role, direction),
            (Role::Server, Direction::Ingress) | (Role::Client, Direction::Egress)
        ))
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
        sink: &mut impl Sink,
    ) {
        self.invalid = 0;
        let Part { stream, what, ends } = part;
        if self.role.is_none() {
            self.role = role_by(direction, &what);
        }
        let is_request = self.is_requests(direction);
        match what {
            What::Request(request) => {
                if is_request == Some(true) {
                    self.request(stream, request, ends, first, sink);
                } else {
                    sink.discard(Discard::Unparsable);
                }
                return;
            }
            What::TableSize(_) => {
                self.lanes[direction.opposite() as usize].parser.hear(&what);
                return;
            }
            What::GoingAway => {
                if is_request == Some(false) {
                    self.refuse_above(stream, last.time_ns, sink);
                }
                return;
            }
            What::Aborted { code } => {
                self.abort(stream, code, last.time_ns, sink);
                return;
            }
            What::Data { missed, .. } => {
                if let (Some(is_request), Some(open)) = (is_request, self.streams.get(stream)) {
                    open.is_uncertain = false;
                    open.move_on(Piece {
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
                    self.response(stream, what, (first, last), sink);
                }
            }
        }
        if ends && let Some(is_request) = is_request {
            self.half_end(stream, is_request, last, sink);
        }
    }

    fn request(
        &mut self,
        stream: u64,
        request: Request,
        ends: bool,
        first: Moved,
        sink: &mut impl Sink,
    ) {
        if stream > self.highest {
            if stream == 1 && self.streams.is_empty() {
                // Nothing was asked before, and so nothing answered.
                let responses = match self.role {
                    Some(Role::Client) => Direction::Ingress,
                    _ => Direction::Egress,
                };
                self.lanes[responses as usize].parser.begin();
            }
            self.highest = stream;
            if self.role == Some(Role::Client) {
                self.drop_unasked_below(stream, sink);
            }
        }
        if self
            .streams
            .get(stream)
            .is_some_and(|open| open.request.is_some())
        {
            // Its end was missed.
            self.tell(stream, Outcome::NotObserved, first.time_ns, sink);
        }
        while self.streams.is_full() {
            let Some(oldest) = self.streams.oldest() else {
                break;
            };
            sink.discard(Discard::PipelineFull);
            self.tell(oldest, Outcome::Evicted, first.time_ns, sink);
        }
        self.streams.ask(stream, request, first);
        if let Some(open) = self.streams.get(stream) {
            if ends {
                open.end(true);
            }
            if open.is_answered() {
                self.tell(stream, Outcome::Complete, first.time_ns, sink);
            }
        }
    }
}
