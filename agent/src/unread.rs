//! What is not understood of a connection, and the likeliest reason: a guess by the first bytes of
//! either direction, for people who wonder why there are no spans. Nothing else rests on it.

use std::fmt::{self, Write as _};

use wirespan_common::record::Direction;
use wirespan_protocols::conversation::Understanding;

/// Bytes of a direction that are looked at; no more are kept.
const OPENING_BYTES: usize = 16;
/// Bytes that are told of a protocol that is not known: few, since they may be part of a secret.
const SHOWN_BYTES: usize = 4;

/// Why nothing, or not everything, of a connection became spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// TLS on the socket, and no library of the process in which it could be read.
    Tls,
    /// What went through after a `CONNECT`.
    Tunnel,
    /// What came after an upgrade of HTTP, such as WebSocket.
    Upgraded,
    /// The connection begins with the PROXY protocol.
    ProxyProtocol,
    /// FastCGI, as spoken with php-fpm.
    FastCgi,
    /// AMQP.
    Amqp,
    /// MySQL or MariaDB.
    MySql,
    /// PostgreSQL.
    PostgreSql,
    /// Redis.
    Redis,
    /// What came after Redis was understood: its replication, as a rule.
    AfterRedis,
    /// MongoDB.
    MongoDb,
    /// SSH.
    Ssh,
    /// Bytes moved, and none of them could be copied: io_uring does that, or a 32-bit program.
    NotCopied,
    /// The connection was open before wirespan came, and nothing of it was recognised.
    OpenBefore,
    /// Something else, with the first bytes of whoever spoke first.
    Unknown {
        /// The first bytes.
        bytes: [u8; SHOWN_BYTES],
        /// How many.
        len: u8,
    },
    /// More different things than are told apart.
    Various,
}

impl Reason {
    /// A name of low cardinality, as it stands in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Tunnel => "tunnel",
            Self::Upgraded => "upgraded",
            Self::ProxyProtocol => "proxy_protocol",
            Self::FastCgi => "fastcgi",
            Self::Amqp => "amqp",
            Self::MySql => "mysql",
            Self::PostgreSql => "postgresql",
            Self::Redis => "redis",
            Self::AfterRedis => "after_redis",
            Self::MongoDb => "mongodb",
            Self::Ssh => "ssh",
            Self::NotCopied => "not_copied",
            Self::OpenBefore => "open_before",
            Self::Unknown { .. } => "unknown_protocol",
            Self::Various => "various",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls => "TLS that can't be read",
            Self::Tunnel => "a tunnel (CONNECT)",
            Self::Upgraded => "another protocol after an upgrade of HTTP, such as WebSocket",
            Self::ProxyProtocol => "behind a PROXY protocol header",
            Self::FastCgi => "looks like FastCGI",
            Self::Amqp => "looks like AMQP",
            Self::MySql => "looks like MySQL",
            Self::PostgreSql => "looks like PostgreSQL",
            Self::Redis => "looks like Redis",
            Self::AfterRedis => "what followed commands of Redis, such as its replication",
            Self::MongoDb => "looks like MongoDB",
            Self::Ssh => "looks like SSH",
            Self::NotCopied => "bytes that can't be copied (io_uring, or a 32-bit program?)",
            Self::OpenBefore => "open before wirespan came, and not recognised",
            Self::Unknown { bytes, len } => {
                f.write_str("unknown protocol, first bytes")?;
                for byte in &bytes[..usize::from(*len).min(SHOWN_BYTES)] {
                    write!(f, " {byte:02x}")?;
                }
                return Ok(());
            }
            Self::Various => "various other protocols",
        })
    }
}

/// How a connection began.
#[derive(Clone, Copy, Debug, Default)]
pub struct Opening {
    /// By [`Direction`].
    streams: [Bytes; 2],
    first: Option<Direction>,
    began_before: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Bytes {
    bytes: [u8; OPENING_BYTES],
    len: u8,
}

impl Opening {
    /// Takes note of bytes at `position`; of those at the very beginning, that is.
    pub fn note(&mut self, direction: Direction, position: u64, bytes: &[u8]) {
        let stream = &mut self.streams[direction as usize];
        if position != u64::from(stream.len) {
            self.began_before |= stream.len == 0;
            return;
        }
        let begin = usize::from(stream.len);
        let len = bytes.len().min(OPENING_BYTES - begin);
        stream.bytes[begin..begin + len].copy_from_slice(&bytes[..len]);
        // At most 16.
        stream.len = (begin + len) as u8;
        if len > 0 {
            self.first = self.first.or(Some(direction));
        }
    }

