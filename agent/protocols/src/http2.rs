//! HTTP/2 (RFC 9113): frames and header blocks are read, DATA is only measured. Pushed responses
//! are ignored. It does not check what only the two peers can be held to (windows, priorities, the
//! order of frames on a stream).

mod detect;
mod frame;
mod head;
pub mod hpack;
mod parser;
mod proof;

pub use detect::detect;
pub use parser::{BLOCK_BYTES_MAX, Frames};

use crate::protocol::{Kind, Protocol};

/// This protocol's line in the registry.
pub const PROTOCOL: Protocol = Protocol {
    name: "http2",
    detect,
    kind: Kind::Multiplexed(|| Box::new(Frames::default())),
};

/// What a client begins with (RFC 9113 §3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
