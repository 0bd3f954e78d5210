//! Where a request begins: an array of strings, or a line of words that a person typed. It reads
//! the words that are looked at and counts the others; what they mean is not its business.

use crate::redis::command::{WORD_BYTES_MAX, WORDS_MAX, words_needed};
use crate::redis::value::{self, Number};

/// Arguments that Redis accepts (`PROTO_REQ_MULTIBULK_MAX_LEN` was 1,048,576 up to 7.0, and is
/// what an `int` can hold since).
const ARGUMENTS_MAX: u64 = 1 << 31;

/// The words that a request begins with, as far as they are looked at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Words<'b> {
    words: [&'b [u8]; WORDS_MAX],
    len: usize,
}

impl<'b> Words<'b> {
    pub fn as_slice(&self) -> &[&'b [u8]] {
        &self.words[..self.len]
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn push(&mut self, word: &'b [u8]) {
        self.words[self.len] = word;
        self.len += 1;
    }

    /// How many are wanted, of `count`.
    fn wanted(&self, count: u64) -> usize {
        let wanted = match self.as_slice() {
            [] => 1,
            [first, ..] => words_needed(first),
        };
        usize::try_from(count).map_or(wanted, |count| wanted.min(count))
    }
}

/// What stands where a request begins.
pub enum CommandHead<'b> {
    /// Nothing, which servers pass over.
    Empty(usize),
    Whole {
        words: Words<'b>,
        /// Of all words, those that are not looked at included.
        count: u64,
        /// Words that follow.
        left: u64,
        consumed: usize,
    },
    /// It goes on; what is known of it.
    Partial(Words<'b>, Option<u64>),
    Invalid,
}

pub fn head(buf: &[u8]) -> CommandHead<'_> {
    match buf {
        [] => CommandHead::Partial(Words::default(), None),
        [b'*', ..] => array(buf),
        [b'\n', ..] => CommandHead::Empty(1),
        [b'\r'] => CommandHead::Partial(Words::default(), None),
        [b'\r', b'\n', ..] => CommandHead::Empty(2),
        _ => typed(buf),
    }
}

fn array(buf: &[u8]) -> CommandHead<'_> {
    let (count, mut at) = match value::number(buf) {
        Number::Of(0, len) | Number::Null(len) => return CommandHead::Empty(len),
        Number::Of(count, len) if count <= ARGUMENTS_MAX => (count, len),
        Number::Partial => return CommandHead::Partial(Words::default(), None),
        Number::Of(..) | Number::Streamed(_) | Number::Invalid => return CommandHead::Invalid,
    };
    let mut words = Words::default();
    while words.len < words.wanted(count) {
        let rest = &buf[at..];
        let (len, begins) = match rest.first() {
            None => return CommandHead::Partial(words, Some(count)),
            Some(b'$') => match value::number(rest) {
                Number::Of(len, begins) => (len, begins),
                Number::Partial => return CommandHead::Partial(words, Some(count)),
                _ => return CommandHead::Invalid,
            },
            Some(_) => return CommandHead::Invalid,
        };
        let Some(len) = usize::try_from(len)
            .ok()
            .filter(|len| *len <= WORD_BYTES_MAX)
        else {
            // No name, nor anything else that is looked at.
            break;
        };
        let Some(word) = rest.get(begins..begins + len) else {
            return CommandHead::Partial(words, Some(count));
        };
        match &rest[begins + len..] {
            [b'\r', b'\n', ..] => {}
            [] | [b'\r'] => return CommandHead::Partial(words, Some(count)),
            _ => return CommandHead::Invalid,
        }
        words.push(word);
        at += begins + len + 2;
    }
    if words.is_empty() {
        // A name that is too long is none.
        words.push(b"");
        return CommandHead::Whole {
            words,
            count,
            left: count,
            consumed: at,
        };
    }
    CommandHead::Whole {
        left: count - words.len as u64,
        words,
        count,
        consumed: at,
    }
}

/// A line of words with spaces between. What a quoted word holds does not matter.
fn typed(buf: &[u8]) -> CommandHead<'_> {
    let is_text = |byte: &u8| *byte >= b' ' || *byte == b'\t';
    let Some((text, len)) = value::line(buf) else {
        let text = buf.strip_suffix(b"\r").unwrap_or(buf);
        return if text.iter().all(is_text) {
            CommandHead::Partial(Words::default(), None)
        } else {
            CommandHead::Invalid
        };
    };
    if !text.iter().all(is_text) {
        return CommandHead::Invalid;
    }
    let mut words = Words::default();
    let mut count = 0;
    let mut rest = text.trim_ascii();
    while !rest.is_empty() {
        let word_len = word_len(rest);
        if count < WORDS_MAX as u64 {
            words.push(&rest[..word_len]);
        }
        count += 1;
        rest = rest[word_len..].trim_ascii_start();
    }
    if count == 0 {
        return CommandHead::Empty(len);
    }
    CommandHead::Whole {
        words,
        count,
        left: 0,
        consumed: len,
    }
}

/// Where the word ends that `text` begins with; spaces in quotes are part of it.
fn word_len(text: &[u8]) -> usize {
    let mut quote = None;
    let mut is_escaped = false;
    for (at, &byte) in text.iter().enumerate() {
        match quote {
            _ if is_escaped => is_escaped = false,
            Some(_) if byte == b'\\' => is_escaped = true,
            Some(mark) if byte == mark => quote = None,
            Some(_) => {}
            None if byte == b'"' || byte == b'\'' => quote = Some(byte),
            None if byte == b' ' || byte == b'\t' => return at,
            None => {}
        }
    }
    text.len()
}
