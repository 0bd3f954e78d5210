//! What the loader fills into a file as it is mapped, by the file's table of relocations: addresses
//! of the file itself, and numbers of modules for thread-local memory. It applies none.

use super::super::tls::image::{Image, u64_at};
use crate::arch::{RELOCATION_MODULE, RELOCATION_RELATIVE};

/// `sizeof(Elf64_Rela)`
const ENTRY_LEN: usize = 24;

/// The table of a file.
pub(super) struct Relocations {
    table: Vec<u8>,
}

impl Relocations {
    /// Reads it; `None` if there is none or it has more entries than that.
    pub fn read(image: &Image<'_>, entries_max: u64) -> Option<Self> {
        let place = image.section(".rela.dyn")?.place;
        if place.len > entries_max * ENTRY_LEN as u64 {
            return None;
        }
        let table = image.read(place.offset, place.len as usize)?;
        Some(Self { table })
    }

    /// Words that become addresses of the file: where they are, and what they point to.
    pub fn addresses(&self) -> impl Iterator<Item = (u64, u64)> {
        self.of_kind(RELOCATION_RELATIVE)
            .map(|entry| (u64_at(entry, 0), u64_at(entry, 16)))
    }

    /// Whether a word becomes the number of a module.
    pub fn is_module(&self, address: u64) -> bool {
        self.of_kind(RELOCATION_MODULE)
            .any(|entry| u64_at(entry, 0) == address)
    }

    fn of_kind(&self, kind: u64) -> impl Iterator<Item = &[u8]> {
        let entries = self.table.chunks_exact(ENTRY_LEN);
        entries.filter(move |entry| u64_at(entry, 8) & 0xffff_ffff == kind)
    }
}
