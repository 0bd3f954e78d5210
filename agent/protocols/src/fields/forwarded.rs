//! What proxies note of the request that they received: `Forwarded` (RFC 7239) and its older
//! siblings `X-Forwarded-For`, `-Host` and `-Proto`. The first note is the one of the proxy that is
//! nearest to the client. It believes what it reads, but for what does not look like an address, a
//! host or a scheme.

use core::net::IpAddr;

/// The first note of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Forwarded<'b> {
    /// The client's address, without port and brackets.
    pub client: Option<&'b [u8]>,
    /// The host that it asked for, with its port if it has one.
    pub host: Option<&'b [u8]>,
    /// How it asked for it.
    pub scheme: Option<&'static str>,
}

impl<'b> Forwarded<'b> {
    /// Reads the first element of a `Forwarded` (RFC 7239 §4).
    pub fn standard(value: &'b [u8]) -> Self {
        let mut noted = Self::default();
        for pair in first(value).split(|&byte| byte == b';') {
            let Some(at) = memchr::memchr(b'=', pair) else {
                continue;
            };
            let (name, value) = (pair[..at].trim_ascii(), &pair[at + 1..]);
            if name.eq_ignore_ascii_case(b"for") {
                noted.client = noted.client.or_else(|| client(value));
            } else if name.eq_ignore_ascii_case(b"host") {
                noted.host = noted.host.or_else(|| host(value));
            } else if name.eq_ignore_ascii_case(b"proto") {
                noted.scheme = noted.scheme.or_else(|| scheme(value));
            }
        }
        noted
    }

    /// This, and where it says nothing, the other.
    pub fn or(self, other: Self) -> Self {
        Self {
            client: self.client.or(other.client),
            host: self.host.or(other.host),
            scheme: self.scheme.or(other.scheme),
        }
    }
}

/// The first address of an `X-Forwarded-For`.
pub(crate) fn first_client(list: &[u8]) -> Option<&[u8]> {
    client(first(list))
}

/// The first host of an `X-Forwarded-Host`.
pub(crate) fn first_host(list: &[u8]) -> Option<&[u8]> {
    host(first(list))
}

/// The first scheme of an `X-Forwarded-Proto`.
pub(crate) fn first_scheme(list: &[u8]) -> Option<&'static str> {
    scheme(first(list))
}

fn first(list: &[u8]) -> &[u8] {
    &list[..memchr::memchr(b',', list).unwrap_or(list.len())]
}

fn unquoted(value: &[u8]) -> &[u8] {
    let value = value.trim_ascii();
    let inner = value.strip_prefix(b"\"").unwrap_or(value);
    inner.strip_suffix(b"\"").unwrap_or(inner)
}

/// The address in a node such as `192.0.2.1`, `192.0.2.1:80`, `"[2001:db8::1]:80"`.
fn client(node: &[u8]) -> Option<&[u8]> {
    let node = std::str::from_utf8(unquoted(node)).ok()?;
    let bare = match node.strip_prefix('[') {
        Some(rest) => rest.split(']').next()?,
        None => match node.split_once(':') {
            Some((host, port)) if !port.contains(':') => host,
            _ => node,
        },
    };
    bare.parse::<IpAddr>().is_ok().then_some(bare.as_bytes())
}

fn host(value: &[u8]) -> Option<&[u8]> {
    let host = unquoted(value);
    (!host.is_empty()).then_some(host)
}

/// Those of HTTP, and of what begins as HTTP (Traefik notes `ws` and `wss`).
fn scheme(value: &[u8]) -> Option<&'static str> {
    ["https", "http", "wss", "ws"]
        .into_iter()
        .find(|known| unquoted(value).eq_ignore_ascii_case(known.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_address_is_found_in_all_its_dresses() {
        for (list, wanted) in [
            ("192.0.2.1, 10.0.0.1", Some("192.0.2.1")),
            (" 192.0.2.1:4711", Some("192.0.2.1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[2001:db8::1]:47", Some("2001:db8::1")),
            ("unknown", None),
            ("_hidden, 192.0.2.1", None),
            ("", None),
        ] {
            let wanted = wanted.map(str::as_bytes);
            assert_eq!(first_client(list.as_bytes()), wanted, "{list}");
        }
    }

    #[test]
    fn the_standard_field_has_them_all() {
        for (value, client, host, scheme) in [
            (
                "for=192.0.2.60;proto=http",
                Some("192.0.2.60"),
                None,
                Some("http"),
            ),
            (
                "proto=HTTPS; For=\"[2001:db8::1]:47\";by=x;host=\"a.example:8443\"",
                Some("2001:db8::1"),
                Some("a.example:8443"),
                Some("https"),
            ),
            ("for=_hidden, for=192.0.2.1;proto=https", None, None, None),
            ("host = a , host=b", None, Some("a"), None),
            ("proto=gopher;host=", None, None, None),
            ("proto=wss", None, None, Some("wss")),
            ("=;;for", None, None, None),
        ] {
            let wanted = Forwarded {
                client: client.map(str::as_bytes),
                host: host.map(str::as_bytes),
                scheme,
            };
            assert_eq!(Forwarded::standard(value.as_bytes()), wanted, "{value}");
        }
    }
}
