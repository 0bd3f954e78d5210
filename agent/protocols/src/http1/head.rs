//! Heads to start lines and fields. `httparse` reads them; what it refuses although real servers
//! take it, and heads that were cut, are read line by line. Bodies are not its business.

use std::borrow::Cow;
use std::mem::MaybeUninit;

use super::detect::{detect, is_token};
use super::fields::{Fields, lossy};
use crate::detect::Detected;
use crate::message::Version;

/// Fields that `httparse` has room for; longer heads are read line by line.
const FIELDS_MAX: usize = 96;

/// What became of the bytes where a head was expected.
#[derive(Debug)]
pub(super) enum Head<L> {
    /// The whole of it, and its bytes.
    Whole(L, usize),
    /// Right so far.
    Partial,
    /// None.
    Invalid,
}

/// RFC 9112 §3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RequestLine<'b> {
    pub method: &'b str,
    pub target: Cow<'b, str>,
    /// `None` where the line was cut before it.
    pub version: Option<Version>,
}

/// RFC 9112 §4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StatusLine {
    pub status: u16,
    pub version: Version,
}

/// Finds the end of a head across calls, so that one which arrives byte by byte is not read anew
/// for every byte.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Search {
    /// Bytes that were looked at and hold no end.
    seen: usize,
}

impl Search {
    /// Whether `buf` is worth parsing: it is offered for the first time, or an empty line came.
    pub fn is_worth_it(&mut self, buf: &[u8]) -> bool {
        let first = self.seen == 0;
        let from = self.seen.saturating_sub(3).min(buf.len());
        self.seen = buf.len();
        first
            || memchr::memchr_iter(b'\n', &buf[from..]).any(|at| {
                let behind = &buf[from + at + 1..];
                behind.starts_with(b"\n") || behind.starts_with(b"\r\n")
            })
    }
}

/// Reads a request's head; `buf` does not begin with an empty line. `fields` are of use only if the
/// head is whole.
pub(super) fn request<'b>(buf: &'b [u8], fields: &mut Fields<'b>) -> Head<RequestLine<'b>> {
    let mut room = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut parsed = httparse::Request::new(&mut []);
    let config = httparse::ParserConfig::default();
    match config.parse_request_with_uninit_headers(&mut parsed, buf, &mut room) {
        Ok(httparse::Status::Complete(len)) => {
            let (Some(method), Some(target)) = (parsed.method, parsed.path) else {
                return Head::Invalid;
            };
            let line = RequestLine {
                method,
                target: Cow::Borrowed(target),
                version: Some(version(parsed.version)),
            };
            take_all(fields, parsed.headers);
            Head::Whole(line, len)
        }
        Ok(httparse::Status::Partial) => Head::Partial,
        Err(_) => by_line(buf, fields, request_line),
    }
}

/// Reads a response's head; the same holds for `fields`.
pub(super) fn response<'b>(buf: &'b [u8], fields: &mut Fields<'b>) -> Head<StatusLine> {
    let mut room = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    match config.parse_response_with_uninit_headers(&mut parsed, buf, &mut room) {
        Ok(httparse::Status::Complete(len)) => match parsed.code {
            Some(status @ 100..) => {
                let version = version(parsed.version);
                take_all(fields, parsed.headers);
                Head::Whole(StatusLine { status, version }, len)
            }
            _ => Head::Invalid,
        },
        Ok(httparse::Status::Partial) => Head::Partial,
        Err(_) => by_line(buf, fields, status_line),
    }
}

/// Reads what there is of a request's head that was cut.
pub(super) fn cut_request(pending: &[u8]) -> Option<(RequestLine<'_>, Fields<'_>)> {
    let (line, rest) = match next_line(pending) {
        Some((line, rest)) => (request_line(line)?, rest),
        None => (cut_request_line(pending)?, &[][..]),
    };
    Some((line, cut_fields(rest)))
}

/// Reads what there is of a response's head that was cut.
pub(super) fn cut_response(pending: &[u8]) -> Option<StatusLine> {
    match next_line(pending) {
        Some((line, _)) => status_line(line),
        None => status_line(pending),
    }
}

fn version(minor: Option<u8>) -> Version {
    match minor {
        Some(0) => Version::Http10,
        _ => Version::Http11,
    }
}

/// `httparse` has taken the white space off.
fn take_all<'b>(fields: &mut Fields<'b>, headers: &[httparse::Header<'b>]) {
    for header in headers {
        fields.take(header.name.as_bytes(), header.value);
    }
}

/// More patient than `httparse`: any number of fields, folded lines, bytes beyond ASCII; but every
/// line must be a field.
fn by_line<'b, L>(
    buf: &'b [u8],
    fields: &mut Fields<'b>,
    read: impl Fn(&'b [u8]) -> Option<L>,
) -> Head<L> {
    let Some((line, mut rest)) = next_line(buf) else {
        return match detect(buf) {
            Detected::No => Head::Invalid,
            Detected::Match(_) | Detected::NotYet => Head::Partial,
        };
    };
    let Some(line) = read(line) else {
        return Head::Invalid;
    };
    *fields = Fields::default();
    while let Some((text, behind)) = next_line(rest) {
        rest = behind;
        if text.is_empty() {
            return Head::Whole(line, buf.len() - rest.len());
        }
        if !take_field(fields, text) {
            return Head::Invalid;
        }
    }
    Head::Partial
}

