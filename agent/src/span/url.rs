//! Request targets (RFC 9112 §3.2) taken apart, and URLs put together. It normalises nothing: what
//! was sent is what is told, secrets included, which are removed from the finished span.

use wirespan_protocols::family::http::Method;

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

/// The authority without its userinfo.
#[must_use]
pub fn without_userinfo(authority: &str) -> &str {
    authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host)
}

/// Puts an absolute URL together.
#[must_use]
pub fn full(scheme: &str, authority: &str, path: &str, query: Option<&str>) -> String {
    let query_len = query.map_or(0, |query| query.len() + 1);
    let mut url =
        String::with_capacity(scheme.len() + 3 + authority.len() + path.len() + query_len);
    url.extend([scheme, "://", authority, path]);
    if let Some(query) = query {
        url.extend(["?", query]);
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
}
