//! Records, which all of FastCGI consists of (specification, 3.3). Numbers are big-endian.

/// Bytes before a record's content: version, kind, request (2), length of the content (2), length
/// of the padding behind it, and one that is reserved.
pub(super) const HEADER_BYTES: usize = 8;

/// The only version there is.
const VERSION: u8 = 1;

/// Content of `FCGI_BEGIN_REQUEST` (5.1): role (2), flags, and five bytes that are reserved.
pub(super) const BEGIN_BYTES: usize = 8;

/// Content of `FCGI_END_REQUEST` (5.5): the application's status (4), the protocol's, and three
/// bytes that are reserved.
pub(super) const END_BYTES: usize = 8;

/// Kinds of records (8): `FCGI_` and these names.
pub(super) mod kind {
    pub const BEGIN_REQUEST: u8 = 1;
    pub const ABORT_REQUEST: u8 = 2;
    pub const END_REQUEST: u8 = 3;
    pub const PARAMS: u8 = 4;
    pub const STDIN: u8 = 5;
    pub const STDOUT: u8 = 6;
    pub const STDERR: u8 = 7;
}

/// What stands before a record's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordHeader {
    pub kind: u8,
    /// 0 for what concerns the connection.
    pub request: u16,
    /// Bytes of content.
    pub len: u16,
    /// Bytes behind it that mean nothing.
    pub padding: u8,
}

impl RecordHeader {
    /// Reads one; `None` if it is none, `Some(None)` if it is cut.
    pub fn read(buf: &[u8]) -> Option<Option<Self>> {
        let &[version, kind, high, low, len_high, len_low, padding, _, ..] = buf else {
            let is_begun = buf.first().is_none_or(|version| *version == VERSION);
            return is_begun.then_some(None);
        };
        (version == VERSION).then_some(Some(Self {
            kind,
            request: u16::from_be_bytes([high, low]),
            len: u16::from_be_bytes([len_high, len_low]),
            padding,
        }))
    }

    /// The bytes of one without padding, as those who end a body write it.
    pub fn unpadded(kind: u8, request: u16, len: u8) -> [u8; HEADER_BYTES] {
        let [high, low] = request.to_be_bytes();
        [VERSION, kind, high, low, 0, len, 0, 0]
    }

    /// Bytes behind the header that belong to the record.
    pub fn rest(&self) -> usize {
        usize::from(self.len) + usize::from(self.padding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_once_it_is_whole() {
        let bytes = [1, kind::STDOUT, 1, 2, 3, 4, 5, 0];
        for len in 0..bytes.len() {
            assert_eq!(RecordHeader::read(&bytes[..len]), Some(None));
        }
        let header = RecordHeader::read(&bytes).flatten().expect("a header");
        assert_eq!((header.kind, header.request, header.len), (6, 0x102, 0x304));
        assert_eq!(header.rest(), 0x304 + 5);
        assert_eq!(RecordHeader::read(b"2"), None);
    }
}
