//! Requests and responses to exchanges, first in, first out, and what becomes of a request whose
//! response does not come. It moves no bytes; where the streams are is the dialogue's business.

use std::collections::VecDeque;

use super::{Ordered, Request as _, Response as _};
use crate::exchange::{Exchange, Outcome, Role, Ticket};
use crate::heap;
use crate::listener::{Beginning, Discard, Listener};
use crate::message::BodyEnd;
use crate::session::Asked;
use crate::stream::Moved;

/// Memory that they hold, in bytes.
const PENDING_BYTES_MAX: usize = 1 << 20;

/// Room for more than this is not kept for later.
const PENDING_KEPT: usize = 16;

/// The requests of one connection that have not met their fate.
#[derive(Debug)]
pub(super) struct Pair<P: Ordered> {
    role: Role,
    /// In the order of the requests. Only the first can have a response; it is in progress.
    pending: VecDeque<Pending<P>>,
    /// What their requests count for.
    bytes: usize,
    /// Whose body is still moving.
    open_body: OpenBody<P>,
    /// Those that were answered, while it is not known whether they were asked.
    on_probation: Option<Vec<Answered<P>>>,
}

/// A request with its response, and how and when that ended.
#[derive(Debug)]
struct Answered<P: Ordered> {
    pending: Pending<P>,
    outcome: Outcome,
    end_ns: u64,
}

/// Of the latest request.
#[derive(Debug)]
enum OpenBody<P: Ordered> {
    None,
    /// Of the last one that is pending.
    Pending,
    /// Of one that nobody will answer.
    OneWay(Pending<P>),
}

/// The first byte of a message, and the last one of its head.
pub(super) type HeadSpan = [Moved; 2];

#[derive(Debug)]
struct Pending<P: Ordered> {
    ticket: Ticket,
    start: Moved,
    request: P::Request,
    /// What that counts for.
    request_bytes: usize,
    response: Option<P::Response>,
    first_response_ns: Option<u64>,
}

impl<P: Ordered> Pending<P> {
    fn begin(
        role: Role,
        request: P::Request,
        [start, head_end]: HeadSpan,
        listener: &mut dyn Listener,
    ) -> Self {
        let ticket = listener.begin(Beginning {
            role,
            start,
            head_end,
            stream: None,
            traces: request.traces(),
            target: request.target(),
        });
        Self {
            ticket,
            start,
            request_bytes: request.heap_bytes(),
            request,
            response: None,
            first_response_ns: None,
        }
    }

    /// The same, without the answer that it seemed to have.
    fn unanswered(self) -> Self {
        Self {
            response: None,
            first_response_ns: None,
            ..self
        }
    }

    /// What could not be read as a request was one if a server refused it as such.
    fn is_made_up(&self) -> bool {
        let is_refused = |response: &P::Response| response.refuses_malformed();
        self.request.is_malformed() && !self.response.as_ref().is_some_and(is_refused)
    }
}

impl<P: Ordered> Pair<P> {
    /// Nothing pending.
    pub fn new(role: Role) -> Self {
        Self {
            role,
            pending: VecDeque::new(),
            bytes: 0,
            open_body: OpenBody::None,
            on_probation: None,
        }
    }

    /// Nobody knows whether what is asked from here on are requests: none is told with an answer
    /// until [`Pair::end_probation`].
    pub fn begin_probation(&mut self) {
        self.on_probation.get_or_insert_default();
    }

    /// Whether that is so.
    pub fn is_on_probation(&self) -> bool {
        self.on_probation.is_some()
    }

    /// There will be no more answers to what was asked. If each request has one, they were
    /// requests; if not, nobody knows which is whose.
    pub fn end_probation(&mut self, listener: &mut dyn Listener) {
        let are_all_answered = self.are_all_answered();
        for answered in self.on_probation.take().into_iter().flatten() {
            self.bytes -= answered.pending.request_bytes;
            let Answered {
                pending,
                outcome,
                end_ns,
            } = answered;
            if are_all_answered {
                self.tell(pending, end_ns, outcome, listener);
            } else {
                self.tell(pending.unanswered(), end_ns, Outcome::NotObserved, listener);
            }
        }
    }

    /// Each request has a response, though one may be in progress.
    fn are_all_answered(&self) -> bool {
        self.pending.len() <= usize::from(self.response_in_progress())
    }

