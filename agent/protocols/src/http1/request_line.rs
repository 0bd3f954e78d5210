//! The line that a request begins with (RFC 9112 §3), as the more lenient of servers read it: nginx
//! takes any number of blanks between its parts and behind them, Python's `http.server` tabs as
//! well, and minor versions that do not exist are read as the latest (RFC 9110 §2.5). What no
//! server takes is no request line here either.

use super::characters::{target_len, token_len};
use crate::family::http::Version;

/// What there is of a line; its end may be missing, and so may whatever stands before that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LineParts<'b> {
    pub method: &'b [u8],
    pub target: &'b [u8],
    /// Once all of it is there.
    pub version: Option<Version>,
    /// A carriage return follows: nothing but the line feed may stand behind it.
    pub has_return: bool,
}

/// Takes a line apart that has no line feed; `None` if it is no request line, whatever may follow.
pub(super) fn take_apart(line: &[u8]) -> Option<LineParts<'_>> {
    let (method, behind) = line.split_at(token_len(line));
    let mut parts = LineParts {
        method,
        target: &[],
        version: None,
        has_return: false,
    };
    if behind.is_empty() {
        return Some(parts);
    }
    let behind = behind_blanks(behind).filter(|_| !method.is_empty())?;
    let (target, behind) = behind.split_at(target_len(behind));
    parts.target = target;
    if behind.is_empty() {
        return Some(parts);
    }
    let behind = behind_blanks(behind).filter(|_| !target.is_empty())?;
    const NAME: &[u8] = b"HTTP/1.";
    let common = behind.len().min(NAME.len());
    let (name, behind) = behind.split_at(common);
    if name != &NAME[..common] {
        return None;
    }
    let Some((minor, behind)) = behind.split_first() else {
        return Some(parts);
    };
    parts.version = Some(match minor {
        b'0' => Version::Http10,
        b'1'..=b'9' => Version::Http11,
        _ => return None,
    });
    match behind_blanks(behind).unwrap_or(behind) {
        [] => Some(parts),
        [b'\r'] => {
            parts.has_return = true;
            Some(parts)
        }
        _ => None,
    }
}

/// What stands behind the blanks at the start, of which there is one at least.
fn behind_blanks(bytes: &[u8]) -> Option<&[u8]> {
    let len = bytes
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t'))
        .count();
    (len > 0).then(|| &bytes[len..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_some_server_takes_is_taken_apart() {
        // nginx 1.22 takes the first five, Python 3.11 all of them.
        for (line, target, version) in [
            ("GET / HTTP/1.1", "/", Version::Http11),
            ("GET / HTTP/1.1 ", "/", Version::Http11),
            ("GET   /   HTTP/1.0", "/", Version::Http10),
            ("GET / HTTP/1.2", "/", Version::Http11),
            ("GET /\u{e9} HTTP/1.1", "/\u{e9}", Version::Http11),
            ("GET\t/\tHTTP/1.1\t", "/", Version::Http11),
        ] {
            let parts = take_apart(line.as_bytes()).expect(line);
            assert_eq!(
                (parts.method, parts.target, parts.version),
                (&b"GET"[..], target.as_bytes(), Some(version)),
                "{line}"
            );
            for len in 0..line.len() {
                assert!(
                    take_apart(&line.as_bytes()[..len]).is_some(),
                    "{line} {len}"
                );
            }
        }
    }

    #[test]
    fn what_no_server_takes_is_none_as_soon_as_that_shows() {
        for line in [
            "GET /a b",
            "GET / http/1.1",
            "GET / HTTP/2",
            "GET / HTTP/1.x",
            "GET / HTTP/1.1 x",
            "GET / HTTP/1.1\r ",
            "GET /\r",
            "GET\r",
            " GET",
            "G(T /",
            "\u{16}\u{3}\u{1}",
        ] {
            assert_eq!(take_apart(line.as_bytes()), None, "{line:?}");
        }
    }
}
