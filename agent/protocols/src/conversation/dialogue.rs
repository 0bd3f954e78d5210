//! A connection whose protocol and roles are known: two lanes, and the pairing between them. The
//! rule above all others: no pairing rather than a wrong one.
//!
//! As long as both lanes are framed and nothing was lost, responses answer requests in order: the
//! dialogue is *aligned*. A loss on either side ends that, because nobody knows how many messages
//! went with it. It is aligned anew at a request that begins a turn, at the very position where the
//! stream of requests stood when the last bytes of a response moved: then no request can be hidden
//! between, and all that was answered before is over. Clients that ask on while answers are
//! outstanding give no such moment; their connection stays unpaired after a loss.

mod messages;

use super::lane::{Lane, Step};
use super::{Chunk, Direction, Discard, End, Extent, Notes, Sink};
use crate::exchange::{Outcome, Role};
use crate::message::{HttpRequest, Message, Request, Then};
use crate::pair::Pair;
use crate::parser::{AnyParser, Flow, Gap};
use crate::protocol::Protocol;
use crate::stream::{HELD_BYTES_MAX, Moved, Stream};

/// Times in a row that a lane may turn out to carry something else before the connection is given
/// up.
const INVALID_MAX: u32 = 8;

#[derive(Debug)]
pub(super) struct Dialogue {
    protocol: &'static Protocol,
    role: Role,
    requests: Lane,
    responses: Lane,
    pair: Pair,
    /// What is pending and the responses to come match one by one.
    is_aligned: bool,
    /// A request came while another was waiting for its response's end, in a turn of its own.
    overlapped: bool,
    /// Where the last bytes went.
    latest: Flow,
    /// How far the requests were when the last bytes of a response moved.
    requests_at_response: u64,
    /// Where the latest request's head ended.
    request_head_end: u64,
    /// What is known about the place where the bytes of the next request head begin.
    place: Place,
    invalid: u32,
    /// Who ended the connection first, as far as the process was told: the sender of these.
    gone: Option<Flow>,
    /// Something else took over; what is held is its bytes.
    next: Option<Next>,
    notes: Notes,
}

/// Where a request begins.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// At the start of a chunk, after bytes of a response.
    turned: bool,
    /// And no byte of a request was missed in between.
    seamless: bool,
}

/// What takes over from a dialogue.
#[derive(Debug)]
pub(super) enum Next {
    /// HTTP/2, which answers this request.
    Http2(Request, Moved),
    /// A tunnel to this authority.
    Tunnel(Box<str>),
}

/// What a dialogue leaves to what takes over.
#[derive(Debug)]
pub(super) struct Heir {
    pub next: Next,
    pub role: Role,
    pub requests: Stream,
    pub responses: Stream,
    /// Whether the streams are at the first byte of what comes next: requests, responses.
    pub is_framed: [bool; 2],
}

// === construction and face ===

impl Dialogue {
    pub fn new(
        protocol: &'static Protocol,
        parser: fn(Flow) -> AnyParser,
        role: Role,
        requests: Stream,
        responses: Stream,
    ) -> Self {
        Self {
            protocol,
            role,
            requests: Lane::new(parser(Flow::Requests), requests),
            responses: Lane::new(parser(Flow::Responses), responses),
            next: None,
            gone: None,
            pair: Pair::new(role),
            is_aligned: true,
            overlapped: false,
            latest: Flow::Requests,
            requests_at_response: 0,
            request_head_end: 0,
            place: Place::default(),
            invalid: 0,
            notes: Notes::default(),
        }
    }

    /// Begins with a request: `head` are its bytes, the last of them from `chunk`.
    pub fn begin(&mut self, head: &[u8], chunk: &Chunk<'_>, sink: &mut impl Sink) {
        self.place = Place {
            turned: true,
            seamless: true,
        };
        self.offer(Flow::Requests, head, sink);
        self.cross_rest(Flow::Requests, chunk, sink);
    }

    /// Begins with a response, `head` being its bytes, to something that began at `asked` and was
    /// not understood.
    pub fn begin_refused(
        &mut self,
        asked: Moved,
        head: &[u8],
        chunk: &Chunk<'_>,
        sink: &mut impl Sink,
    ) {
        self.latest = Flow::Responses;
        self.requests.is_framed = false;
        let request = Request::Http(Box::new(HttpRequest::malformed()));
        self.pair.request(request, asked, false, sink);
        self.requests_at_response = self.requests.stream.reach();
        self.offer(Flow::Responses, head, sink);
        self.cross_rest(Flow::Responses, chunk, sink);
    }

