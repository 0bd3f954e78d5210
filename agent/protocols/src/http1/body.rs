//! How far a body goes (RFC 9112 §6 and §7.1). It measures; it keeps no byte of content.

use crate::fields::{Fields, Length};
use crate::parser::Gap;

/// What ends every chunked body without trailers: an empty line after the last chunk.
const CHUNKED_END: &[u8; 7] = b"\r\n0\r\n\r\n";

/// What stands behind a chunk's content.
const LINE_END: &[u8; 2] = b"\r\n";

/// A body whose end has not been reached.
#[derive(Debug)]
pub(super) enum OpenBody {
    /// Ends after so many more bytes, at least 1.
    Counted { left: u64, size: u64 },
    /// Ends with its framing.
    Chunked { at: ChunkFraming, size: u64 },
    /// Was chunked, until a gap took the framing: ends where the bytes look like it. The field
    /// holds what is known of the last bytes.
    Adrift { last: [u8; 7] },
    /// Ends with the connection.
    UntilEnd { size: u64 },
    /// Nobody can say where it ends: the head contradicts itself, or was none.
    Unframed,
}

/// Where in the framing of a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChunkFraming {
    /// In the digits of a size.
    Size { size: u64, digits: u8 },
    /// Behind them, in extensions or before the line feed.
    SizeRest { size: u64 },
    /// In content.
    Content { left: u64 },
    /// Behind it, before the line feed.
    ContentEnd,
    /// At the start of a trailer line.
    TrailerStart,
    /// In a trailer line.
    Trailer,
    /// After a carriage return at the start of a trailer line.
    LastLineFeed,
}

/// What bytes did to a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyProgress {
    /// All of them belong to it, and it goes on.
    GoesOn,
    /// It ended after so many of them.
    Ended { consumed: usize, size: Option<u64> },
    /// They are not what a chunked body looks like.
    Invalid,
}

/// What a head says about the body behind it.
pub(super) enum Framing {
    NoBody,
    Body(OpenBody),
    Invalid,
}

impl Framing {
    /// Reads the fields that frame a body; `unframed` is what their absence means.
    pub fn of(fields: &Fields<'_>, unframed: Self) -> Self {
        match (fields.chunked, fields.length) {
            // Transfer-Encoding overrides Content-Length (RFC 9112 §6.3).
            (Some(true), _) => Self::Body(OpenBody::Chunked {
                at: ChunkFraming::START,
                size: 0,
            }),
            // So it should, but for who reads it (curl, Python, nginx) only `chunked` does. Who
            // sends both has counted what is on the wire.
            (_, Length::Bytes(0)) => Self::NoBody,
            (_, Length::Bytes(size)) => Self::Body(OpenBody::Counted { left: size, size }),
            (_, Length::Invalid) => Self::Invalid,
            (Some(false), Length::Absent) => Self::Body(OpenBody::UntilEnd { size: 0 }),
            (None, Length::Absent) => unframed,
        }
    }
}

impl OpenBody {
    /// Measures `buf`, which is not empty, and hands out what of it is content, as far as that can
    /// be told from framing.
    pub fn skip(&mut self, buf: &[u8], mut content: impl FnMut(&[u8])) -> BodyProgress {
        match self {
            Self::Counted { left, size } => match usize::try_from(*left) {
                Ok(consumed) if consumed <= buf.len() => {
                    content(&buf[..consumed]);
                    BodyProgress::Ended {
                        consumed,
                        size: Some(*size),
                    }
                }
                _ => {
                    content(buf);
                    *left -= buf.len() as u64;
                    BodyProgress::GoesOn
                }
            },
            Self::Chunked { at, size } => skip_chunked(at, size, buf, content),
            Self::Adrift { last } => {
                // The end of a call is where a body may end; so is the head of the next response.
                if let Some(at) = memchr::memmem::find(buf, b"0\r\n\r\nHTTP/1.") {
                    return BodyProgress::Ended {
                        consumed: at + 5,
                        size: None,
                    };
                }
                if ends(last, buf) {
                    BodyProgress::Ended {
                        consumed: buf.len(),
                        size: None,
                    }
                } else {
                    BodyProgress::GoesOn
                }
            }
            Self::UntilEnd { size } => {
                content(buf);
                *size = size.saturating_add(buf.len() as u64);
                BodyProgress::GoesOn
            }
            Self::Unframed => BodyProgress::GoesOn,
        }
    }

    /// Measures a gap, which is no longer than [`OpenBody::bytes_left`]; whether it ends the body,
    /// and with which size.
    pub fn cross(&mut self, gap: Gap) -> Option<Option<u64>> {
        match self {
            Self::Counted { left, size } => {
                *left = left.saturating_sub(gap.len);
                (*left == 0).then_some(Some(*size))
            }
            Self::Chunked { at, size } if at.can_cross(&gap) => match cross_chunk(at, size, gap) {
                BodyProgress::GoesOn => None,
                BodyProgress::Ended { size, .. } => Some(size),
                BodyProgress::Invalid => self.drift(gap),
            },
            Self::Chunked { .. } => self.drift(gap),
            Self::Adrift { last } => {
                if gap.len > gap.tail().len() as u64 {
                    *last = [0; 7];
                }
                ends(last, gap.tail()).then_some(None)
            }
            Self::UntilEnd { size } => {
                *size = size.saturating_add(gap.len);
                None
            }
            Self::Unframed => None,
        }
    }

