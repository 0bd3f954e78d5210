//! A text as a server that decodes it reads it: percent-encoding undone as often as it was done. It
//! keeps how often, because an encoded separator is none to who decodes once.

/// A text may be encoded within an encoded text; this often is looked at.
const LEVEL_MAX: u8 = 3;

/// One byte of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// Decoded.
    pub byte: u8,
    /// How often it was encoded: 1 for `%41`, 2 for `%2541`.
    pub level: u8,
    /// Where it begins.
    pub at: usize,
    /// Bytes of the text that it takes.
    pub len: usize,
}

impl Item {
    /// Where the next one begins.
    pub fn end(&self) -> usize {
        self.at + self.len
    }
}

/// The item at `at`, or `None` at the end.
pub fn item(text: &[u8], at: usize) -> Option<Item> {
    let mut byte = *text.get(at)?;
    let mut len = 1;
    let mut level = 0;
    while byte == b'%'
        && level < LEVEL_MAX
        && let Some([high, low]) = text.get(at + len..at + len + 2)
        && let (Some(high), Some(low)) = (hex_digit(*high), hex_digit(*low))
    {
        byte = high << 4 | low;
        len += 2;
        level += 1;
    }
    Some(Item {
        byte,
        level,
        at,
        len,
    })
}

/// The items from `at` on.
pub fn items(text: &[u8], mut at: usize) -> impl Iterator<Item = Item> + '_ {
    std::iter::from_fn(move || {
        let item = item(text, at)?;
        at = item.end();
        Some(item)
    })
}

fn hex_digit(digit: u8) -> Option<u8> {
    // At most 15.
    char::from(digit).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_undone_layer_by_layer() {
        let read = |text: &[u8]| -> Vec<(u8, u8)> {
            items(text, 0).map(|item| (item.byte, item.level)).collect()
        };
        assert_eq!(read(b"a%41"), [(b'a', 0), (b'A', 1)]);
        assert_eq!(
            read(b"%2541%25zz"),
            [(b'A', 2), (b'%', 1), (b'z', 0), (b'z', 0)]
        );
        assert_eq!(read(b"%4%"), [(b'%', 0), (b'4', 0), (b'%', 0)]);
        assert_eq!(read(b"%25252541").len(), 3, "deeper than anybody looks");
    }
}
