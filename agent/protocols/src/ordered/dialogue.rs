//! A connection whose protocol and roles are known: two readers, and the pairing between them. The
//! rule above all others: no pairing rather than a wrong one.
//!
//! As long as both readers are framed and nothing was lost, responses answer requests in order: the
//! dialogue is *aligned*. A loss on either side ends that, because nobody knows how many messages
//! went with it. It is aligned anew at a request that begins a turn, at the very position where the
//! stream of requests stood when the last bytes of a response moved: then no request can be hidden
//! between, and all that was answered before is over. Clients that ask on while answers are
//! outstanding give no such moment; their connection stays unpaired after a loss. Where such
//! clients are usual, that is believed of each until it has taken turns for a while, and the moment
//! is one after a long silence ([`Manners::quiet_ns`](super::Manners::quiet_ns)).
//!
//! What looks like a request there may be part of a body, which servers read in pieces. So what is
//! paired from there on is on probation, and told once there are as many answers as requests.

mod messages;

use super::pair::Pair;
use super::{EitherOf, Ordered, Request as _};
use crate::either::Either;
use crate::exchange::{Outcome, Role};
use crate::heap;
use crate::listener::{Discard, Listener};
use crate::message::{Message, Then};
use crate::parser::{Answers as _, Flow, Gap, Parser as _};
use crate::protocol::Detected;
use crate::reader::{Reader, Step};
use crate::session::{self, Asked, Heir, JoinedAt, Next, Notes, OrderedStart, Rest, Session};
use crate::stream::{HELD_BYTES_MAX, Moved, Stream};
use crate::transport::{Chunk, Direction, End, Extent, Past};

/// Times in a row that a reader may turn out to carry something else before the connection is given
/// up.
const INVALID_MAX: u32 = 8;

/// Turns that a connection takes before it is believed to take turns.
const LEVEL_TURNS_MIN: u32 = 8;

#[derive(Debug)]
pub(super) struct Dialogue<P: Ordered> {
    role: Role,
    requests: Reader<EitherOf<P>>,
    responses: Reader<EitherOf<P>>,
    pair: Pair<P>,
    /// What is pending and the responses to come match one by one.
    is_aligned: bool,
    /// A request came while another was waiting for its response's end, in a turn of its own.
    overlapped: bool,
    /// Turns that began with nothing outstanding, as far as could be seen.
    level_turns: u32,
    /// Where the last bytes went.
    latest: Flow,
    /// How far the requests were when the last bytes of a response moved.
    requests_at_response: u64,
    /// Where the latest request's head ended.
    request_head_end: u64,
    /// What is known about the place where the bytes of the next request head begin.
    place: RequestStart,
    invalid: u32,
    /// Who ended the connection first, as far as the process was told: the sender of these.
    gone: Option<Flow>,
    /// What the server is saying answers nothing.
    is_unsolicited: bool,
    /// Something else took over; what is held is its bytes.
    next: Option<Next>,
    notes: Notes,
}

/// Where a request begins.
#[derive(Clone, Copy, Debug, Default)]
struct RequestStart {
    /// At the start of a chunk, after bytes of a response.
    turned: bool,
    /// And no byte of a request was missed in between.
    seamless: bool,
    /// And nothing moved for so long.
    silence_ns: u64,
}

// === construction ===

impl<P: Ordered> Dialogue<P> {
    pub fn open(start: OrderedStart<'_>, listener: &mut dyn Listener) -> Self {
        let OrderedStart {
            role,
            requests,
            responses,
            past,
            entry,
        } = start;
        let mut dialogue = Self::new(role, requests, responses);
        dialogue.begin_behind(past);
        match entry {
            JoinedAt::Request { head, chunk } => dialogue.begin(head, chunk, listener),
            JoinedAt::Refusal { asked, head, chunk } => {
                dialogue.begin_refused(asked, head, chunk, listener);
            }
            JoinedAt::Amid { latest } => dialogue.begin_amid(latest),
        }
        dialogue
    }

    fn new(role: Role, requests: Stream, responses: Stream) -> Self {
        Self {
            role,
            requests: Reader::new(Either::of(Flow::Requests), requests, true),
            responses: Reader::new(Either::of(Flow::Responses), responses, true),
            is_unsolicited: false,
            next: None,
            gone: None,
            pair: Pair::new(role),
            is_aligned: true,
            overlapped: false,
            level_turns: 0,
            latest: Flow::Requests,
            requests_at_response: 0,
            request_head_end: 0,
            place: RequestStart::default(),
            invalid: 0,
            notes: Notes::default(),
        }
    }

