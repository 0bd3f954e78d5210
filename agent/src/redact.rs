//! Secrets in texts that leave the machine: found by name and by shape, and replaced. One piece for
//! all of them (URLs, paths, queries, User-Agent, attributes of processes, recordings), so that
//! what is hidden in one place is hidden in all. It decides what is a secret, and nothing else: a
//! secret without a name that says so, or a shape, passes.
//!
//! - **By name**: the value of a parameter whose name is one of [`names`], in queries, fragments,
//!   matrix parameters (`;k=v`), segments of paths, brackets (`a[token]=`) and JSON, however the
//!   name is written and however often it was percent-encoded.
//! - **By shape**: JSON Web Tokens anywhere, the user and password of a URL anywhere.

mod key;
mod names;
mod scan;
mod token;
mod view;

use std::borrow::Cow;
use std::ops::Range;

use crate::semconv::REDACTED;
use names::SecretNames;
pub use scan::Grammar;

/// What is hidden.
#[derive(Clone, Debug, Default)]
pub struct Redaction {
    names: SecretNames,
    drops_query: bool,
}

/// A stretch of a text that must not leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// In bytes of the text.
    pub range: Range<usize>,
    /// What stands in its place.
    pub stand_in: &'static str,
}

impl Redaction {
    /// What is hidden by default, and the values of parameters named in `add`, but not of those
    /// named in `remove`.
    #[must_use]
    pub fn new<Name: AsRef<str>>(add: &[Name], remove: &[Name]) -> Self {
        Self {
            names: SecretNames::new(
                add.iter().map(AsRef::as_ref),
                remove.iter().map(AsRef::as_ref),
            ),
            drops_query: false,
        }
    }

    /// The same, and queries are left out altogether.
    #[must_use]
    pub fn dropping_queries(mut self, drops: bool) -> Self {
        self.drops_query = drops;
        self
    }

    /// Whether queries are left out altogether.
    #[must_use]
    pub fn drops_query(&self) -> bool {
        self.drops_query
    }

    /// The text without its secrets; borrowed if it has none.
    #[must_use]
    pub fn of<'a>(&self, grammar: Grammar, text: &'a str) -> Cow<'a, str> {
        let mut told: Option<String> = None;
        let mut copied = 0;
        self.find(grammar, text.as_bytes(), |secret| {
            let told =
                told.get_or_insert_with(|| String::with_capacity(text.len() + REDACTED.len()));
            // Secrets begin and end beside ASCII, and follow each other.
            told.push_str(text.get(copied..secret.range.start).unwrap_or_default());
            told.push_str(secret.stand_in);
            copied = secret.range.end;
        });
        match told {
            Some(mut told) => {
                told.push_str(text.get(copied..).unwrap_or_default());
                Cow::Owned(told)
            }
            None => Cow::Borrowed(text),
        }
    }

    /// The value of an attribute that somebody else named.
    #[must_use]
    pub fn attribute<'a>(&self, name: &str, value: &'a str) -> Cow<'a, str> {
        if key::is_secret(&self.names, name.as_bytes()) {
            Cow::Owned(REDACTED.to_owned())
        } else {
            self.of(Grammar::Text, value)
        }
    }

    /// Finds the secrets of a text, in order, none within another.
    pub fn find(&self, grammar: Grammar, text: &[u8], found: impl FnMut(Secret)) {
        if scan::may_have_secret(&self.names, grammar, text) {
            scan::scan(&self.names, grammar, text, found);
        }
    }
}

#[cfg(test)]
mod tests;
