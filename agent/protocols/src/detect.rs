//! Which protocol a connection speaks, and which direction asks: a pure function of the bytes at
//! the start of a chunk. It keeps no state and looks at no port.

use crate::parser::Flow;
use crate::protocol::{Detected, Pairing, Protocol};
use crate::registry::PROTOCOLS;

/// Turns after which a connection is given up that began with nothing known.
pub const TURNS_MAX: u32 = 8;

/// Chunks after which it is given up even if it never turned.
pub const CHUNKS_MAX: u32 = 64;

/// Bytes that are looked at before "not yet" means "no".
pub const PREFIX_BYTES_MAX: usize = 8 * 1024;

/// What the registry says about a prefix.
#[derive(Clone, Copy, Debug)]
pub enum Found {
    /// A message of this protocol begins here; where nothing shows which way, there is no flow.
    Match(&'static Protocol, Option<Flow>),
    /// One may begin here: ask again with more bytes.
    NotYet,
    /// None that is understood begins here.
    No,
    /// The connection speaks something else for certain: no need to ask again.
    Foreign,
    /// It speaks TLS: this is where a hello begins.
    Encrypted,
}

/// Asks every protocol about bytes that were taken from where a message may begin.
#[must_use]
pub fn detect(prefix: &[u8]) -> Found {
    if is_foreign(prefix) {
        return Found::Foreign;
    }
    match prefix {
        [22, 3, 0..=4, _, _, 1 | 2, ..] => return Found::Encrypted,
        // Some read the header of a record first, and then the rest.
        [22] | [22, 3] | [22, 3, 0..=4] | [22, 3, 0..=4, _] | [22, 3, 0..=4, _, _] => {
            return Found::NotYet;
        }
        _ => {}
    }
    let mut found = Found::No;
    for protocol in PROTOCOLS {
        match (protocol.detect)(prefix) {
            Detected::Match(flow) => return Found::Match(protocol, Some(flow)),
            Detected::Either => return Found::Match(protocol, None),
            Detected::NotYet if prefix.len() < PREFIX_BYTES_MAX => found = Found::NotYet,
            Detected::NotYet | Detected::No => {}
        }
    }
    found
}

/// The same for bytes that begin a call in the midst of others: only a protocol whose messages
/// prove themselves anywhere is asked.
#[must_use]
pub fn detect_amid(prefix: &[u8]) -> Found {
    for protocol in PROTOCOLS {
        if matches!(protocol.kind, Pairing::Multiplexed { .. }) {
            match (protocol.detect)(prefix) {
                Detected::Match(flow) => return Found::Match(protocol, Some(flow)),
                Detected::Either => return Found::Match(protocol, None),
                Detected::NotYet | Detected::No => {}
            }
        }
    }
    Found::No
}

/// An opening that no HTTP body has by chance and nobody mistakes: the identification of SSH (RFC
/// 4253 §4.2). So is, above, a handshake record of TLS 1.0 to 1.3 that carries a hello (RFC 8446 §4
/// and §5.1).
fn is_foreign(prefix: &[u8]) -> bool {
    prefix.starts_with(b"SSH-2.0-")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MYSQL: &[u8] = b"J\0\0\0\n8.0.36\0\x08\0\0\0abcdefgh\0\xff\xf7\xff\x02\0";
    const KAFKA: &[u8] = b"\0\0\0\x23\0\x12\0\x03\0\0\0\x01\0\x0econsole-client\0";
    const POSTGRES: &[u8] = b"\0\0\0\x29\0\x03\0\0user\0postgres\0database\0shop\0\0";
    const TLS: &[u8] = b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03";

    #[test]
    fn no_prefix_of_another_protocol_is_accepted() {
        for sample in [
            TLS,
            MYSQL,
            KAFKA,
            POSTGRES,
            b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u2\r\n",
            // memcached, and what a person types to Redis.
            b"GET key\r\n",
            b"gets a b\r\n",
            b"VALUE a 0 1\r\nx\r\nEND\r\n",
            b"STORED\r\n",
            b"version\r\n",
            b"\x80\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            // NATS.
            b"INFO {\"server_id\":\"N\",\"version\":\"2.10\"} \r\n",
            b"CONNECT {\"verbose\":false}\r\nPING\r\n",
            b"PING\r\n",
            b"PONG\r\n",
            b"-ERR 'Authorization Violation'\r\n",
            // POP3 and IMAP.
            b"+OK POP3 server ready <1@example.org>\r\n",
            b"-ERR no such message\r\n",
            b"USER bob\r\n",
            b"* OK [CAPABILITY IMAP4rev1] Dovecot ready.\r\n",
            b"a1 LOGIN bob secret\r\n",
            b"+OK\r\n",
            b"220 mail.example.org ESMTP Postfix\r\n",
            b"EHLO mail.example.org\r\n",
            b"OPTIONS rtsp://camera/stream RTSP/1.0\r\nCSeq: 1\r\n\r\n",
            b"INVITE sip:bob@example.org SIP/2.0\r\n",
            b"get widget\r\n",
            b"HTTP/2 200\r\n",
            b"{\"text\": \"GET / HTTP/1.1\"}",
            &[0xff; 64],
        ] {
            for len in 1..=sample.len() {
                let found = detect(&sample[..len]);
                assert!(!matches!(found, Found::Match(..)), "{sample:?} at {len}");
            }
            assert!(
                matches!(
                    detect(sample),
                    Found::No | Found::Foreign | Found::Encrypted
                ),
                "{sample:?}"
            );
        }
    }

    #[test]
    fn unmistakable_openings_need_no_second_look() {
        assert!(matches!(detect(TLS), Found::Encrypted));
        assert!(matches!(detect(b"SSH-2.0-x"), Found::Foreign));
        assert!(matches!(detect(MYSQL), Found::No));
    }
}
