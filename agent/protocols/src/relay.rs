//! The PROXY protocol (HAProxy's `proxy-protocol.txt`, versions 1 and 2): what a relay writes in
//! front of everything else, to say for whom it opened the connection. It reads the source's
//! address and how long the header is; other parts (destination, TLVs, checksum) are passed over.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// How version 1 begins (§2.1).
const TEXT_START: &[u8] = b"PROXY ";
/// Longest header of version 1, line end included (§2.1).
const TEXT_BYTES_MAX: usize = 107;
/// How version 2 begins (§2.2).
const BINARY_START: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Behind that: version and command, family and transport, length of the rest (§2.2).
const BINARY_FIXED: usize = 16;

/// What the first bytes of a connection say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// There is none.
    None,
    /// It may be one: ask again with more bytes behind these.
    Incomplete,
    /// It takes so many bytes, of which not all need be there.
    Whole {
        /// All of it, at least 1.
        len: u64,
        /// Whose connection is relayed; `None` where the relay speaks for itself (`LOCAL`), does
        /// not say (`UNKNOWN`), or has no IP address to tell.
        source: Option<SocketAddr>,
    },
}

/// Reads the header at the start of a connection.
#[must_use]
pub fn header(bytes: &[u8]) -> Header {
    match bytes.first() {
        Some(b'P') => text(bytes),
        Some(b'\r') => binary(bytes),
        Some(_) => Header::None,
        None => Header::Incomplete,
    }
}

fn text(bytes: &[u8]) -> Header {
    let common = bytes.len().min(TEXT_START.len());
    if bytes[..common] != TEXT_START[..common] {
        return Header::None;
    }
    let window = &bytes[..bytes.len().min(TEXT_BYTES_MAX)];
    let Some(end) = memchr::memchr(b'\n', window) else {
        return if bytes.len() < TEXT_BYTES_MAX {
            Header::Incomplete
        } else {
            Header::None
        };
    };
    let source = window[..end]
        .strip_suffix(b"\r")
        .and_then(|line| std::str::from_utf8(line).ok())
        .and_then(source_of);
    match source {
        Some(source) => Header::Whole {
            len: end as u64 + 1,
            source,
        },
        None => Header::None,
    }
}

/// The source that a line of version 1 names, if it is such a line.
fn source_of(line: &str) -> Option<Option<SocketAddr>> {
    let mut words = line.split(' ').skip(1);
    let family = words.next()?;
    if family == "UNKNOWN" {
        // The rest of the line is to be ignored.
        return Some(None);
    }
    let mut address = || words.next()?.parse::<IpAddr>().ok();
    let (source, target) = (address()?, address()?);
    let fits = match family {
        "TCP4" => source.is_ipv4() && target.is_ipv4(),
        "TCP6" => source.is_ipv6() && target.is_ipv6(),
        _ => false,
    };
    let mut port = || words.next()?.parse::<u16>().ok();
    let (source_port, _) = (port()?, port()?);
    (fits && words.next().is_none()).then(|| Some(SocketAddr::new(source, source_port)))
}

fn binary(bytes: &[u8]) -> Header {
    let common = bytes.len().min(BINARY_START.len());
    if bytes[..common] != BINARY_START[..common] {
        return Header::None;
    }
    let Some(&[.., version_and_command, family, high, low]) = bytes.first_chunk::<BINARY_FIXED>()
    else {
        return Header::Incomplete;
    };
    let rest_len = usize::from(u16::from_be_bytes([high, low]));
    let is_local = match version_and_command {
        0x20 => true,
        0x21 => false,
        // Receivers drop the connection.
        _ => return Header::None,
    };
    let whole = |source| Header::Whole {
        len: (BINARY_FIXED + rest_len) as u64,
        source,
    };
    // Two addresses, then two ports; behind them TLVs.
    let addresses_len = match family {
        _ if is_local => return whole(None),
        0x11 => 4 + 4 + 2 + 2,
        0x21 => 16 + 16 + 2 + 2,
        // Unix sockets, datagrams, and what is not specified.
        _ => return whole(None),
    };
    if rest_len < addresses_len {
        return Header::None;
    }
    let Some(block) = bytes.get(BINARY_FIXED..BINARY_FIXED + addresses_len) else {
        return Header::Incomplete;
    };
    whole(address_in(block))
}

