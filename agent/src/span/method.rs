//! Which HTTP methods may appear as `http.request.method`; all others are told as `_OTHER`, so that
//! a client that makes up methods cannot make up names of spans. Methods are case-sensitive.

use wirespan_protocols::family::http::Method;

/// The methods of RFC 9110 and RFC 5789, and `QUERY`, which schema 1.45.0 added.
const DEFAULT: [&str; 10] = [
    "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE",
];

/// The known methods.
#[derive(Clone, Debug)]
pub struct KnownMethods {
    names: Vec<&'static str>,
    /// All names that [`Method`] has variants for are among `names`: nothing to look up.
    has_all_variants: bool,
}

impl Default for KnownMethods {
    fn default() -> Self {
        Self {
            names: DEFAULT.to_vec(),
            has_all_variants: true,
        }
    }
}

impl KnownMethods {
    /// Exactly these methods, as `OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS` wants it: a full
    /// override.
    #[must_use]
    pub fn only<Name: AsRef<str>>(names: impl IntoIterator<Item = Name>) -> Self {
        let names: Vec<&'static str> = names
            .into_iter()
            .map(|name| {
                let name = name.as_ref();
                DEFAULT
                    .into_iter()
                    .find(|default| *default == name)
                    // Settings live as long as the process, and names of spans are static.
                    .unwrap_or_else(|| Box::leak(Box::from(name)))
            })
            .collect();
        Self {
            has_all_variants: DEFAULT
                .iter()
                .filter(|name| **name != "QUERY")
                .all(|name| names.contains(name)),
            names,
        }
    }

    /// The method's name if it is known.
    #[must_use]
    pub fn name(&self, method: &Method) -> Option<&'static str> {
        let name = match method {
            Method::Connect => "CONNECT",
            Method::Delete => "DELETE",
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Options => "OPTIONS",
            Method::Patch => "PATCH",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Trace => "TRACE",
            Method::Unknown => return None,
            Method::Other(sent) => return self.find(sent),
        };
        if self.has_all_variants {
            Some(name)
        } else {
            self.find(name)
        }
    }

    fn find(&self, sent: &str) -> Option<&'static str> {
        self.names.iter().copied().find(|name| *name == sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_methods_have_names_and_others_have_none() {
        let known = KnownMethods::default();
        for name in DEFAULT {
            assert_eq!(known.name(&Method::from_token(name)), Some(name));
        }
        for other in ["get", "BREW", "", "_OTHER"] {
            assert_eq!(known.name(&Method::from_token(other)), None, "{other}");
        }
    }

    #[test]
    fn an_override_replaces_the_whole_list() {
        let known = KnownMethods::only(["GET", "BREW"]);
        assert_eq!(known.name(&Method::Get), Some("GET"));
        assert_eq!(known.name(&Method::from_token("BREW")), Some("BREW"));
        assert_eq!(known.name(&Method::Post), None);
        assert_eq!(known.name(&Method::from_token("QUERY")), None);
    }
}