    /// What is asked next need not be all that is outstanding, where something was said before and
    /// clients don't take turns.
    fn begin_behind(&mut self, past: Past) {
        if let Either::Responses(parser) = &mut self.responses.parser {
            match past {
                Past::Empty => parser.begins(),
                Past::Unseen { .. } => parser.reset(),
                Past::Unknown => {}
            }
        }
        self.is_aligned = match (past, P::MANNERS.quiet_ns) {
            (Past::Unseen { silent_ns }, Some(quiet_ns)) => silent_ns >= quiet_ns,
            _ => true,
        };
    }

    fn begin(&mut self, head: &[u8], chunk: &Chunk<'_>, listener: &mut dyn Listener) {
        self.place = RequestStart {
            turned: true,
            seamless: true,
            silence_ns: 0,
        };
        self.offer(Flow::Requests, head, listener);
        self.cross_rest(Flow::Requests, chunk, listener);
    }

    fn begin_refused(
        &mut self,
        asked: Moved,
        head: &[u8],
        chunk: &Chunk<'_>,
        listener: &mut dyn Listener,
    ) {
        self.latest = Flow::Responses;
        self.requests.is_framed = false;
        if let Some(request) = P::Request::malformed() {
            self.pair.request(request, [asked; 2], false, listener);
        }
        self.requests_at_response = self.requests.stream.reach();
        self.offer(Flow::Responses, head, listener);
        self.cross_rest(Flow::Responses, chunk, listener);
    }

    /// Waits for the next turn.
    fn begin_amid(&mut self, latest: Flow) {
        self.latest = latest;
        self.requests.is_framed = false;
        self.responses.is_framed = false;
        self.is_aligned = false;
        self.requests_at_response = self.requests.stream.reach();
    }

    /// What of the chunk was not captured, behind bytes that were offered.
    fn cross_rest(&mut self, flow: Flow, chunk: &Chunk<'_>, listener: &mut dyn Listener) {
        let reach = chunk.position.saturating_add(chunk.len);
        let len = reach.saturating_sub(self.reader(flow).stream.reach());
        if len > 0 {
            let gap = Gap {
                len,
                tail: chunk.tail,
                tail_len: chunk.tail_len,
                lost: false,
            };
            self.cross(flow, gap, listener);
        }
    }
}

// === face ===

