//! How much of a transfer fits into a record, and how much of its description is read at once.

use crate::memory::OFFSETS_MAX;

/// Longest stretch that one part of a transfer may add to a record.
pub const PART_MAX: usize = 16 * 1024 - 1024;
/// Parts of a scattered transfer that are read at once.
pub const PARTS_AT_ONCE: usize = 4;
/// Payload room: a part may begin wherever a copy can.
pub const PAYLOAD_ROOM: usize = OFFSETS_MAX + PART_MAX;
