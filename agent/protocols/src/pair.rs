//! Requests and responses to exchanges, first in, first out, and what becomes of a request whose
//! response does not come. It moves no bytes; where the streams are is the conversation's business.

use std::collections::VecDeque;

use crate::exchange::{Exchange, Outcome, Role};
use crate::heap;
use crate::message::{Method, Request, Response};
use crate::sink::{Discard, Sink};
use crate::stream::Moved;

/// Requests that are remembered while their responses have not ended.
pub const PENDING_MAX: usize = 256;
/// Memory that they hold, in bytes.
const PENDING_BYTES_MAX: usize = 1 << 20;

/// Room for more than this is not kept for later.
const PENDING_KEPT: usize = 16;

/// The requests of one connection that have not met their fate.
#[derive(Debug)]
pub struct Pair {
    role: Role,
    /// In the order of the requests. Only the first can have a response; it is in progress.
    pending: VecDeque<Pending>,
    /// What their requests count for.
    bytes: usize,
    /// The body of the last request in `pending` is still moving.
    body_is_open: bool,
}

#[derive(Debug)]
struct Pending {
    start: Moved,
    request: Request,
    /// What that counts for.
    request_bytes: usize,
    response: Option<Response>,
    first_response_ns: Option<u64>,
}

impl Pending {
    /// What could not be read as a request was one if a server refused it as such.
    fn is_made_up(&self) -> bool {
        let Request::Http(request) = &self.request;
        request.is_malformed()
            && !self
                .response
                .as_ref()
                .is_some_and(|Response::Http(response)| response.refuses_malformed())
    }
}

impl Pair {
    /// Nothing pending.
    #[must_use]
    pub fn new(role: Role) -> Self {
        Self {
            role,
            pending: VecDeque::new(),
            bytes: 0,
            body_is_open: false,
        }
    }

    /// A request began. If no room is left it is told at once, and `false` says that the responses
    /// no longer match what is pending.
    pub fn request(
        &mut self,
        request: Request,
        start: Moved,
        has_body: bool,
        sink: &mut impl Sink,
    ) -> bool {
        let pending = Pending {
            start,
            request_bytes: request.heap_bytes(),
            request,
            response: None,
            first_response_ns: None,
        };
        if self.pending.len() >= PENDING_MAX || self.bytes >= PENDING_BYTES_MAX {
            sink.discard(Discard::PipelineFull);
            self.tell(pending, start.time_ns, Outcome::Evicted, sink);
            return false;
        }
        self.bytes += pending.request_bytes;
        self.pending.push_back(pending);
        self.body_is_open = has_body;
        true
    }

    /// A request began whose response can't be told from others.
    pub fn unpaired_request(&mut self, request: Request, start: Moved, sink: &mut impl Sink) {
        let pending = Pending {
            start,
            request,
            request_bytes: 0,
            response: None,
            first_response_ns: None,
        };
        self.tell(pending, start.time_ns, Outcome::NotObserved, sink);
    }

    /// The body of the latest request ended.
    pub fn request_ended(&mut self, body_size: Option<u64>) {
        if std::mem::take(&mut self.body_is_open)
            && let Some(last) = self.pending.back_mut()
        {
            let Request::Http(request) = &mut last.request;
            request.body_size = body_size;
        }
    }

    /// The final response to the first request began.
    pub fn response(&mut self, response: Response, first_ns: u64) {
        if let Some(first) = self.pending.front_mut() {
            first.response = Some(response);
            first.first_response_ns = Some(first_ns);
        }
    }

    /// The body of the response in progress ended with the status of a call, if there is one.
    pub fn call_ended(&mut self, status: Option<u32>) {
        if let (Some(_), Some(first)) = (status, self.pending.front_mut())
            && let Some(Response::Http(response)) = &mut first.response
        {
            response.call_status = response.call_status.or(status);
        }
    }

