//! Reads BTF, the kernel's description of its own types (Documentation/bpf/btf.rst,
//! include/uapi/linux/btf.h): where members of structures lie, and nothing else of it. All integers
//! are in the machine's byte order.
//!
//! There is a crate for this; its licence (LGPL) does not go with a daemon that is one static file.

use std::ops::Range;

const MAGIC: u16 = 0xeb9f;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_INT: u32 = 1;
const KIND_ENUM: u32 = 6;
/// Deeper than any structure of the kernel nests its anonymous parts, or a type its other names.
const DEPTH_MAX: u32 = 8;
/// More members than are looked at for one in any kernel; a file can be made that has no end of
/// them.
const MEMBERS_MAX: u32 = 1 << 20;

/// The bytes are not what the header says, or contradict themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedBtf;

/// Where a member lies in its structure, in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberPlace {
    /// From the structure's start.
    pub offset: u32,
    /// How many it has; 0 of what is no integer.
    pub width: u32,
}

/// Type information, indexed.
#[derive(Debug)]
pub struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where each type begins in `types`; identifiers count from 1.
    begins: Vec<u32>,
}

/// One type's fixed part.
#[derive(Clone, Copy)]
struct Type {
    name: u32,
    kind: u32,
    /// Members, parameters or values.
    count: usize,
    /// Members have bit-field sizes in the upper byte of their offsets.
    has_bit_fields: bool,
    /// Where what follows the fixed part begins.
    rest: usize,
}

impl<'a> Btf<'a> {
    /// Finds where each type begins.
    ///
    /// # Errors
    /// [`MalformedBtf`]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, MalformedBtf> {
        let magic = bytes.get(..2).ok_or(MalformedBtf)?;
        if magic != MAGIC.to_ne_bytes() {
            return Err(MalformedBtf);
        }
        let header_len = word(bytes, 4)?;
        let section = |offset_at, len_at| -> Result<&[u8], MalformedBtf> {
            let begin = header_len
                .checked_add(word(bytes, offset_at)?)
                .ok_or(MalformedBtf)? as usize;
            let end = begin
                .checked_add(word(bytes, len_at)? as usize)
                .ok_or(MalformedBtf)?;
            bytes.get(begin..end).ok_or(MalformedBtf)
        };
        let mut btf = Self {
            types: section(8, 12)?,
            strings: section(16, 20)?,
            begins: Vec::new(),
        };
        let mut at = 0;
        while at < btf.types.len() {
            let found = btf.type_at(at)?;
            btf.begins.push(at as u32);
            at = found.rest + extra_len(found.kind, found.count).ok_or(MalformedBtf)?;
        }
        Ok(btf)
    }

    /// Bytes from the start of the structure to the member, which may stand in an anonymous part of
    /// it. `None` if there is no such structure or member.
    #[must_use]
    pub fn offset_of(&self, structure: &str, member: &str) -> Option<u32> {
        self.place_of(structure, member)
            .map(|place| place.offset / 8)
    }

    /// Where a member lies, by bits.
    #[must_use]
    pub fn place_of(&self, structure: &str, member: &str) -> Option<MemberPlace> {
        let mut members_left = MEMBERS_MAX;
        self.begins.iter().find_map(|begin| {
            let found = self.type_at(*begin as usize).ok()?;
            let wanted =
                found.kind == KIND_STRUCT && self.string(found.name)? == structure.as_bytes();
            if wanted {
                self.member_of(found, member.as_bytes(), 0, &mut members_left)
            } else {
                None
            }
        })
    }

    /// The number that a name of an enumeration stands for. `None` if there is no such
    /// enumeration, of 32 bits, or name in it.
    #[must_use]
    pub fn value_of(&self, enumeration: &str, name: &str) -> Option<u32> {
        self.begins.iter().find_map(|begin| {
            let found = self.type_at(*begin as usize).ok()?;
            if found.kind != KIND_ENUM || self.string(found.name)? != enumeration.as_bytes() {
                return None;
            }
            (0..found.count).find_map(|index| {
                let at = found.rest + index * 8;
                let is_it = self.string(word(self.types, at).ok()?)? == name.as_bytes();
                if is_it {
                    word(self.types, at + 4).ok()
                } else {
                    None
                }
            })
        })
    }

    fn member_of(
        &self,
        structure: Type,
        wanted: &[u8],
        depth: u32,
        members_left: &mut u32,
    ) -> Option<MemberPlace> {
        (0..structure.count).find_map(|index| {
            *members_left = members_left.checked_sub(1)?;
            let at = structure.rest + index * 12;
            let name = self.string(word(self.types, at).ok()?)?;
            let member_type = word(self.types, at + 4).ok()?;
            let offset = word(self.types, at + 8).ok()?;
            let (offset, width) = if structure.has_bit_fields {
                (offset & 0x00ff_ffff, offset >> 24)
            } else {
                (offset, 0)
            };
            if name == wanted {
                let whole = || self.width_of(member_type).unwrap_or(0);
                let width = if width == 0 { whole() } else { width };
                return Some(MemberPlace { offset, width });
            }
            if !name.is_empty() || depth == DEPTH_MAX {
                return None;
            }
            let inner = self.numbered(member_type)?;
            if !matches!(inner.kind, KIND_STRUCT | KIND_UNION) {
                return None;
            }
            let inner = self.member_of(inner, wanted, depth + 1, members_left)?;
            let offset = offset.checked_add(inner.offset)?;
            Some(MemberPlace { offset, ..inner })
        })
    }

    /// Bits of an integer, by whatever other names it has.
    fn width_of(&self, number: u32) -> Option<u32> {
        let mut found = self.numbered(number)?;
        for _ in 0..DEPTH_MAX {
            match found.kind {
                KIND_INT => return Some(word(self.types, found.rest).ok()? & 0xff),
                // Typedefs and qualifiers; in the place of a size they have a type.
                8..=11 => found = self.numbered(word(self.types, found.rest - 4).ok()?)?,
                _ => return None,
            }
        }
        None
    }

    fn numbered(&self, number: u32) -> Option<Type> {
        let begin = self.begins.get((number as usize).checked_sub(1)?)?;
        self.type_at(*begin as usize).ok()
    }

    fn type_at(&self, at: usize) -> Result<Type, MalformedBtf> {
        let info = word(self.types, at + 4)?;
        Ok(Type {
            name: word(self.types, at)?,
            kind: (info >> 24) & 0x1f,
            count: (info & 0xffff) as usize,
            has_bit_fields: info >> 31 != 0,
            rest: at + 12,
        })
    }

    fn string(&self, at: u32) -> Option<&'a [u8]> {
        let from = self.strings.get(at as usize..)?;
        from.split(|byte| *byte == 0).next()
    }
}