impl<P: Ordered> Session for Dialogue<P> {
    fn protocol(&self) -> &'static str {
        P::NAME
    }

    fn take_notes(&mut self) -> Notes {
        std::mem::take(&mut self.notes)
    }

    fn take_heir(&mut self) -> Option<Heir> {
        let next = self.next.take()?;
        let rest = |reader: &mut Reader<EitherOf<P>>| Rest {
            stream: std::mem::take(&mut reader.stream),
            is_framed: reader.is_framed,
        };
        Some(Heir {
            next,
            role: self.role,
            requests: rest(&mut self.requests),
            responses: rest(&mut self.responses),
        })
    }

    fn has_open_exchange(&self) -> bool {
        !self.pair.is_empty()
    }

    fn heap_bytes(&self) -> usize {
        let readers = self.requests.heap_bytes() + self.responses.heap_bytes();
        heap::boxed::<Self>() + readers + self.pair.heap_bytes()
    }

    fn growing_bytes(&self) -> usize {
        let held = self.requests.stream.held_room() + self.responses.stream.held_room();
        held + self.pair.growing_bytes()
    }

    fn awaits_progress(&self) -> bool {
        self.pair.response_in_progress() || self.pair.request_in_progress()
    }

    fn chunk(&mut self, chunk: &Chunk<'_>, listener: &mut dyn Listener) {
        let flow = session::flow_of(self.role, chunk.direction);
        let place = RequestStart {
            turned: self.latest != flow,
            seamless: chunk.position == self.requests_at_response,
            silence_ns: chunk
                .time_ns
                .saturating_sub(self.responses.stream.last_ns()),
        };
        self.latest = flow;
        if flow == Flow::Responses {
            self.note_response(listener);
            self.answered_early(listener);
        }
        let arrival = self.reader(flow).stream.chunk(chunk);
        if let Some(gap) = arrival.before {
            self.cross(flow, gap, listener);
        }
        match flow {
            Flow::Requests => {
                // A response that waited for its request waits in vain if a request was missed.
                self.offer(Flow::Responses, &[], listener);
                if !arrival.bytes.is_empty() {
                    self.note_place(place, arrival.bytes, chunk.bytes.len());
                    self.offer(Flow::Requests, arrival.bytes, listener);
                }
            }
            Flow::Responses => {
                self.offer(flow, arrival.bytes, listener);
                // What followed a request for a tunnel waited for the answer.
                if self.requests.stream.is_holding() {
                    self.offer(Flow::Requests, &[], listener);
                }
            }
        }
        if let Some(gap) = arrival.after {
            self.cross(flow, gap, listener);
        }
        if flow == Flow::Requests {
            self.offer(Flow::Responses, &[], listener);
        }
    }

    fn extent(&mut self, direction: Direction, extent: &Extent, listener: &mut dyn Listener) {
        let flow = session::flow_of(self.role, direction);
        let reader = self.reader(flow);
        if !reader.stream.extent(extent) {
            return;
        }
        self.latest = flow;
        if flow == Flow::Responses {
            self.note_response(listener);
        }
        // Elsewhere than in a body, a chunk may still come that another thread's overtook.
        if self.reader(flow).in_body {
            self.settle_body(flow, listener);
        }
    }

    fn end(&mut self, end: End, time_ns: u64, listener: &mut dyn Listener) {
        let ended = match (end, self.role) {
            (End::Ingress, Role::Server) => Some(Flow::Requests),
            (End::Egress, Role::Client) => Some(Flow::Requests),
            (End::Ingress, Role::Client) | (End::Egress, Role::Server) => Some(Flow::Responses),
            (End::Closed, Role::Server) => Some(Flow::Responses),
            (End::Closed, Role::Client) => None,
            (End::Reset | End::ProcessExited | End::Evicted | End::LostSight, _) => None,
        };
        self.note_gone(end);
        if ended == Some(Flow::Requests) {
            self.settle(Flow::Requests, listener);
            if let Some(Message::End(body)) = self.requests.parser.end(&[]) {
                self.requests.in_body = false;
                self.request_ended(body, time_ns, listener);
            }
            return;
        }
        self.settle(Flow::Requests, listener);
        self.offer(Flow::Responses, &[], listener);
        self.settle(Flow::Responses, listener);
        let last_ns = self.responses.stream.last_ns();
        // Telling the parser of the end makes it forget the body.
        let is_endless = self.responses.in_body
            && self.responses.is_framed
            && self.responses.parser.bytes_left().is_none();
        let was_guessing = self.responses.is_guessing();
        if ended == Some(Flow::Responses)
            && self.pair.response_in_progress()
            && let Some(Message::End(body)) = self.responses.parser.end(&[])
        {
            self.pair.response_body_ended(body);
            self.pair.response_ended(last_ns, listener);
        }
        let was_missed = was_guessing && !matches!(end, End::Reset | End::ProcessExited);
        if was_missed || end == End::LostSight {
            self.pair.response_is_over(last_ns, listener);
        }
        if self.responses.stream.is_holding() && self.pair.is_empty() && self.responses.is_framed {
            listener.discard(Discard::UnmatchedResponse);
        }
        if is_endless && self.gone == Some(Flow::Requests) && end != End::ProcessExited {
            self.pair.response_was_left(time_ns, listener);
        }
        let outcome = Outcome::of_unanswered(end);
        self.pair.flush(outcome, time_ns, listener);
        self.responses.stream.skip_to_reach();
        self.responses.is_framed = false;
        self.responses.in_body = false;
        self.is_aligned = false;
    }
}

// === bytes and gaps ===

impl<P: Ordered> Dialogue<P> {
    /// Remembers who ended the connection, if nobody did before. A reset is told to those who did
    /// not ask for it.
    fn note_gone(&mut self, end: End) {
        let gone = match (self.role, end) {
            (Role::Server, End::Ingress | End::Reset) | (Role::Client, End::Closed) => {
                Flow::Requests
            }
            (Role::Client, End::Ingress | End::Reset)
            | (Role::Server, End::Egress | End::Closed) => Flow::Responses,
            // A client that asks no more still waits.
            (Role::Client, End::Egress)
            | (_, End::ProcessExited | End::Evicted | End::LostSight) => return,
        };
        self.gone.get_or_insert(gone);
    }

