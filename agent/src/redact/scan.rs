//! Finds secrets in a text, in one pass and without allocating. What is found errs on the side of
//! hiding: where servers disagree about where a value ends, it ends late.

use super::key::NameRead;
use super::names::{NAME_BYTES_MAX, SecretNames};
use super::token::{self, TokenStart};
use super::view::{self, Item};
use super::{REDACTED, Secret};

/// In place of a user and a password, as the conventions have it (`url.full`).
const USER_AND_PASSWORD: &str = "REDACTED:REDACTED";

/// How a text is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grammar {
    /// A URL, or a path with or without what follows it.
    Url,
    /// A query, without its question mark.
    Query,
    /// Words, as in User-Agent.
    Text,
}

/// Whether there is anything to look for. Most texts are done with here, so it costs as little as
/// possible: one look at each byte, and one at each plain name of a parameter.
pub fn may_have_secret(names: &SecretNames, grammar: Grammar, text: &[u8]) -> bool {
    let signs = text
        .iter()
        .fold(0, |signs, byte| signs | SIGNS[usize::from(*byte)]);
    if signs & TOKEN != 0 && memchr::memchr_iter(b'J', text).any(|at| text[..at].ends_with(b"ey")) {
        return true;
    }
    if grammar == Grammar::Text {
        return signs & (ENCODED_OR_USER | ASSIGNED | COLON) != 0
            || memchr::memchr_iter(b' ', text).any(|at| ends_with(&text[..at], &BARE_SCHEMES));
    }
    signs & (ENCODED_OR_USER | QUOTED) != 0
        || signs & ASSIGNED != 0
            && memchr::memchr_iter(b'=', text).any(|at| may_be_secret(names, &text[..at]))
}

/// Whether the name at the end of this may be one of a secret: it is, or is not made of letters and
/// digits alone.
fn may_be_secret(names: &SecretNames, text: &[u8]) -> bool {
    let mut name = [0; NAME_BYTES_MAX];
    let mut len = 0;
    for byte in text.iter().rev() {
        if separates_url(*byte) || *byte == b'=' {
            break;
        }
        if !byte.is_ascii_alphanumeric() {
            return true;
        }
        if len < name.len() {
            name[name.len() - 1 - len] = byte.to_ascii_lowercase();
        }
        len += 1;
    }
    len <= name.len() && names.has(&name[name.len() - len..])
}

/// What a byte may be the sign of.
const SIGNS: [u8; 256] = {
    let mut signs = [0; 256];
    signs[b'%' as usize] = ENCODED_OR_USER;
    signs[b'@' as usize] = ENCODED_OR_USER;
    signs[b'=' as usize] = ASSIGNED;
    signs[b'"' as usize] = QUOTED;
    signs[b':' as usize] = COLON;
    signs[b'J' as usize] = TOKEN;
    signs
};
const ENCODED_OR_USER: u8 = 1;
const ASSIGNED: u8 = 2;
const QUOTED: u8 = 4;
const COLON: u8 = 8;
const TOKEN: u8 = 16;

/// Finds the secrets of `text`.
pub fn scan(names: &SecretNames, grammar: Grammar, text: &[u8], mut found: impl FnMut(Secret)) {
    let mut scanner = Scanner {
        names,
        grammar,
        text,
        key: NameRead::default(),
        in_query: grammar == Grammar::Query,
        before: None,
        no_token_before: 0,
    };
    let mut at = 0;
    while let Some(item) = view::item(text, at) {
        at = match scanner.step(item) {
            Some(secret) => {
                let end = secret.range.end.max(item.end());
                found(secret);
                scanner.before = None;
                scanner.key.clear();
                end
            }
            None => item.end(),
        };
    }
}

struct Scanner<'a> {
    names: &'a SecretNames,
    grammar: Grammar,
    text: &'a [u8],
    key: NameRead,
    /// Behind a question mark or a number sign.
    in_query: bool,
    /// The byte before, decoded.
    before: Option<u8>,
    /// Where tokens were looked for already.
    no_token_before: usize,
}