/// Bytes behind a type's fixed part; `None` for a kind that is younger than this.
fn extra_len(kind: u32, count: usize) -> Option<usize> {
    Some(match kind {
        // Pointers, forwards, typedefs, qualifiers, functions, floats, type tags.
        2 | 7..=12 | 16 | 18 => 0,
        // Integers, variables, declaration tags.
        1 | 14 | 17 => 4,
        // Arrays.
        3 => 12,
        // Structures, unions, sections, 64-bit enumerations.
        KIND_STRUCT | KIND_UNION | 15 | 19 => 12 * count,
        // Enumerations, prototypes.
        KIND_ENUM | 13 => 8 * count,
        _ => return None,
    })
}

fn word(bytes: &[u8], at: usize) -> Result<u32, MalformedBtf> {
    let range: Range<usize> = at..at.checked_add(4).ok_or(MalformedBtf)?;
    let word = bytes
        .get(range)
        .and_then(|word| word.try_into().ok())
        .ok_or(MalformedBtf)?;
    Ok(u32::from_ne_bytes(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `struct s { int a; union { int b; struct { int c; }; }; int d : 3; }` and
    /// `enum s { a = 3, d = 7 }`, laid out by hand.
    fn sample() -> Vec<u8> {
        let strings = b"\0s\0a\0b\0c\0d\0int\0";
        let mut types: Vec<u32> = Vec::new();
        types.extend([11, 1 << 24, 4, 32]);
        types.extend([0, KIND_STRUCT << 24 | 1, 4]);
        types.extend([7, 1, 0]);
        types.extend([0, KIND_UNION << 24 | 2, 4]);
        types.extend([5, 1, 0]);
        types.extend([0, 2, 0]);
        types.extend([1, 1 << 31 | KIND_STRUCT << 24 | 3, 12]);
        types.extend([3, 1, 0]);
        types.extend([0, 3, 32]);
        types.extend([9, 1, 3 << 24 | 64]);
        types.extend([1, KIND_ENUM << 24 | 2, 4]);
        types.extend([3, 3]);
        types.extend([9, 7]);
        let types: Vec<u8> = types.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let mut bytes = Vec::new();
        bytes.extend(MAGIC.to_ne_bytes());
        bytes.extend([1, 0]);
        for word in [
            24,
            0,
            types.len() as u32,
            types.len() as u32,
            strings.len() as u32,
        ] {
            bytes.extend(word.to_ne_bytes());
        }
        bytes.extend(types);
        bytes.extend(strings);
        bytes
    }

    #[test]
    fn members_are_found_in_anonymous_parts_and_among_bit_fields() {
        let bytes = sample();
        let btf = Btf::parse(&bytes).expect("well formed");
        assert_eq!(btf.offset_of("s", "a"), Some(0));
        assert_eq!(btf.offset_of("s", "b"), Some(4));
        assert_eq!(btf.offset_of("s", "c"), Some(4));
        assert_eq!(btf.offset_of("s", "d"), Some(8));
        let [a, d] = ["a", "d"].map(|member| btf.place_of("s", member));
        assert_eq!(a.map(|place| place.width), Some(32));
        assert_eq!(d.map(|place| place.width), Some(3));
        assert_eq!(btf.offset_of("s", "e"), None);
        assert_eq!(btf.offset_of("t", "a"), None);
    }

    #[test]
    fn names_of_enumerations_are_found() {
        let bytes = sample();
        let btf = Btf::parse(&bytes).expect("well formed");
        assert_eq!(btf.value_of("s", "d"), Some(7));
        assert_eq!(btf.value_of("s", "b"), None);
        assert_eq!(btf.value_of("a", "d"), None);
    }

    #[test]
    fn bytes_cut_or_changed_anywhere_do_no_harm() {
        let bytes = sample();
        for cut in 0..bytes.len() {
            assert!(Btf::parse(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut changed = bytes.clone();
                changed[at] = value;
                if let Ok(btf) = Btf::parse(&changed) {
                    let _ = btf.offset_of("s", "c");
                    let _ = btf.value_of("s", "d");
                }
            }
        }
    }
}