fn cut_fields(mut rest: &[u8]) -> Fields<'_> {
    let mut fields = Fields::default();
    while let Some((text, behind)) = next_line(rest) {
        rest = behind;
        if !take_field(&mut fields, text) {
            break;
        }
    }
    fields
}

/// The line at the start of `buf` without its end, and what is behind it; `None` if it is cut.
fn next_line(buf: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b'\n', buf)?;
    let line = &buf[..end];
    Some((line.strip_suffix(b"\r").unwrap_or(line), &buf[end + 1..]))
}

fn take_field<'b>(fields: &mut Fields<'b>, line: &'b [u8]) -> bool {
    if line.starts_with(b" ") || line.starts_with(b"\t") {
        // A folded line (RFC 9112 §5.2) goes on with a value that was taken without it.
        return true;
    }
    let Some(colon) = memchr::memchr(b':', line) else {
        return false;
    };
    let name = line[..colon].trim_ascii_end();
    let is_name = !name.is_empty() && name.iter().all(|&byte| is_token(byte));
    if is_name {
        fields.take(name, line[colon + 1..].trim_ascii());
    }
    is_name
}

fn request_line(line: &[u8]) -> Option<RequestLine<'_>> {
    let (rest, version) = match line.len().checked_sub(9).map(|at| line.split_at(at)) {
        Some((rest, b" HTTP/1.1")) => (rest, Version::Http11),
        Some((rest, b" HTTP/1.0")) => (rest, Version::Http10),
        _ => return None,
    };
    cut_request_line(rest).map(|line| RequestLine {
        version: Some(version),
        ..line
    })
}

/// Method and as much of the target as there is.
fn cut_request_line(line: &[u8]) -> Option<RequestLine<'_>> {
    let space = memchr::memchr(b' ', line)?;
    let (method, target) = (&line[..space], &line[space + 1..]);
    let is_line = !method.is_empty()
        && method.iter().all(|&byte| is_token(byte))
        && !target.is_empty()
        && target.iter().all(|&byte| byte > b' ' && byte != 0x7f);
    is_line.then_some(())?;
    Some(RequestLine {
        method: std::str::from_utf8(method).ok()?,
        target: lossy(target),
        version: None,
    })
}

fn status_line(line: &[u8]) -> Option<StatusLine> {
    let (start, reason) = line.split_at_checked(12)?;
    let (name, code) = start.split_at(9);
    let version = match name {
        b"HTTP/1.1 " => Version::Http11,
        b"HTTP/1.0 " => Version::Http10,
        _ => return None,
    };
    let is_code = code.iter().all(u8::is_ascii_digit) && code[0] != b'0';
    let is_line = is_code && (reason.is_empty() || reason[0] == b' ');
    is_line.then(|| StatusLine {
        status: code
            .iter()
            .fold(0, |n, digit| n * 10 + u16::from(digit - b'0')),
        version,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(buf: &[u8]) -> (RequestLine<'_>, Fields<'_>) {
        let mut fields = Fields::default();
        match request(buf, &mut fields) {
            Head::Whole(line, len) => {
                assert_eq!(len, buf.len());
                (line, fields)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn heads_that_the_library_refuses_are_read_line_by_line() {
        let many = format!(
            "GET / HTTP/1.1\r\n{}Host: h\r\n\r\n",
            "a: b\r\n".repeat(200)
        );
        assert_eq!(whole(many.as_bytes()).1.host, Some(&b"h"[..]));
        let folded = b"GET / HTTP/1.1\r\nX: a\r\n b\r\nHost: h\r\n\r\n";
        assert_eq!(whole(folded).1.host, Some(&b"h"[..]));
        let latin = b"GET /caf\xe9 HTTP/1.1\r\nHost: h\r\n\r\n";
        assert_eq!(whole(latin).0.target, "/caf\u{fffd}");
        for bad in [
            &b"GET / HTTP/1.1\r\njunk\r\n\r\n"[..],
            b"GET / HTTP/2.0\r\n\r\n",
        ] {
            let head = request(bad, &mut Fields::default());
            assert!(matches!(head, Head::Invalid), "{bad:?}");
        }
    }

    #[test]
    fn a_cut_head_gives_its_whole_lines() {
        let (line, fields) = cut_request(b"GET /a HTTP/1.1\r\nHost: h\r\nUser-Ag").expect("a line");
        assert_eq!((line.method, &*line.target), ("GET", "/a"));
        assert_eq!((fields.host, fields.user_agent), (Some(&b"h"[..]), None));
        let (line, _) = cut_request(b"GET /long").expect("a target");
        assert_eq!((&*line.target, line.version), ("/long", None));
        assert!(cut_request(b"GET").is_none());
        assert_eq!(cut_response(b"HTTP/1.1 200").expect("a code").status, 200);
        assert!(cut_response(b"HTTP/1.1 20").is_none());
        assert!(cut_response(b"HTTP/1.1 2000").is_none());
    }

    #[test]
    fn only_an_empty_line_is_worth_another_look() {
        let head = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
        let mut search = Search::default();
        let worth: Vec<usize> = (1..=head.len())
            .filter(|&len| search.is_worth_it(&head[..len]))
            .collect();
        assert_eq!(worth, [1, head.len()]);
    }
}
