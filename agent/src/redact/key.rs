//! The name of a parameter while it is read, byte by byte. It allocates nothing.

use super::names::{NAME_BYTES_MAX, SecretNames, squeeze};

/// What was read of a name. Brackets, points and NUL separate its segments: `user[token]`,
/// `sig[]` and `sig\0x` are what their segments are.
#[derive(Debug, Default)]
pub struct NameRead {
    whole: Word,
    segment: Word,
    is_secret: bool,
}

impl NameRead {
    /// Nothing was read.
    pub fn clear(&mut self) {
        self.whole.len = 0;
        self.segment.len = 0;
        self.is_secret = false;
    }

    /// Reads a byte, decoded.
    pub fn push(&mut self, names: &SecretNames, byte: u8) {
        match squeeze(byte) {
            Some(byte) => {
                self.whole.push(byte);
                self.segment.push(byte);
            }
            None if matches!(byte, b'[' | b']' | b'.' | b':' | b'"' | b'{' | b'}' | 0) => {
                self.is_secret |= names.has(self.segment.bytes());
                self.segment.len = 0;
            }
            None => {}
        }
    }

    /// Whether it names a secret.
    pub fn is_secret(&self, names: &SecretNames) -> bool {
        self.is_secret || names.has(self.segment.bytes()) || names.has(self.whole.bytes())
    }
}

/// Whether a name, as it is, names a secret.
pub fn is_secret(names: &SecretNames, name: &[u8]) -> bool {
    let mut key = NameRead::default();
    for byte in name {
        key.push(names, *byte);
    }
    key.is_secret(names)
}

/// The first letters of a word, and whether there were more.
#[derive(Debug, Default)]
struct Word {
    bytes: [u8; NAME_BYTES_MAX],
    len: usize,
}

impl Word {
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
        }
        self.len = (self.len + 1).min(NAME_BYTES_MAX + 1);
    }

    /// Empty if it is longer than any name.
    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}
