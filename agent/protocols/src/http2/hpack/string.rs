//! String literals (RFC 7541 §5.2): where their bytes are, and how they are decoded. What is not
//! coded is borrowed.

use std::ops::Range;

use super::error::HpackError;
use super::{huffman, integer};

/// Decoded bytes of one name or one value. A Huffman code counts as if all its symbols were of the
/// shortest kind, so that nothing is decoded in vain.
pub const STRING_LEN_MAX: usize = 64 << 10;

/// A string literal as it stands in a block (§5.2).
pub(super) struct Coded<'a> {
    bytes: &'a [u8],
    /// Where they stand.
    range: Range<usize>,
    huffman: bool,
}

impl<'a> Coded<'a> {
    #[inline]
    pub fn read(block: &'a [u8], at: &mut usize) -> Result<Self, HpackError> {
        let huffman = block.get(*at).is_some_and(|first| first & 0x80 != 0);
        let len = integer::read(block, at, 7)?;
        let decoded_len_max = match huffman {
            true => huffman::decoded_len_max(len),
            false => len,
        };
        if decoded_len_max > STRING_LEN_MAX {
            return Err(HpackError::StringTooLong);
        }
        let range = *at..*at + len;
        let bytes = block.get(range.clone()).ok_or(HpackError::Truncated)?;
        *at = range.end;
        Ok(Self {
            bytes,
            range,
            huffman,
        })
    }

    /// Appends what it decodes to.
    #[inline]
    pub fn append_to(&self, out: &mut Vec<u8>) -> Result<(), HpackError> {
        match self.huffman {
            true => huffman::decode(self.bytes, out),
            false => {
                out.extend_from_slice(self.bytes);
                Ok(())
            }
        }
    }

    /// Decodes it into the buffer, if it needs decoding.
    #[inline]
    pub fn place(self, scratch: &mut Vec<u8>) -> Result<TextRange, HpackError> {
        if !self.huffman {
            return Ok(TextRange::Block(self.range));
        }
        let start = scratch.len();
        huffman::decode(self.bytes, scratch)?;
        Ok(TextRange::Scratch(start..scratch.len()))
    }
}

/// Where a decoded text is.
pub(super) enum TextRange {
    Block(Range<usize>),
    Scratch(Range<usize>),
}

impl TextRange {
    pub fn text<'a>(&self, block: &'a [u8], scratch: &'a [u8]) -> &'a [u8] {
        let (bytes, range) = match self {
            Self::Block(range) => (block, range),
            Self::Scratch(range) => (scratch, range),
        };
        bytes.get(range.clone()).unwrap_or_default()
    }
}
