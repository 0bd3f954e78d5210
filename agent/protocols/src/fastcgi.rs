//! FastCGI 1.0 (Open Market, *FastCGI Specification*, 29 April 1996), as web servers speak it with
//! php-fpm and others: records of eight bytes and what they announce, which carry parameters of CGI
//! (RFC 3875) one way and a response of CGI the other. What was asked and answered is HTTP, so that
//! is what becomes of it; bodies are only measured.
//!
//! Decisions:
//! - One request at a time: web servers ask for no second one on a connection before the first is
//!   answered, and php-fpm could serve none. Where two are mixed, none is read.
//! - Responders and authorizers, which are asked alike; nobody was found to speak with filters.
//! - The target is `REQUEST_URI`, as the web server's client sent it, else what CGI says of it.
//! - A response that says no status has the one of RFC 3875 §6.2: 302 if it names a place, or 200.

mod body;
mod detect;
mod params;
mod record;
mod request;
mod response;

pub use detect::detect;
pub use request::Requests;
pub use response::Responses;

use crate::family::Family;
use crate::family::http::{Http, HttpRequest, HttpResponse};
use crate::message::Message;
use crate::ordered::Ordered;
use crate::protocol::{Detected, Protocol};

/// This protocol's line in the registry.
pub const PROTOCOL: Protocol = crate::ordered::protocol::<FastCgi>();

/// What its parsers find.
type CgiMessage = Message<Box<HttpRequest>, HttpResponse>;

/// FastCGI 1.0.
#[derive(Debug)]
pub struct FastCgi;

impl Ordered for FastCgi {
    const NAME: &'static str = "fastcgi";

    type Request = Box<HttpRequest>;
    type Response = HttpResponse;
    type Requests = Requests;
    type Responses = Responses;

    fn detect(prefix: &[u8]) -> Detected {
        detect(prefix)
    }

    fn family(request: Box<HttpRequest>, response: Option<HttpResponse>) -> Family {
        Family::over_http(Http { request, response }, None)
    }
}
