//! Request targets (RFC 9112 §3.2) taken apart, URLs put together, and the secrets of both removed.
//! It normalises nothing: apart from secrets, what was sent is what is told.

use wirespan_protocols::message::Method;

use crate::semconv::REDACTED;

/// The four forms of a request target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// `/path?query`; also whatever is none of the other forms, which servers refuse.
    Origin {
        /// As sent.
        path: &'a str,
        /// Without the question mark; `None` if there is none or it is empty.
        query: Option<&'a str>,
    },
    /// `scheme://authority/path?query`.
    Absolute {
        /// As sent.
        scheme: &'a str,
        /// Userinfo included.
        authority: &'a str,
        /// As sent; `/` if it is empty (RFC 9110 §4.2.3).
        path: &'a str,
        /// Without the question mark; `None` if there is none or it is empty.
        query: Option<&'a str>,
    },
    /// `host:port` of a `CONNECT`.
    Authority(&'a str),
    /// `*` of an `OPTIONS`.
    Asterisk,
}

impl<'a> Target<'a> {
    /// Tells which form `sent` has.
    #[must_use]
    pub fn parse(method: &Method, sent: &'a str) -> Self {
        if sent.starts_with('/') {
            let (path, query) = split_query(sent);
            return Self::Origin { path, query };
        }
        if *method == Method::Connect {
            return Self::Authority(sent);
        }
        if sent == "*" {
            return Self::Asterisk;
        }
        match sent.split_once("://") {
            Some((scheme, rest)) if is_scheme(scheme) => {
                let authority_len = rest.find(['/', '?']).unwrap_or(rest.len());
                let (authority, rest) = rest.split_at(authority_len);
                let (path, query) = split_query(rest);
                Self::Absolute {
                    scheme,
                    authority,
                    path: if path.is_empty() { "/" } else { path },
                    query,
                }
            }
            _ => {
                let (path, query) = split_query(sent);
                Self::Origin { path, query }
            }
        }
    }
}

fn split_query(text: &str) -> (&str, Option<&str>) {
    match memchr::memchr(b'?', text.as_bytes()) {
        Some(at) => (
            &text[..at],
            Some(&text[at + 1..]).filter(|query| !query.is_empty()),
        ),
        None => (text, None),
    }
}

/// RFC 3986 §3.1.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// Keys of query parameters whose values the conventions want replaced.
const SECRET_KEYS: [&str; 4] = ["AWSAccessKeyId", "Signature", "sig", "X-Goog-Signature"];

/// Whether a query parameter with this key carries a secret. Compared without case and with
/// percent-encoding undone, which covers more than the conventions ask for and what servers accept.
fn is_secret(key: &str) -> bool {
    SECRET_KEYS.iter().any(|secret| {
        let plain_len_fits = key.len() >= secret.len();
        plain_len_fits && decoded(key).eq(secret.bytes().map(|byte| byte.to_ascii_lowercase()))
    })
}

/// Bytes of `text` in lower case, with `%41` read as `A`.
fn decoded(text: &str) -> impl Iterator<Item = u8> {
    let mut rest = text.as_bytes();
    std::iter::from_fn(move || {
        let (byte, behind) = match rest {
            [b'%', high, low, behind @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                (hex_digit(*high) << 4 | hex_digit(*low), behind)
            }
            [byte, behind @ ..] => (*byte, behind),
            [] => return None,
        };
        rest = behind;
        Some(byte.to_ascii_lowercase())
    })
}

