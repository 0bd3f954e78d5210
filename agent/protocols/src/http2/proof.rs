//! Whether a frame begins at some place of a stream that was not watched from its start. One header
//! proves nothing: three plausible frames in a row do, or one header block that is written as real
//! encoders write them. It decodes nothing.

use super::frame::{HEADER_BYTES, Header, flag, kind};
use crate::parser::Flow;

/// Plausible frames in a row that prove each other.
const FRAMES_ENOUGH: usize = 3;

/// What a run of frames looks like from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Frames, for certain; which way they go, if that shows.
    Frames(Option<Flow>),
    /// Frames as far as can be seen, which is not far enough. All that can be seen are whole.
    Whole,
    /// The same, but for the last one, which goes on.
    Open,
    /// No frames.
    None,
}

/// Looks at bytes from where a frame may begin.
pub fn prove(bytes: &[u8]) -> Proof {
    let (mut at, mut count) = (0, 0);
    let mut flow = None;
    loop {
        let rest = &bytes[at..];
        if rest.is_empty() && count > 0 {
            return if count >= FRAMES_ENOUGH || flow.is_some() {
                Proof::Frames(flow)
            } else {
                Proof::Whole
            };
        }
        let Some(header) = Header::read(rest) else {
            return match (prefix_is_plausible(rest), count) {
                (false, _) => Proof::None,
                (true, FRAMES_ENOUGH..) => Proof::Frames(flow),
                (true, _) if flow.is_some() => Proof::Frames(flow),
                (true, _) => Proof::Open,
            };
        };
        if !header.is_plausible() {
            return Proof::None;
        }
        let Some(payload) = rest.get(HEADER_BYTES..header.frame_len()) else {
            return if count >= FRAMES_ENOUGH || flow.is_some() {
                Proof::Frames(flow)
            } else {
                Proof::Open
            };
        };
        if header.kind == kind::HEADERS && header.has(flag::END_HEADERS) {
            flow = flow.or_else(|| block_of(&header, payload).and_then(flow_of));
        }
        count += 1;
        at += header.frame_len();
        if count >= FRAMES_ENOUGH && flow.is_some() {
            return Proof::Frames(flow);
        }
    }
}

/// Whether fewer than nine bytes may begin a frame header.
fn prefix_is_plausible(bytes: &[u8]) -> bool {
    let is_kind = |kind: &u8| *kind <= kind::CONTINUATION || kind::EXTENSIONS.contains(kind);
    // Payloads are 16 KiB at most.
    let len_fits = match bytes {
        [0, high, ..] => *high <= 0x40,
        [0] | [] => true,
        _ => false,
    };
    len_fits && bytes.get(3).is_none_or(is_kind) && bytes.get(5).is_none_or(|high| *high < 0x80)
}

/// The header block of a whole HEADERS frame, without padding and priority; `None` if they do not
/// fit.
pub fn block_of<'b>(header: &Header, payload: &'b [u8]) -> Option<&'b [u8]> {
    let mut block = payload;
    if header.has(flag::PADDED) {
        let (padding, rest) = block.split_first()?;
        let len = rest.len().checked_sub(usize::from(*padding))?;
        block = &rest[..len];
    }
    if header.kind == kind::HEADERS && header.has(flag::PRIORITY) {
        block = block.get(5..)?;
    }
    if header.kind == kind::PUSH_PROMISE {
        block = block.get(4..)?;
    }
    Some(block)
}

