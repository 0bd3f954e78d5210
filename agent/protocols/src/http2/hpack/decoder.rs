//! The decoder of one direction of one connection.

use super::error::HpackError;
use super::field::Field;
use super::lore::Lore;

/// No index, length or size is larger.
pub const INTEGER_MAX: u32 = 1 << 28;

/// Decoded bytes of one name or one value.
pub const STRING_LEN_MAX: usize = 64 << 10;

/// Names, values and 32 for each field (as RFC 9113 §6.5.2 counts) of one block.
pub const LIST_SIZE_MAX: usize = 256 << 10;

/// Decodes header blocks in the order in which they were sent.
///
/// A block is the payload of a HEADERS or PUSH_PROMISE frame and of its CONTINUATION frames,
/// without padding, priority and promised stream. All blocks of a direction share one table,
/// whatever their stream.
#[derive(Debug)]
pub struct Decoder {
    joined: bool,
}

impl Decoder {
    /// Will be shown the first header block of the connection and all after it.
    pub fn from_start() -> Self {
        Self { joined: false }
    }

    /// Blocks were sent before: what they put into the table is unknown.
    pub fn joined() -> Self {
        Self { joined: true }
    }

    /// Blocks were lost, or cut: all that was known of the dynamic table is unknown from here on.
    pub fn missed_blocks(&mut self) {
        self.joined = true;
    }

    /// The receiver of the blocks announced this SETTINGS_HEADER_TABLE_SIZE, in bytes. Only the
    /// largest one counts: an observer cannot tell which of them the sender has heard of.
    pub fn allow_table_size(&mut self, _size: u32) {}

    /// Whether every index can be resolved without [`Lore`].
    pub fn is_complete(&self) -> bool {
        !self.joined
    }

    /// Decodes a whole block, and reports its fields in order.
    ///
    /// # Errors
    /// See [`HpackError`]. The decoder then goes on as after [`Self::missed_blocks`]; fields that
    /// were reported before the error are right.
    pub fn decode(
        &mut self,
        _block: &[u8],
        _lore: Option<&mut Lore>,
        _emit: &mut impl FnMut(Field<'_>),
    ) -> Result<(), HpackError> {
        self.missed_blocks();
        Err(HpackError::Truncated)
    }
}
