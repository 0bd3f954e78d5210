//! The status of a call in gRPC-Web: where HTTP has no trailers, it stands behind the messages, in
//! a frame whose flag says so (github.com/grpc/grpc, `doc/PROTOCOL-WEB.md`). It keeps that frame
//! only, up to a bound; bodies as text (base64) are not read.

use super::status;
use crate::family::call::CallSystem;

/// Flag and length before each frame.
const PREFIX_BYTES: usize = 5;

/// Set in the flag of the frame that holds trailers.
const TRAILERS: u8 = 0x80;

/// Bytes of trailers that are kept; what stands behind them is not read.
pub const TRAILER_BYTES_MAX: usize = 1024;

/// Follows the frames of a response's body to its trailers.
#[derive(Debug, Default)]
pub struct WebTrailers {
    prefix: [u8; PREFIX_BYTES],
    prefix_len: u8,
    /// Bytes of the frame under way.
    left: u64,
    in_trailers: bool,
    trailers: Vec<u8>,
    /// Bytes were missed, or are none of a body like this.
    is_lost: bool,
}

impl WebTrailers {
    /// For the body of a response with this `content-type`, if it is of that kind.
    #[must_use]
    pub fn of(content_type: &[u8]) -> Option<Self> {
        const TEXT: &[u8] = b"application/grpc-web-text";
        let is_text = content_type
            .get(..TEXT.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(TEXT));
        let is_web = super::system(content_type) == Some(CallSystem::GrpcWeb);
        (is_web && !is_text).then(Self::default)
    }

    /// Bytes of heap that it takes.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        crate::heap::vec::<u8>(self.trailers.capacity())
    }

    /// Takes the next bytes of the body, without the framing of HTTP.
    pub fn take(&mut self, mut bytes: &[u8]) {
        while !self.is_lost
            && let Some((&byte, behind)) = bytes.split_first()
        {
            if self.left > 0 {
                let len = usize::try_from(self.left).map_or(bytes.len(), |l| l.min(bytes.len()));
                if self.in_trailers {
                    let room = TRAILER_BYTES_MAX - self.trailers.len();
                    self.trailers.extend_from_slice(&bytes[..len.min(room)]);
                }
                self.left -= len as u64;
                bytes = &bytes[len..];
                continue;
            }
            self.prefix[usize::from(self.prefix_len)] = byte;
            self.prefix_len += 1;
            bytes = behind;
            if usize::from(self.prefix_len) == PREFIX_BYTES {
                self.begin_frame();
            }
        }
    }

    /// `len` bytes of the body were not captured.
    pub fn miss(&mut self, len: u64) {
        // Within a message nothing is missed.
        if self.in_trailers || len > self.left {
            self.is_lost = true;
        } else {
            self.left -= len;
        }
    }

    /// The status, once all of the body was there.
    #[must_use]
    pub fn status(&self) -> Option<u32> {
        if self.is_lost || !self.in_trailers || self.left > 0 {
            return None;
        }
        self.trailers.split(|&byte| byte == b'\n').find_map(|line| {
            let colon = line.iter().position(|&byte| byte == b':')?;
            let (name, value) = line.split_at(colon);
            let is_status = name.trim_ascii().eq_ignore_ascii_case(b"grpc-status");
            is_status.then(|| status::parse(&value[1..]))?
        })
    }

    fn begin_frame(&mut self) {
        let [flag, length @ ..] = self.prefix;
        self.prefix_len = 0;
        self.left = u32::from_be_bytes(length).into();
        // The lowest bit says whether it is compressed; such trailers can't be read. None follow.
        self.is_lost = self.in_trailers || !matches!(flag, 0 | 1 | TRAILERS);
        self.in_trailers = flag == TRAILERS;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"\0\0\0\0\x05reply\x80\0\0\0\x25grpc-message: told\r\nGrpc-Status: 13\r\n";

    fn tail() -> WebTrailers {
        WebTrailers::of(b"application/grpc-web+proto").expect("gRPC-Web")
    }

    #[test]
    fn the_status_stands_behind_the_messages_however_they_are_cut() {
        for cut in 0..BODY.len() {
            let mut tail = tail();
            tail.take(&BODY[..cut]);
            assert_eq!(tail.status(), None, "cut at {cut}");
            tail.take(&BODY[cut..]);
            assert_eq!(tail.status(), Some(13), "cut at {cut}");
        }
    }

    #[test]
    fn a_message_may_be_missed_but_not_what_says_where_the_status_is() {
        for (seen, missed, told) in [
            (6, 3, Some(13)),
            (6, 4, Some(13)),
            (6, 5, None),
            (17, 2, None),
        ] {
            let mut tail = tail();
            tail.take(&BODY[..seen]);
            tail.miss(missed);
            tail.take(&BODY[seen + missed as usize..]);
            assert_eq!(tail.status(), told, "{missed} bytes from {seen} on");
        }
    }

    #[test]
    fn other_bodies_have_no_status() {
        for body in [
            &b"\x1f\x8b\x08\0\0\0\0\0"[..],
            b"\x80\0\0\0\x05a: 1\n",
            b"\0\0\0\0\x0fgrpc-status: 5\n",
        ] {
            let mut tail = tail();
            tail.take(body);
            assert_eq!(tail.status(), None, "{body:?}");
        }
        assert!(WebTrailers::of(b"application/grpc-web-text").is_none());
        assert!(WebTrailers::of(b"application/grpc").is_none());
    }

    #[test]
    fn long_trailers_are_kept_up_to_a_bound() {
        let mut tail = tail();
        tail.take(b"\x80\0\x10\0\0grpc-status: 7\r\n");
        tail.take(&vec![b'x'; (1 << 20) - 16]);
        assert_eq!(tail.trailers.len(), TRAILER_BYTES_MAX);
        assert_eq!(tail.status(), Some(7));
    }
}