    /// The response in progress was seen to its end. `body_size` is `None` if its head said it.
    pub fn response_ended(
        &mut self,
        body_size: Option<Option<u64>>,
        end_ns: u64,
        sink: &mut impl Sink,
    ) {
        if let Some(mut first) = self.take_first() {
            if let (Some(Response::Http(response)), Some(size)) = (&mut first.response, body_size) {
                response.body_size = size;
            }
            self.tell(first, end_ns, Outcome::Complete, sink);
        }
    }

    /// The response in progress is over, though its end was not recognised.
    pub fn response_is_over(&mut self, end_ns: u64, sink: &mut impl Sink) {
        if self.response_in_progress()
            && let Some(first) = self.take_first()
        {
            self.tell(first, end_ns, Outcome::EndInferred, sink);
        }
    }

    /// Nothing that is pending will be answered any more.
    pub fn flush(&mut self, outcome: Outcome, end_ns: u64, sink: &mut impl Sink) {
        while let Some(first) = self.take_first() {
            self.tell(first, end_ns, outcome, sink);
        }
    }

    /// What is pending, but for a response in progress, will never be told from other responses.
    pub fn lose_responses(&mut self, end_ns: u64, sink: &mut impl Sink) {
        let first = if self.response_in_progress() {
            self.pending.pop_front()
        } else {
            None
        };
        self.bytes -= first.as_ref().map_or(0, |first| first.request_bytes);
        let body_is_open = self.body_is_open && self.pending.is_empty();
        self.flush(Outcome::NotObserved, end_ns, sink);
        self.bytes += first.as_ref().map_or(0, |first| first.request_bytes);
        self.pending.extend(first);
        self.body_is_open = body_is_open;
    }

    /// The first request leaves unanswered: another protocol will carry its response.
    pub fn give_away_first(&mut self) -> Option<(Request, Moved)> {
        let first = self.take_first()?;
        Some((first.request, first.start))
    }

    /// The client went away within the response in progress, of which nobody said how long it
    /// would be.
    pub fn response_was_left(&mut self, end_ns: u64, sink: &mut impl Sink) {
        if self.response_in_progress()
            && let Some(first) = self.take_first()
        {
            self.tell(first, end_ns, Outcome::Left, sink);
        }
    }

    /// Whether the last request asks for a tunnel, and the answer is still to come.
    #[must_use]
    pub fn awaits_tunnel(&self) -> bool {
        self.pending.back().is_some_and(|last| {
            let Request::Http(request) = &last.request;
            request.method == Method::Connect && last.response.is_none()
        })
    }

    /// The request that the next response answers.
    #[must_use]
    pub fn first(&self) -> Option<&Request> {
        self.pending.front().map(|first| &first.request)
    }

