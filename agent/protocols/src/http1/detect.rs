//! Whether bytes begin an HTTP/1 message. It asks for more than a parser in an established
//! connection would: a request line up to its version, a status line up to its code.

use super::request_line;
use crate::parser::Flow;
use crate::protocol::Detected;

/// Bytes of a target that are enough behind a known method, for request lines that are longer than
/// what is captured of them.
const TARGET_BYTES_ENOUGH: usize = 256;

/// Longest method that is looked for, in bytes; the longest registered one has 17.
const METHOD_BYTES_MAX: usize = 24;

/// Whether a message begins at `prefix[0]`, as lenient servers read it; empty lines before a
/// request are passed over (RFC 9112 §2.2).
#[must_use]
pub fn detect(prefix: &[u8]) -> Detected {
    let response = detect_response(prefix);
    if response != Detected::No {
        return response;
    }
    detect_request(prefix)
}

/// The same, for responses alone.
pub(super) fn detect_response(prefix: &[u8]) -> Detected {
    // `#` stands for a digit, `?` for what may follow the code.
    const PATTERN: &[u8; 13] = b"HTTP/1.v ###?";
    for (&byte, &wanted) in prefix.iter().zip(PATTERN) {
        let fits = match wanted {
            b'v' => matches!(byte, b'0' | b'1'),
            b'#' => byte.is_ascii_digit(),
            b'?' => matches!(byte, b' ' | b'\r' | b'\n'),
            literal => byte == literal,
        };
        if !fits {
            return Detected::No;
        }
    }
    match prefix.get(9) {
        Some(b'1'..=b'9') | None => {}
        Some(_) => return Detected::No,
    }
    if prefix.len() >= PATTERN.len() {
        Detected::Match(Flow::Responses)
    } else {
        Detected::NotYet
    }
}

fn detect_request(prefix: &[u8]) -> Detected {
    let Some(start) = prefix
        .iter()
        .position(|&byte| byte != b'\r' && byte != b'\n')
    else {
        return Detected::NotYet;
    };
    let line = &prefix[start..];
    let end = memchr::memchr(b'\n', line);
    let Some(parts) = request_line::take_apart(&line[..end.unwrap_or(line.len())]) else {
        return Detected::No;
    };
    if parts.method.len() > METHOD_BYTES_MAX {
        return Detected::No;
    }
    if parts.version.is_some() && (end.is_some() || parts.has_return) {
        return Detected::Match(Flow::Requests);
    }
    let is_long = parts.target.len() >= TARGET_BYTES_ENOUGH;
    match end {
        Some(_) => Detected::No,
        None if is_long && is_known(parts.method) && is_target(parts.target) => {
            Detected::Match(Flow::Requests)
        }
        None => Detected::NotYet,
    }
}

/// Origin or absolute form; what else a target may be is never that long.
fn is_target(target: &[u8]) -> bool {
    target[0] == b'/' || target.starts_with(b"http://") || target.starts_with(b"https://")
}

fn is_known(method: &[u8]) -> bool {
    matches!(
        method,
        b"CONNECT"
            | b"DELETE"
            | b"GET"
            | b"HEAD"
            | b"OPTIONS"
            | b"PATCH"
            | b"POST"
            | b"PUT"
            | b"TRACE"
    )
}

/// Bytes of the token at the start of `buf` (RFC 9110 §5.6.2).
#[inline]
pub(super) fn token_len(buf: &[u8]) -> usize {
    run_len(buf, &IS_TOKEN)
}

/// Bytes at the start of `buf` that may stand in a target: neither white space nor control
/// characters.
#[inline]
pub(super) fn target_len(buf: &[u8]) -> usize {
    run_len(buf, &IS_TARGET)
}

/// How many bytes at the start of `buf` are of one kind. Four at a time: much of what a head costs
/// is spent here.
#[inline]
fn run_len(buf: &[u8], is: &[bool; 256]) -> usize {
    let is = |byte: u8| is[usize::from(byte)];
    let mut len = 0;
    while let Some(&[a, b, c, d]) = buf[len..].first_chunk()
        && is(a) & is(b) & is(c) & is(d)
    {
        len += 4;
    }
    while let Some(&byte) = buf.get(len)
        && is(byte)
    {
        len += 1;
    }
    len
}

static IS_TOKEN: [bool; 256] = {
    let mut is_token = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        is_token[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut others: &[u8] = b"!#$%&'*+-.^_`|~";
    while let [other, rest @ ..] = others {
        is_token[*other as usize] = true;
        others = rest;
    }
    is_token
};

static IS_TARGET: [bool; 256] = {
    let mut is_target = [true; 256];
    let mut byte = 0;
    while byte <= b' ' {
        is_target[byte as usize] = false;
        byte += 1;
    }
    is_target[0x7f] = false;
    is_target
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_prefix_is_not_yet_until_it_is_enough() {
        for (sample, enough, flow) in [
            (&b"GET / HTTP/1.1\r\n"[..], 15, Flow::Requests),
            (b"\r\nPURGE /x HTTP/1.0\n", 20, Flow::Requests),
            (b"OPTIONS * HTTP/1.1\r\n", 19, Flow::Requests),
            (b"CONNECT a:443 HTTP/1.1\r\n", 23, Flow::Requests),
            (b"HTTP/1.1 200 OK\r\n", 13, Flow::Responses),
            (b"HTTP/1.0 404\r\n", 13, Flow::Responses),
        ] {
            for len in 0..=sample.len() {
                let wanted = if len < enough {
                    Detected::NotYet
                } else {
                    Detected::Match(flow)
                };
                assert_eq!(detect(&sample[..len]), wanted, "{sample:?} at {len}");
            }
        }
    }

    #[test]
    fn a_known_method_needs_no_version_behind_a_long_target() {
        let line = |method: &str| format!("{method} /{}", "a".repeat(TARGET_BYTES_ENOUGH));
        assert_eq!(
            detect(line("GET").as_bytes()),
            Detected::Match(Flow::Requests)
        );
        assert_eq!(detect(line("FETCH").as_bytes()), Detected::NotYet);
    }
}
