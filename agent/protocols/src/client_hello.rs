//! The server's name in the first message of a TLS client (RFC 8446 §4.1.2, RFC 6066 §3): the last
//! thing that can be read of an encrypted connection from outside. It decrypts nothing.

use std::borrow::Cow;

/// What the start of a connection says about its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hello {
    /// A client's hello whose end is missing.
    Incomplete,
    /// The name that the client asked for, or nothing: it asked for none, or this is no client's
    /// hello.
    Name(Option<Box<str>>),
}

/// Type of a record that carries handshake messages (RFC 8446 §5.1).
const HANDSHAKE: u8 = 22;
/// Type of the message (RFC 8446 §4).
const CLIENT_HELLO: u8 = 1;
/// Type of the extension (RFC 6066 §1.1), and of a name in it (§3).
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;
/// RFC 1035 §2.3.4.
const NAME_BYTES_MAX: usize = 255;
/// Longer hellos are not waited for; those with keys that withstand quantum computers have 2 KiB.
const HELLO_BYTES_MAX: usize = 16 * 1024;

/// Reads the name out of the first bytes that a client sent.
#[must_use]
pub fn server_name(bytes: &[u8]) -> Hello {
    match message(bytes) {
        Ok(message) => Hello::Name(name_in(&message).map(Into::into)),
        Err(CutShort::Early) => Hello::Incomplete,
        Err(CutShort::Wrong) => Hello::Name(None),
    }
}

enum CutShort {
    /// More bytes may make sense of it.
    Early,
    /// None will.
    Wrong,
}

/// The hello without its header, put together from as many records as it is spread over.
fn message(mut bytes: &[u8]) -> Result<Cow<'_, [u8]>, CutShort> {
    let mut whole: Cow<'_, [u8]> = Cow::Borrowed(&[]);
    loop {
        let (fragment, is_cut) = fragment(&mut bytes)?;
        if whole.is_empty() {
            whole = Cow::Borrowed(fragment);
        } else {
            whole.to_mut().extend_from_slice(fragment);
        }
        if let [kind, length @ ..] = &*whole
            && *kind != CLIENT_HELLO
            && !length.is_empty()
        {
            return Err(CutShort::Wrong);
        }
        if let [CLIENT_HELLO, a, b, c, ..] = *whole {
            let end = 4 + usize::from(a) * 65_536 + usize::from(b) * 256 + usize::from(c);
            if end > HELLO_BYTES_MAX {
                return Err(CutShort::Wrong);
            }
            if whole.len() >= end {
                return Ok(match whole {
                    Cow::Borrowed(whole) => Cow::Borrowed(&whole[4..end]),
                    Cow::Owned(whole) => Cow::Owned(whole[4..end].to_vec()),
                });
            }
        }
        if is_cut {
            return Err(CutShort::Early);
        }
    }
}

/// Takes the next record's payload, and whether its end is missing.
fn fragment<'a>(bytes: &mut &'a [u8]) -> Result<(&'a [u8], bool), CutShort> {
    match bytes {
        [] | [HANDSHAKE] | [HANDSHAKE, 3] | [HANDSHAKE, 3, 0..=4] | [HANDSHAKE, 3, 0..=4, _] => {
            Err(CutShort::Early)
        }
        // An empty one is not allowed (RFC 8446 §5.1).
        [HANDSHAKE, 3, 0..=4, 0, 0, ..] => Err(CutShort::Wrong),
        [HANDSHAKE, 3, 0..=4, a, b, rest @ ..] => {
            let len = usize::from(*a) * 256 + usize::from(*b);
            let is_cut = rest.len() < len;
            let (payload, rest) = rest.split_at(len.min(rest.len()));
            *bytes = rest;
            Ok((payload, is_cut))
        }
        _ => Err(CutShort::Wrong),
    }
}

/// The name in a whole hello.
fn name_in(mut hello: &[u8]) -> Option<&str> {
    let hello = &mut hello;
    // Version and random.
    take(hello, 2 + 32)?;
    // Session, ciphers, compressions.
    vector::<1>(hello)?;
    vector::<2>(hello)?;
    vector::<1>(hello)?;
    let mut extensions = vector::<2>(hello)?;
    while !extensions.is_empty() {
        let kind = take(&mut extensions, 2)?;
        let mut extension = vector::<2>(&mut extensions)?;
        if *kind == SERVER_NAME.to_be_bytes() {
            return host_name(vector::<2>(&mut extension)?);
        }
    }
    None
}