    /// A request began. If no room is left it is told at once, and `false` says that the responses
    /// no longer match what is pending.
    pub fn request(
        &mut self,
        request: P::Request,
        head: HeadSpan,
        has_body: bool,
        listener: &mut dyn Listener,
    ) -> bool {
        let pending = Pending::<P>::begin(self.role, request, head, listener);
        if !pending.request.is_answered() {
            self.one_way(pending, has_body, listener);
            return true;
        }
        if self.pending.len() >= P::MANNERS.pending_max || self.bytes >= PENDING_BYTES_MAX {
            listener.discard(Discard::PipelineFull);
            self.tell(pending, head[0].time_ns, Outcome::Evicted, listener);
            return false;
        }
        self.bytes += pending.request_bytes;
        self.pending.push_back(pending);
        self.open_body = if has_body {
            OpenBody::Pending
        } else {
            OpenBody::None
        };
        true
    }

    /// A request began whose response can't be told from others.
    pub fn unpaired_request(
        &mut self,
        request: P::Request,
        head: HeadSpan,
        has_body: bool,
        listener: &mut dyn Listener,
    ) {
        let pending = Pending::<P>::begin(self.role, request, head, listener);
        if pending.request.is_answered() {
            self.tell(pending, head[0].time_ns, Outcome::NotObserved, listener);
        } else {
            self.one_way(pending, has_body, listener);
        }
    }

    fn one_way(&mut self, pending: Pending<P>, has_body: bool, listener: &mut dyn Listener) {
        if has_body {
            self.open_body = OpenBody::OneWay(pending);
        } else {
            let end_ns = pending.start.time_ns;
            self.tell(pending, end_ns, Outcome::OneWay, listener);
        }
    }

    /// The body of the latest request ended.
    pub fn request_ended(&mut self, size: Option<u64>, end_ns: u64, listener: &mut dyn Listener) {
        match std::mem::replace(&mut self.open_body, OpenBody::None) {
            OpenBody::None => {}
            OpenBody::Pending => {
                if let Some(last) = self.pending.back_mut() {
                    last.request.body_ended(size);
                }
            }
            OpenBody::OneWay(mut pending) => {
                pending.request.body_ended(size);
                self.tell(pending, end_ns, Outcome::OneWay, listener);
            }
        }
    }

    /// The final response to the first request began.
    pub fn response(
        &mut self,
        response: P::Response,
        [begin, head_end]: HeadSpan,
        listener: &mut dyn Listener,
    ) {
        let is_certain = !self.is_on_probation();
        if let Some(first) = self.pending.front_mut() {
            first.response = Some(response);
            first.first_response_ns = Some(begin.time_ns);
            if is_certain {
                listener.answer(first.ticket, head_end);
            }
        }
    }

    /// The body of the response in progress ended.
    pub fn response_body_ended(&mut self, end: BodyEnd) {
        if let Some(first) = self.pending.front_mut()
            && let Some(response) = &mut first.response
        {
            response.body_ended(end);
        }
    }

    /// The response in progress was seen to its end.
    pub fn response_ended(&mut self, end_ns: u64, listener: &mut dyn Listener) {
        if let Some(first) = self.take_first() {
            self.answered(first, end_ns, Outcome::Complete, listener);
        }
    }

    fn answered(
        &mut self,
        pending: Pending<P>,
        end_ns: u64,
        outcome: Outcome,
        listener: &mut dyn Listener,
    ) {
        match &mut self.on_probation {
            Some(answered) if answered.len() < P::MANNERS.pending_max => {
                self.bytes += pending.request_bytes;
                answered.push(Answered {
                    pending,
                    outcome,
                    end_ns,
                });
            }
            Some(_) => {
                let unanswered = pending.unanswered();
                self.tell(unanswered, end_ns, Outcome::NotObserved, listener);
            }
            None => self.tell(pending, end_ns, outcome, listener),
        }
    }

    /// The response in progress is over, though its end was not recognised.
    pub fn response_is_over(&mut self, end_ns: u64, listener: &mut dyn Listener) {
        self.end_response(Outcome::EndInferred, end_ns, listener);
    }

    /// The client went away within the response in progress, of which nobody said how long it
    /// would be.
    pub fn response_was_left(&mut self, end_ns: u64, listener: &mut dyn Listener) {
        self.end_response(Outcome::Left, end_ns, listener);
    }

    fn end_response(&mut self, outcome: Outcome, end_ns: u64, listener: &mut dyn Listener) {
        if self.response_in_progress()
            && let Some(first) = self.take_first()
        {
            self.answered(first, end_ns, outcome, listener);
        }
    }

