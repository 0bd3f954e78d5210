//! The value of `OTEL_RESOURCE_ATTRIBUTES`: `key=value` pairs with commas between them, values
//! percent-encoded (OpenTelemetry specification, "Resource SDK", "Specifying resource information
//! via an environment variable", which takes the form from W3C Baggage). It judges no name.

use std::collections::BTreeMap;
use std::fmt;

/// Why a list was refused, as a whole: the specification wants no part of one that has a fault, and
/// programs that read it themselves say nothing then either.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MalformedList {
    /// This item, counted from 1, has no equals sign or nothing before it.
    NoPair(usize),
    /// The value of this item is not percent-encoded UTF-8.
    Encoding(usize),
}

impl fmt::Display for MalformedList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPair(item) => write!(f, "item {item} is not of the form key=value"),
            Self::Encoding(item) => write!(
                f,
                "the value of item {item} is not percent-encoded text (% itself is written %25)"
            ),
        }
    }
}

/// The pairs of a list; of those with the same key the last. Blanks around keys and values do not
/// count, and neither do empty items and empty values.
///
/// # Errors
/// The first fault.
pub fn parse(text: &str) -> Result<BTreeMap<String, String>, MalformedList> {
    let mut pairs = BTreeMap::new();
    for (index, item) in text.split(',').map(str::trim).enumerate() {
        if item.is_empty() {
            continue;
        }
        let number = index + 1;
        let (key, value) = item.split_once('=').ok_or(MalformedList::NoPair(number))?;
        let decoded = |text: &str| decoded(text.trim()).ok_or(MalformedList::Encoding(number));
        let (key, value) = (decoded(key)?, decoded(value)?);
        if key.is_empty() {
            return Err(MalformedList::NoPair(number));
        }
        if value.is_empty() {
            pairs.remove(&key);
        } else {
            pairs.insert(key, value);
        }
    }
    Ok(pairs)
}

/// `None` where an escape is not finished or the bytes are not UTF-8.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' {
            let mut digit = || char::from(bytes.next()?).to_digit(16);
            // Two hexadecimal digits.
            (digit()? << 4 | digit()?) as u8
        } else {
            byte
        });
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse(text).expect("well formed").into_iter().collect()
    }

    #[test]
    fn values_are_decoded_and_blanks_do_not_count() {
        let expected = [("a", "b c"), ("team", "x,y=z"), ("é", "1+2")];
        let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(
            pairs(" a = b%20c ,team=x%2Cy=z,%C3%A9=1+2,empty="),
            expected
        );
        assert_eq!(pairs(""), []);
        assert_eq!(pairs(" , ,"), []);
        assert_eq!(pairs("a=1,a=2"), [("a".to_owned(), "2".to_owned())]);
        assert_eq!(pairs("a=1,a="), []);
    }

    #[test]
    fn a_list_with_a_fault_is_refused_as_a_whole() {
        for (text, fault) in [
            ("a=1,broken", MalformedList::NoPair(2)),
            ("=1", MalformedList::NoPair(1)),
            (" =1", MalformedList::NoPair(1)),
            ("a=1,b=100%", MalformedList::Encoding(2)),
            ("a=%2", MalformedList::Encoding(1)),
            ("a=%zz", MalformedList::Encoding(1)),
            ("a=%ff", MalformedList::Encoding(1)),
            ("a=%+1", MalformedList::Encoding(1)),
        ] {
            assert_eq!(parse(text), Err(fault), "{text}");
        }
    }
}