fn host_name(mut names: &[u8]) -> Option<&str> {
    while !names.is_empty() {
        let kind = take(&mut names, 1)?;
        let name = vector::<2>(&mut names)?;
        if kind == [HOST_NAME] {
            let plausible = (1..=NAME_BYTES_MAX).contains(&name.len())
                && name
                    .iter()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(byte));
            return plausible.then(|| std::str::from_utf8(name).ok()).flatten();
        }
    }
    None
}

fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(taken)
}

/// A vector whose length is told in `LEN` bytes before it (RFC 8446 §3.4).
fn vector<'a, const LEN: usize>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = take(bytes, LEN)?
        .iter()
        .fold(0, |len, byte| len * 256 + usize::from(*byte));
    take(bytes, len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_len<const LEN: usize>(content: &[u8]) -> Vec<u8> {
        let mut bytes = content.len().to_be_bytes()[8 - LEN..].to_vec();
        bytes.extend_from_slice(content);
        bytes
    }

    /// A hello with these extensions, in records of at most `split` bytes.
    fn hello(extensions: &[(u16, &[u8])], split: usize) -> Vec<u8> {
        let mut body = [&[3, 3][..], &[7; 32], &[0], &[0, 2, 0x13, 1], &[1, 0]].concat();
        let extensions: Vec<u8> = extensions
            .iter()
            .flat_map(|(kind, content)| [&kind.to_be_bytes()[..], &with_len::<2>(content)].concat())
            .collect();
        body.extend(with_len::<2>(&extensions));
        let message = [&[CLIENT_HELLO][..], &with_len::<3>(&body)].concat();
        message
            .chunks(split)
            .flat_map(|part| [&[HANDSHAKE, 3, 1][..], &with_len::<2>(part)].concat())
            .collect()
    }

    fn named(name: &[u8]) -> Vec<u8> {
        with_len::<2>(&[&[HOST_NAME][..], &with_len::<2>(name)].concat())
    }

    fn name(text: &str) -> Hello {
        Hello::Name(Some(text.into()))
    }

    #[test]
    fn the_name_is_found_among_other_extensions() {
        let bytes = hello(
            &[(43, &[2, 3, 4]), (0, &named(b"shop.example")), (21, &[])],
            4096,
        );
        assert_eq!(server_name(&bytes), name("shop.example"));
        let more = [&bytes[..], b"\x14\x03\x03\0\x01\x01"].concat();
        assert_eq!(server_name(&more), name("shop.example"));
    }

    #[test]
    fn every_truncation_is_incomplete_however_the_hello_is_split() {
        for split in [1, 2, 3, 5, 60, 4096] {
            let bytes = hello(&[(0, &named(b"a.example"))], split);
            for len in 0..bytes.len() {
                assert_eq!(
                    server_name(&bytes[..len]),
                    Hello::Incomplete,
                    "{split} {len}"
                );
            }
            assert_eq!(server_name(&bytes), name("a.example"), "{split}");
        }
    }

    #[test]
    fn no_byte_that_is_wrong_makes_it_fail() {
        let bytes = hello(&[(0, &named(b"a.example")), (16, b"\0\x03\x02h2")], 40);
        for index in 0..bytes.len() {
            for value in 0..=255 {
                let mut bytes = bytes.clone();
                bytes[index] = value;
                // Whatever it is, it is told.
                let _ = server_name(&bytes);
            }
        }
    }

    #[test]
    fn what_names_nothing_names_nothing() {
        for bytes in [
            hello(&[], 4096),
            hello(&[(0, &named(b"a b"))], 4096),
            hello(&[(0, &named(&[b'a'; 256]))], 4096),
            hello(&[(0, &[0, 9])], 4096),
            b"GET / HTTP/1.1\r\n".to_vec(),
            b"\x16\x03\x03\0\x04\x02\0\0\0".to_vec(),
            b"\x16\x03\x01\x40\x00\x01\xff\xff\xff".to_vec(),
            b"\x16\x03\x01\0\0".to_vec(),
        ] {
            assert_eq!(server_name(&bytes), Hello::Name(None), "{bytes:?}");
        }
    }
}
