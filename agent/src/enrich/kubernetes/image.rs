//! The parts of an image's reference. It resolves nothing.
//!
//! Source: the grammar of `reference` in distribution's `reference` package: an optional host with
//! an optional port, a path, an optional tag behind a colon, an optional digest behind an at sign.

/// A reference, in parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageReference<'a> {
    /// Host and path, as they were written: nothing that is left out is filled in.
    pub name: &'a str,
    /// The tag, if it has one.
    pub tag: Option<&'a str>,
    /// The digest, if it has one, such as `sha256:…`.
    pub digest: Option<&'a str>,
}

/// The parts of a reference; `None` if it names nothing but a digest, as images do that were built
/// on the spot.
#[must_use]
pub fn parse(reference: &str) -> Option<ImageReference<'_>> {
    let (named, digest) = match reference.split_once('@') {
        Some((named, digest)) => (named, Some(digest)),
        None => (reference, None),
    };
    // A colon before a slash is a port's.
    let (name, tag) = match named.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (named, None),
    };
    let is_digest = digest.is_none() && name == "sha256";
    let tag = tag.filter(|tag| !tag.is_empty());
    (!name.is_empty() && !is_digest).then_some(ImageReference { name, tag, digest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_have_a_name_and_perhaps_a_tag_and_a_digest() {
        let sha = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        let with_sha = |text: &str| format!("{text}@{sha}");
        for (reference, name, tag, has_digest) in [
            ("nginx", "nginx", None, false),
            ("nginx:1.29", "nginx", Some("1.29"), false),
            (
                "library/nginx:1.29-alpine",
                "library/nginx",
                Some("1.29-alpine"),
                false,
            ),
            ("localhost:5000/shop", "localhost:5000/shop", None, false),
            (
                "localhost:5000/shop:v1",
                "localhost:5000/shop",
                Some("v1"),
                false,
            ),
            ("[::1]:5000/shop:v1", "[::1]:5000/shop", Some("v1"), false),
            (&with_sha("shop:v1"), "shop", Some("v1"), true),
            (&with_sha("a.example/b/c"), "a.example/b/c", None, true),
            ("shop:", "shop", None, false),
        ] {
            let parsed = parse(reference).expect(reference);
            assert_eq!((parsed.name, parsed.tag), (name, tag), "{reference}");
            assert_eq!(parsed.digest.is_some(), has_digest, "{reference}");
        }
        for none in ["", "@sha256:00", ":tag", sha] {
            assert_eq!(parse(none), None, "{none}");
        }
    }
}