    /// What of the chunk was not captured, behind bytes that were offered.
    fn cross_rest(&mut self, flow: Flow, chunk: &Chunk<'_>, sink: &mut impl Sink) {
        let reach = chunk.position.saturating_add(chunk.len);
        let len = reach.saturating_sub(self.lane(flow).stream.reach());
        if len > 0 {
            let gap = Gap {
                len,
                tail: chunk.tail,
                tail_len: chunk.tail_len,
                lost: false,
            };
            self.cross(flow, gap, sink);
        }
    }

    /// Begins among messages of which nobody knows what came before them: waits for the next turn.
    pub fn begin_unframed(&mut self, latest: Flow) {
        self.latest = latest;
        self.requests.is_framed = false;
        self.responses.is_framed = false;
        self.is_aligned = false;
        self.requests_at_response = self.requests.stream.reach();
    }

    pub fn protocol(&self) -> &'static str {
        self.protocol.name
    }

    pub fn take_notes(&mut self) -> Notes {
        std::mem::take(&mut self.notes)
    }

    /// What the connection goes on as, if it is something else from here on.
    pub fn take_heir(&mut self) -> Option<Heir> {
        let next = self.next.take()?;
        Some(Heir {
            next,
            role: self.role,
            requests: std::mem::take(&mut self.requests.stream),
            responses: std::mem::take(&mut self.responses.stream),
            is_framed: [self.requests.is_framed, self.responses.is_framed],
        })
    }

    pub fn has_open_exchange(&self) -> bool {
        !self.pair.is_empty()
    }

    /// Bytes of heap that it takes, besides itself.
    pub fn heap_bytes(&self) -> usize {
        self.requests.heap_bytes() + self.responses.heap_bytes() + self.pair.heap_bytes()
    }

    pub fn awaits_progress(&self) -> bool {
        self.pair.response_in_progress() || self.pair.request_in_progress()
    }

    pub fn chunk(&mut self, chunk: &Chunk<'_>, sink: &mut impl Sink) {
        let flow = self.flow_of(chunk.direction);
        let place = Place {
            turned: self.latest != flow,
            seamless: chunk.position == self.requests_at_response,
        };
        self.latest = flow;
        if flow == Flow::Responses {
            self.note_response(sink);
            self.answered_early(sink);
        }
        let arrival = self.lane(flow).stream.chunk(chunk);
        if let Some(gap) = arrival.before {
            self.cross(flow, gap, sink);
        }
        match flow {
            Flow::Requests => {
                // A response that waited for its request waits in vain if a request was missed.
                self.offer(Flow::Responses, &[], sink);
                if !arrival.bytes.is_empty() {
                    self.note_place(place, arrival.bytes, chunk.bytes.len());
                    self.offer(Flow::Requests, arrival.bytes, sink);
                }
            }
            Flow::Responses => {
                self.offer(flow, arrival.bytes, sink);
                // What followed a request for a tunnel waited for the answer.
                if self.requests.stream.is_holding() {
                    self.offer(Flow::Requests, &[], sink);
                }
            }
        }
        if let Some(gap) = arrival.after {
            self.cross(flow, gap, sink);
        }
        if flow == Flow::Requests {
            self.offer(Flow::Responses, &[], sink);
        }
    }

    pub fn extent(&mut self, direction: Direction, extent: &Extent, sink: &mut impl Sink) {
        let flow = self.flow_of(direction);
        let lane = self.lane(flow);
        if !lane.stream.extent(extent) {
            return;
        }
        self.latest = flow;
        if flow == Flow::Responses {
            self.note_response(sink);
        }
        // Elsewhere than in a body, a chunk may still come that another thread's overtook.
        if self.lane(flow).in_body {
            self.settle_body(flow, sink);
        }
    }

    pub fn end(&mut self, end: End, time_ns: u64, sink: &mut impl Sink) {
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
            self.settle(Flow::Requests, sink);
            if let Some(Message::End { body_size, .. }) = self.requests.parser.end(&[]) {
                self.requests.in_body = false;
                self.request_ended(body_size);
            }
            return;
        }
        self.settle(Flow::Requests, sink);
        self.offer(Flow::Responses, &[], sink);
        self.settle(Flow::Responses, sink);
        let last_ns = self.responses.stream.last_ns();
        // Telling the parser of the end makes it forget the body.
        let is_endless = self.responses.in_body
            && self.responses.is_framed
            && self.responses.parser.bytes_left().is_none();
        let was_guessing = self.responses.is_guessing();
        if ended == Some(Flow::Responses)
            && self.pair.response_in_progress()
            && let Some(Message::End {
                body_size,
                call_status,
            }) = self.responses.parser.end(&[])
        {
            self.pair.call_ended(call_status);
            self.pair.response_ended(Some(body_size), last_ns, sink);
        }
        let was_missed = was_guessing && !matches!(end, End::Reset | End::ProcessExited);
        if was_missed || end == End::LostSight {
            self.pair.response_is_over(last_ns, sink);
        }
        if self.responses.stream.is_holding() && self.pair.is_empty() && self.responses.is_framed {
            sink.discard(Discard::UnmatchedResponse);
        }
        if is_endless && self.gone == Some(Flow::Requests) && end != End::ProcessExited {
            self.pair.response_was_left(time_ns, sink);
        }
        let outcome = match end {
            End::Ingress | End::Egress | End::Closed => Outcome::Closed,
            End::Reset => Outcome::Reset,
            End::ProcessExited => Outcome::ProcessExited,
            End::Evicted => Outcome::Evicted,
            End::LostSight => Outcome::NotObserved,
        };
        self.pair.flush(outcome, time_ns, sink);
        self.responses.stream.skip_to_reach();
        self.responses.is_framed = false;
        self.responses.in_body = false;
        self.is_aligned = false;
    }
}