    /// Why not everything was understood, where something was not. `was` is the protocol that was
    /// understood, by its name in the registry.
    #[must_use]
    pub fn reason(&self, verdict: Understanding, was: Option<&str>) -> Option<Reason> {
        match verdict {
            Understanding::Understood => None,
            Understanding::Encrypted => Some(Reason::Tls),
            // What goes through is a conversation of its own, which was no HTTP.
            Understanding::Opaque | Understanding::Undecided
                if self.any(|bytes| bytes.starts_with(b"CONNECT ")) =>
            {
                Some(Reason::Tunnel)
            }
            Understanding::Opaque if was == Some("redis") => Some(Reason::AfterRedis),
            Understanding::Opaque if was == Some("mongodb") => Some(Reason::MongoDb),
            Understanding::Opaque if was.is_some() => Some(Reason::Upgraded),
            Understanding::Opaque | Understanding::Undecided => Some(self.guess()),
        }
    }

    fn any(&self, is: impl Fn(&[u8]) -> bool) -> bool {
        self.streams.iter().any(|stream| is(stream.bytes()))
    }

    fn guess(&self) -> Reason {
        type Sign = fn(&[u8]) -> bool;
        // FastCGI specification §3.3: version 1, FCGI_BEGIN_REQUEST, and a content of eight bytes.
        let fastcgi: Sign = |bytes| matches!(bytes, [1, 1, _, _, 0, 8, ..]);
        // PostgreSQL's protocol §55.7: StartupMessage 3.0 to 3.2, SSLRequest, GSSENCRequest.
        let postgresql: Sign = |bytes| {
            matches!(bytes, [0, 0, _, _, 0, 3, 0, 0 | 2, ..])
                || matches!(bytes, [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f | 0x30, ..])
        };
        // MySQL's protocol, Protocol::HandshakeV10: the first packet of a server.
        let mysql: Sign = |bytes| matches!(bytes, [_, _, 0, 0, 10, b'0'..=b'9', ..]);
        // RESP: an array of bulk strings.
        let redis: Sign = |bytes| matches!(bytes, [b'*', b'1'..=b'9', b'\r' | b'0'..=b'9', ..]);
        // MongoDB's wire protocol: the length of a message of less than 16 MiB, and its kind.
        let mongodb: Sign = |bytes| {
            matches!(bytes, [_, _, _, 0, _, _, _, _, _, _, _, _, kind @ ..]
                if matches!(kind, [0xd4 | 0xdc | 0xdd, 7, 0, 0]))
        };
        let tls: Sign = |bytes| matches!(bytes, [0x16, 3, 0..=4, ..]);
        let proxy: Sign =
            |bytes| bytes.starts_with(b"PROXY ") || bytes.starts_with(b"\r\n\r\n\0\r\nQUIT\n");
        let signs: [(Sign, Reason); 9] = [
            (tls, Reason::Tls),
            (proxy, Reason::ProxyProtocol),
            (fastcgi, Reason::FastCgi),
            (postgresql, Reason::PostgreSql),
            (mysql, Reason::MySql),
            (redis, Reason::Redis),
            (mongodb, Reason::MongoDb),
            (|bytes| bytes.starts_with(b"SSH-"), Reason::Ssh),
            (|bytes| bytes.starts_with(b"AMQP"), Reason::Amqp),
        ];
        if let Some((_, reason)) = signs.iter().find(|(sign, _)| self.any(sign)) {
            return *reason;
        }
        match self.first {
            Some(first) => {
                let mut shown = [0; SHOWN_BYTES];
                let bytes = self.streams[first as usize].bytes();
                let len = bytes.len().min(SHOWN_BYTES);
                shown[..len].copy_from_slice(&bytes[..len]);
                Reason::Unknown {
                    bytes: shown,
                    len: len as u8,
                }
            }
            None if self.began_before => Reason::OpenBefore,
            None => Reason::NotCopied,
        }
    }
}

impl Bytes {
    fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// Connections and bytes that were not understood, by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unread {
    tallies: Vec<(Reason, Amount)>,
}

/// How much it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Connections.
    pub connections: u64,
    /// Bytes that moved on them and were not understood, until they were left alone.
    pub bytes: u64,
}

/// Reasons that are told apart for a process.
const REASONS_MAX: usize = 8;

impl Unread {
    /// Counts one connection.
    pub fn count(&mut self, reason: Reason, bytes: u64) {
        self.add(
            reason,
            Amount {
                connections: 1,
                bytes,
            },
        );
    }

    /// Counts those of another.
    pub fn merge(&mut self, other: &Self) {
        for (reason, amount) in &other.tallies {
            self.add(*reason, *amount);
        }
    }

    /// By reason, the one with the most bytes first.
    #[must_use]
    pub fn tallies(&self) -> Vec<(Reason, Amount)> {
        let mut tallies = self.tallies.clone();
        tallies.sort_by_key(|(reason, amount)| (std::cmp::Reverse(amount.bytes), *reason));
        tallies
    }