    /// Lets a reader's parser work on what is held and on `bytes`; keeps what it leaves.
    fn offer(&mut self, flow: Flow, bytes: &[u8], listener: &mut dyn Listener) {
        if self.reader(flow).stream.is_holding() {
            let mut held = self.reader(flow).stream.take_held();
            held.extend_from_slice(bytes);
            let used = self.parse(flow, &held, listener);
            self.reader(flow).hold(held, used, &[]);
            return;
        }
        let used = self.parse(flow, bytes, listener);
        if used < bytes.len() {
            let reader = self.reader(flow);
            let empty = reader.stream.take_held();
            reader.hold(empty, 0, &bytes[used..]);
        }
    }

    /// Returns how many of the bytes were taken.
    fn parse(&mut self, flow: Flow, buf: &[u8], listener: &mut dyn Listener) -> usize {
        let mut used = 0;
        while used < buf.len() && self.next.is_none() {
            let rest = &buf[used..];
            if !self.reader(flow).is_framed {
                self.reader(flow).stream.advance(rest.len() as u64);
                return buf.len();
            }
            if flow == Flow::Responses && !self.responses.in_body {
                let first = self.pair.first();
                if first.is_none() && rest.len() <= HELD_BYTES_MAX && self.request_may_be_late(rest)
                {
                    break;
                }
                if let Either::Responses(parser) = &mut self.responses.parser {
                    parser.answers(first);
                }
            }
            if flow == Flow::Requests
                && self.pair.awaits_tunnel()
                && !self.requests.in_body
                && rest.len() <= HELD_BYTES_MAX
            {
                // Whether these are a request or a tunnel's, the answer will tell.
                break;
            }
            let (step, taken) = self.reader(flow).step(rest);
            used += taken;
            self.understood(taken as u64);
            match step {
                Step::Message(message, first, last) => {
                    self.message(flow, message, first, last, listener)
                }
                Step::Wait if rest.len() > HELD_BYTES_MAX => {
                    self.lose(flow, Discard::HeadTooLong, listener);
                }
                Step::Wait => break,
                Step::Invalid => {
                    self.note_invalid();
                    self.lose(flow, Discard::Unparsable, listener);
                }
                Step::Nothing | Step::Cut(..) | Step::Lost => {}
            }
        }
        used
    }

    fn cross(&mut self, flow: Flow, gap: Gap, listener: &mut dyn Listener) {
        let mut left = Some(gap);
        while let Some(gap) = left {
            // What bytes of another protocol were missed nobody can tell here.
            self.reader(flow).is_framed &= self.next.is_none();
            let pairless = self.pair.is_empty();
            let reader = self.reader(flow);
            if !reader.is_framed {
                return reader.drop_over(gap.len);
            }
            if flow == Flow::Responses && pairless && reader.stream.is_holding() {
                // It waited for a request that may never have been there.
                self.lose(flow, Discard::UnmatchedResponse, listener);
                continue;
            }
            let (step, understood, rest) = reader.cross(gap);
            left = rest;
            self.understood(understood);
            match step {
                Step::Message(message, first, last) => {
                    self.message(flow, message, first, last, listener)
                }
                Step::Cut(message, first, last) => {
                    self.notes.head_was_cut |= !gap.lost;
                    self.message(flow, message, first, last, listener);
                }
                Step::Lost => {
                    // Not copied, though it held a head: pipelined ones that filled the budget.
                    self.notes.head_was_cut |= !gap.lost;
                    self.lose(flow, Discard::StreamGap, listener);
                }
                Step::Nothing | Step::Wait | Step::Invalid => {}
            }
        }
    }

    /// Bytes of a response moved, or are about to be looked at.
    fn note_response(&mut self, listener: &mut dyn Listener) {
        self.requests_at_response = self.requests.stream.reach();
        // A request that began before them no longer begins a turn.
        self.place = RequestStart::default();
        if self.pair.is_empty() && self.requests.stream.is_holding() {
            // What is answered must have been asked: the rest of its head will not be seen.
            self.settle(Flow::Requests, listener);
        }
    }