    /// Bytes of heap that it takes.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        heap::vec::<Pending>(self.pending.capacity()) + self.bytes
    }

    /// How many requests are pending.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether no request is pending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Whether a final response began and has not ended.
    #[must_use]
    pub fn response_in_progress(&self) -> bool {
        self.pending.front().is_some_and(|p| p.response.is_some())
    }

    /// Whether the body of a pending request is moving.
    #[must_use]
    pub fn request_in_progress(&self) -> bool {
        self.body_is_open
    }

    fn take_first(&mut self) -> Option<Pending> {
        let first = self.pending.pop_front();
        self.bytes -= first.as_ref().map_or(0, |first| first.request_bytes);
        if self.pending.is_empty() {
            self.body_is_open = false;
            if self.pending.capacity() > PENDING_KEPT {
                self.pending = VecDeque::new();
            }
        }
        first
    }

    fn tell(&self, pending: Pending, end_ns: u64, outcome: Outcome, sink: &mut impl Sink) {
        if pending.is_made_up() {
            sink.discard(Discard::Unparsable);
            return;
        }
        // Two threads may report a response before its request: time does not run backward for it.
        let start_ns = pending
            .first_response_ns
            .map_or(pending.start.time_ns, |first| {
                first.min(pending.start.time_ns)
            });
        sink.exchange(Exchange {
            role: self.role,
            tid: pending.start.tid,
            start_ns,
            first_response_ns: pending.first_response_ns,
            end_ns: end_ns.max(pending.first_response_ns.unwrap_or(start_ns)),
            request: pending.request,
            response: pending.response,
            outcome,
            messages: None,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Completeness, HttpRequest, HttpResponse, Version};

    #[derive(Default)]
    struct Told(Vec<(u64, Outcome, Option<u64>)>, Vec<Discard>);

    impl Sink for Told {
        fn exchange(&mut self, exchange: Exchange) {
            let Request::Http(request) = exchange.request;
            let told = (exchange.start_ns, exchange.outcome, request.body_size);
            self.0.push(told);
        }

        fn discard(&mut self, what: Discard) {
            self.1.push(what);
        }
    }

    fn request() -> Request {
        Request::Http(Box::new(HttpRequest {
            method: Method::Get,
            target: "/".into(),
            version: Version::Http11,
            host: None,
            user_agent: None,
            forwarded_for: None,
            forwarded_host: None,
            forwarded_scheme: None,
            trace_parent: None,
            trace_state: None,
            body_size: None,
            truncated: false,
            scheme: None,
            call: None,
            completeness: Completeness::Whole,
        }))
    }

    fn response() -> Response {
        Response::Http(HttpResponse {
            status: 200,
            version: Version::Http11,
            body_size: None,
            truncated: false,
            call_status: None,
            completeness: Completeness::Whole,
        })
    }

    fn at(time_ns: u64) -> Moved {
        Moved { time_ns, tid: 1 }
    }

    #[test]
    fn responses_meet_requests_in_order() {
        let (mut pair, mut told) = (Pair::new(Role::Client), Told::default());
        pair.request(request(), at(1), false, &mut told);
        pair.request(request(), at(2), true, &mut told);
        pair.response(response(), 3);
        pair.response_ended(None, 4, &mut told);
        pair.request_ended(Some(9));
        pair.flush(Outcome::Closed, 5, &mut told);
        let wanted = [(1, Outcome::Complete, None), (2, Outcome::Closed, Some(9))];
        assert_eq!(told.0, wanted);
    }

    #[test]
    fn the_body_of_an_answered_request_is_not_anothers() {
        let (mut pair, mut told) = (Pair::new(Role::Server), Told::default());
        pair.request(request(), at(1), true, &mut told);
        pair.response(response(), 2);
        pair.response_ended(None, 3, &mut told);
        pair.request_ended(Some(9));
        pair.request(request(), at(4), false, &mut told);
        pair.flush(Outcome::Reset, 5, &mut told);
        let wanted = [(1, Outcome::Complete, None), (4, Outcome::Reset, None)];
        assert_eq!(told.0, wanted);
    }

    #[test]
    fn a_response_in_progress_survives_the_loss_of_framing() {
        let (mut pair, mut told) = (Pair::new(Role::Server), Told::default());
        pair.request(request(), at(1), false, &mut told);
        pair.request(request(), at(2), false, &mut told);
        pair.response(response(), 3);
        pair.lose_responses(4, &mut told);
        pair.response_is_over(5, &mut told);
        let wanted = [
            (2, Outcome::NotObserved, None),
            (1, Outcome::EndInferred, None),
        ];
        assert_eq!(told.0, wanted);
    }

    #[test]
    fn what_is_too_many_is_told_at_once() {
        let (mut pair, mut told) = (Pair::new(Role::Server), Told::default());
        for n in 0..PENDING_MAX as u64 {
            assert!(pair.request(request(), at(n), false, &mut told));
        }
        assert!(!pair.request(request(), at(999), false, &mut told));
        assert_eq!(told.0, [(999, Outcome::Evicted, None)]);
        assert_eq!(told.1, [Discard::PipelineFull]);
    }
}
