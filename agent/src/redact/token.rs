//! The shape of a JSON Web Token (RFC 7519 §3): parts in base64url with points between them, the
//! first of which holds a JSON object, so that it begins with `eyJ`. What only looks like it (the
//! path of `keyJar.min.js`) is told apart by decoding its first bytes.

use super::view::{self, Item};

/// So many letters of the first part are decoded: the shortest header, `{"alg":"none"}`, has 19.
const LOOKED_AT: usize = 16;

/// What stands where a token might begin.
#[derive(Debug, PartialEq, Eq)]
pub enum TokenStart {
    /// A token up to here.
    Token(usize),
    /// None, and none begins before this.
    NoneBefore(usize),
}

/// Looks at `at`. A token that was cut in its second part is one: that part has the claims.
pub fn look(text: &[u8], at: usize) -> TokenStart {
    let mut head = [0; LOOKED_AT];
    let mut items = view::items(text, at);
    let mut first = None;
    for place in &mut head {
        match items
            .next()
            .and_then(|item| Some((item, sextet(item.byte)?)))
        {
            Some((item, sextet)) => {
                first = first.or(Some(item));
                *place = sextet;
            }
            None => return TokenStart::NoneBefore(after(first, at)),
        }
    }
    let is_text = head.chunks_exact(4).all(|letters| {
        let [a, b, c, d] = [letters[0], letters[1], letters[2], letters[3]];
        [a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d]
            .iter()
            .all(|byte| matches!(byte, b' '..=b'~'))
    });
    if !is_text {
        return TokenStart::NoneBefore(after(first, at));
    }
    let mut points = 0;
    let mut end = text.len();
    for item in view::items(text, at) {
        if item.byte == b'.' {
            points += 1;
        } else if sextet(item.byte).is_none() {
            end = item.at;
            break;
        }
    }
    if points == 0 {
        TokenStart::NoneBefore(end)
    } else {
        TokenStart::Token(end)
    }
}

fn after(first: Option<Item>, at: usize) -> usize {
    first.map_or(at + 1, |item| item.end())
}

/// The six bits of a letter of base64url (RFC 4648 §5).
fn sextet(letter: u8) -> Option<u8> {
    Some(match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'-' => 62,
        b'_' => 63,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiJ9.c2lnbmF0dXJl";

    #[test]
    fn a_token_is_known_by_what_its_header_decodes_to() {
        let whole = |text: &str| look(text.as_bytes(), 0) == TokenStart::Token(text.len());
        assert!(whole(TOKEN));
        assert!(whole("eyJhbGciOiJub25lIn0.eyJzdWIiOiI0MiJ9."), "unsigned");
        assert!(
            whole("eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4R0NNIn0..aXY.Y3Q.dGFn"),
            "encrypted"
        );
        assert!(whole(&TOKEN[..30]), "cut by the capture");
        assert!(whole(&TOKEN.replace('y', "%79").replace('.', "%2E")));
        let followed = format!("{TOKEN}/x");
        assert_eq!(look(followed.as_bytes(), 0), TokenStart::Token(TOKEN.len()));
        for other in [
            "eyJar.min.js",
            "eyJournalingFileSystem.min.js",
            "eyJ",
            &TOKEN[..20],
        ] {
            assert!(
                !matches!(look(other.as_bytes(), 0), TokenStart::Token(_)),
                "{other}"
            );
        }
    }
}
