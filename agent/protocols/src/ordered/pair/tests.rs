//! Requests and responses of a protocol that exists here only.

use super::*;
use crate::family::Family;
use crate::family::http::{Completeness, HttpRequest, HttpResponse, Method, Version};
use crate::http1::Http1;
use crate::ordered::PENDING_MAX;

#[derive(Default)]
struct Told {
    begun: u64,
    ended: Vec<(u64, Outcome, Option<u64>)>,
    tickets: Vec<u64>,
    discarded: Vec<Discard>,
}

impl Listener for Told {
    fn begin(&mut self, _beginning: Beginning) -> Ticket {
        self.begun += 1;
        Ticket(self.begun)
    }

    fn end(&mut self, exchange: Exchange) {
        let Family::Http(http) = exchange.family else {
            panic!("{exchange:?}");
        };
        self.tickets.push(exchange.ticket.0);
        let told = (exchange.start_ns, exchange.outcome, http.request.body_size);
        self.ended.push(told);
    }

    fn withdraw(&mut self, ticket: Ticket) {
        self.tickets.push(ticket.0);
    }

    fn discard(&mut self, what: Discard) {
        self.discarded.push(what);
    }
}

fn at(time_ns: u64) -> Moved {
    Moved {
        position: 0,
        time_ns,
        tid: 1,
    }
}

type Get = Box<HttpRequest>;

fn request() -> Get {
    Box::new(HttpRequest {
        method: Method::Get,
        ..HttpRequest::malformed()
    })
}

fn response() -> HttpResponse {
    HttpResponse {
        status: 200,
        version: Version::Http11,
        body_size: None,
        truncated: false,
        call_status: None,
        completeness: Completeness::Whole,
    }
}

#[test]
fn responses_meet_requests_in_order() {
    let (mut pair, mut told) = (Pair::<Http1>::new(Role::Client), Told::default());
    pair.request(request(), [at(1); 2], false, &mut told);
    pair.request(request(), [at(2); 2], true, &mut told);
    pair.response(response(), [at(3); 2], &mut told);
    pair.response_ended(4, &mut told);
    pair.request_ended(Some(9), 9, &mut told);
    pair.flush(Outcome::Closed, 5, &mut told);
    let wanted = [(1, Outcome::Complete, None), (2, Outcome::Closed, Some(9))];
    assert_eq!(told.ended, wanted);
}

#[test]
fn the_body_of_an_answered_request_is_not_anothers() {
    let (mut pair, mut told) = (Pair::<Http1>::new(Role::Server), Told::default());
    pair.request(request(), [at(1); 2], true, &mut told);
    pair.response(response(), [at(2); 2], &mut told);
    pair.response_ended(3, &mut told);
    pair.request_ended(Some(9), 9, &mut told);
    pair.request(request(), [at(4); 2], false, &mut told);
    pair.flush(Outcome::Reset, 5, &mut told);
    let wanted = [(1, Outcome::Complete, None), (4, Outcome::Reset, None)];
    assert_eq!(told.ended, wanted);
}

#[test]
fn a_response_in_progress_survives_the_loss_of_framing() {
    let (mut pair, mut told) = (Pair::<Http1>::new(Role::Server), Told::default());
    pair.request(request(), [at(1); 2], false, &mut told);
    pair.request(request(), [at(2); 2], false, &mut told);
    pair.response(response(), [at(3); 2], &mut told);
    pair.lose_responses(4, &mut told);
    pair.response_is_over(5, &mut told);
    let wanted = [
        (2, Outcome::NotObserved, None),
        (1, Outcome::EndInferred, None),
    ];
    assert_eq!(told.ended, wanted);
}

#[test]
fn what_is_too_many_is_told_at_once() {
    let (mut pair, mut told) = (Pair::<Http1>::new(Role::Server), Told::default());
    for n in 0..PENDING_MAX as u64 {
        assert!(pair.request(request(), [at(n); 2], false, &mut told));
    }
    assert!(!pair.request(request(), [at(999); 2], false, &mut told));
    assert_eq!(told.ended, [(999, Outcome::Evicted, None)]);
    assert_eq!(told.discarded, [Discard::PipelineFull]);
}

#[test]
fn each_that_begins_ends_or_is_withdrawn() {
    let (mut pair, mut told) = (Pair::<Http1>::new(Role::Server), Told::default());
    pair.request(request(), [at(1); 2], false, &mut told);
    pair.request(
        Box::new(HttpRequest::malformed()),
        [at(2); 2],
        false,
        &mut told,
    );
    pair.request(request(), [at(3); 2], true, &mut told);
    pair.response(response(), [at(4); 2], &mut told);
    pair.lose_responses(5, &mut told);
    pair.unpaired_request(request(), [at(6); 2], false, &mut told);
    pair.flush(Outcome::Closed, 7, &mut told);
    assert_eq!((told.begun, told.ended.len()), (4, 3));
    told.tickets.sort_unstable();
    assert_eq!(told.tickets, [1, 2, 3, 4]);
    assert_eq!(told.discarded, [Discard::Unparsable]);
}
