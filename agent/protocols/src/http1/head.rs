//! Heads to start lines and fields, line by line. A head that begins with a start line is one:
//! nothing in it is refused that real servers take, be it any number of fields, folded lines or
//! bytes beyond ASCII, and a line that is no field is passed over, as nginx does. Bodies are not
//! its business.
//!
//! Own code where a library (`httparse`) would do, for two reasons: it would have to be there
//! anyway, for heads that the library refuses and for those that were cut; and heads are most of
//! what an exchange costs, while hardly any field in them is wanted. What the library accepts is
//! accepted here and means the same; tests see to that.

use std::borrow::Cow;

use super::characters::{target_len, token_len};
use super::detect::detect_response;
use super::request_line;
use crate::family::http::Version;
use crate::fields::{Fields, lossy};
use crate::protocol::Detected;

/// What became of the bytes where a head was expected.
#[derive(Debug)]
pub(super) enum HeadFound<L> {
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
pub(super) struct HeadEndSearch {
    /// Bytes that were looked at and hold no end.
    seen: usize,
    /// The first line was looked at to its end.
    has_line: bool,
}

impl HeadEndSearch {
    /// Whether `buf` is worth parsing: it is offered for the first time, or the end of the first
    /// line came, or an empty line.
    pub fn is_worth_it(&mut self, buf: &[u8]) -> bool {
        let first = self.seen == 0;
        let from = self.seen.saturating_sub(3).min(buf.len());
        self.seen = buf.len();
        if !first && !self.has_line {
            self.has_line = memchr::memchr(b'\n', buf).is_some();
            if self.has_line {
                return true;
            }
        }
        first
            || memchr::memchr_iter(b'\n', &buf[from..]).any(|at| {
                let behind = &buf[from + at + 1..];
                behind.starts_with(b"\n") || behind.starts_with(b"\r\n")
            })
    }
}

/// Reads a request's head; `buf` does not begin with an empty line. `fields` are of use only if the
/// head is whole.
pub(super) fn request<'b>(buf: &'b [u8], fields: &mut Fields<'b>) -> HeadFound<RequestLine<'b>> {
    // What a server that reads line by line makes of it shows at the end of the line.
    let Some((line, rest)) = next_line(buf) else {
        return HeadFound::Partial;
    };
    match request_line(line) {
        Some(line) => whole(line, buf, rest, fields),
        None => HeadFound::Invalid,
    }
}

/// Reads a response's head; the same holds for `fields`. Empty lines before it are taken with it,
/// as clients do.
pub(super) fn response<'b>(buf: &'b [u8], fields: &mut Fields<'b>) -> HeadFound<StatusLine> {
    let Some((line, rest)) = next_line(behind_empty_lines(buf)) else {
        return begun(may_begin_response(buf));
    };
    match status_line(line) {
        Some(line) => whole(line, buf, rest, fields),
        None => HeadFound::Invalid,
    }
}

/// Whether more bytes can make a response's head of these.
pub(super) fn may_begin_response(buf: &[u8]) -> bool {
    let head = behind_empty_lines(buf);
    matches!(head, [] | [b'\r']) || detect_response(head) != Detected::No
}

fn behind_empty_lines(mut head: &[u8]) -> &[u8] {
    while let [b'\n', behind @ ..] | [b'\r', b'\n', behind @ ..] = head {
        head = behind;
    }
    head
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

fn begun<L>(is_right: bool) -> HeadFound<L> {
    if is_right {
        HeadFound::Partial
    } else {
        HeadFound::Invalid
    }
}

/// The head in `buf` whose first line is `line` and whose fields begin with `rest`.
fn whole<'b, L>(line: L, buf: &[u8], rest: &'b [u8], fields: &mut Fields<'b>) -> HeadFound<L> {
    match take_fields(rest, fields) {
        Some(fields_len) => HeadFound::Whole(line, buf.len() - rest.len() + fields_len),
        None => HeadFound::Partial,
    }
}

fn cut_fields(rest: &[u8]) -> Fields<'_> {
    let mut fields = Fields::default();
    take_fields(rest, &mut fields);
    fields
}