    /// Nothing that is pending will be answered any more.
    pub fn flush(&mut self, outcome: Outcome, end_ns: u64, listener: &mut dyn Listener) {
        self.end_probation(listener);
        while let Some(first) = self.take_first() {
            self.tell(first, end_ns, outcome, listener);
        }
        if let OpenBody::OneWay(pending) = std::mem::replace(&mut self.open_body, OpenBody::None) {
            self.tell(pending, end_ns, outcome, listener);
        }
    }

    /// What is pending, but for a response in progress, will never be told from other responses.
    pub fn lose_responses(&mut self, end_ns: u64, listener: &mut dyn Listener) {
        if self.is_on_probation() {
            let are_all_answered = self.are_all_answered();
            self.end_probation(listener);
            // What began to answer the first may answer something else.
            if !are_all_answered && let Some(first) = self.pending.pop_front() {
                self.pending.push_front(first.unanswered());
            }
        }
        let keeps_first = usize::from(self.response_in_progress());
        if self.pending.len() > keeps_first && matches!(self.open_body, OpenBody::Pending) {
            self.open_body = OpenBody::None;
        }
        while self.pending.len() > keeps_first {
            if let Some(next) = self.take(keeps_first) {
                self.tell(next, end_ns, Outcome::NotObserved, listener);
            }
        }
    }

    /// The first request leaves unanswered: another protocol will carry its response.
    pub fn give_away_first(&mut self) -> Option<Asked> {
        let first = self.take_first()?;
        Some(Asked {
            ticket: first.ticket,
            start: first.start,
            family: P::family(first.request, None),
        })
    }

    /// Whether the last request asks for a tunnel, and the answer is still to come.
    pub fn awaits_tunnel(&self) -> bool {
        self.pending
            .back()
            .is_some_and(|last| last.request.tunnel().is_some() && last.response.is_none())
    }

    /// The request that the next response answers.
    pub fn first(&self) -> Option<&P::Request> {
        self.pending.front().map(|first| &first.request)
    }

    /// Bytes of heap that it takes.
    pub fn heap_bytes(&self) -> usize {
        let answered = self.on_probation.as_ref().map_or(0, Vec::capacity);
        heap::vec::<Pending<P>>(self.pending.capacity())
            + heap::vec::<Answered<P>>(answered)
            + self.bytes
    }

    /// Bytes of what is pending, without room for more.
    pub fn growing_bytes(&self) -> usize {
        self.pending.len() * size_of::<Pending<P>>() + self.bytes
    }

    /// How many requests are pending.
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether no request is pending.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Whether a final response began and has not ended.
    pub fn response_in_progress(&self) -> bool {
        self.pending.front().is_some_and(|p| p.response.is_some())
    }

    /// Whether the body of a request is moving that has not met its fate.
    pub fn request_in_progress(&self) -> bool {
        !matches!(self.open_body, OpenBody::None)
    }

    fn take_first(&mut self) -> Option<Pending<P>> {
        let first = self.take(0)?;
        if self.pending.is_empty() && matches!(self.open_body, OpenBody::Pending) {
            self.open_body = OpenBody::None;
        }
        Some(first)
    }

    fn take(&mut self, at: usize) -> Option<Pending<P>> {
        let taken = self.pending.remove(at)?;
        self.bytes -= taken.request_bytes;
        if self.pending.is_empty() && self.pending.capacity() > PENDING_KEPT {
            self.pending = VecDeque::new();
        }
        Some(taken)
    }

    fn tell(
        &self,
        pending: Pending<P>,
        end_ns: u64,
        outcome: Outcome,
        listener: &mut dyn Listener,
    ) {
        if pending.is_made_up() {
            listener.withdraw(pending.ticket);
            listener.discard(Discard::Unparsable);
            return;
        }
        // Two threads may report a response before its request: time does not run backward for it.
        let start_ns = pending
            .first_response_ns
            .map_or(pending.start.time_ns, |first| {
                first.min(pending.start.time_ns)
            });
        listener.end(Exchange {
            ticket: pending.ticket,
            role: self.role,
            tid: pending.start.tid,
            start_ns,
            first_response_ns: pending.first_response_ns,
            end_ns: end_ns.max(pending.first_response_ns.unwrap_or(start_ns)),
            outcome,
            family: P::family(pending.request, pending.response),
        });
    }
}

#[cfg(test)]
mod tests;
