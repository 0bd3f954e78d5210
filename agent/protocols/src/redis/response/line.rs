//! Lines of a server: the prefix of an error, and what a monitor is shown.

use std::borrow::Cow;

use crate::redis::value;

/// Prefixes of errors that Redis 7 and its cluster and sentinel give.
const PREFIXES: [&str; 26] = [
    "ERR",
    "ASK",
    "BUSY",
    "BUSYGROUP",
    "BUSYKEY",
    "CLUSTERDOWN",
    "CROSSSLOT",
    "EXECABORT",
    "INPROG",
    "IOERR",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "MOVED",
    "NOAUTH",
    "NOGOODSLAVE",
    "NOGROUP",
    "NOMASTERLINK",
    "NOPERM",
    "NOREPLICAS",
    "NOSCRIPT",
    "NOTBUSY",
    "OOM",
    "READONLY",
    "WRONGPASS",
    "WRONGTYPE",
];
/// Longest prefix that is told; scripts make up their own.
pub const PREFIX_BYTES_MAX: usize = 24;

/// The first word of an error, if it is one that could be a prefix.
pub fn prefix(text: &[u8]) -> Option<Cow<'static, str>> {
    let end = text
        .iter()
        .position(|byte| matches!(byte, b' ' | b'\r' | b'\n'));
    let word = &text[..end.unwrap_or(text.len())];
    if word.is_empty() || word.len() > PREFIX_BYTES_MAX {
        return None;
    }
    let word = std::str::from_utf8(word).ok()?;
    if let Some(known) = PREFIXES.iter().find(|known| **known == word) {
        return Some(Cow::Borrowed(known));
    }
    word.bytes()
        .all(|byte| byte.is_ascii_uppercase() || byte == b'_')
        .then(|| Cow::Owned(word.to_owned()))
}

/// A line that tells who else did what: a time in seconds with six decimals, and the database and
/// address of a client in brackets.
pub fn is_monitored(line: &[u8]) -> bool {
    let Some(text) = line.strip_prefix(b"+") else {
        return false;
    };
    let Some(point) = text.iter().take(12).position(|byte| *byte == b'.') else {
        return false;
    };
    let digits = |range: Option<&[u8]>| range.is_some_and(|d| value::decimal(d).is_some());
    point > 0
        && digits(text.get(..point))
        && digits(text.get(point + 1..point + 7))
        && text.get(point + 7..point + 9) == Some(b" [")
}