/// Takes all fields up to the empty line behind them; returns their bytes, with that line, if it is
/// there.
fn take_fields<'b>(buf: &'b [u8], fields: &mut Fields<'b>) -> Option<usize> {
    let mut rest = buf;
    loop {
        let name = &rest[..token_len(rest)];
        // So begins every line of nearly every head. Its end is looked for behind the name.
        if let Some((b':', behind)) = rest[name.len()..].split_first()
            && !name.is_empty()
        {
            let end = memchr::memchr(b'\n', behind)?;
            fields.take(name, &behind[..end]);
            rest = &behind[end + 1..];
            continue;
        }
        let (text, behind) = next_line(rest)?;
        rest = behind;
        if text.is_empty() {
            return Some(buf.len() - rest.len());
        }
        take_unusual(text, fields);
    }
}

/// Takes a line that does not begin with a name and a colon, if it is a field. With white space
/// between the two a request is to be refused (RFC 9112 §5.1): what servers that don't make of it
/// is not known, so such a field says nothing but, where it may, how long the body is.
fn take_unusual<'b>(line: &'b [u8], fields: &mut Fields<'b>) {
    if line.starts_with(b" ") || line.starts_with(b"\t") {
        // A folded line (RFC 9112 §5.2) goes on with a value that was taken without it.
        return;
    }
    let Some(colon) = memchr::memchr(b':', line) else {
        return;
    };
    let name = line[..colon].trim_ascii_end();
    if !name.is_empty() && token_len(name) == name.len() {
        fields.take_framing(name, &line[colon + 1..]);
    }
}

/// The line at the start of `buf` without its end, and what is behind it; `None` if it is not
/// whole.
fn next_line(buf: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b'\n', buf)?;
    let line = &buf[..end];
    Some((line.strip_suffix(b"\r").unwrap_or(line), &buf[end + 1..]))
}

fn request_line(line: &[u8]) -> Option<RequestLine<'_>> {
    // Nearly every line is like this.
    let version = match line.len().checked_sub(9).map(|at| line.split_at(at)) {
        Some((rest, b" HTTP/1.1")) => Some((rest, Version::Http11)),
        Some((rest, b" HTTP/1.0")) => Some((rest, Version::Http10)),
        _ => None,
    };
    if let Some((rest, version)) = version
        && let Some(line) = cut_request_line(rest)
    {
        return Some(RequestLine {
            version: Some(version),
            ..line
        });
    }
    unusual_request_line(line)
}

#[cold]
fn unusual_request_line(line: &[u8]) -> Option<RequestLine<'_>> {
    let parts = request_line::take_apart(line)?;
    // The carriage return that ends a line was taken off.
    let version = parts.version.filter(|_| !parts.has_return)?;
    Some(RequestLine {
        method: std::str::from_utf8(parts.method).ok()?,
        target: lossy(parts.target),
        version: Some(version),
    })
}

