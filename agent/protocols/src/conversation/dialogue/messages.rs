//! What messages do to a dialogue: when a request is paired, when the two lanes are aligned, what a
//! response completes. No bytes are looked at here.

use super::super::{Discard, Sink};
use super::{Dialogue, Next};
use crate::exchange::Outcome;
use crate::message::{Message, Request, Response, Then};
use crate::parser::Flow;
use crate::stream::Moved;

impl Dialogue {
    pub(super) fn message(
        &mut self,
        flow: Flow,
        message: Message,
        first: Moved,
        last: Moved,
        sink: &mut impl Sink,
    ) {
        match message {
            Message::Request { request, then } => {
                let Request::Http(http) = &request;
                if http.is_malformed() {
                    self.note_invalid();
                } else {
                    self.invalid = 0;
                }
                self.request(request, then, first, sink);
            }
            Message::Response { response, then } => {
                self.invalid = 0;
                self.response(response, then, first, last, sink);
            }
            Message::Interim => {
                self.invalid = 0;
                if self.pair.is_empty() {
                    self.lose(Flow::Responses, Discard::UnmatchedResponse, sink);
                }
            }
            Message::End {
                body_size,
                call_status,
            } => {
                self.invalid = 0;
                self.lane(flow).in_body = false;
                self.pair.call_ended(call_status);
                match flow {
                    Flow::Requests => self.request_ended(body_size),
                    Flow::Responses => self.response_ended(body_size, last, sink),
                }
            }
        }
    }

    pub(super) fn request_ended(&mut self, body_size: Option<u64>) {
        self.pair.request_ended(body_size);
        if body_size.is_none() {
            // The end was guessed: it may be that of a later request, not seen.
            self.is_aligned = false;
        }
    }

    fn response_ended(&mut self, body_size: Option<u64>, last: Moved, sink: &mut impl Sink) {
        let requests = &self.requests.stream;
        let asked_on =
            self.pair.len() > 1 || requests.is_holding() || requests.reach() > requests.cursor();
        if body_size.is_none() && asked_on {
            // The end was guessed: it may be that of a later response.
            self.pair.response_is_over(last.time_ns, sink);
            self.lose(Flow::Responses, Discard::StreamGap, sink);
        } else {
            self.pair
                .response_ended(Some(body_size), last.time_ns, sink);
        }
    }

    pub(super) fn request(
        &mut self,
        request: Request,
        then: Then,
        first: Moved,
        sink: &mut impl Sink,
    ) {
        let Request::Http(http) = &request;
        let is_malformed = http.is_malformed();
        let place = std::mem::take(&mut self.place);
        self.requests.in_body = then == Then::Body;
        self.request_head_end = self.requests.stream.cursor();
        if place.turned && !self.responses.in_body {
            self.settle(Flow::Responses, sink);
        }
        let answered = self.responses.is_guessing()
            || self.pair.is_empty() && self.responses.is_between_messages();
        if place.turned && place.seamless && answered && !self.overlapped {
            if !self.is_aligned || self.responses.is_guessing() {
                self.align(sink);
            }
        } else if place.turned && !self.pair.is_empty() && !self.responses.is_guessing() {
            self.overlapped = true;
        }
        if self.is_aligned {
            self.is_aligned = self.pair.request(request, first, then == Then::Body, sink);
        } else {
            self.pair.unpaired_request(request, first, sink);
        }
        if then == Then::Unknown {
            if !is_malformed {
                sink.discard(Discard::StreamGap);
            }
            self.unframe(Flow::Requests, sink);
        }
    }

    /// Everything before this moment is over, and the next byte of the responses answers the next
    /// request.
    fn align(&mut self, sink: &mut impl Sink) {
        let last_ns = self.responses.stream.last_ns();
        self.pair.response_is_over(last_ns, sink);
        self.pair.flush(Outcome::NotObserved, last_ns, sink);
        self.responses.stream.skip_to_reach();
        self.responses.restart();
        self.is_aligned = true;
    }

    fn response(
        &mut self,
        response: Response,
        then: Then,
        first: Moved,
        last: Moved,
        sink: &mut impl Sink,
    ) {
        if self.pair.is_empty() {
            // Its framing depends on a request that nobody saw.
            self.lose(Flow::Responses, Discard::UnmatchedResponse, sink);
            return;
        }
        self.pair.response(response, first.time_ns);
        self.responses.in_body = then == Then::Body;
        match then {
            Then::Body => {}
            Then::Done => self.pair.response_ended(None, last.time_ns, sink),
            Then::Foreign => {
                self.pair.response_ended(None, last.time_ns, sink);
                self.pair.flush(Outcome::NotObserved, last.time_ns, sink);
                self.notes.gave_up = true;
                self.lane(Flow::Requests).is_framed = false;
                self.lane(Flow::Responses).is_framed = false;
            }
            Then::Tunnel => {
                let authority = self
                    .pair
                    .first()
                    .map(|Request::Http(asked)| asked.target.clone());
                self.pair.response_ended(None, last.time_ns, sink);
                self.pair.flush(Outcome::NotObserved, last.time_ns, sink);
                self.next = authority.map(Next::Tunnel);
            }
            Then::Http2 => {
                // Its own response is still to come, in the other protocol.
                let first = self.pair.give_away_first();
                self.next = first.map(|(request, start)| Next::Http2(request, start));
                self.pair.flush(Outcome::NotObserved, last.time_ns, sink);
            }
            Then::Unknown => self.lose(Flow::Responses, Discard::StreamGap, sink),
        }
    }
}
