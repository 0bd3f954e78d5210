//! The names in a header block, in order, as far as they can be told before it is decoded. A
//! library sends its fields in one order, whatever is in the table, so that what is known of a
//! block says what the rest is. It reads no values.

use std::ops::Range;

use super::string::Coded;
use super::table::{NameIs, Table};
use super::{integer, static_table};

/// Blocks with more fields are not worth remembering.
const SLOTS_MAX: usize = 32;

/// The fields of one block. They are filled anew for each, so that nothing is allocated.
#[derive(Debug, Default)]
pub(super) struct Slots {
    names: Vec<u8>,
    pub slots: Vec<FieldSlot>,
}

/// One field.
#[derive(Debug)]
pub(super) struct FieldSlot {
    name: Option<Range<usize>>,
    /// Where its name stands among the entries that were not seen.
    pub place: Option<u64>,
    /// Whether its value stands there too.
    pub is_whole: bool,
    /// Name and value stand in the table that everybody has.
    is_static: bool,
}

/// What is known of a field before it is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KnownField<'n> {
    /// `None` where it was not seen.
    pub name: Option<&'n [u8]>,
    /// Name and value stand in the table that everybody has.
    pub is_static: bool,
}

impl Slots {
    /// Bytes of heap that they take.
    pub fn heap_bytes(&self) -> usize {
        crate::heap::vec::<u8>(self.names.capacity())
            + crate::heap::vec::<FieldSlot>(self.slots.capacity())
    }

    /// Reads a block; `None` if it resizes the table, is too long or cannot be read.
    pub fn read(&mut self, block: &[u8], table: &Table) -> Option<()> {
        self.names.clear();
        self.slots.clear();
        let (mut at, mut inserted) = (0, 0);
        while let Some(first) = block.get(at) {
            let bits = match first.leading_zeros() {
                0 => 7,
                1 => 6,
                2 => return None,
                _ => 4,
            };
            let index = integer::read(block, &mut at, bits).ok()?;
            let start = self.names.len();
            let mut place = None;
            if let Some((name, _)) = static_table::entry(index) {
                self.names.extend_from_slice(name);
            } else if index == 0 {
                Coded::read(block, &mut at)
                    .ok()?
                    .append_to(&mut self.names)
                    .ok()?;
            } else {
                // What the block itself inserted is not looked for: hardly anybody refers to it.
                let age = (index - static_table::LEN - 1).checked_sub(inserted)?;
                place = match table.entry(age).map(|entry| (entry, entry.name_is)) {
                    Some((_, NameIs::Unseen(place))) => Some(place),
                    Some((entry, NameIs::Known)) => {
                        self.names.extend_from_slice(table.texts(entry).0);
                        None
                    }
                    None => Some(table.place(age)),
                };
                if place.is_none() && self.names.len() == start {
                    return None;
                }
            }
            if bits != 7 {
                Coded::read(block, &mut at).ok()?;
                inserted += usize::from(bits == 6);
            }
            if self.slots.len() >= SLOTS_MAX {
                return None;
            }
            let is_seen = place.is_none();
            self.slots.push(FieldSlot {
                name: is_seen.then_some(start..self.names.len()),
                place,
                is_static: bits == 7 && index <= static_table::LEN,
                is_whole: bits == 7
                    && index > static_table::LEN
                    && table
                        .entry(index - static_table::LEN - 1 - inserted)
                        .is_none(),
            });
        }
        (!self.slots.is_empty()).then_some(())
    }

    /// What is known of each field.
    pub fn told(&self) -> Vec<KnownField<'_>> {
        let told = self.slots.iter().map(|slot| KnownField {
            name: slot.name.clone().and_then(|name| self.names.get(name)),
            is_static: slot.is_static,
        });
        told.collect()
    }
}
