//! Whether bytes begin a message of MongoDB: a header whose numbers fit, and behind it what a
//! message of its kind begins with.

use super::bson::{self, DOCUMENT_BYTES_MIN};
use super::frame::{Begins, HEADER_BYTES, MessageHeader, Opcode, begins};
use crate::parser::Flow;
use crate::protocol::Detected;

/// Flags of `OP_MSG` whose meaning must be known (`checksumPresent`, `moreToCome`), and those of
/// which it need not be.
const FLAGS_KNOWN: u32 = 0b11 | 0xffff_0000;

/// Where its first section begins.
const SECTION_AT: usize = HEADER_BYTES + 4;

/// Whether a message begins at `prefix[0]`.
#[must_use]
pub fn detect(prefix: &[u8]) -> Detected {
    // More than 16 MiB, which no document has (`maxBsonObjectSize`); frames of HTTP/2 look so.
    if prefix.get(3).is_some_and(|highest| *highest != 0) {
        return Detected::No;
    }
    let header = match begins(prefix) {
        Begins::Message(header) => header,
        Begins::NotYet if is_tls(prefix) => return Detected::No,
        Begins::NotYet => return Detected::NotYet,
        Begins::No => return Detected::No,
    };
    let flow = if header.answers == 0 {
        Flow::Requests
    } else {
        Flow::Responses
    };
    let fits = match (header.opcode, flow) {
        (Opcode::Msg, _) => msg(&header, prefix),
        (Opcode::Query, Flow::Requests) => query(prefix),
        // Each is agreed upon before, in a message of another kind.
        (Opcode::Compressed | Opcode::Reply, Flow::Responses) => Some(true),
        (Opcode::Compressed, Flow::Requests) => Some(true),
        (Opcode::Query, Flow::Responses) | (Opcode::Reply, Flow::Requests) => Some(false),
    };
    match fits {
        Some(true) => Detected::Match(flow),
        Some(false) => Detected::No,
        None => Detected::NotYet,
    }
}

/// Where in `buf` a message begins, after what it begins with was none.
pub(super) fn resync(buf: &[u8]) -> Option<usize> {
    let begins = |at: &usize| matches!(detect(&buf[*at..]), Detected::Match(_));
    (1..buf.len()).find(begins)
}

/// Whether too few bytes to tell begin as records of TLS do (RFC 8446 §5.1).
fn is_tls(prefix: &[u8]) -> bool {
    matches!(prefix, [20..=23, 3, 0..=4, ..])
}

/// Flags that exist, and a first section that is a document, or a list of such.
fn msg(header: &MessageHeader, prefix: &[u8]) -> Option<bool> {
    let flags = prefix.get(HEADER_BYTES..SECTION_AT)?.try_into().ok()?;
    if u32::from_le_bytes(flags) & !FLAGS_KNOWN != 0 {
        return Some(false);
    }
    let kind = *prefix.get(SECTION_AT)?;
    let len = bson::length(prefix.get(SECTION_AT + 1..)?)?;
    let rest = u64::from(header.len).saturating_sub(SECTION_AT as u64 + 1);
    Some(kind <= 1 && (DOCUMENT_BYTES_MIN..=rest).contains(&(len as u64)))
}

/// A collection's full name.
fn query(prefix: &[u8]) -> Option<bool> {
    let name = prefix.get(SECTION_AT..)?;
    match memchr::memchr(0, name) {
        Some(len) => Some(name[..len].contains(&b'.') && name[..len].is_ascii()),
        None if name.len() > 128 || !name.is_ascii() => Some(false),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_shows_which_way_it_goes() {
        // `{ping: 1}`
        let message = |answers: u32| {
            let mut bytes = Vec::new();
            for number in [0x24, 7, answers, 2013, 0] {
                bytes.extend(number.to_le_bytes());
            }
            bytes.extend(b"\0\x0f\0\0\0\x10ping\0\x01\0\0\0\0");
            bytes
        };
        for (answers, flow) in [(0, Flow::Requests), (5, Flow::Responses)] {
            let bytes = message(answers);
            assert_eq!(bytes.len(), 0x24);
            for len in 0..25 {
                assert_eq!(detect(&bytes[..len]), Detected::NotYet, "{len}");
            }
            assert_eq!(detect(&bytes), Detected::Match(flow));
        }
    }
}
