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
            b'v' => byte.is_ascii_digit(),
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
