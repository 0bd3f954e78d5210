//! Every protocol that is understood: one line each. It tries them; it does not know them.

use crate::protocol::Protocol;

/// All of them. No bytes may be accepted by two.
pub const PROTOCOLS: &[Protocol] = &[
    crate::http1::PROTOCOL,
    crate::http2::PROTOCOL,
    crate::redis::PROTOCOL,
    crate::mongodb::PROTOCOL,
    crate::fastcgi::PROTOCOL,
    crate::uwsgi::PROTOCOL,
];