/// Method and as much of the target as there is.
fn cut_request_line(line: &[u8]) -> Option<RequestLine<'_>> {
    let (method, behind) = line.split_at(token_len(line));
    let (b' ', target) = behind.split_first()? else {
        return None;
    };
    if method.is_empty() || target.is_empty() || target_len(target) < target.len() {
        return None;
    }
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
        // PHP's built-in server answers with the version that it was asked with.
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9', b' '] => Version::Http11,
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
    use crate::fields::Length;
    use crate::trace_headers::Format;

    use proptest::prelude::*;

    fn whole(buf: &[u8]) -> (RequestLine<'_>, Fields<'_>) {
        let mut fields = Fields::default();
        match request(buf, &mut fields) {
            HeadFound::Whole(line, len) => {
                assert_eq!(len, buf.len());
                (line, fields)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn unusual_heads_are_read() {
        let many = format!(
            "GET / HTTP/1.1\r\n{}Host: h\r\n\r\n",
            "a: b\r\n".repeat(200)
        );
        assert_eq!(whole(many.as_bytes()).1.host, Some(&b"h"[..]));
        let folded = b"GET / HTTP/1.1\r\nX: a\r\n b\r\nHost: h\r\n\r\n";
        assert_eq!(whole(folded).1.host, Some(&b"h"[..]));
        let latin = b"GET /caf\xe9 HTTP/1.1\r\nHost: h\r\n\r\n";
        assert_eq!(whole(latin).0.target, "/caf\u{fffd}");
        for bad in [&b"GET / HTTP/2.0\r\n\r\n"[..], b"GET /a b HTTP/1.1\r\n\r\n"] {
            let head = request(bad, &mut Fields::default());
            assert!(matches!(head, HeadFound::Invalid), "{bad:?}");
        }
    }

    #[test]
    fn a_name_with_a_blank_behind_it_says_nothing_but_where_the_body_ends() {
        let named = |text: &str| {
            let head = format!("POST / HTTP/1.1\r\nHost: h\r\n{text}\r\n\r\n").into_bytes();
            let mut fields = Fields::default();
            let found = request(head.leak(), &mut fields);
            assert!(matches!(found, HeadFound::Whole(..)), "{text}");
            fields
        };
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        for (blank, counts) in [("", true), (" ", false), ("\t", false)] {
            let fields = named(&format!("traceparent{blank}: {parent}"));
            let (traces, _) = fields.traces();
            assert_eq!(
                traces.of(Format::TraceContext).is_some(),
                counts,
                "{blank:?}"
            );
            let fields = named(&format!("User-Agent{blank}: it"));
            assert_eq!(fields.user_agent.is_some(), counts, "{blank:?}");
            let fields = named(&format!("Content-Length{blank}: 7"));
            assert_eq!(fields.length, Length::Bytes(7), "{blank:?}");
        }
    }

    /// Heads and what is nearly one: the library's opinion counts where it has one.
    fn pieces() -> impl Strategy<Value = Vec<u8>> {
        let pieces: &[&[u8]] = &[
            b"GET",
            b"A-METHOD-OF-TWENTY-SEVEN-BY",
            b"HTTP/1.1",
            b"HTTP/1.0",
            b"HTTP/2",
            b"200",
            b"OK",
            b"/",
            b"/a?b",
            b"*",
            b"Host",
            b"host",
            b"x",
            b"Content-Length",
            b"5",
            b" ",
            b":",
            b": ",
            b"\t",
            b"\r",
            b"\n",
            b"\r\n",
            b"\r\n\r\n",
            b"\xff",
            b"\0",
            b"\x7f",
            b"GET / HTTP/1.1\r\n",
            b"HTTP/1.1 200 OK\r\n",
            b"Host: h\r\n",
            b"User-Agent:  u \r\n",
        ];
        prop::collection::vec(prop::sample::select(pieces), 0..12).prop_map(|all| all.concat())
    }

    proptest! {
        #[test]
        fn requests_that_the_library_reads_are_read_alike(buf in pieces()) {
            // Empty lines before a request are the caller's business.
            let buf = buf.trim_ascii_start();
            let mut room = [httparse::EMPTY_HEADER; 16];
            let mut library = httparse::Request::new(&mut room);
            let wanted = library.parse(buf);
            let mut fields = Fields::default();
            let head = request(buf, &mut fields);
            match wanted {
                Ok(httparse::Status::Complete(wanted)) => {
                    let HeadFound::Whole(line, len) = head else { panic!("{head:?}") };
                    prop_assert_eq!(len, wanted);
                    prop_assert_eq!(Some(line.method), library.method);
                    prop_assert_eq!(Some(&*line.target), library.path);
                    let minor = line.version.map(|version| u8::from(version == Version::Http11));
                    prop_assert_eq!(minor, library.version);
                    let is_host = |header: &&mut httparse::Header<'_>| {
                        header.name.eq_ignore_ascii_case("host")
                    };
                    let host = library.headers.iter_mut().find(is_host);
                    prop_assert_eq!(fields.host, host.map(|host| host.value));
                }
                Ok(httparse::Status::Partial) => prop_assert!(matches!(head, HeadFound::Partial)),
                Err(_) => {}
            }
        }

        #[test]
        fn responses_that_the_library_reads_are_read_alike(buf in pieces()) {
            let mut room = [httparse::EMPTY_HEADER; 16];
            let mut library = httparse::Response::new(&mut room);
            let wanted = library.parse(&buf);
            let head = response(&buf, &mut Fields::default());
            match wanted {
                Ok(httparse::Status::Complete(wanted)) => {
                    let HeadFound::Whole(line, len) = head else { panic!("{head:?}") };
                    prop_assert_eq!(len, wanted);
                    prop_assert_eq!(Some(line.status), library.code);
                    let minor = u8::from(line.version == Version::Http11);
                    prop_assert_eq!(Some(minor), library.version);
                }
                Ok(httparse::Status::Partial) => prop_assert!(matches!(head, HeadFound::Partial)),
                Err(_) => {}
            }
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
    fn only_the_first_line_and_an_empty_one_are_worth_another_look() {
        let head = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
        let mut search = HeadEndSearch::default();
        let worth: Vec<usize> = (1..=head.len())
            .filter(|&len| search.is_worth_it(&head[..len]))
            .collect();
        assert_eq!(worth, [1, b"GET / HTTP/1.1\r\n".len(), head.len()]);
    }
}
