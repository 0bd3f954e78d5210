//! What messages do to a dialogue: when a request is paired, when the two readers are aligned, what
//! a response completes. No bytes are looked at here.

use super::{Asked, Dialogue, LEVEL_TURNS_MIN, Next, RequestStart};
use crate::exchange::Outcome;
use crate::listener::{Discard, Listener};
use crate::message::{BodyEnd, Message, Then};
use crate::ordered::pair::HeadSpan;
use crate::ordered::{MessageOf, Ordered, Request as _};
use crate::parser::Flow;
use crate::stream::Moved;

impl<P: Ordered> Dialogue<P> {
    pub(super) fn message(
        &mut self,
        flow: Flow,
        message: MessageOf<P>,
        first: Moved,
        last: Moved,
        listener: &mut dyn Listener,
    ) {
        match message {
            Message::Request { request, then } => {
                if request.is_malformed() {
                    self.note_invalid();
                } else {
                    self.invalid = 0;
                }
                self.request(request, then, [first, last], listener);
            }
            Message::Response { response, then } => {
                self.invalid = 0;
                self.response(response, then, [first, last], listener);
            }
            Message::Interim => {
                self.invalid = 0;
                if self.pair.is_empty() {
                    self.lose(Flow::Responses, Discard::UnmatchedResponse, listener);
                }
            }
            Message::Unsolicited { then } => {
                self.invalid = 0;
                self.unsolicited(then, listener);
            }
            Message::End(body) => {
                self.invalid = 0;
                self.reader(flow).in_body = false;
                match flow {
                    Flow::Requests => self.request_ended(body, last.time_ns, listener),
                    Flow::Responses if std::mem::take(&mut self.is_unsolicited) => {}
                    Flow::Responses => self.response_ended(body, last, listener),
                }
            }
        }
    }

    pub(super) fn request_ended(
        &mut self,
        body: BodyEnd,
        end_ns: u64,
        listener: &mut dyn Listener,
    ) {
        self.pair.request_ended(body.size, end_ns, listener);
        if body.size.is_none() {
            // The end was guessed: it may be that of a later request, not seen.
            self.is_aligned = false;
        }
    }

    fn response_ended(&mut self, body: BodyEnd, last: Moved, listener: &mut dyn Listener) {
        let requests = &self.requests.stream;
        let asked_on =
            self.pair.len() > 1 || requests.is_holding() || requests.reach() > requests.cursor();
        self.pair.response_body_ended(body);
        if body.size.is_none() && asked_on {
            // The end was guessed: it may be that of a later response.
            self.pair.response_is_over(last.time_ns, listener);
            self.lose(Flow::Responses, Discard::StreamGap, listener);
        } else {
            self.pair.response_ended(last.time_ns, listener);
        }
        self.answered(listener);
    }

    /// The server says something that it was not asked for.
    fn unsolicited(&mut self, then: Then, listener: &mut dyn Listener) {
        self.responses.in_body = then == Then::Body;
        self.is_unsolicited = then == Then::Body;
        if then == Then::Unknown {
            self.lose(Flow::Responses, Discard::StreamGap, listener);
        }
    }