/// The first address and the first port of a block of two each.
fn address_in(block: &[u8]) -> Option<SocketAddr> {
    let (addresses, ports) = block.split_at_checked(block.len().checked_sub(4)?)?;
    let ip: IpAddr = match addresses.len() {
        8 => Ipv4Addr::from(*addresses.first_chunk::<4>()?).into(),
        _ => Ipv6Addr::from(*addresses.first_chunk::<16>()?).to_canonical(),
    };
    let port = u16::from_be_bytes(*ports.first_chunk()?);
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let len = (rest.len() as u16).to_be_bytes();
        [&BINARY_START[..], &[command, family], &len, rest].concat()
    }

    fn whole(len: usize, source: Option<&str>) -> Header {
        Header::Whole {
            len: len as u64,
            source: source.map(|source| source.parse().expect("an address")),
        }
    }

    /// Headers as relays write them, and whom they name.
    fn headers() -> Vec<(Vec<u8>, Option<&'static str>)> {
        let four = [192, 0, 2, 9, 10, 0, 0, 1, 0xc0, 0x01, 0, 80];
        let mut six = [0; 36];
        six[..16].copy_from_slice(&"2001:db8::9".parse::<Ipv6Addr>().expect("one").octets());
        six[32..34].copy_from_slice(&[0xc0, 0x01]);
        // Of HAProxy's options: a checksum, and the name that was asked for.
        let tlvs = b"\x03\0\x04\xde\xad\xbe\xef\x02\0\x04shop";
        let text = |line: &str| line.as_bytes().to_vec();
        vec![
            (
                text("PROXY TCP4 192.0.2.9 10.0.0.1 49153 80\r\n"),
                Some("192.0.2.9:49153"),
            ),
            (
                text("PROXY TCP6 2001:db8::9 2001:db8::1 49153 80\r\n"),
                Some("[2001:db8::9]:49153"),
            ),
            (text("PROXY UNKNOWN\r\n"), None),
            (text("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"), None),
            (v2(0x21, 0x11, &four), Some("192.0.2.9:49153")),
            (v2(0x21, 0x21, &six), Some("[2001:db8::9]:49153")),
            (
                v2(0x21, 0x11, &[&four[..], tlvs].concat()),
                Some("192.0.2.9:49153"),
            ),
            (v2(0x20, 0x00, b""), None),
            (v2(0x20, 0x11, &four), None),
            (v2(0x21, 0x31, &[0; 216]), None),
            (v2(0x21, 0x00, tlvs), None),
        ]
    }

    #[test]
    fn every_kind_is_read_and_every_prefix_of_it_is_incomplete() {
        for (bytes, source) in headers() {
            let behind = [&bytes[..], b"GET / HTTP/1.1\r\n"].concat();
            let wanted = whole(bytes.len(), source);
            assert_eq!(header(&bytes), wanted, "{bytes:?}");
            assert_eq!(header(&behind), wanted, "{bytes:?}");
            let enough = (0..=bytes.len())
                .find(|&len| header(&bytes[..len]) != Header::Incomplete)
                .expect("the whole is enough");
            for len in enough..bytes.len() {
                assert_eq!(header(&bytes[..len]), wanted, "{bytes:?} at {len}");
            }
        }
    }

    #[test]
    fn what_receivers_refuse_is_no_header() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
        for bytes in [
            &b"PROXY TCP4 192.0.2.9 10.0.0.1 49153\r\n"[..],
            b"PROXY TCP4 192.0.2.9 10.0.0.1 49153 80 1\r\n",
            b"PROXY TCP4 2001:db8::9 10.0.0.1 49153 80\r\n",
            b"PROXY TCP4 192.0.2.9 10.0.0.1 49153 80\n",
            b"PROXY TCP4 192.0.2.9 10.0.0.1 70000 80\r\n",
            b"PROXY / HTTP/1.1\r\n",
            b"PROPFIND / HTTP/1.1\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"\r\n\r\nGET / HTTP/1.1\r\n",
            b"\x16\x03\x01",
            long.as_bytes(),
            &v2(0x31, 0x11, &[0; 12]),
            &v2(0x22, 0x11, &[0; 12]),
            &v2(0x21, 0x11, &[0; 11]),
        ] {
            assert_eq!(header(bytes), Header::None, "{bytes:?}");
        }
    }
}
