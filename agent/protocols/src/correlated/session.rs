//! A connection whose messages carry numbers: two readers, and what is open between them. Nothing
//! depends on the order of messages of the two sides.

use super::open::{RequestOpen, RequestsOpen};
use super::{Correlated, CorrelatedRequest as _, CorrelatedResponse as _, ParserOf};
use crate::exchange::{Outcome, Role};
use crate::heap;
use crate::listener::{Discard, Listener};
use crate::message::{Message, Then};
use crate::parser::{Flow, Gap, Parser as _};
use crate::protocol::Detected;
use crate::reader::{Reader, Step};
use crate::session::{self, CorrelatedStart, Notes, Session};
use crate::stream::{HELD_BYTES_MAX, Moved};
use crate::transport::{Chunk, Direction, End, Extent};

use super::CorrelatedMessage;

/// Times in a row that a direction may turn out to carry something else before the connection is
/// given up.
const INVALID_MAX: u32 = 8;

#[derive(Debug)]
pub(super) struct Correlation<P: Correlated> {
    role: Role,
    requests: Reader<ParserOf<P>>,
    responses: Reader<ParserOf<P>>,
    open: RequestsOpen<P>,
    /// The request whose body is moving, if nobody will answer it.
    one_way: Option<RequestOpen<P>>,
    /// The request whose answer's body is moving.
    answering: Option<u64>,
    invalid: u32,
    notes: Notes,
}

impl<P: Correlated> Correlation<P> {
    pub fn open(start: CorrelatedStart<'_>, listener: &mut dyn Listener) -> Self {
        let CorrelatedStart {
            role,
            requests,
            responses,
            flow,
            head,
            chunk,
        } = start;
        let mut correlation = Self {
            role,
            requests: Reader::new(ParserOf::<P>::of(Flow::Requests), requests, true),
            responses: Reader::new(ParserOf::<P>::of(Flow::Responses), responses, true),
            open: RequestsOpen::new(role),
            one_way: None,
            answering: None,
            invalid: 0,
            notes: Notes::default(),
        };
        correlation.offer(flow, head, listener);
        let reach = chunk.position.saturating_add(chunk.len);
        let len = reach.saturating_sub(correlation.reader(flow).stream.reach());
        if len > 0 {
            let gap = Gap {
                len,
                tail: chunk.tail,
                tail_len: chunk.tail_len,
                lost: false,
            };
            correlation.cross(flow, gap, listener);
        }
        correlation
    }
}

impl<P: Correlated> Session for Correlation<P> {
    fn protocol(&self) -> &'static str {
        P::NAME
    }

    fn take_notes(&mut self) -> Notes {
        std::mem::take(&mut self.notes)
    }

    fn has_open_exchange(&self) -> bool {
        !self.open.is_empty() || self.one_way.is_some()
    }

    fn awaits_progress(&self) -> bool {
        self.answering.is_some() || self.one_way.is_some()
    }

    fn heap_bytes(&self) -> usize {
        let readers = self.requests.heap_bytes() + self.responses.heap_bytes();
        heap::boxed::<Self>() + readers + self.open.heap_bytes()
    }

    fn growing_bytes(&self) -> usize {
        let held = self.requests.stream.held_room() + self.responses.stream.held_room();
        held + self.open.growing_bytes()
    }

    fn chunk(&mut self, chunk: &Chunk<'_>, listener: &mut dyn Listener) {
        let flow = session::flow_of(self.role, chunk.direction);
        let arrival = self.reader(flow).stream.chunk(chunk);
        if let Some(gap) = arrival.before {
            self.cross(flow, gap, listener);
        }
        if !arrival.bytes.is_empty() {
            self.note_place(flow, arrival.bytes);
            self.offer(flow, arrival.bytes, listener);
        }
        if let Some(gap) = arrival.after {
            self.cross(flow, gap, listener);
        }
    }

    fn extent(&mut self, direction: Direction, extent: &Extent, listener: &mut dyn Listener) {
        let flow = session::flow_of(self.role, direction);
        let reader = self.reader(flow);
        // Elsewhere than in a body, a chunk may still come that another thread's overtook.
        if reader.stream.extent(extent) && reader.in_body {
            let len_max = reader.parser.bytes_left().unwrap_or(u64::MAX);
            self.settle(flow, len_max, listener);
        }
    }

    fn end(&mut self, end: End, time_ns: u64, listener: &mut dyn Listener) {
        self.settle(Flow::Requests, u64::MAX, listener);
        let is_clients = matches!(
            (end, self.role),
            (End::Ingress, Role::Server) | (End::Egress, Role::Client)
        );
        if is_clients {
            return;
        }
        self.settle(Flow::Responses, u64::MAX, listener);
        let outcome = Outcome::of_unanswered(end);
        if let Some(open) = self.one_way.take() {
            self.open.tell(open, time_ns, outcome, listener);
        }
        self.open.flush(outcome, time_ns, listener);
        self.answering = None;
        self.responses.is_framed = false;
        self.responses.in_body = false;
    }
}

// === bytes and gaps ===

impl<P: Correlated> Correlation<P> {
    /// Where nobody knows where messages begin, one may begin with a call. What does not was part
    /// of some, which may have answered anything.
    fn note_place(&mut self, flow: Flow, bytes: &[u8]) {
        if self.reader(flow).is_framed {
            return;
        }
        match P::detect(bytes) {
            Detected::Match(found) if found == flow => self.reader(flow).restart(),
            Detected::NotYet => self.reader(flow).restart(),
            _ if flow == Flow::Responses => self.open.doubt(),
            _ => {}
        }
    }

