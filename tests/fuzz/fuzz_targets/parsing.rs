//! One parser on raw bytes, as far as it goes.

use wirespan_protocols::parser::{Parsed, Parser};

/// Offers `rest` until the parser wants more than there is, or finds no way on; returns what it
/// left.
pub fn parse_all<'b>(parser: &mut impl Parser, mut rest: &'b [u8]) -> &'b [u8] {
    while !rest.is_empty() {
        let taken = match parser.parse(rest) {
            Parsed::Message { consumed, .. } | Parsed::Skipped { consumed } => consumed,
            Parsed::Incomplete => break,
            Parsed::Invalid => match parser.resync(rest) {
                Some(at) => at,
                None => break,
            },
        };
        assert!((1..=rest.len()).contains(&taken));
        rest = &rest[taken..];
    }
    rest
}
