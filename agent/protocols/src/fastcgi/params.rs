//! Parameters of a request (specification, 3.4), which are variables of CGI.

use crate::cgi::{CgiVariables, Interned};
use crate::family::http::{HttpRequest, Version};

/// The request that parameters describe, as far as they are there.
pub(super) fn request(content: &[u8], truncated: bool, interned: &mut Interned) -> HttpRequest {
    let mut variables = CgiVariables::default();
    let mut rest = content;
    while let Some((name, value, behind)) = pair(rest) {
        rest = behind;
        variables.take(name, value);
    }
    variables.request(Version::FastCgi, truncated, interned)
}

/// The first name with its value, and what stands behind them; `None` if they are not whole.
fn pair(content: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (name, rest) = length(content)?;
    let (value, rest) = length(rest)?;
    let (name, rest) = rest.split_at_checked(name)?;
    let (value, rest) = rest.split_at_checked(value)?;
    Some((name, value, rest))
}

/// A length of one byte, or of four if the highest bit is set.
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    match bytes {
        [short @ ..=0x7f, rest @ ..] => Some((usize::from(*short), rest)),
        [a, b, c, d, rest @ ..] => {
            let long = u32::from_be_bytes([*a & 0x7f, *b, *c, *d]);
            Some((usize::try_from(long).ok()?, rest))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(pairs: &[(&str, &str)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, value) in pairs {
            for len in [name.len(), value.len()] {
                match u8::try_from(len) {
                    Ok(short @ ..=0x7f) => bytes.push(short),
                    _ => bytes.extend((len as u32 | 1 << 31).to_be_bytes()),
                }
            }
            bytes.extend(name.bytes().chain(value.bytes()));
        }
        bytes
    }

    #[test]
    fn what_is_cut_is_passed_over() {
        let whole = content(&[("REQUEST_METHOD", "GET"), ("REQUEST_URI", "/a")]);
        for len in 0..whole.len() {
            let asked = request(&whole[..len], true, &mut Interned::default());
            assert!(asked.target.is_empty() && asked.truncated);
        }
        let bad = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        request(&bad, false, &mut Interned::default());
    }
}