/// Which way a header block goes, if it is well-formed to its last byte and begins as those of
/// requests or responses do (RFC 7541 §6, and Appendix A for the numbers).
fn flow_of(block: &[u8]) -> Option<Flow> {
    const METHODS: std::ops::RangeInclusive<u32> = 2..=3;
    const STATUSES: std::ops::RangeInclusive<u32> = 8..=14;
    /// `:authority` to `:status`.
    const PSEUDO: std::ops::RangeInclusive<u32> = 1..=14;
    const DYNAMIC: u32 = 62;
    const PSEUDO_FIELDS_MAX: usize = 4;

    let (mut rest, mut fields, mut flow) = (block, 0, None);
    while let Some(&first) = rest.first() {
        let (name, after) = match first {
            0x80.. => {
                let (index, after) = integer(rest, 7)?;
                (index, after)
            }
            0x20..=0x3f => {
                let (_, after) = integer(rest, 5)?;
                if fields > 0 {
                    return None;
                }
                rest = after;
                continue;
            }
            _ => {
                let prefix = if first & 0xc0 == 0x40 { 6 } else { 4 };
                let (index, after) = integer(rest, prefix)?;
                let after = if index == 0 { name(after)? } else { after };
                (index, string(after)?)
            }
        };
        if name == 0 && first >= 0x80 {
            return None;
        }
        if fields == 0 && !(PSEUDO.contains(&name) || name >= DYNAMIC) {
            return None;
        }
        if fields == 0 && STATUSES.contains(&name) {
            flow = Some(Flow::Responses);
        }
        if fields < PSEUDO_FIELDS_MAX && METHODS.contains(&name) && flow.is_none() {
            flow = Some(Flow::Requests);
        }
        fields += 1;
        rest = after;
    }
    match flow {
        // `:method`, `:scheme` and `:path`, or `:method` and `:authority`.
        Some(Flow::Requests) if fields < 2 => None,
        flow => flow,
    }
}

/// An integer of RFC 7541 §5.1, if it is small enough to mean anything.
fn integer(bytes: &[u8], prefix_bits: u32) -> Option<(u32, &[u8])> {
    let (first, mut rest) = bytes.split_first()?;
    let mask = (1u32 << prefix_bits) - 1;
    let mut value = u32::from(*first) & mask;
    if value == mask {
        let mut shift = 0;
        loop {
            let (byte, after) = rest.split_first()?;
            rest = after;
            value += u32::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
            if shift > 14 {
                return None;
            }
        }
    }
    Some((value, rest))
}

/// Passes over a string.
fn string(bytes: &[u8]) -> Option<&[u8]> {
    let (len, rest) = integer(bytes, 7)?;
    rest.get(len as usize..)
}

/// Passes over a field's name, which has no letters in upper case (RFC 9113 §8.2.1).
fn name(bytes: &[u8]) -> Option<&[u8]> {
    let is_plain = bytes.first()? & 0x80 == 0;
    let (len, rest) = integer(bytes, 7)?;
    let (name, after) = rest.split_at_checked(len as usize)?;
    let fits = |byte: &u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase();
    (!name.is_empty() && (!is_plain || name.iter().all(fits))).then_some(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: &[u8] = b"\0\0\x05\x01\x05\0\0\0\x01\x82\x86\x84\x41\0";
    const OK: &[u8] = b"\0\0\x01\x01\x04\0\0\0\x01\x88";
    const PING: &[u8] = b"\0\0\x08\x06\0\0\0\0\0........";

    #[test]
    fn one_block_is_proof_and_three_frames_are() {
        assert_eq!(prove(GET), Proof::Frames(Some(Flow::Requests)));
        assert_eq!(prove(OK), Proof::Frames(Some(Flow::Responses)));
        assert_eq!(prove(PING), Proof::Whole);
        assert_eq!(prove(&PING[..12]), Proof::Open);
        assert_eq!(prove(&[PING; 3].concat()), Proof::Frames(None));
        assert_eq!(prove(&[PING, PING, b"hello wor"].concat()), Proof::None);
        assert_eq!(prove(&[PING, GET].concat()), Proof::Frames(Some(Flow::Requests)));
    }

    #[test]
    fn a_block_that_no_encoder_writes_is_no_proof() {
        for block in [
            &b"\x80"[..],            // index 0
            b"\x90\x82",             // accept-encoding before :method
            b"\x88\x20",             // a size update behind a field
            b"\x82\x40\x02AB\x01x",  // a name in upper case
            b"\x82\x86\x84\x41\x05", // a value that is not there
            b"\x82",                 // a request of a method alone
        ] {
            assert_eq!(flow_of(block), None, "{block:?}");
        }
    }

    #[test]
    fn zeros_and_text_are_no_frames() {
        assert_eq!(prove(&[0; 64]), Proof::None);
        assert_eq!(prove(&[0xff; 64]), Proof::None);
        assert_eq!(prove(b"GET / HTTP/1.1\r\n\r\n"), Proof::None);
    }
}
