//! Documents (BSON 1.1, bsonspec.org), element by element and as far as they were captured. Values
//! are not read but for those that somebody asks for.

/// An element of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element<'a> {
    kind: u8,
    /// Its name.
    pub name: &'a [u8],
    value: &'a [u8],
}

/// The elements of a document. Ends where the document does, or what was captured of it, or at the
/// first thing that is no element.
#[derive(Clone, Copy, Debug)]
pub struct Elements<'a> {
    rest: &'a [u8],
}

const DOUBLE: u8 = 0x01;
const STRING: u8 = 0x02;
const DOCUMENT: u8 = 0x03;
const ARRAY: u8 = 0x04;
const BOOLEAN: u8 = 0x08;
const INT32: u8 = 0x10;
const INT64: u8 = 0x12;

/// Bytes of a document without elements: its length and its end.
pub const DOCUMENT_BYTES_MIN: u64 = 5;

/// The elements of the document that `bytes` begin with.
#[must_use]
pub fn elements(bytes: &[u8]) -> Elements<'_> {
    let len = length(bytes).unwrap_or(0).min(bytes.len());
    Elements {
        rest: bytes.get(4..len).unwrap_or_default(),
    }
}

/// The number that a document, or a string, begins with.
#[must_use]
pub fn length(bytes: &[u8]) -> Option<usize> {
    let bytes: [u8; 4] = bytes.get(..4)?.try_into().ok()?;
    usize::try_from(i32::from_le_bytes(bytes)).ok()
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        let (&kind, rest) = self.rest.split_first()?;
        let name_len = memchr::memchr(0, rest).filter(|_| kind != 0)?;
        let (name, rest) = (&rest[..name_len], &rest[name_len + 1..]);
        let value_len = value_len(kind, rest);
        // Of a value that is longer than what was captured, the beginning may do.
        let whole = value_len.filter(|len| *len <= rest.len());
        self.rest = whole.map_or(&[], |len| &rest[len..]);
        let value = &rest[..whole.unwrap_or(rest.len())];
        value_len.map(|_| Element { kind, name, value })
    }
}

/// Bytes of a value of this kind that begins here; `None` if that can't be seen, or there is none.
fn value_len(kind: u8, rest: &[u8]) -> Option<usize> {
    let behind_length = |more: usize| length(rest)?.checked_add(more);
    match kind {
        DOUBLE | 0x09 | 0x11 | INT64 => Some(8),
        STRING | 0x0d | 0x0e => behind_length(4),
        DOCUMENT | ARRAY | 0x0f => behind_length(0),
        0x05 => behind_length(5),
        0x06 | 0x0a | 0x7f | 0xff => Some(0),
        0x07 => Some(12),
        BOOLEAN => Some(1),
        0x0b => {
            let pattern = memchr::memchr(0, rest)? + 1;
            let options = memchr::memchr(0, &rest[pattern..])? + 1;
            Some(pattern + options)
        }
        0x0c => behind_length(16),
        INT32 => Some(4),
        0x13 => Some(16),
        _ => None,
    }
}

impl<'a> Element<'a> {
    /// A text, if it is one and all of it was captured.
    #[must_use]
    pub fn text(&self) -> Option<&'a str> {
        let len = length(self.value).filter(|_| self.kind == STRING)?;
        let text = self.value.get(4..4usize.checked_add(len)?)?;
        std::str::from_utf8(text.strip_suffix(b"\0")?).ok()
    }

    /// A number or a truth, if it is one, without what is behind its point.
    #[must_use]
    pub fn number(&self) -> Option<i64> {
        let value = self.value;
        match self.kind {
            DOUBLE => Some(f64::from_le_bytes(value.try_into().ok()?) as i64),
            BOOLEAN => Some(i64::from(*value.first()?)),
            INT32 => Some(i32::from_le_bytes(value.try_into().ok()?).into()),
            INT64 => Some(i64::from_le_bytes(value.try_into().ok()?)),
            _ => None,
        }
    }

    /// The elements of a document or an array, as far as they were captured.
    #[must_use]
    pub fn elements(&self) -> Elements<'a> {
        match self.kind {
            DOCUMENT | ARRAY => elements(self.value),
            _ => Elements { rest: &[] },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{find: "a", n: 2.0, deep: {code: 7}, last: true}`
    const DOCUMENT: &[u8] = b"\x38\0\0\0\x02find\0\x02\0\0\0a\0\x01n\0\0\0\0\0\0\0\0\x40\
        \x03deep\0\x0f\0\0\0\x10code\0\x07\0\0\0\0\x08last\0\x01\0";

    #[test]
    fn elements_come_in_order_with_their_values() {
        assert_eq!(length(DOCUMENT), Some(DOCUMENT.len()));
        let found: Vec<_> = elements(DOCUMENT).collect();
        let names: Vec<_> = found.iter().map(|it| it.name).collect();
        assert_eq!(names, [&b"find"[..], b"n", b"deep", b"last"]);
        assert_eq!((found[0].text(), found[0].number()), (Some("a"), None));
        assert_eq!(found[1].number(), Some(2));
        assert_eq!(found[2].elements().next().unwrap().number(), Some(7));
        assert_eq!(found[3].number(), Some(1));
    }

    #[test]
    fn what_was_cut_ends_there() {
        for len in 0..DOCUMENT.len() {
            let whole: Vec<_> = elements(DOCUMENT).collect();
            let found: Vec<_> = elements(&DOCUMENT[..len]).collect();
            for (found, whole) in found.iter().zip(&whole) {
                assert_eq!(found.name, whole.name);
                let text = found.text();
                assert!(text.is_none() || text == whole.text(), "{len}");
            }
        }
    }

    #[test]
    fn lengths_that_lie_lead_nowhere() {
        for bytes in [
            &b"\xff\xff\xff\xff\x02a\0"[..],
            b"\x20\0\0\0\x02a\0\xff\xff\xff\x7fx\0",
            b"\x20\0\0\0\x02a\0\xff\xff\xff\xffx\0",
            b"\x20\0\0\0\x99a\0x\0",
        ] {
            assert!(elements(bytes).all(|it| it.text().is_none()));
        }
    }
}
