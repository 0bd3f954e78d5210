//! What a conversation told. Whatever is told, it holds that each exchange that began ends or is
//! withdrawn once, as the one that began.
#![allow(dead_code, reason = "not every test asks for all of it")]

use std::collections::HashMap;
use std::net::SocketAddr;

use wirespan_protocols::exchange::{Exchange, Ticket};
use wirespan_protocols::family::Family;
use wirespan_protocols::family::call::Call;
use wirespan_protocols::family::http::{Http, HttpRequest, HttpResponse};
use wirespan_protocols::family::rpc::Messages;
use wirespan_protocols::listener::{Beginning, Discard, Listener};

#[derive(Default)]
pub struct Told {
    pub exchanges: Vec<Exchange>,
    pub discards: Vec<Discard>,
    /// Sources that relays named, and authorities that tunnels lead to.
    pub via: Vec<String>,
    /// Those that have not ended.
    pub open: HashMap<Ticket, Beginning<'static>>,
    begun: u64,
}

impl Listener for Told {
    fn begin(&mut self, beginning: Beginning<'_>) -> Ticket {
        self.begun += 1;
        let ticket = Ticket(self.begun);
        let (traces, target) = (None, "");
        self.open.insert(
            ticket,
            Beginning {
                traces,
                target,
                ..beginning
            },
        );
        ticket
    }

    fn end(&mut self, exchange: Exchange) {
        let beginning = self.open.remove(&exchange.ticket);
        let beginning = beginning.unwrap_or_else(|| panic!("it never began: {exchange:?}"));
        assert_eq!(beginning.role, exchange.role);
        assert_eq!(beginning.start.tid, exchange.tid);
        // A response may have been heard of before its request.
        let first_ns = exchange.first_response_ns.unwrap_or(u64::MAX);
        assert_eq!(exchange.start_ns, first_ns.min(beginning.start.time_ns));
        self.exchanges.push(exchange);
    }

    fn withdraw(&mut self, ticket: Ticket) {
        assert!(self.open.remove(&ticket).is_some(), "it never began");
    }

    fn discard(&mut self, what: Discard) {
        self.discards.push(what);
    }

    fn relayed(&mut self, source: SocketAddr) {
        self.via.push(source.to_string());
    }

    fn tunnelled(&mut self, authority: &str) {
        self.via.push(authority.to_owned());
    }
}

/// What HTTP said, for itself or for a call.
pub fn http(exchange: &Exchange) -> &Http {
    exchange.family.http().expect("it is HTTP")
}

pub fn request(exchange: &Exchange) -> &HttpRequest {
    &http(exchange).request
}

pub fn response(exchange: &Exchange) -> Option<&HttpResponse> {
    http(exchange).response.as_ref()
}

/// The call that it is, and what was seen of its messages.
pub fn call(exchange: &Exchange) -> Option<(Call, Option<&Messages>)> {
    match &exchange.family {
        Family::Rpc(rpc) => Some((rpc.call, rpc.messages.as_deref())),
        Family::Http(_) | Family::Db(_) => None,
    }
}
