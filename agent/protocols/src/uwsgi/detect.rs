//! Whether bytes begin a packet that asks for something: by its header and the first variable's
//! name. Answers are HTTP/1's, and known as such.

use super::variables::{HEADER_BYTES, variables_len};
use crate::parser::Flow;
use crate::protocol::Detected;

/// Lengths of the first variable's name.
const NAME_BYTES: std::ops::RangeInclusive<usize> = 4..=40;

/// Whether a message begins at `prefix[0]`.
#[must_use]
pub fn detect(prefix: &[u8]) -> Detected {
    let len = match variables_len(prefix) {
        None => return Detected::No,
        Some(None) => return Detected::NotYet,
        Some(Some(len)) => len,
    };
    // A name, a value, and the length of each.
    if len < NAME_BYTES.start() + 4 {
        return Detected::No;
    }
    let (low, high, name) = match &prefix[HEADER_BYTES..] {
        [] => return Detected::NotYet,
        [low] => (*low, 0, [].as_slice()),
        [low, high, name @ ..] => (*low, *high, name),
    };
    let name_len = usize::from(u16::from_le_bytes([low, high]));
    let is_of_name = |byte: &u8| byte.is_ascii_uppercase() || *byte == b'_';
    let name = &name[..name.len().min(name_len)];
    if !NAME_BYTES.contains(&name_len) || name_len + 4 > len || !name.iter().all(is_of_name) {
        return Detected::No;
    }
    match name.len() == name_len {
        true => Detected::Match(Flow::Requests),
        false => Detected::NotYet,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: &[u8] = b"\0\x53\x01\0\x0c\0QUERY_STRING";

    #[test]
    fn a_request_is_known_by_the_name_of_its_first_variable() {
        for len in 0..BEGIN.len() {
            assert_eq!(detect(&BEGIN[..len]), Detected::NotYet, "{len}");
        }
        assert_eq!(detect(BEGIN), Detected::Match(Flow::Requests));
        for (at, byte) in [(0, 72), (0, 1), (4, 3), (5, 1), (6, b'q'), (17, 0)] {
            let mut other = BEGIN.to_vec();
            other[at] = byte;
            assert_eq!(detect(&other), Detected::No, "{byte} at {at}");
        }
        // Longer than all variables together.
        let mut other = BEGIN.to_vec();
        (other[1], other[2]) = (15, 0);
        assert_eq!(detect(&other), Detected::No);
    }
}
