//! What a header block looks like without its literal values: the indices alone. Two connections
//! whose tables were filled in the same way write the same shape for the same request.

use crate::http2::hpack::{integer, static_table};

/// Longer shapes, and such with more references, are not worth remembering.
const KEY_LEN_MAX: usize = 256;
const REFERENCES_MAX: usize = 32;

/// Static entries up to this one are pseudo-header fields (RFC 7541 appendix A).
const PSEUDO_INDEX_MAX: usize = 14;

/// The shape of one block. It is filled anew for each, so that nothing is allocated.
#[derive(Debug, Default)]
pub(in crate::http2::hpack) struct Shape {
    /// The block without values.
    pub key: Vec<u8>,
    /// The dynamic entries that it refers to, by their age before the block, in order. Those that
    /// the block itself makes are not among them.
    pub references: Vec<usize>,
    /// Whether it has a pseudo-header field, so that it begins a message. Trailers have none.
    pub begins_message: bool,
}

impl Shape {
    /// Bytes of heap that it takes.
    pub fn heap_bytes(&self) -> usize {
        crate::heap::vec::<u8>(self.key.capacity())
            + crate::heap::vec::<usize>(self.references.capacity())
    }

    /// Reads a block; `None` if it is too long to remember, broken, or resizes the table.
    pub fn read(&mut self, block: &[u8]) -> Option<()> {
        self.key.clear();
        self.references.clear();
        self.begins_message = false;
        let (mut at, mut inserted) = (0, 0);
        while let Some(first) = block.get(at) {
            let start = at;
            let (bits, literal) = match first.leading_zeros() {
                0 => (7, false),
                1 => (6, true),
                2 => return None,
                _ => (4, true),
            };
            let index = integer::read(block, &mut at, bits).ok()?;
            if literal && index == 0 {
                skip_string(block, &mut at)?;
            }
            self.key.extend_from_slice(block.get(start..at)?);
            if literal {
                skip_string(block, &mut at)?;
            }
            if (1..=PSEUDO_INDEX_MAX).contains(&index) {
                self.begins_message = true;
            }
            let age = index.checked_sub(static_table::LEN + 1);
            if let Some(age) = age.and_then(|age| age.checked_sub(inserted)) {
                self.references.push(age);
            }
            if bits == 6 {
                inserted += 1;
            }
            if self.key.len() > KEY_LEN_MAX || self.references.len() > REFERENCES_MAX {
                return None;
            }
        }
        Some(())
    }

    /// A number that differs for different shapes, mostly. Only for what may be wrong about it.
    pub fn fingerprint(&self, inserted: u64) -> u64 {
        // FNV-1a.
        let seed = 0xcbf2_9ce4_8422_2325 ^ inserted;
        self.key.iter().fold(seed, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }
}

fn skip_string(block: &[u8], at: &mut usize) -> Option<()> {
    let len = integer::read(block, at, 7).ok()?;
    *at += len;
    (*at <= block.len()).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_do_not_matter_and_insertions_move_what_is_older() {
        let mut one = Shape::default();
        // :method POST, :path literal and inserted, the newest but one before it, the one inserted.
        assert_eq!(one.read(&[0x83, 0x44, 2, b'/', b'a', 0xc0, 0xbe]), Some(()));
        assert_eq!(one.references, [1]);
        assert!(one.begins_message);
        let mut other = Shape::default();
        assert_eq!(other.read(&[0x83, 0x44, 1, b'/', 0xc0, 0xbe]), Some(()));
        assert_eq!(one.key, other.key);
    }

    #[test]
    fn blocks_that_are_broken_have_no_shape() {
        let mut shape = Shape::default();
        assert_eq!(shape.read(&[0x20, 0xbe]), None);
        assert_eq!(shape.read(&[0xbe, 0x40, 3, b'a']), None);
    }
}
