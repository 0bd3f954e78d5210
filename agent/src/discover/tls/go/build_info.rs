//! The version of Go that built a program, as its linker wrote it down. Source of the format:
//! `debug/buildinfo/buildinfo.go`.

use super::super::image::{Image, u64_at};
use crate::arch::GO_REGISTERS_SINCE;

const MAGIC: &[u8] = b"\xff Go buildinf:";
const HEADER_LEN: usize = 32;
/// Bit of the flags: texts follow inline (Go 1.18); otherwise pointers to them.
const INLINE: u8 = 2;
/// Versions are a dozen bytes; with experiments named, a few dozen.
const VERSION_LEN_MAX: u64 = 256;

/// The version, if it is known to be one whose functions take their arguments on the stack.
pub(in crate::discover) fn too_old(image: &Image<'_>) -> Option<String> {
    let version = version(image)?;
    let old = minor(&version)? < GO_REGISTERS_SINCE;
    old.then_some(version)
}

/// Such as `go1.22.1`. `None` if it is not told: old programs that are position-independent have
/// nothing but relocations there.
fn version(image: &Image<'_>) -> Option<String> {
    let section = image.section(".go.buildinfo")?;
    let header = image.read(section.place.offset, HEADER_LEN)?;
    if !header.starts_with(MAGIC) {
        return None;
    }
    let bytes = if header[15] & INLINE != 0 {
        let text = section.place.offset + HEADER_LEN as u64;
        // A varint; a length of two bytes is more than any version has.
        let start = image.read(text, 2)?;
        let (len, skip) = match *start.as_slice() {
            [len, _] if len < 0x80 => (u64::from(len), 1),
            [low, high] if high < 0x80 => (u64::from(low & 0x7f) | u64::from(high) << 7, 2),
            _ => return None,
        };
        bounded(len, |len| image.read(text + skip, len))?
    } else {
        // A pointer to a Go string: pointer and length.
        let string = image.read_address(u64_at(&header, 16), 16)?;
        bounded(u64_at(&string, 8), |len| {
            image.read_address(u64_at(&string, 0), len)
        })?
    };
    String::from_utf8(bytes).ok()
}

fn bounded(len: u64, read: impl FnOnce(usize) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    (len <= VERSION_LEN_MAX)
        .then(|| read(len as usize))
        .flatten()
}

/// 22 of `go1.22.1`, and of `devel go1.22-0123abc`.
fn minor(version: &str) -> Option<u32> {
    let (_, rest) = version.split_once("go1.")?;
    let digits = rest.split(|digit: char| !digit.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minor_version_is_found_in_whatever_go_writes() {
        assert_eq!(minor("go1.22.1"), Some(22));
        assert_eq!(minor("go1.9"), Some(9));
        assert_eq!(minor("devel go1.23-0123abc Mon"), Some(23));
        assert_eq!(minor("go1.21.5 X:boringcrypto"), Some(21));
        assert_eq!(minor("unknown"), None);
    }
}
