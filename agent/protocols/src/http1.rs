//! HTTP/1.0 and 1.1 (RFC 9112): heads are read, bodies are only measured. No header is kept that
//! no span asks for, and nothing is assumed about what was not captured.

mod body;
mod characters;
mod course;
mod detect;
mod head;
mod request;
mod request_line;
mod response;

pub use detect::detect;
pub use request::Requests;
pub use response::Responses;

use crate::parser::{AnyParser, Flow};
use crate::protocol::{Kind, Protocol};

/// This protocol's line in the registry.
pub const PROTOCOL: Protocol = Protocol {
    name: "http1",
    detect,
    kind: Kind::Dialogue(parser),
};

fn parser(flow: Flow) -> AnyParser {
    match flow {
        Flow::Requests => Box::new(Requests::default()),
        Flow::Responses => Box::new(Responses::default()),
    }
}