    /// The gap took framing; whether the body seems to end with it.
    fn drift(&mut self, gap: Gap) -> Option<Option<u64>> {
        let mut last = [0; 7];
        let ended = ends(&mut last, gap.tail());
        *self = Self::Adrift { last };
        ended.then_some(None)
    }

    /// Bytes after which it certainly ends.
    pub fn bytes_left(&self) -> Option<u64> {
        match self {
            Self::Counted { left, .. } => Some(*left),
            _ => None,
        }
    }
}

impl ChunkFraming {
    const START: Self = Self::Size { size: 0, digits: 0 };

    fn content_left(self) -> u64 {
        match self {
            Self::Content { left } => left,
            _ => 0,
        }
    }

    fn after_content(self, len: u64) -> Self {
        match self.content_left().saturating_sub(len) {
            0 => Self::ContentEnd,
            left => Self::Content { left },
        }
    }

    /// Whether all that a gap hides before its tail is content of this chunk and the line end
    /// behind it, which can be nothing else. So it is when a server writes each chunk in one call.
    fn can_cross(self, gap: &Gap) -> bool {
        let hidden = gap.len.saturating_sub(gap.tail().len() as u64);
        let line_end = LINE_END.len() as u64;
        matches!(self, Self::Content { left } if hidden <= left.saturating_add(line_end))
    }

    /// The state behind one byte of framing; `None` where the byte can't stand there. A bare line
    /// feed ends a line as well.
    fn after(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Size { size, digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = (byte as char).to_digit(16)?;
                Self::Size {
                    size: size.checked_mul(16)?.checked_add(u64::from(digit))?,
                    digits: digits.saturating_add(1),
                }
            }
            (Self::Size { digits: 0, .. }, _) => return None,
            (Self::Size { size, .. } | Self::SizeRest { size }, b'\n') => match size {
                0 => Self::TrailerStart,
                left => Self::Content { left },
            },
            (Self::Size { size, .. }, b'\r' | b';' | b' ' | b'\t')
            | (Self::SizeRest { size }, _) => Self::SizeRest { size },
            (Self::ContentEnd, b'\r') => Self::ContentEnd,
            (Self::ContentEnd, b'\n') => Self::START,
            (Self::TrailerStart, b'\r') => Self::LastLineFeed,
            (Self::Trailer, b'\n') => Self::TrailerStart,
            (Self::TrailerStart | Self::Trailer, _) => Self::Trailer,
            (
                Self::Size { .. } | Self::ContentEnd | Self::LastLineFeed | Self::Content { .. },
                _,
            ) => {
                return None;
            }
        })
    }
}

/// Crosses a gap for which [`ChunkFraming::can_cross`] holds.
fn cross_chunk(at: &mut ChunkFraming, size: &mut u64, gap: Gap) -> BodyProgress {
    let hidden = gap.len.saturating_sub(gap.tail().len() as u64);
    let content = hidden.min(at.content_left());
    *size = size.saturating_add(content);
    *at = at.after_content(content);
    let line_end = usize::try_from(hidden - content).unwrap_or(0);
    for seen in [&LINE_END[..line_end.min(LINE_END.len())], gap.tail()] {
        match skip_chunked(at, size, seen, |_| {}) {
            BodyProgress::GoesOn => {}
            // More of the gap behind the end: no end then, but content that looks like one.
            BodyProgress::Ended { consumed, .. } if consumed < seen.len() => {
                return BodyProgress::Invalid;
            }
            stopped => return stopped,
        }
    }
    BodyProgress::GoesOn
}

fn skip_chunked(
    at: &mut ChunkFraming,
    size: &mut u64,
    buf: &[u8],
    mut content: impl FnMut(&[u8]),
) -> BodyProgress {
    let mut rest = buf;
    while let Some((&byte, behind)) = rest.split_first() {
        let left = at.content_left();
        if left > 0 {
            let here = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
            *size = size.saturating_add(here as u64);
            *at = at.after_content(here as u64);
            content(&rest[..here]);
            rest = &rest[here..];
            continue;
        }
        rest = behind;
        if byte == b'\n' && matches!(at, ChunkFraming::LastLineFeed | ChunkFraming::TrailerStart) {
            return BodyProgress::Ended {
                consumed: buf.len() - rest.len(),
                size: Some(*size),
            };
        }
        match at.after(byte) {
            Some(next) => *at = next,
            None => return BodyProgress::Invalid,
        }
    }
    BodyProgress::GoesOn
}

