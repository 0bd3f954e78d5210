//! What the kernel side is to copy, said once more and as plainly as can be: over whole streams
//! that lie in memory, without parts, rounds or budgets that are kept anywhere.

use std::ops::Range;

use wirespan_common::record::Direction;

use crate::program::{Moved, Shape};
use crate::{Buffer, PART_MAX, TURN_BYTES_MAX, Watch};

/// Length of the client's preface (RFC 9113, 3.4), and of a frame header (4.1).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADER_LEN: usize = 9;

/// Which bytes of a stream of whole frames are worth copying, if frames begin at `start`.
#[must_use]
pub fn kept(stream: &[u8], start: usize) -> Vec<Range<usize>> {
    let mut kept = Vec::new();
    let mut at = start;
    kept.push(0..at.min(stream.len()));
    while at < stream.len() {
        let Some(header) = stream.get(at..at + HEADER_LEN) else {
            kept.push(at..stream.len());
            break;
        };
        let len = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
        let copied = match header[3] {
            0 if len <= 2048 => len,
            0 => 64,
            _ => len.min(8 * 1024),
        };
        kept.push(at..(at + HEADER_LEN + copied).min(stream.len()));
        at += HEADER_LEN + len;
    }
    kept
}

/// How much of each transfer is copied where nothing is known of the protocol.
pub struct Budgets {
    watch: Watch,
    direction: Option<Direction>,
    /// Of the present turn.
    copied: u32,
}

impl Budgets {
    /// Before the first transfer.
    #[must_use]
    pub fn new(watch: Watch) -> Self {
        Self {
            watch,
            direction: None,
            copied: 0,
        }
    }

    /// How many of the transfer's first bytes are copied.
    pub fn take(&mut self, moved: &Moved) -> u32 {
        if self.direction != Some(moved.direction) {
            self.direction = Some(moved.direction);
            self.copied = 0;
        }
        if moved.shape == Shape::Unmapped {
            return 0;
        }
        let opening = self.watch.opening_bytes_max.saturating_sub(self.copied);
        let taken = opening
            .max(self.watch.later_bytes_max)
            .min(TURN_BYTES_MAX - self.copied)
            .min(PART_MAX as u32)
            .min(moved.len);
        self.copied += taken;
        taken
    }
}

/// A call that moves `bytes` in pieces of these lengths, over and over, and the memory they lie in:
/// those bytes and nothing beside them. The process says of its last piece that it is `slack`
/// longer.
#[must_use]
pub fn call(
    direction: Direction,
    shape: Shape,
    bytes: &[u8],
    pieces: &[usize],
    slack: u64,
) -> (Moved, Vec<Buffer>) {
    let mut rest = bytes;
    let mut mapped = Vec::new();
    let mut sizes = pieces.iter().cycle();
    while !rest.is_empty() {
        let len = match shape {
            Shape::One | Shape::Unmapped => rest.len(),
            _ => sizes
                .next()
                .map_or(rest.len(), |len| (*len).clamp(1, rest.len())),
        };
        let (piece, behind) = rest.split_at(len);
        mapped.push(Buffer {
            address: (mapped.len() as u64 + 1) << 32,
            bytes: piece.to_vec(),
        });
        rest = behind;
    }
    let mut parts: Vec<_> = mapped
        .iter()
        .map(|piece| (piece.address, piece.bytes.len() as u64))
        .collect();
    // A message tells how much of it was used.
    if shape != Shape::Messages
        && let Some((_, len)) = parts.last_mut()
    {
        *len = len.saturating_add(slack);
    }
    let moved = Moved {
        direction,
        shape,
        parts,
        len: bytes.len() as u32,
    };
    (moved, mapped)
}
