//! Which bytes may stand where in a head, and how many of them there are. It knows no message.

/// Bytes of the token at the start of `buf` (RFC 9110 §5.6.2).
#[inline]
pub(super) fn token_len(buf: &[u8]) -> usize {
    run_len(buf, &IS_TOKEN)
}

/// Bytes at the start of `buf` that may stand in a target: neither white space nor control
/// characters.
#[inline]
pub(super) fn target_len(buf: &[u8]) -> usize {
    run_len(buf, &IS_TARGET)
}

/// How many bytes at the start of `buf` are of one kind. Four at a time: much of what a head costs
/// is spent here.
#[inline]
fn run_len(buf: &[u8], is: &[bool; 256]) -> usize {
    let is = |byte: u8| is[usize::from(byte)];
    let mut len = 0;
    while let Some(&[a, b, c, d]) = buf[len..].first_chunk()
        && is(a) & is(b) & is(c) & is(d)
    {
        len += 4;
    }
    while let Some(&byte) = buf.get(len)
        && is(byte)
    {
        len += 1;
    }
    len
}

static IS_TOKEN: [bool; 256] = {
    let mut is_token = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        is_token[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut others: &[u8] = b"!#$%&'*+-.^_`|~";
    while let [other, rest @ ..] = others {
        is_token[*other as usize] = true;
        others = rest;
    }
    is_token
};

static IS_TARGET: [bool; 256] = {
    let mut is_target = [true; 256];
    let mut byte = 0;
    // Python's `http.server` takes whatever it does not take for a blank.
    while byte <= b' ' {
        is_target[byte as usize] = matches!(byte, 0x01..=0x08 | 0x0e..=0x1b);
        byte += 1;
    }
    is_target
};
