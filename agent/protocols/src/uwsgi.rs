//! The uwsgi protocol (uWSGI's documentation, "The uwsgi Protocol"), as web servers speak it with
//! uWSGI: four bytes, variables of CGI (RFC 3875), and the request's body. What is answered is
//! HTTP/1, whose first letter makes it a packet, too. Bodies are only measured.
//!
//! Decisions:
//! - Packets that ask an application for something, whatever it is written in; not those by which
//!   servers of uWSGI speak with each other.
//! - A body is as long as `CONTENT_LENGTH` says, and there is none where it says nothing: web
//!   servers read chunked ones to their end before they pass them on.
//! - An answer begins with a status line. Others are not read, which nobody was found to write.

mod detect;
mod request;
mod variables;

pub use detect::detect;
pub use request::Requests;

use crate::family::Family;
use crate::family::http::{Http, HttpRequest, HttpResponse};
use crate::http1::Responses;
use crate::message::Message;
use crate::ordered::Ordered;
use crate::protocol::{Detected, Protocol};

/// This protocol's line in the registry.
pub const PROTOCOL: Protocol = crate::ordered::protocol::<Uwsgi>();

/// What its parsers find.
type UwsgiMessage = Message<Box<HttpRequest>, HttpResponse>;

/// The protocol between web servers and uWSGI.
#[derive(Debug)]
pub struct Uwsgi;

impl Ordered for Uwsgi {
    const NAME: &'static str = "uwsgi";

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