/// Whether a chunked body seems to end with `bytes`, which follow those in `last`.
fn ends(last: &mut [u8; 7], bytes: &[u8]) -> bool {
    // A call of its own for the last chunk is known whatever came before it.
    let alone = bytes.len() >= 5 && bytes.len() <= 7 && CHUNKED_END.ends_with(bytes);
    let fresh = bytes.len().min(last.len());
    last.rotate_left(fresh);
    last[7 - fresh..].copy_from_slice(&bytes[bytes.len() - fresh..]);
    alone || last == CHUNKED_END
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunked() -> OpenBody {
        OpenBody::Chunked {
            at: ChunkFraming::START,
            size: 0,
        }
    }

    fn gap(len: u64, end: &[u8]) -> Gap {
        let mut tail = [0; 8];
        tail[8 - end.len()..].copy_from_slice(end);
        Gap {
            len,
            tail,
            tail_len: end.len() as u8,
            lost: false,
        }
    }

    #[test]
    fn a_chunked_body_ends_where_its_framing_says() {
        let body = b"5;a=\"b\"\r\nhello\r\nA\r\n0123456789\r\n0\r\nX: y\r\nZ: z\r\n\r\nHTTP/1.1";
        let end = body.len() - 8;
        let wanted = BodyProgress::Ended {
            consumed: end,
            size: Some(15),
        };
        assert_eq!(chunked().skip(body, |_| {}), wanted);
        for cut in 1..end {
            let mut parts = chunked();
            assert_eq!(
                parts.skip(&body[..cut], |_| {}),
                BodyProgress::GoesOn,
                "cut at {cut}"
            );
            assert!(matches!(
                parts.skip(&body[cut..], |_| {}),
                BodyProgress::Ended { consumed, size: Some(15) } if consumed == end - cut
            ));
        }
    }

    #[test]
    fn framing_that_is_none_is_refused() {
        for bad in [
            &b"\r\n"[..],
            b"x\r\n",
            b"1\r\nab",
            b"11111111111111111\r\n",
            b"5g",
        ] {
            assert_eq!(
                chunked().skip(bad, |_| {}),
                BodyProgress::Invalid,
                "{bad:?}"
            );
        }
    }

    #[test]
    fn a_gap_within_one_chunk_costs_nothing() {
        let mut body = chunked();
        assert_eq!(body.skip(b"10\r\nabc", |_| {}), BodyProgress::GoesOn);
        assert_eq!(body.cross(gap(13, b"")), None);
        assert!(matches!(
            body.skip(b"\r\n0\r\n\r\n", |_| {}),
            BodyProgress::Ended { size: Some(16), .. }
        ));
    }

    #[test]
    fn a_gap_may_hide_the_rest_of_a_chunk_and_its_line_end() {
        for (seen, hidden, tail) in [
            (&b"10\r\nabc"[..], 13 + 2, &b""[..]),
            (b"10\r\nabc", 13 + 2, b"ef\r\n"),
            (b"10\r\nabc", 13 + 2, b"\n"),
            (b"10\r\nabc", 13 + 2 + 3, b"\r\n0\r\n"),
            (b"10\r\n", 16 + 1, b""),
        ] {
            let mut body = chunked();
            assert_eq!(body.skip(seen, |_| {}), BodyProgress::GoesOn);
            assert_eq!(body.cross(gap(hidden, tail)), None, "{tail:?}");
            let rest = &b"\r\n0\r\nTrailer: yes\r\n\r\n"[hidden as usize + seen.len() - 20..];
            assert!(
                matches!(
                    body.skip(rest, |_| {}),
                    BodyProgress::Ended { size: Some(16), .. }
                ),
                "{tail:?}"
            );
        }
    }

    #[test]
    fn a_gap_may_end_with_the_last_chunk() {
        let mut body = chunked();
        assert_eq!(body.skip(b"10\r\nabc", |_| {}), BodyProgress::GoesOn);
        assert_eq!(body.cross(gap(13 + 7, b"\r\n0\r\n\r\n")), Some(Some(16)));
    }

    #[test]
    fn a_gap_over_framing_ends_the_body_only_if_its_tail_says_so() {
        let mut body = chunked();
        assert_eq!(body.cross(gap(100, b"deadbeef")), None);
        assert_eq!(body.cross(gap(100, b"a\r\n0\r\n\r\n")), Some(None));
        assert_eq!(chunked().cross(gap(100, b"0\r\n\r\n")), Some(None));
        assert_eq!(chunked().cross(gap(100, b"aaa0\r\n\r\n")), None);
        let mut later = chunked();
        assert_eq!(later.cross(gap(100, b"")), None);
        assert_eq!(later.skip(b"...\r\n0", |_| {}), BodyProgress::GoesOn);
        assert_eq!(later.cross(gap(100, b"")), None);
        assert_eq!(
            later.skip(b"\r\n\r\n", |_| {}),
            BodyProgress::GoesOn,
            "other bytes between"
        );
        assert_eq!(later.skip(b"...\r\n0", |_| {}), BodyProgress::GoesOn);
        assert!(matches!(
            later.skip(b"\r\n\r\n", |_| {}),
            BodyProgress::Ended { size: None, .. }
        ));
    }
}
