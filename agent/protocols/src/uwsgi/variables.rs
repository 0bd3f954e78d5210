//! The packet that asks for something: what it is for, how long its variables are, and these.
//! Numbers are little-endian.

use crate::cgi::CgiVariables;

/// Bytes before the variables: what the packet is for, their length (2), and a detail of the first.
pub(super) const HEADER_BYTES: usize = 4;

/// What a packet can be for (`modifier1`) that asks an application: in Python, Perl, Lua, Ruby,
/// Java, by CGI, in PHP, on Mono, or one that was loaded by a name.
const ASKING: [u8; 9] = [0, 5, 6, 7, 8, 9, 14, 15, 18];

/// Bytes of variables in the packet that begins `buf`; `None` if it asks for nothing, `Some(None)`
/// if it is cut.
pub(super) fn variables_len(buf: &[u8]) -> Option<Option<usize>> {
    let &[modifier, low, high, _, ..] = buf else {
        return buf
            .first()
            .is_none_or(|it| ASKING.contains(it))
            .then_some(None);
    };
    let len = usize::from(u16::from_le_bytes([low, high]));
    ASKING.contains(&modifier).then_some(Some(len))
}

/// Takes in the variables in `content` that are whole.
pub(super) fn variables(content: &[u8]) -> CgiVariables<'_> {
    let mut variables = CgiVariables::default();
    let mut rest = content;
    while let Some((name, value, behind)) = pair(rest) {
        rest = behind;
        variables.take(name, value);
    }
    variables
}

/// The first name with its value, and what stands behind them; `None` if they are not whole.
fn pair(content: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (name, rest) = text(content)?;
    let (value, rest) = text(rest)?;
    Some((name, value, rest))
}

fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(u16::from_le_bytes(*len).into())
}