    pub(super) fn request(
        &mut self,
        request: P::Request,
        then: Then,
        head: HeadSpan,
        listener: &mut dyn Listener,
    ) {
        let is_malformed = request.is_malformed();
        let place = std::mem::take(&mut self.place);
        self.requests.in_body = then == Then::Body;
        self.request_head_end = self.requests.stream.cursor();
        if place.turned && !self.responses.in_body {
            self.settle(Flow::Responses, listener);
        }
        if place.turned
            && self.pair.is_on_probation()
            && !self.pair.is_empty()
            && !self.responses.is_guessing()
        {
            // There were more requests than answers: some of them were none.
            self.lose(Flow::Responses, Discard::StreamGap, listener);
        }
        let answered = self.responses.is_guessing()
            || self.pair.is_empty() && self.responses.is_between_messages();
        if place.turned && place.seamless && answered && self.is_level(place) {
            self.level_turns = self.level_turns.saturating_add(u32::from(self.is_aligned));
            if !self.is_aligned || self.responses.is_guessing() {
                self.align(listener);
            }
        } else if place.turned && !self.pair.is_empty() && !self.responses.is_guessing() {
            self.overlapped = true;
        }
        if self.is_aligned {
            self.is_aligned = self
                .pair
                .request(request, head, then == Then::Body, listener);
        } else {
            let has_body = then == Then::Body;
            self.pair
                .unpaired_request(request, head, has_body, listener);
        }
        if then == Then::Unknown {
            if !is_malformed {
                listener.discard(Discard::StreamGap);
            }
            self.unframe(Flow::Requests, listener);
        }
    }

    /// Whether a request that begins a turn here is the only one that is outstanding, as far as
    /// manners tell.
    fn is_level(&self, place: RequestStart) -> bool {
        match P::MANNERS.quiet_ns {
            None => !self.overlapped,
            Some(quiet_ns) if place.silence_ns >= quiet_ns => true,
            Some(_) => !self.overlapped && (self.is_aligned || self.level_turns >= LEVEL_TURNS_MIN),
        }
    }

    /// A response ended. If it was the last that is outstanding, each request has one.
    fn answered(&mut self, listener: &mut dyn Listener) {
        if self.pair.is_empty() && !self.requests.stream.is_holding() {
            self.pair.end_probation(listener);
        }
    }

    /// Everything before this moment is over, and the next byte of the responses answers the next
    /// request.
    fn align(&mut self, listener: &mut dyn Listener) {
        let last_ns = self.responses.stream.last_ns();
        self.pair.response_is_over(last_ns, listener);
        self.pair.flush(Outcome::NotObserved, last_ns, listener);
        self.responses.stream.skip_to_reach();
        self.responses.restart();
        self.is_aligned = true;
        // Silence proves more than what follows could.
        if P::MANNERS.quiet_ns.is_none() {
            self.pair.begin_probation();
        }
    }

    fn response(
        &mut self,
        response: P::Response,
        then: Then,
        head: HeadSpan,
        listener: &mut dyn Listener,
    ) {
        let [_, last] = head;
        if self.pair.is_empty() {
            // Its framing depends on a request that nobody saw.
            if self.is_aligned {
                self.level_turns = 0;
            }
            self.lose(Flow::Responses, Discard::UnmatchedResponse, listener);
            return;
        }
        self.pair.response(response, head, listener);
        self.responses.in_body = then == Then::Body;
        match then {
            Then::Body => {}
            Then::Done => {
                self.pair.response_ended(last.time_ns, listener);
                self.answered(listener);
            }
            Then::Foreign => {
                self.pair.response_ended(last.time_ns, listener);
                self.pair
                    .flush(Outcome::NotObserved, last.time_ns, listener);
                self.notes.gave_up = true;
                self.reader(Flow::Requests).is_framed = false;
                self.reader(Flow::Responses).is_framed = false;
            }
            Then::Tunnel => {
                let authority = self.pair.first().and_then(P::Request::tunnel);
                let authority = authority.map(Box::from);
                self.pair.response_ended(last.time_ns, listener);
                self.pair
                    .flush(Outcome::NotObserved, last.time_ns, listener);
                self.next = authority.map(Next::Tunnel);
            }
            Then::Upgrade(protocol) => {
                // Its own response is still to come, in the other protocol.
                let first = self.pair.give_away_first();
                self.next = first.map(|asked: Asked| Next::Upgrade(protocol, asked));
                self.pair
                    .flush(Outcome::NotObserved, last.time_ns, listener);
            }
            Then::Unknown => self.lose(Flow::Responses, Discard::StreamGap, listener),
        }
    }
}