fn hex_digit(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

/// Whether a key begins as one of [`SECRET_KEYS`] does, or might. Most queries are done with here.
fn may_have_secret(query: &str) -> bool {
    let mut is_first = true;
    query.bytes().any(|byte| {
        let suspect = is_first && matches!(byte, b'a' | b'A' | b's' | b'S' | b'x' | b'X' | b'%');
        is_first = byte == b'&';
        suspect
    })
}

/// The query with secret values replaced, or `None` if it has none.
#[must_use]
pub fn redact_query(query: &str) -> Option<String> {
    if !may_have_secret(query) {
        return None;
    }
    let secret = |parameter: &str| {
        parameter
            .split_once('=')
            .is_some_and(|(key, _)| is_secret(key))
    };
    if !query.split('&').any(secret) {
        return None;
    }
    let mut redacted = String::with_capacity(query.len() + REDACTED.len());
    for (index, parameter) in query.split('&').enumerate() {
        if index > 0 {
            redacted.push('&');
        }
        match parameter.split_once('=') {
            Some((key, _)) if is_secret(key) => {
                redacted.push_str(key);
                redacted.push('=');
                redacted.push_str(REDACTED);
            }
            _ => redacted.push_str(parameter),
        }
    }
    Some(redacted)
}

/// The authority without its userinfo, and whether the userinfo had a password.
#[must_use]
pub fn split_userinfo(authority: &str) -> (Option<bool>, &str) {
    match authority.rsplit_once('@') {
        Some((userinfo, host)) => (Some(userinfo.contains(':')), host),
        None => (None, authority),
    }
}

/// Puts an absolute URL together, with the secrets of `authority` and `query` replaced.
#[must_use]
pub fn full(scheme: &str, authority: &str, path: &str, query: Option<&str>) -> String {
    let (password, host) = split_userinfo(authority);
    let query_len = query.map_or(0, |query| query.len() + 1);
    let mut url =
        String::with_capacity(scheme.len() + 3 + authority.len() + path.len() + query_len);
    url.push_str(scheme);
    url.push_str("://");
    match password {
        Some(true) => url.extend([REDACTED, ":", REDACTED, "@"]),
        Some(false) => url.extend([REDACTED, "@"]),
        None => {}
    }
    url.push_str(host);
    url.push_str(path);
    if let Some(query) = query {
        url.push('?');
        match redact_query(query) {
            Some(redacted) => url.push_str(&redacted),
            None => url.push_str(query),
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_of_target_is_told_apart() {
        let get = |sent| Target::parse(&Method::Get, sent);
        let origin = |path, query| Target::Origin { path, query };
        assert_eq!(get("/a/b"), origin("/a/b", None));
        assert_eq!(get("/a?"), origin("/a", None));
        assert_eq!(get("/a?b=c?d"), origin("/a", Some("b=c?d")));
        assert_eq!(get("/r?u=http://x/"), origin("/r", Some("u=http://x/")));
        assert_eq!(get("//x/y"), origin("//x/y", None));
        assert_eq!(get("junk"), origin("junk", None));
        assert_eq!(get("?u=http://x/"), origin("", Some("u=http://x/")));
        assert_eq!(get("*"), Target::Asterisk);
        let absolute = |authority, path, query| Target::Absolute {
            scheme: "http",
            authority,
            path,
            query,
        };
        assert_eq!(get("http://h:1/a?b"), absolute("h:1", "/a", Some("b")));
        assert_eq!(get("http://h"), absolute("h", "/", None));
        assert_eq!(get("http://h?b"), absolute("h", "/", Some("b")));
        assert_eq!(
            Target::parse(&Method::Connect, "h:443"),
            Target::Authority("h:443")
        );
    }

    #[test]
    fn secrets_of_a_query_are_replaced_and_the_rest_is_kept() {
        for (query, expected) in [
            ("Signature=abc", Some("Signature=REDACTED")),
            (
                "a=1&AWSAccessKeyId=x&b=2",
                Some("a=1&AWSAccessKeyId=REDACTED&b=2"),
            ),
            ("SIG=x&sig=y", Some("SIG=REDACTED&sig=REDACTED")),
            ("x-goog-signature=", Some("x-goog-signature=REDACTED")),
            ("s%69g=x", Some("s%69g=REDACTED")),
            (
                "X%2DGoog%2dSignature=x",
                Some("X%2DGoog%2dSignature=REDACTED"),
            ),
            ("sig", None),
            ("signatures=1&mysig=2&sig%=3&si=4", None),
            ("a=1&&b", None),
            ("", None),
        ] {
            assert_eq!(redact_query(query).as_deref(), expected, "{query}");
        }
    }

    #[test]
    fn credentials_never_reach_a_url() {
        assert_eq!(
            &*full("http", "bob:secret@h:1", "/a", Some("sig=1")),
            "http://REDACTED:REDACTED@h:1/a?sig=REDACTED"
        );
        assert_eq!(&*full("http", "bob@h", "/", None), "http://REDACTED@h/");
        assert_eq!(
            &*full("http", "a@b:c@h", "", None),
            "http://REDACTED:REDACTED@h"
        );
    }
}
