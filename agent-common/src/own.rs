//! The two ends of a connection as one of them sees them. It compares nothing: equal bytes are the
//! same connection.

use core::mem::size_of;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::record::Open;

/// An IPv4 address among IPv6 ones (RFC 4291, 2.5.5.2) begins with this, network byte order.
const MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/// Key of the `OWN_PEERS` map. Network namespaces don't count: addresses of one machine that can
/// reach each other differ, but for loopback, where both ends are in one.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Ends {
    /// Network byte order; an IPv4 address fills the first four bytes.
    pub local_address: [u8; 16],
    /// The same.
    pub peer_address: [u8; 16],
    /// Host byte order.
    pub local_port: u16,
    /// Host byte order.
    pub peer_port: u16,
}
const _: () = assert!(size_of::<Ends>() == 36);

impl Ends {
    /// Those of a socket that has these addresses.
    #[inline(always)]
    #[must_use]
    pub fn of(open: &Open) -> Self {
        Self {
            local_address: unmapped(open.local_address),
            peer_address: unmapped(open.peer_address),
            local_port: open.local_port,
            peer_port: open.peer_port,
        }
    }

    /// The same, seen by the peer.
    #[inline(always)]
    #[must_use]
    pub fn of_peer(open: &Open) -> Self {
        Self {
            local_address: unmapped(open.peer_address),
            peer_address: unmapped(open.local_address),
            local_port: open.peer_port,
            peer_port: open.local_port,
        }
    }
}

/// An IPv6 socket's address of an IPv4 peer, as an IPv4 socket has it.
#[inline(always)]
fn unmapped(address: [u8; 16]) -> [u8; 16] {
    let [start @ .., a, b, c, d] = address;
    if start == MAPPED {
        let mut short = [0; 16];
        short[..4].copy_from_slice(&[a, b, c, d]);
        short
    } else {
        address
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(local: [u8; 16], peer: [u8; 16]) -> Open {
        Open {
            local_port: 4318,
            peer_port: 50_000,
            local_address: local,
            peer_address: peer,
            ..Open::default()
        }
    }

    fn short(last: u8) -> [u8; 16] {
        let mut address = [0; 16];
        address[..4].copy_from_slice(&[10, 0, 0, last]);
        address
    }

    fn mapped(last: u8) -> [u8; 16] {
        let mut address = [0; 16];
        address[..12].copy_from_slice(&MAPPED);
        address[12..].copy_from_slice(&[10, 0, 0, last]);
        address
    }

    #[test]
    fn both_ends_of_a_connection_agree_whatever_family_their_sockets_have() {
        let server = Ends::of(&open(mapped(1), mapped(2)));
        let mut client = open(short(2), short(1));
        (client.local_port, client.peer_port) = (50_000, 4318);
        assert_eq!(Ends::of_peer(&client), server);
        assert_ne!(Ends::of(&client), server);
        client.local_port = 50_001;
        assert_ne!(Ends::of_peer(&client), server);
    }

    #[test]
    fn an_address_of_its_own_is_not_shortened() {
        let mut address = mapped(1);
        address[0] = 0x20;
        assert_eq!(Ends::of(&open(address, address)).local_address, address);
    }
}
