//! The table in which HotSpot tells debuggers where its structures have their fields
//! (`VMStructEntry`, src/hotspot/share/runtime/vmStructs.hpp): names of the structure, the field
//! and its type, whether it is static, its offset, its address. Compilers leave offsets to code
//! that runs as the library is loaded, so they are read from that code; where they stand in the
//! file already, from there.

use std::collections::BTreeMap;

use super::super::super::tls::image::{Damaged, FileRange, Image, u64_at};
use super::super::super::tls::symbols;
use super::super::relocations::Relocations;
use crate::arch::hotspot::{STORE_LEN, numbers_stored};

/// Bytes of an entry, and where in it is what is read.
const ENTRY_LEN: u64 = 48;
const FIELD: u64 = 8;
const OFFSET: u64 = 32;
/// There are 600 to 900.
const ENTRIES_MAX: u64 = 4096;
/// Longest name that is read; those that are wanted are shorter.
const NAME_LEN: usize = 24;
/// Offsets larger than this are none that a thread's structure has.
const OFFSET_MAX: u64 = 64 * 1024;

/// Structures and their fields that are looked for.
const WANTED: [(&str, &str); 8] = [
    ("JavaThread", "_threadObj"),
    ("JavaThread", "_vthread"),
    ("JavaThread", "_monitor_owner_id"),
    // As it was called in Java 24.
    ("JavaThread", "_lock_id"),
    ("JavaThread", "_osthread"),
    ("Thread", "_osthread"),
    ("OSThread", "_pthread_id"),
    ("OopHandle", "_obj"),
];

/// Bytes of code that are read at a time.
const PIECE_LEN: u64 = 128 * 1024;
/// More code than this is no virtual machine's.
const CODE_LEN_MAX: u64 = 256 << 20;

/// What of the table was wanted.
pub(super) struct Structs {
    fields: Vec<StructField>,
}

struct StructField {
    name: (&'static str, &'static str),
    /// Where its offset is written to, as an address of the image.
    place: u64,
    /// What is written there: nothing, one number, or several.
    found: FoundOffset,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum FoundOffset {
    Nothing,
    One(u64),
    Several,
}

impl Structs {
    /// Reads it.
    pub fn read(
        image: &Image<'_>,
        relocations: &Relocations,
    ) -> Result<Result<Self, &'static str>, Damaged> {
        let variable = symbols::find_objects(image, ".dynsym", &|name: &[u8]| {
            (name == b"gHotSpotVMStructs").then_some((name.len(), ()))
        })?;
        let table = variable.first().and_then(|variable| {
            let mut addresses = relocations.addresses();
            addresses.find_map(|(at, to)| (at == variable.address).then_some(to))
        });
        let Some(table) = table else {
            return Ok(Err(
                "it does not tell where its structures have their fields",
            ));
        };
        let mut structs = Self {
            fields: fields(image, relocations, table),
        };
        match structs.look_for_offsets(image) {
            Some(()) => Ok(Ok(structs)),
            None => Ok(Err("its code can't be read")),
        }
    }

    /// Where a structure has a field, in bytes, if that is certain.
    pub fn offset(&self, structure: &str, field: &str) -> Option<u64> {
        let mut fields = self.fields.iter();
        match fields.find(|it| it.name == (structure, field))?.found {
            FoundOffset::One(offset) if offset <= OFFSET_MAX => Some(offset),
            _ => None,
        }
    }

    fn look_for_offsets(&mut self, image: &Image<'_>) -> Option<()> {
        let code = image.section(".text")?;
        let FileRange { offset, len } = code.place;
        if len > CODE_LEN_MAX {
            return None;
        }
        let mut from = 0;
        while from < len {
            // An instruction may begin in one piece and end in the next.
            let piece = (len - from).min(PIECE_LEN + STORE_LEN as u64 - 1);
            let bytes = image.read(offset + from, piece as usize)?;
            numbers_stored(&bytes, code.address + from, |place, number| {
                for field in self.fields.iter_mut().filter(|it| it.place == place) {
                    field.is_written(number);
                }
            });
            from += PIECE_LEN;
        }
        for field in &mut self.fields {
            match image.read_address(field.place, 8).map(|it| u64_at(&it, 0)) {
                None | Some(0) => {}
                Some(number) => field.is_written(number),
            }
        }
        Some(())
    }
}

impl StructField {
    fn is_written(&mut self, number: u64) {
        self.found = match self.found {
            FoundOffset::Nothing => FoundOffset::One(number),
            FoundOffset::One(known) if known == number => self.found,
            FoundOffset::One(_) | FoundOffset::Several => FoundOffset::Several,
        };
    }
}

/// Wanted fields that the table has; it ends at the first entry without a name.
fn fields(image: &Image<'_>, relocations: &Relocations, table: u64) -> Vec<StructField> {
    let end = table.saturating_add(ENTRIES_MAX * ENTRY_LEN);
    let is_within = |(at, _): &(u64, u64)| (table..end).contains(at);
    let words: BTreeMap<u64, u64> = relocations.addresses().filter(is_within).collect();
    let mut fields = Vec::new();
    for entry in (table..end).step_by(ENTRY_LEN as usize) {
        let (Some(structure), Some(field)) = (words.get(&entry), words.get(&(entry + FIELD)))
        else {
            break;
        };
        let wanted = WANTED
            .into_iter()
            .find(|(of, name)| is_name(image, *structure, of) && is_name(image, *field, name));
        fields.extend(wanted.map(|name| StructField {
            name,
            place: entry + OFFSET,
            found: FoundOffset::Nothing,
        }));
    }
    fields
}

/// Whether this text, with a zero behind it, stands at an address.
fn is_name(image: &Image<'_>, address: u64, name: &str) -> bool {
    let mut expected = [0; NAME_LEN];
    let len = name.len() + 1;
    expected[..name.len()].copy_from_slice(name.as_bytes());
    image.read_address(address, len).as_deref() == Some(&expected[..len])
}
