//! `host[:port]` as `Host`, `:authority` and request targets carry it. What does not look like one
//! is refused: a server's name is either what the client said or the address, never garbage.

use std::net::Ipv6Addr;
use std::sync::Arc;

use wirespan_protocols::heap;

/// RFC 1035 §2.3.4 allows names of 255 bytes.
const HOST_BYTES_MAX: usize = 255;

/// Splits `host[:port]` (RFC 3986 §3.2.2 and §3.2.3) into the host without brackets and the port.
/// An empty or zero port counts as none. `None` if the text is not an authority without userinfo.
#[must_use]
pub fn parse(text: &str) -> Option<(&str, Option<u16>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        host.parse::<Ipv6Addr>().ok()?;
        let port = match port.strip_prefix(':') {
            Some(digits) => parse_port(digits)?,
            None if port.is_empty() => None,
            None => return None,
        };
        return Some((host, port));
    }
    let (host, port) = match text.split_once(':') {
        Some((host, digits)) => (host, parse_port(digits)?),
        None => (text, None),
    };
    let plausible =
        !host.is_empty() && host.len() <= HOST_BYTES_MAX && host.bytes().all(is_reg_name_byte);
    plausible.then_some((host, port))
}

fn parse_port(digits: &str) -> Option<Option<u16>> {
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if digits.is_empty() {
        return Some(None);
    }
    digits
        .parse::<u16>()
        .ok()
        .map(|port| Some(port).filter(|port| *port != 0))
}

/// `unreserved`, `pct-encoded` and `sub-delims` of RFC 3986 §3.2.2, and the underscore that names
/// inside clusters have.
fn is_reg_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&byte)
}

/// An authority, kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// A name or an address without brackets.
    pub host: Arc<str>,
    /// If it was given.
    pub port: Option<u16>,
}

/// The last `Host` that came over a connection, taken apart: it is the same for each request as a
/// rule, and its parts are shared by all their spans.
#[derive(Debug, Default)]
pub struct HostMemo {
    sent: Option<Arc<str>>,
    parsed: Option<Authority>,
}

impl HostMemo {
    /// Bytes of heap that it takes, besides the text that the connection's parser remembers.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let (Some(sent), Some(parsed)) = (&self.sent, &self.parsed) else {
            return heap::first_share(self.sent.as_ref());
        };
        let host = if Arc::ptr_eq(sent, &parsed.host) {
            0
        } else {
            heap::shared(parsed.host.len())
        };
        heap::first_share(Some(sent)) + host
    }

    /// The parts of `sent`, or `None` if it is garbage.
    pub fn resolve(&mut self, sent: &Arc<str>) -> Option<&Authority> {
        let known = self
            .sent
            .as_ref()
            .is_some_and(|last| Arc::ptr_eq(last, sent) || last == sent);
        if !known {
            self.parsed = parse(sent).map(|(host, port)| Authority {
                host: if host.len() == sent.len() {
                    Arc::clone(sent)
                } else {
                    host.into()
                },
                port,
            });
            self.sent = Some(Arc::clone(sent));
        }
        self.parsed.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_taken_apart() {
        for (text, expected) in [
            ("example.com", ("example.com", None)),
            ("example.com:8080", ("example.com", Some(8080))),
            ("example.com:", ("example.com", None)),
            ("example.com:0", ("example.com", None)),
            ("127.0.0.1:80", ("127.0.0.1", Some(80))),
            ("[::1]", ("::1", None)),
            ("[2001:db8::1]:443", ("2001:db8::1", Some(443))),
            ("my_service:1", ("my_service", Some(1))),
        ] {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn garbage_is_refused() {
        let long = "a".repeat(HOST_BYTES_MAX + 1);
        for text in [
            "",
            ":80",
            "a b",
            "user@example.com",
            "example.com/path",
            "example.com:http",
            "example.com:65536",
            "example.com:+80",
            "::1",
            "[::1",
            "[::1]80",
            "[not]:80",
            "[]",
            "\u{fc}ber.example",
            "a\u{0}b",
            &long,
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_host_is_taken_apart_once_and_again_only_when_it_changes() {
        let mut memo = HostMemo::default();
        let first = memo.resolve(&"a:1".into()).cloned().expect("valid");
        let again = memo.resolve(&"a:1".into()).cloned().expect("valid");
        assert!(Arc::ptr_eq(&first.host, &again.host));
        let other = memo.resolve(&"b:2".into()).cloned().expect("valid");
        assert_eq!((&*other.host, other.port), ("b", Some(2)));
        assert_eq!(memo.resolve(&"not a host".into()), None);
    }
}
