//! HTTP/2 (RFC 9113): frames and header blocks are read, DATA is only measured. Pushed responses
//! are ignored. It does not check what only the two peers can be held to (windows, priorities, the
//! order of frames on a stream).

mod detect;
mod frame;
mod head;
pub mod hpack;
mod parser;
mod part;
mod probe;
mod proof;
mod session;

pub use detect::detect;
pub use parser::{BLOCK_BYTES_MAX, Frames};
pub use part::{Part, What};
pub use session::{OPEN_BYTES_MAX, STREAMS_MAX, UNCERTAIN_NS};

use crate::protocol::{Pairing, Protocol};

/// In the registry.
const NAME: &str = "http2";

/// This protocol's line in the registry.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    detect,
    kind: Pairing::Multiplexed {
        open: session::open,
        upgrade_token: "h2c",
        inherit: session::inherit,
    },
    probe: probe::probe,
};

/// What a client begins with (RFC 9113 §3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
