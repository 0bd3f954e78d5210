//! HTTP/1.0 and 1.1 (RFC 9112): heads are read, bodies are only measured. No header is kept that
//! no span asks for, and nothing is assumed about what was not captured.

mod body;
mod characters;
mod detect;
mod framing;
mod head;
mod request;
mod request_line;
mod response;

pub use detect::detect;
pub use request::Requests;
pub use response::Responses;

use crate::family::Family;
use crate::family::http::{Http, HttpRequest, HttpResponse, Method};
use crate::message::{BodyEnd, Message};
use crate::ordered::{Ordered, Request, Response};
use crate::parser::{Crossed, Gap, Parsed, Parser as _};
use crate::protocol::{Detected, Protocol};
use crate::trace_headers::TraceHeaders;

/// This protocol's line in the registry.
pub const PROTOCOL: Protocol = crate::ordered::protocol::<Http1>();

/// What its parsers find.
type HttpMessage = Message<Box<HttpRequest>, HttpResponse>;

/// HTTP/1.0 and 1.1.
#[derive(Debug)]
pub struct Http1;

impl Ordered for Http1 {
    const NAME: &'static str = "http1";

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

    fn refuses(head: &[u8]) -> bool {
        let mut parser = Responses::default();
        let message = match parser.parse(head) {
            Parsed::Message { message, .. } => message,
            Parsed::Incomplete => match parser.cross(head, Gap::unknown(1)) {
                Crossed::Cut(message) => message,
                _ => return false,
            },
            Parsed::Skipped { .. } | Parsed::Invalid => return false,
        };
        matches!(message, Message::Response { response, .. } if response.refuses_malformed())
    }
}

impl Request for Box<HttpRequest> {
    fn heap_bytes(&self) -> usize {
        HttpRequest::heap_bytes(self)
    }

    fn body_ended(&mut self, size: Option<u64>) {
        self.body_size = size;
    }

    fn traces(&self) -> Option<&TraceHeaders> {
        Some(&self.traces)
    }

    fn target(&self) -> &str {
        &self.target
    }

    fn malformed() -> Option<Self> {
        Some(Self::new(HttpRequest::malformed()))
    }

    fn is_malformed(&self) -> bool {
        HttpRequest::is_malformed(self)
    }

    fn is_all(&mut self) {
        self.truncated = false;
    }

    fn tunnel(&self) -> Option<&str> {
        (self.method == Method::Connect).then_some(&*self.target)
    }
}

impl Response for HttpResponse {
    fn body_ended(&mut self, end: BodyEnd) {
        self.body_size = end.size;
        self.call_status = self.call_status.or(end.call_status);
    }

    fn refuses_malformed(&self) -> bool {
        HttpResponse::refuses_malformed(self)
    }
}
