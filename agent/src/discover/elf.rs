//! What an executable's headers tell about the language it was written in. It reads headers and a
//! few small sections, never a whole file, and believes no length without a bound.

use std::fs::File;

use object::Endianness;
use object::elf::{DT_NEEDED, FileHeader32, FileHeader64};
use object::read::elf::{Dyn, FileHeader, SectionHeader, SectionTable};
use object::read::{ReadCache, ReadRef};

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Traits {
    /// Go's linker wrote it.
    pub go: bool,
    /// A Rust compiler had a part in it.
    pub rust: bool,
    /// Names of the shared libraries that it asks for.
    pub needed: Vec<String>,
}

/// `None` if this is no ELF file, or a broken one.
pub(super) fn traits(file: File) -> Option<Traits> {
    let data = &ReadCache::new(file);
    // e_ident[EI_CLASS] of the ELF specification.
    match *data.read_bytes_at(0, 5).ok()? {
        [0x7f, b'E', b'L', b'F', 2] => of_class::<FileHeader64<Endianness>, _>(data),
        [0x7f, b'E', b'L', b'F', 1] => of_class::<FileHeader32<Endianness>, _>(data),
        _ => None,
    }
}

/// Sections that are read whole are tiny; a larger one is not what its name says.
const SECTION_LEN_MAX: u64 = 64 * 1024;

fn of_class<'data, Elf, R>(data: R) -> Option<Traits>
where
    Elf: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let header = Elf::parse(data).ok()?;
    let endian = header.endian().ok()?;
    // More than 65279 sections are counted elsewhere (SHN_LORESERVE); such a file is left alone.
    if header.e_shnum(endian) == 0 {
        return Some(Traits::default());
    }
    let sections = header.sections(endian, data).ok()?;
    let comment = section_bytes(&sections, endian, data, b".comment").unwrap_or_default();
    Some(Traits {
        // Go 1.13 and later; older linkers, and stripped files, still have the note.
        go: sections.section_by_name(endian, b".go.buildinfo").is_some()
            || sections
                .section_by_name(endian, b".note.go.buildid")
                .is_some(),
        rust: contains(comment, b"rustc version"),
        needed: needed(&sections, endian, data).unwrap_or_default(),
    })
}

fn section_bytes<'data, Elf: FileHeader, R: ReadRef<'data>>(
    sections: &SectionTable<'data, Elf, R>,
    endian: Elf::Endian,
    data: R,
    name: &[u8],
) -> Option<&'data [u8]> {
    let (_, section) = sections.section_by_name(endian, name)?;
    (section.sh_size(endian).into() <= SECTION_LEN_MAX)
        .then(|| section.data(endian, data).ok())
        .flatten()
}

fn needed<'data, Elf: FileHeader, R: ReadRef<'data>>(
    sections: &SectionTable<'data, Elf, R>,
    endian: Elf::Endian,
    data: R,
) -> Option<Vec<String>> {
    let (_, section) = sections.section_by_name(endian, b".dynamic")?;
    if section.sh_size(endian).into() > SECTION_LEN_MAX {
        return None;
    }
    let (entries, link) = section.dynamic(endian, data).ok()??;
    let strings = sections.strings(endian, data, link).ok()?;
    entries
        .iter()
        .filter(|entry| entry.tag(endian) == DT_NEEDED)
        .map(|entry| {
            let name = entry.string(endian, strings).ok()?;
            Some(String::from_utf8_lossy(name).into_owned())
        })
        .collect()
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
#[path = "elf/tests.rs"]
mod tests;