// === bytes and gaps ===

impl Dialogue {
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

    /// Lets a lane's parser work on what is held and on `bytes`; keeps what it leaves.
    fn offer(&mut self, flow: Flow, bytes: &[u8], sink: &mut impl Sink) {
        if self.lane(flow).stream.is_holding() {
            let mut held = self.lane(flow).stream.take_held();
            held.extend_from_slice(bytes);
            let used = self.parse(flow, &held, sink);
            self.lane(flow).hold(held, used, &[]);
            return;
        }
        let used = self.parse(flow, bytes, sink);
        if used < bytes.len() {
            let lane = self.lane(flow);
            let empty = lane.stream.take_held();
            lane.hold(empty, 0, &bytes[used..]);
        }
    }

    /// Returns how many of the bytes were taken.
    fn parse(&mut self, flow: Flow, buf: &[u8], sink: &mut impl Sink) -> usize {
        let mut used = 0;
        while used < buf.len() && self.next.is_none() {
            let rest = &buf[used..];
            if !self.lane(flow).is_framed {
                self.lane(flow).stream.advance(rest.len() as u64);
                return buf.len();
            }
            if flow == Flow::Responses && !self.responses.in_body {
                match self.pair.first() {
                    Some(request) => self.responses.parser.answers(Some(request)),
                    None if self.request_may_be_late(rest) && rest.len() <= HELD_BYTES_MAX => break,
                    None => self.responses.parser.answers(None),
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
            let (step, taken) = self.lane(flow).step(rest);
            used += taken;
            self.understood(taken as u64);
            match step {
                Step::Message(message, first, last) => {
                    self.message(flow, message, first, last, sink)
                }
                Step::Wait if rest.len() > HELD_BYTES_MAX => {
                    self.lose(flow, Discard::HeadTooLong, sink);
                }
                Step::Wait => break,
                Step::Invalid => {
                    self.note_invalid();
                    self.lose(flow, Discard::Unparsable, sink);
                }
                Step::Body | Step::Cut(..) | Step::Lost => {}
            }
        }
        used
    }

    fn cross(&mut self, flow: Flow, gap: Gap, sink: &mut impl Sink) {
        let mut left = Some(gap);
        while let Some(gap) = left {
            // What bytes of another protocol were missed nobody can tell here.
            self.lane(flow).is_framed &= self.next.is_none();
            let pairless = self.pair.is_empty();
            let lane = self.lane(flow);
            if !lane.is_framed {
                let held = lane.stream.take_held();
                lane.stream
                    .advance(gap.len.saturating_add(held.len() as u64));
                lane.hold(held, usize::MAX, &[]);
                return;
            }
            if flow == Flow::Responses && pairless && lane.stream.is_holding() {
                // It waited for a request that may never have been there.
                self.lose(flow, Discard::UnmatchedResponse, sink);
                continue;
            }
            let (step, understood, rest) = lane.cross(gap);
            left = rest;
            self.understood(understood);
            match step {
                Step::Message(message, first, last) => {
                    self.message(flow, message, first, last, sink)
                }
                Step::Cut(message, first, last) => {
                    self.notes.head_was_cut |= !gap.lost;
                    self.message(flow, message, first, last, sink);
                }
                Step::Lost => {
                    // Not copied, though it held a head: pipelined ones that filled the budget.
                    self.notes.head_was_cut |= !gap.lost;
                    self.lose(flow, Discard::StreamGap, sink);
                }
                Step::Body | Step::Wait | Step::Invalid => {}
            }
        }
    }

    /// Bytes of a response moved, or are about to be looked at.
    fn note_response(&mut self, sink: &mut impl Sink) {
        self.requests_at_response = self.requests.stream.reach();
        // A request that began before them no longer begins a turn.
        self.place = Place::default();
        if self.pair.is_empty() && self.requests.stream.is_holding() {
            // What is answered must have been asked: the rest of its head will not be seen.
            self.settle(Flow::Requests, sink);
        }
    }

    /// A server that answers within a head gave up waiting for the rest, or has seen enough of it.
    /// Called when its answer was captured, and it is known how far the requests were by then.
    /// (A client's records may be out of order.)
    fn answered_early(&mut self, sink: &mut impl Sink) {
        let lane = &mut self.requests;
        if self.role != Role::Server
            || !self.pair.is_empty()
            || !lane.stream.is_holding()
            || !lane.is_between_messages()
        {
            return;
        }
        let (message, first) = lane.cut();
        let request = match message {
            Some(Message::Request { request, .. }) => {
                let Request::Http(mut http) = request;
                // All that there was of it was captured.
                http.truncated = false;
                Request::Http(http)
            }
            _ => Request::Http(Box::new(HttpRequest::malformed())),
        };
        self.request(request, Then::Done, first, sink);
        self.unframe(Flow::Requests, sink);
    }

    /// Takes the bytes that an extent told of for missing, as no chunk brought them.
    fn settle(&mut self, flow: Flow, sink: &mut impl Sink) {
        if let Some(gap) = self.lane(flow).stream.take_ahead(u64::MAX) {
            self.cross(flow, gap, sink);
        }
    }

    /// The same, but no further than the body goes.
    fn settle_body(&mut self, flow: Flow, sink: &mut impl Sink) {
        let lane = self.lane(flow);
        let len_max = lane.parser.bytes_left().unwrap_or(u64::MAX);
        if let Some(gap) = lane.stream.take_ahead(len_max) {
            self.cross(flow, gap, sink);
        }
    }

    /// Framing is lost in one lane, and with it the alignment.
    fn lose(&mut self, flow: Flow, why: Discard, sink: &mut impl Sink) {
        sink.discard(why);
        self.unframe(flow, sink);
    }

    fn unframe(&mut self, flow: Flow, sink: &mut impl Sink) {
        self.is_aligned = false;
        let lane = self.lane(flow);
        lane.parser.reset();
        lane.is_framed = false;
        lane.in_body = false;
        if flow == Flow::Responses {
            let now_ns = self.responses.stream.last_ns();
            self.pair.lose_responses(now_ns, sink);
        }
    }

    /// Decides whether a request may begin at the start of these bytes, where the lane does not
    /// know better.
    fn note_place(&mut self, place: Place, bytes: &[u8], captured: usize) {
        if self.requests.stream.is_holding() {
            // The head began earlier.
            return;
        }
        let is_whole = bytes.len() == captured;
        self.place = Place {
            turned: place.turned && is_whole,
            seamless: place.seamless && is_whole,
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
                may_be_over
                    && matches!(
                        (self.protocol.detect)(bytes),
                        crate::protocol::Detected::Match(Flow::Requests)
                    )
            };
        if is_start {
            self.requests.restart();
            self.is_aligned = false;
        }
    }
}

impl Dialogue {
    /// On a client, the record of a response may overtake that of its request, if two threads
    /// share the connection. A server can't answer what it has not read.
    ///
    /// What can't begin a response is left over from the one before: some servers send a body, or
    /// the end of one, where there is none.
    fn request_may_be_late(&self, bytes: &[u8]) -> bool {
        self.role == Role::Client
            && self.is_aligned
            && self.requests.is_between_messages()
            && self.responses.parser.may_begin(bytes)
    }

    fn note_invalid(&mut self) {
        self.invalid += 1;
        self.notes.gave_up |= self.invalid >= INVALID_MAX;
    }

    fn understood(&mut self, bytes: u64) {
        self.notes.understood_bytes = self.notes.understood_bytes.saturating_add(bytes);
    }

    fn flow_of(&self, direction: Direction) -> Flow {
        match (self.role, direction) {
            (Role::Server, Direction::Ingress) | (Role::Client, Direction::Egress) => {
                Flow::Requests
            }
            (Role::Server, Direction::Egress) | (Role::Client, Direction::Ingress) => {
                Flow::Responses
            }
        }
    }

    fn lane(&mut self, flow: Flow) -> &mut Lane {
        match flow {
            Flow::Requests => &mut self.requests,
            Flow::Responses => &mut self.responses,
        }
    }
}
