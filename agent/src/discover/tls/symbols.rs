//! Functions and variables by their names in an ELF file's tables of symbols. Tables are streamed,
//! names first: of tens of megabytes nothing is kept but what was wanted. Names are compared, not
//! interpreted.

use std::collections::HashMap;

use super::image::{Damaged, FileRange, Image, u16_at, u32_at, u64_at};

/// A function, and what it is to whoever wanted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::discover) struct Symbol<T> {
    pub what: T,
    /// Where it begins, as an address of the image.
    pub address: u64,
    /// Its length in bytes, 0 if it is not told.
    pub len: u64,
}

/// Longest table that is read, in bytes; a browser's names take 200 MB.
const TABLE_LEN_MAX: u64 = 256 << 20;
/// Functions that are wanted are a few dozen, also where a compiler made copies of them.
const FOUND_MAX: usize = 256;
/// Bytes read at a time.
const PIECE_LEN: usize = 128 * 1024;
/// Longer names are not looked at; mangled names of generics reach some kilobytes.
const NAME_LEN_MAX: usize = 16 * 1024;
/// `sizeof(Elf64_Sym)`
const SYMBOL_LEN: usize = 24;
/// `STT_OBJECT`
const OBJECT: u8 = 1;
/// `STT_FUNC`
const FUNCTION: u8 = 2;
/// `SHN_UNDEF`: used here, defined elsewhere.
const UNDEFINED: u16 = 0;

/// Functions that are defined in the table `table` and whose name is wanted. `wanted` is given each
/// string of the table and answers with what it is and the number of bytes at its end that make the
/// name: linkers let a name be the tail of another.
pub(in crate::discover) fn find<T: Copy>(
    image: &Image<'_>,
    table: &str,
    wanted: &impl Fn(&[u8]) -> Option<(usize, T)>,
) -> Result<Vec<Symbol<T>>, Damaged> {
    find_of(FUNCTION, image, table, wanted)
}

/// [`find`] for variables.
pub(in crate::discover) fn find_objects<T: Copy>(
    image: &Image<'_>,
    table: &str,
    wanted: &impl Fn(&[u8]) -> Option<(usize, T)>,
) -> Result<Vec<Symbol<T>>, Damaged> {
    find_of(OBJECT, image, table, wanted)
}

fn find_of<T: Copy>(
    wanted_kind: u8,
    image: &Image<'_>,
    table: &str,
    wanted: &impl Fn(&[u8]) -> Option<(usize, T)>,
) -> Result<Vec<Symbol<T>>, Damaged> {
    let mut found = Vec::new();
    each_entry(image, table, wanted, |what, entry| {
        let (kind, section) = (entry[4] & 0xf, u16_at(entry, 6));
        if kind == wanted_kind && section != UNDEFINED && found.len() < FOUND_MAX {
            found.push(Symbol {
                what,
                address: u64_at(entry, 8),
                len: u64_at(entry, 16),
            });
        }
    })?;
    Ok(found)
}

/// Functions in a table that contain one of these addresses, each once.
pub(in crate::discover) fn around(
    image: &Image<'_>,
    table: &str,
    addresses: &[u64],
) -> Result<Vec<Symbol<()>>, Damaged> {
    let mut found: Vec<Symbol<()>> = Vec::new();
    let Some(symbols) = image.section(table) else {
        return Ok(found);
    };
    if symbols.place.len > TABLE_LEN_MAX {
        return Err(Damaged("its table of symbols is larger than any"));
    }
    let mut addresses = addresses.to_vec();
    addresses.sort_unstable();
    each_symbol(image, symbols.place, |entry| {
        let (address, len) = (u64_at(entry, 8), u64_at(entry, 16));
        let next = addresses.partition_point(|it| *it < address);
        let is_it = addresses.get(next).is_some_and(|it| it - address < len);
        if entry[4] & 0xf == FUNCTION && is_it && found.len() < FOUND_MAX {
            let what = ();
            found.push(Symbol { what, address, len });
        }
    })?;
    found.sort_unstable_by_key(|it| (it.address, std::cmp::Reverse(it.len)));
    found.dedup_by_key(|it| it.address);
    Ok(found)
}