    /// A server that answers within a head gave up waiting for the rest, or has seen enough of it.
    /// Called when its answer was captured, and it is known how far the requests were by then.
    /// (A client's records may be out of order.)
    fn answered_early(&mut self, listener: &mut dyn Listener) {
        let reader = &mut self.requests;
        if !P::MANNERS.answers_early
            || self.role != Role::Server
            || !self.pair.is_empty()
            || !reader.stream.is_holding()
            || !reader.is_between_messages()
        {
            return;
        }
        let (message, first) = reader.cut();
        let request = match message {
            Some(Message::Request { mut request, .. }) => {
                request.is_all();
                Some(request)
            }
            _ => P::Request::malformed(),
        };
        if let Some(request) = request {
            self.request(request, Then::Done, [first; 2], listener);
        }
        self.unframe(Flow::Requests, listener);
    }

    /// Takes the bytes that an extent told of for missing, as no chunk brought them.
    fn settle(&mut self, flow: Flow, listener: &mut dyn Listener) {
        if let Some(gap) = self.reader(flow).stream.take_ahead(u64::MAX) {
            self.cross(flow, gap, listener);
        }
    }

    /// The same, but no further than the body goes.
    fn settle_body(&mut self, flow: Flow, listener: &mut dyn Listener) {
        let reader = self.reader(flow);
        let len_max = reader.parser.bytes_left().unwrap_or(u64::MAX);
        if let Some(gap) = reader.stream.take_ahead(len_max) {
            self.cross(flow, gap, listener);
        }
    }

    /// Framing is lost in one reader, and with it the alignment.
    fn lose(&mut self, flow: Flow, why: Discard, listener: &mut dyn Listener) {
        listener.discard(why);
        self.unframe(flow, listener);
    }

    fn unframe(&mut self, flow: Flow, listener: &mut dyn Listener) {
        self.is_aligned = false;
        let reader = self.reader(flow);
        reader.parser.reset();
        reader.is_framed = false;
        reader.in_body = false;
        if flow == Flow::Responses {
            let now_ns = self.responses.stream.last_ns();
            self.pair.lose_responses(now_ns, listener);
        }
    }

    /// Decides whether a request may begin at the start of these bytes, where the reader does not
    /// know better.
    fn note_place(&mut self, place: RequestStart, bytes: &[u8], captured: usize) {
        if self.requests.stream.is_holding() {
            // The head began earlier.
            return;
        }
        let is_whole = bytes.len() == captured;
        self.place = RequestStart {
            turned: place.turned && is_whole,
            seamless: place.seamless && is_whole,
            ..place
        };
        let is_start = self.place.turned
            && self.place.seamless
            && if !self.requests.is_framed {
                self.requests.parser.resync(bytes) == Some(0)
            } else {
                // A body may never come: its length was a guess, or the answer came before the
                // first byte of it (RFC 9110 §10.1.1). Once begun it goes on, whatever it quotes.
                let is_unbegun = self.requests.stream.cursor() == self.request_head_end;
                let may_be_over = self.requests.parser.is_adrift()
                    || self.requests.in_body && is_unbegun && self.pair.is_empty();
                may_be_over && P::detect(bytes) == Detected::Match(Flow::Requests)
            };
        if is_start {
            self.requests.restart();
            self.is_aligned = false;
        }
    }
}

impl<P: Ordered> Dialogue<P> {
    /// On a client, the record of a response may overtake that of its request, if two threads
    /// share the connection. A server can't answer what it has not read.
    ///
    /// What can't begin a response is left over from the one before: some servers send a body, or
    /// the end of one, where there is none.
    fn request_may_be_late(&self, bytes: &[u8]) -> bool {
        self.role == Role::Client
            && self.is_aligned
            && self.requests.is_between_messages()
            && match &self.responses.parser {
                Either::Responses(parser) => parser.may_begin(bytes),
                Either::Requests(_) => false,
            }
    }

    fn note_invalid(&mut self) {
        self.invalid += 1;
        self.notes.gave_up |= self.invalid >= INVALID_MAX;
    }

    fn understood(&mut self, bytes: u64) {
        self.notes.understood_bytes = self.notes.understood_bytes.saturating_add(bytes);
    }

    fn reader(&mut self, flow: Flow) -> &mut Reader<EitherOf<P>> {
        match flow {
            Flow::Requests => &mut self.requests,
            Flow::Responses => &mut self.responses,
        }
    }
}