impl Scanner<'_> {
    /// Looks at one item; the secret that begins at it or behind it.
    fn step(&mut self, item: Item) -> Option<Secret> {
        let before = self.before.replace(item.byte);
        if item.byte == b'e' && item.at >= self.no_token_before && self.spells(item, b"eyJ") {
            match token::look(self.text, item.at) {
                TokenStart::Token(end) => return Some(hidden(item.at, end, REDACTED)),
                TokenStart::NoneBefore(end) => self.no_token_before = end,
            }
        }
        if item.byte == b'/' && matches!(before, Some(b'/' | b':')) {
            self.key.clear();
            return self.userinfo(item);
        }
        if self.assigns(item, before) {
            let is_secret = self.key.is_secret(self.names);
            self.key.clear();
            return is_secret.then(|| self.value(item));
        }
        if self.separates(item.byte) {
            let word_ended = self.grammar == Grammar::Text && item.byte == b' ';
            self.in_query |= item.level == 0 && matches!(item.byte, b'?' | b'#');
            self.key.clear();
            if word_ended && ends_with(&self.text[..item.at], &BARE_SCHEMES) {
                let end = self.word_end(item.end(), 0);
                // Shorter ones are words of a language.
                return (end - item.end() >= CREDENTIALS_BYTES_MIN)
                    .then(|| hidden(item.end(), end, REDACTED));
            }
            return None;
        }
        self.key.push(self.names, item.byte);
        None
    }

    fn spells(&self, item: Item, word: &[u8]) -> bool {
        let read = view::items(self.text, item.at).map(|item| item.byte);
        read.take(word.len()).eq(word.iter().copied())
    }

    /// Whether the name ends here and its value begins. In JSON a colon behind a quotation mark
    /// does it.
    fn assigns(&self, item: Item, before: Option<u8>) -> bool {
        match item.byte {
            b'=' => true,
            b':' => self.grammar == Grammar::Text || before == Some(b'"'),
            _ => false,
        }
    }

    fn separates(&self, byte: u8) -> bool {
        match self.grammar {
            Grammar::Url | Grammar::Query => separates_url(byte),
            Grammar::Text => {
                matches!(
                    byte,
                    b' ' | b'\t' | b'(' | b')' | b',' | b';' | b'?' | b'&' | b'#' | b'/' | b'\''
                )
            }
        }
    }

    /// The value behind `assignment`. What was encoded more often than the assignment ends nothing.
    fn value(&mut self, assignment: Item) -> Secret {
        let from = assignment.end();
        let end = if self.grammar == Grammar::Text {
            let word = self.text[from..]
                .iter()
                .position(|byte| *byte != b' ')
                .map_or(self.text.len(), |blanks| from + blanks);
            let end = self.word_end(word, assignment.level);
            if ends_with(&self.text[word..end], &SCHEMES) && self.text.get(end) == Some(&b' ') {
                self.word_end(end + 1, assignment.level)
            } else {
                end
            }
        } else {
            self.end_where(from, |item| match item.byte {
                b'&' => item.level <= assignment.level,
                b'/' | b';' | b'?' | b'#' => !self.in_query && item.level == 0,
                _ => false,
            })
        };
        hidden(from, end, REDACTED)
    }

    fn word_end(&self, from: usize, level: u8) -> usize {
        self.end_where(from, |item| {
            item.level <= level
                && matches!(
                    item.byte,
                    b' ' | b'\t' | b')' | b',' | b';' | b'&' | b'"' | b'\''
                )
        })
    }

    fn end_where(&self, from: usize, ends: impl Fn(Item) -> bool) -> usize {
        view::items(self.text, from)
            .find(|item| ends(*item))
            .map_or(self.text.len(), |item| item.at)
    }

    /// The user and password behind `//`, if there are any before the authority ends.
    fn userinfo(&self, slash: Item) -> Option<Secret> {
        let from = slash.end();
        let mut at_sign = None;
        let mut colon = false;
        let mut has_password = false;
        for item in view::items(self.text, from) {
            let ends = match item.byte {
                b'/' | b'?' | b'#' => true,
                // Within an authority it may be part of a password.
                b'&' => self.in_query || slash.level > 0,
                b' ' | b'"' | b'\'' | b'<' | b'>' | b')' => self.grammar == Grammar::Text,
                _ => false,
            };
            if ends && item.level <= slash.level {
                break;
            }
            match item.byte {
                b':' => colon = true,
                b'@' => {
                    at_sign = Some(item.at);
                    has_password = colon;
                }
                _ => {}
            }
        }
        let stand_in = if has_password {
            USER_AND_PASSWORD
        } else {
            REDACTED
        };
        Some(hidden(from, at_sign?, stand_in))
    }
}

fn separates_url(byte: u8) -> bool {
    matches!(byte, b'/' | b';' | b'?' | b'&' | b'#' | b',')
}

fn hidden(start: usize, end: usize, stand_in: &'static str) -> Secret {
    Secret {
        range: start..end,
        stand_in,
    }
}

/// Schemes of HTTP authentication whose credentials are looked for wherever they are named.
const BARE_SCHEMES: [&[u8]; 2] = [b"bearer", b"basic"];

/// Those after which the value of a secret goes on.
const SCHEMES: [&[u8]; 5] = [b"bearer", b"basic", b"digest", b"negotiate", b"token"];

/// No credentials are shorter.
const CREDENTIALS_BYTES_MIN: usize = 8;

fn ends_with(text: &[u8], words: &[&[u8]]) -> bool {
    words.iter().any(|word| {
        let begin = text.len().checked_sub(word.len());
        begin.is_some_and(|begin| text[begin..].eq_ignore_ascii_case(word))
    })
}