/// Whether the file uses something with such a name, which another file has to bring.
pub(super) fn are_asked_for(
    image: &Image<'_>,
    is_wanted: &impl Fn(&[u8]) -> bool,
) -> Result<bool, Damaged> {
    let wanted = |name: &[u8]| is_wanted(name).then_some((name.len(), ()));
    let mut are_asked_for = false;
    each_entry(image, ".dynsym", &wanted, |(), entry| {
        are_asked_for |= u16_at(entry, 6) == UNDEFINED;
    })?;
    Ok(are_asked_for)
}

/// Whether a table of strings has one.
pub(in crate::discover) fn has_string(
    image: &Image<'_>,
    table: &str,
    wanted: &[u8],
) -> Result<bool, Damaged> {
    let Some(strings) = image.section(table) else {
        return Ok(false);
    };
    let mut has = false;
    each_string(image, strings.place, |_, string| has |= string == wanted)?;
    Ok(has)
}

/// Calls `each` with the entries of a table whose names are wanted.
fn each_entry<T: Copy>(
    image: &Image<'_>,
    table: &str,
    wanted: &impl Fn(&[u8]) -> Option<(usize, T)>,
    mut each: impl FnMut(T, &[u8]),
) -> Result<(), Damaged> {
    let Some(symbols) = image.section(table) else {
        return Ok(());
    };
    let strings = image
        .strings_of(symbols)
        .ok_or(Damaged("its symbols have no names"))?;
    if symbols.place.len.max(strings.place.len) > TABLE_LEN_MAX {
        return Err(Damaged("its table of symbols is larger than any"));
    }
    let names = names(image, strings.place, wanted)?;
    if names.is_empty() {
        return Ok(());
    }
    each_symbol(image, symbols.place, |entry| {
        if let Some(what) = names.get(&u32_at(entry, 0)) {
            each(*what, entry);
        }
    })
}

/// Calls `each` with all entries of a table.
fn each_symbol(
    image: &Image<'_>,
    table: FileRange,
    mut each: impl FnMut(&[u8]),
) -> Result<(), Damaged> {
    let mut piece = vec![0; PIECE_LEN / SYMBOL_LEN * SYMBOL_LEN];
    for part in parts(table, piece.len()) {
        let piece = &mut piece[..part.len as usize];
        image
            .read_into(part.offset, piece)
            .ok_or(Damaged("its symbols can't be read"))?;
        piece.chunks_exact(SYMBOL_LEN).for_each(&mut each);
    }
    Ok(())
}

/// Offsets of wanted names in a table of strings.
fn names<T: Copy>(
    image: &Image<'_>,
    strings: FileRange,
    wanted: &impl Fn(&[u8]) -> Option<(usize, T)>,
) -> Result<HashMap<u32, T>, Damaged> {
    let mut found = HashMap::new();
    each_string(image, strings, |end, string| {
        // A file without data is nothing but empty strings.
        if !string.is_empty()
            && let Some((len, what)) = wanted(string)
            && found.len() < FOUND_MAX
            && let Ok(offset) = u32::try_from(end - len as u64)
        {
            found.insert(offset, what);
        }
    })?;
    Ok(found)
}

/// Calls `each` with the strings of a table and where in the table they end.
pub(super) fn each_string(
    image: &Image<'_>,
    strings: FileRange,
    mut each: impl FnMut(u64, &[u8]),
) -> Result<(), Damaged> {
    let mut piece = vec![0; PIECE_LEN];
    // Begin of a string that goes on in the next piece.
    let mut begun: Vec<u8> = Vec::new();
    let mut read: u64 = 0;
    for part in parts(strings, PIECE_LEN) {
        let piece = &mut piece[..part.len as usize];
        image
            .read_into(part.offset, piece)
            .ok_or(Damaged("its names can't be read"))?;
        let mut at = 0;
        for end in memchr::memchr_iter(0, piece) {
            let string = &piece[at..end];
            if begun.is_empty() {
                each(read + end as u64, string);
            } else {
                begun.extend_from_slice(string);
                each(read + end as u64, &begun);
                begun.clear();
            }
            at = end + 1;
        }
        if begun.len() < NAME_LEN_MAX {
            begun.extend_from_slice(&piece[at..]);
        }
        read += part.len;
    }
    Ok(())
}

/// A place in pieces of at most `len` bytes.
pub(in crate::discover) fn parts(place: FileRange, len: usize) -> impl Iterator<Item = FileRange> {
    let len = len as u64;
    (0..place.len.div_ceil(len)).map(move |index| FileRange {
        offset: place.offset + index * len,
        len: len.min(place.len - index * len),
    })
}
