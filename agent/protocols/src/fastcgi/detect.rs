//! Whether bytes begin what is said over FastCGI: the whole of the record that begins a request, or
//! output that begins like a header field.

use super::record::{BEGIN_BYTES, HEADER_BYTES, RecordHeader, kind};
use crate::parser::Flow;
use crate::protocol::Detected;

/// Longest name of a header field that a response is known by.
const NAME_BYTES_MAX: usize = 64;

/// Whether a message begins at `prefix[0]`.
#[must_use]
pub fn detect(prefix: &[u8]) -> Detected {
    match prefix {
        [] | [1] => Detected::NotYet,
        [1, kind::BEGIN_REQUEST, ..] => detect_request(prefix),
        [1, kind::STDOUT, ..] => detect_response(prefix),
        _ => Detected::No,
    }
}

/// The number of a request is not 0, the reserved bytes are, and there are two roles and one flag.
fn detect_request(prefix: &[u8]) -> Detected {
    const BYTES: usize = HEADER_BYTES + BEGIN_BYTES;
    let fits = prefix.iter().zip(0..BYTES).all(|(&byte, at)| match at {
        5 => usize::from(byte) == BEGIN_BYTES,
        4 | 7 | 8 | 11..=15 => byte == 0,
        9 => matches!(byte, 1 | 2),
        10 => byte <= 1,
        _ => true,
    });
    match fits && !prefix[2..].starts_with(&[0, 0]) {
        false => Detected::No,
        true if prefix.len() < BYTES => Detected::NotYet,
        true => Detected::Match(Flow::Requests),
    }
}

fn detect_response(prefix: &[u8]) -> Detected {
    let Some(Some(header)) = RecordHeader::read(prefix) else {
        return Detected::NotYet;
    };
    if header.request == 0 || prefix[HEADER_BYTES - 1] != 0 {
        return Detected::No;
    }
    let content = &prefix[HEADER_BYTES..];
    let content = &content[..content.len().min(usize::from(header.len))];
    let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
    let name = content.iter().take_while(|byte| is_of_name(byte)).count();
    match content.get(name) {
        Some(b':') if name > 0 => Detected::Match(Flow::Responses),
        None if name < usize::from(header.len).min(NAME_BYTES_MAX) => Detected::NotYet,
        _ => Detected::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: [u8; 16] = [1, 1, 0, 1, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];

    #[test]
    fn a_request_is_known_by_its_first_record() {
        for len in 0..BEGIN.len() {
            assert_eq!(detect(&BEGIN[..len]), Detected::NotYet, "{len}");
        }
        assert_eq!(detect(&BEGIN), Detected::Match(Flow::Requests));
        for (at, byte) in [(0, 2), (3, 0), (5, 7), (8, 1), (9, 3), (10, 2), (15, 1)] {
            let mut other = BEGIN;
            other[at] = byte;
            assert_eq!(detect(&other), Detected::No, "{byte} at {at}");
        }
    }

    #[test]
    fn a_response_is_known_by_its_first_field() {
        let mut bytes = vec![1, 6, 0, 1, 0, 20, 4, 0];
        bytes.extend(b"Content-type: text/h");
        assert_eq!(detect(&bytes[..20]), Detected::NotYet);
        assert_eq!(detect(&bytes[..21]), Detected::Match(Flow::Responses));
        for (at, byte) in [(3, 0), (7, 1), (8, b' '), (8, b':')] {
            let mut other = bytes.clone();
            other[at] = byte;
            assert_eq!(detect(&other), Detected::No, "{byte} at {at}");
        }
    }
}