    /// Lets a parser work on what is held and on `bytes`; keeps what it leaves.
    fn offer(&mut self, flow: Flow, bytes: &[u8], listener: &mut dyn Listener) {
        let mut held = self.reader(flow).stream.take_held();
        if held.is_empty() {
            let used = self.parse(flow, bytes, listener);
            self.reader(flow).hold(held, 0, &bytes[used..]);
        } else {
            held.extend_from_slice(bytes);
            let used = self.parse(flow, &held, listener);
            self.reader(flow).hold(held, used, &[]);
        }
    }

    /// Returns how many of the bytes were taken.
    fn parse(&mut self, flow: Flow, buf: &[u8], listener: &mut dyn Listener) -> usize {
        let mut used = 0;
        while used < buf.len() {
            let rest = &buf[used..];
            if !self.reader(flow).is_framed {
                self.reader(flow).stream.advance(rest.len() as u64);
                return buf.len();
            }
            let (step, taken) = self.reader(flow).step(rest);
            used += taken;
            self.understood(taken as u64);
            match step {
                Step::Message(message, first, last) => {
                    self.message(flow, message, [first, last], listener);
                }
                Step::Wait if rest.len() > HELD_BYTES_MAX => {
                    self.lose(flow, Discard::HeadTooLong, listener);
                }
                Step::Wait => break,
                Step::Invalid => {
                    self.invalid += 1;
                    self.notes.gave_up |= self.invalid >= INVALID_MAX;
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
            let reader = self.reader(flow);
            if !reader.is_framed {
                return reader.drop_over(gap.len);
            }
            let (step, understood, rest) = reader.cross(gap);
            left = rest;
            self.understood(understood);
            match step {
                Step::Message(message, first, last) => {
                    self.message(flow, message, [first, last], listener);
                }
                Step::Cut(message, first, last) => {
                    self.notes.head_was_cut |= !gap.lost;
                    self.message(flow, message, [first, last], listener);
                    self.lose(flow, Discard::StreamGap, listener);
                }
                Step::Lost => {
                    self.notes.head_was_cut |= !gap.lost;
                    self.lose(flow, Discard::StreamGap, listener);
                }
                Step::Nothing | Step::Wait | Step::Invalid => {}
            }
        }
    }

    /// Takes the bytes that an extent told of for missing, as no chunk brought them.
    fn settle(&mut self, flow: Flow, len_max: u64, listener: &mut dyn Listener) {
        if let Some(gap) = self.reader(flow).stream.take_ahead(len_max) {
            self.cross(flow, gap, listener);
        }
    }

    /// Nobody knows where the next message begins. What is open may have been answered.
    fn lose(&mut self, flow: Flow, why: Discard, listener: &mut dyn Listener) {
        listener.discard(why);
        let reader = self.reader(flow);
        reader.parser.reset();
        reader.is_framed = false;
        reader.in_body = false;
        let now_ns = reader.stream.last_ns();
        match flow {
            Flow::Requests => {
                if let Some(open) = self.one_way.take() {
                    self.open.tell(open, now_ns, Outcome::OneWay, listener);
                }
            }
            Flow::Responses => {
                if let Some(id) = self.answering.take() {
                    self.open.cut(id, now_ns, listener);
                }
                self.open.doubt();
            }
        }
    }
}

// === messages ===

impl<P: Correlated> Correlation<P> {
    fn message(
        &mut self,
        flow: Flow,
        message: CorrelatedMessage<P>,
        head: [Moved; 2],
        listener: &mut dyn Listener,
    ) {
        self.invalid = 0;
        let end_ns = head[1].time_ns;
        match message {
            Message::Request { request, then } => {
                self.requests.in_body = then == Then::Body;
                if request.is_answered() {
                    self.open.ask(request, head, listener);
                } else {
                    let open = self.open.one_way(request, head, listener);
                    if then == Then::Body {
                        self.one_way = Some(open);
                    } else {
                        self.open.tell(open, end_ns, Outcome::OneWay, listener);
                    }
                }
            }
            Message::Response { response, then } => {
                self.responses.in_body = then == Then::Body;
                let id = response.answers();
                let may_be_further = response.may_be_further();
                if !self.open.answer(response, head, listener) {
                    if !may_be_further {
                        listener.discard(Discard::UnmatchedResponse);
                    }
                } else if then == Then::Done {
                    self.open.answered(id, end_ns, listener);
                } else {
                    self.answering = Some(id);
                }
            }
            Message::Unsolicited { then } => self.reader(flow).in_body = then == Then::Body,
            Message::Interim => {}
            Message::End(_) => {
                self.reader(flow).in_body = false;
                match flow {
                    Flow::Requests => {
                        if let Some(open) = self.one_way.take() {
                            self.open.tell(open, end_ns, Outcome::OneWay, listener);
                        }
                    }
                    Flow::Responses => {
                        if let Some(id) = self.answering.take() {
                            self.open.answered(id, end_ns, listener);
                        }
                    }
                }
            }
        }
    }

    fn understood(&mut self, bytes: u64) {
        self.notes.understood_bytes = self.notes.understood_bytes.saturating_add(bytes);
    }

    fn reader(&mut self, flow: Flow) -> &mut Reader<ParserOf<P>> {
        match flow {
            Flow::Requests => &mut self.requests,
            Flow::Responses => &mut self.responses,
        }
    }
}