    fn add(&mut self, reason: Reason, amount: Amount) {
        let has_room = self.tallies.len() + 1 < REASONS_MAX;
        let is_known = self.tallies.iter().any(|(known, _)| *known == reason);
        let reason = if is_known || has_room {
            reason
        } else {
            Reason::Various
        };
        match self.tallies.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, known)) => {
                known.connections += amount.connections;
                known.bytes = known.bytes.saturating_add(amount.bytes);
            }
            None => self.tallies.push((reason, amount)),
        }
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        for (reason, amount) in self.tallies() {
            if !text.is_empty() {
                text.push_str("; ");
            }
            let plural = if amount.connections == 1 { "" } else { "s" };
            write!(
                text,
                "{reason} ({} connection{plural}, {} bytes)",
                amount.connections, amount.bytes
            )?;
        }
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(direction: Direction, bytes: &[u8]) -> String {
        let mut opening = Opening::default();
        opening.note(direction, 0, bytes);
        let reason = opening.reason(Understanding::Opaque, None);
        reason.expect("not understood").to_string()
    }

    #[test]
    fn protocols_are_guessed_by_how_they_begin() {
        for (bytes, expected) in [
            (
                &b"\x01\x01\x00\x01\x00\x08\x00\x00\x00\x01"[..],
                "looks like FastCGI",
            ),
            (b"\x16\x03\x01\x02\x00\x01", "TLS that can't be read"),
            (
                b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
                "behind a PROXY protocol header",
            ),
            (
                b"\r\n\r\n\0\r\nQUIT\n\x21\x11",
                "behind a PROXY protocol header",
            ),
            (b"*1\r\n$4\r\nPING\r\n", "looks like Redis"),
            (b"\0\0\0\x08\x04\xd2\x16\x2f", "looks like PostgreSQL"),
            (b"\0\0\0\x54\0\x03\0\0user\0", "looks like PostgreSQL"),
            (b"\x4a\0\0\0\x0a8.0.36\0", "looks like MySQL"),
            (b"SSH-2.0-OpenSSH", "looks like SSH"),
            (b"AMQP\0\0\x09\x01", "looks like AMQP"),
            (
                b"\x1b[31mS3cr3t",
                "unknown protocol, first bytes 1b 5b 33 31",
            ),
            (b"x", "unknown protocol, first bytes 78"),
        ] {
            assert_eq!(guess(Direction::Ingress, bytes), expected);
            assert_eq!(guess(Direction::Egress, bytes), expected);
        }
    }

    #[test]
    fn beginnings_that_were_not_seen_are_told_apart() {
        let reason = |opening: Opening| opening.reason(Understanding::Undecided, None);
        assert_eq!(reason(Opening::default()), Some(Reason::NotCopied));
        let mut opening = Opening::default();
        opening.note(Direction::Ingress, 0, b"");
        assert_eq!(reason(opening), Some(Reason::NotCopied));
        opening.note(Direction::Ingress, 70_000, b"abc");
        assert_eq!(reason(opening), Some(Reason::OpenBefore));
        let mut opening = Opening::default();
        for (position, bytes) in [(0, &b"*1"[..]), (2, b"\r\n")] {
            opening.note(Direction::Ingress, position, bytes);
        }
        assert_eq!(reason(opening), Some(Reason::Redis));
    }

    #[test]
    fn what_gave_way_is_a_tunnel_or_an_upgrade() {
        let mut opening = Opening::default();
        opening.note(Direction::Ingress, 0, b"GET / HTTP/1.1\r\n");
        assert_eq!(
            opening.reason(Understanding::Opaque, Some("http1")),
            Some(Reason::Upgraded)
        );
        let reason = opening.reason(Understanding::Opaque, Some("redis"));
        assert_eq!(reason, Some(Reason::AfterRedis));
        assert_eq!(
            opening.reason(Understanding::Understood, Some("http1")),
            None
        );
        let mut opening = Opening::default();
        opening.note(Direction::Ingress, 0, b"CONNECT h:443 HTTP/1.1\r\n");
        let reason = opening.reason(Understanding::Opaque, Some("http1"));
        assert_eq!(reason, Some(Reason::Tunnel));
    }

    #[test]
    fn reasons_are_counted_up_to_a_bound() {
        let mut unread = Unread::default();
        unread.count(Reason::Tls, 5);
        unread.count(Reason::Tls, 6);
        unread.count(Reason::Redis, 100);
        assert_eq!(
            unread.to_string(),
            "looks like Redis (1 connection, 100 bytes); TLS that can't be read (2 connections, 11 \
             bytes)"
        );
        for byte in 0..100 {
            let bytes = [byte; SHOWN_BYTES];
            unread.count(Reason::Unknown { bytes, len: 4 }, 1);
        }
        let tallies = unread.tallies();
        assert_eq!(tallies.len(), REASONS_MAX);
        let connections: u64 = tallies.iter().map(|(_, amount)| amount.connections).sum();
        assert_eq!(connections, 103);
    }
}
