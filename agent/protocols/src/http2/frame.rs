//! Frame headers (RFC 9113 §4.1 and §6): what each type allows. It reads no payload.

/// Bytes of a frame header.
pub const HEADER_BYTES: usize = 9;

/// Longest payload that peers send who have not agreed otherwise (RFC 9113 §4.2).
const PAYLOAD_BYTES_USUAL: u32 = 16_384;

/// Numbers of the frame types (RFC 9113 §6).
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
    /// ALTSVC (RFC 7838), ORIGIN (RFC 8336) and PRIORITY_UPDATE (RFC 9218).
    pub const EXTENSIONS: [u8; 3] = [10, 12, 16];
}

/// Flags; what they mean depends on the type.
pub mod flag {
    pub const END_STREAM: u8 = 1;
    pub const ACK: u8 = 1;
    pub const END_HEADERS: u8 = 4;
    pub const PADDED: u8 = 8;
    pub const PRIORITY: u8 = 0x20;
}

/// The nine bytes before a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the payload.
    pub len: u32,
    /// See [`kind`].
    pub kind: u8,
    /// See [`flag`].
    pub flags: u8,
    /// 0 for the connection as a whole; the reserved bit is left out.
    pub stream: u32,
    /// The bit that is to be ignored.
    reserved: bool,
}

impl Header {
    /// Reads the first nine bytes; `None` if there are fewer.
    #[inline]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = *bytes.first_chunk()?;
        let stream = u32::from_be_bytes([s0, s1, s2, s3]);
        Some(Self {
            len: u32::from_be_bytes([0, l0, l1, l2]),
            kind,
            flags,
            stream: stream & 0x7fff_ffff,
            reserved: stream >> 31 != 0,
        })
    }

    /// Whether a flag is set.
    #[inline]
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Bytes of the whole frame.
    #[inline]
    pub fn frame_len(&self) -> usize {
        HEADER_BYTES + self.len as usize
    }

    /// Whether the standard allows it, whatever the payload: where it does not, peers end the
    /// connection, so that these bytes are no frame.
    pub fn is_valid(&self) -> bool {
        let of_stream = self.stream != 0;
        match self.kind {
            kind::DATA | kind::HEADERS => {
                let mut overhead = u32::from(self.has(flag::PADDED));
                if self.kind == kind::HEADERS && self.has(flag::PRIORITY) {
                    overhead += 5;
                }
                of_stream && self.len >= overhead
            }
            kind::PUSH_PROMISE => of_stream && self.len >= 4,
            kind::CONTINUATION => of_stream,
            kind::PRIORITY => of_stream && self.len == 5,
            kind::RST_STREAM => of_stream && self.len == 4,
            kind::SETTINGS => {
                let is_ack = self.has(flag::ACK);
                !of_stream && if is_ack { self.len == 0 } else { self.len % 6 == 0 }
            }
            kind::PING => !of_stream && self.len == 8,
            kind::GOAWAY => !of_stream && self.len >= 8,
            kind::WINDOW_UPDATE => self.len == 4,
            _ => true,
        }
    }

    /// Whether it also looks like what real peers send. The measure for bytes of which nobody knows
    /// whether they are a frame.
    pub fn is_plausible(&self) -> bool {
        let allowed = match self.kind {
            kind::DATA => flag::END_STREAM | flag::PADDED,
            kind::HEADERS => {
                flag::END_STREAM | flag::END_HEADERS | flag::PADDED | flag::PRIORITY
            }
            kind::PUSH_PROMISE => flag::END_HEADERS | flag::PADDED,
            kind::CONTINUATION => flag::END_HEADERS,
            kind::SETTINGS | kind::PING => flag::ACK,
            kind::PRIORITY | kind::RST_STREAM | kind::GOAWAY | kind::WINDOW_UPDATE => 0,
            other if kind::EXTENSIONS.contains(&other) => 0,
            _ => return false,
        };
        !self.reserved
            && self.flags & !allowed == 0
            && self.len <= PAYLOAD_BYTES_USUAL
            && self.is_valid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(bytes: [u8; 9]) -> Header {
        Header::read(&bytes).expect("nine bytes")
    }

    #[test]
    fn what_peers_would_refuse_is_invalid() {
        for bytes in [
            [0, 0, 1, 0, 0, 0, 0, 0, 0],  // DATA of no stream
            [0, 0, 0, 1, 8, 0, 0, 0, 1],  // HEADERS with padding, without its length
            [0, 0, 4, 1, 32, 0, 0, 0, 1], // HEADERS with priority, too short for it
            [0, 0, 5, 4, 0, 0, 0, 0, 0],  // SETTINGS with a piece of one
            [0, 0, 6, 4, 1, 0, 0, 0, 0],  // SETTINGS, acknowledged with content
            [0, 0, 7, 6, 0, 0, 0, 0, 0],  // PING of seven bytes
            [0, 0, 4, 3, 0, 0, 0, 0, 0],  // RST_STREAM of no stream
        ] {
            assert!(!header(bytes).is_valid(), "{bytes:?}");
        }
    }

    #[test]
    fn what_is_allowed_need_not_be_plausible() {
        let unknown = header([0, 0, 1, 0x77, 0, 0, 0, 0, 1]);
        assert!(unknown.is_valid() && !unknown.is_plausible());
        let huge = header([0x10, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert!(huge.is_valid() && !huge.is_plausible());
        let reserved = header([0, 0, 1, 0, 0, 0x80, 0, 0, 1]);
        assert!(reserved.is_valid() && !reserved.is_plausible());
        assert_eq!(reserved.stream, 1);
    }
}
