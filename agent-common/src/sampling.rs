//! Which connections are followed where not all can be, and what is counted of those that are not.
//! Both sides come to the same number for a connection, and so do both of its ends.

use core::mem::size_of;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::own::Ends;
use crate::record::Open;

/// `AF_UNIX` (include/linux/socket.h).
const AF_UNIX: u16 = 1;

/// The number of a connection of which nothing is known by which it could be chosen: it is followed
/// whatever the share.
pub const ALWAYS_FOLLOWED: u32 = u32::MAX;

/// Why the kernel side leaves a connection alone: an index into its `LEFT_ALONE` map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum LeftAlone {
    /// The daemon would take more CPU time than it may, and this one was not chosen.
    CpuLimit = 0,
    /// Nobody understands what it says.
    NotUnderstood = 1,
}

impl LeftAlone {
    /// All of them, in the order of their indices.
    pub const ALL: [Self; 2] = [Self::CpuLimit, Self::NotUnderstood];

    /// As it stands in the summary and in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CpuLimit => "cpu_limit",
            Self::NotUnderstood => "not_understood",
        }
    }
}

/// Slots of the `LEFT_ALONE` map.
pub const LEFT_ALONE_REASONS: u32 = LeftAlone::ALL.len() as u32;

/// Value of the `LEFT_ALONE` map, of one processor.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct LeftAloneCount {
    /// Connections, each time that one begins to be left alone.
    pub connections: u64,
    /// Bytes that moved on them from then on, in both directions.
    pub bytes: u64,
}
const _: () = assert!(size_of::<LeftAloneCount>() == 16);

/// The number of the connection that has these addresses, `ends` being [`Ends::of`] them. Evenly
/// distributed, and the same at both ends of a connection, unless addresses change on the way.
#[inline(always)]
#[must_use]
pub fn draw(open: &Open, ends: &Ends) -> u32 {
    let (one, other) = if open.family == AF_UNIX {
        (mixed(open.connection), mixed(open.peer))
    } else {
        (
            end(&ends.local_address, ends.local_port),
            end(&ends.peer_address, ends.peer_port),
        )
    };
    (mixed(one.wrapping_add(other)) >> 32) as u32
}

/// Whether the connection with this number is left out while those below `left_out_below` are.
#[inline(always)]
#[must_use]
pub const fn is_left_out(draw: u32, left_out_below: u32) -> bool {
    draw < left_out_below
}

#[inline(always)]
fn end(address: &[u8; 16], port: u16) -> u64 {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *address;
    let first = u64::from_ne_bytes([a, b, c, d, e, f, g, h]);
    let second = u64::from_ne_bytes([i, j, k, l, m, n, o, p]);
    mixed(mixed(first ^ mixed(second)).wrapping_add(port as u64))
}

/// All bits of what comes out depend on all bits of what goes in (the finalizer of `MurmurHash3`).
#[inline(always)]
const fn mixed(value: u64) -> u64 {
    let value = (value ^ (value >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let value = (value ^ (value >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    value ^ (value >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(local: ([u8; 4], u16), peer: ([u8; 4], u16)) -> Open {
        let wide = |short: [u8; 4]| {
            let mut wide = [0; 16];
            wide[..4].copy_from_slice(&short);
            wide
        };
        Open {
            connection: 7,
            family: 2,
            local_address: wide(local.0),
            local_port: local.1,
            peer_address: wide(peer.0),
            peer_port: peer.1,
            ..Open::default()
        }
    }

    fn of(open: &Open) -> u32 {
        draw(open, &Ends::of(open))
    }

    #[test]
    fn both_ends_of_a_connection_have_the_same_number() {
        let (server, client) = (([10, 0, 0, 1], 80), ([10, 0, 0, 2], 50_000));
        let accepted = tcp(server, client);
        let connected = Open {
            connection: 8,
            ..tcp(client, server)
        };
        assert_eq!(of(&accepted), of(&connected));
        let other = tcp(client, ([10, 0, 0, 1], 81));
        assert_ne!(of(&accepted), of(&other));
        // A server that listens on IPv6 sees a client of IPv4.
        let mapped = |short: [u8; 4]| {
            let mut wide = [0; 16];
            wide[10..12].copy_from_slice(&[0xff; 2]);
            wide[12..].copy_from_slice(&short);
            wide
        };
        let dual = Open {
            family: 10,
            local_address: mapped(server.0),
            peer_address: mapped(client.0),
            ..accepted
        };
        assert_eq!(of(&accepted), of(&dual));
        let unix = |connection, peer| Open {
            connection,
            peer,
            family: AF_UNIX,
            ..Open::default()
        };
        assert_eq!(of(&unix(3, 4)), of(&unix(4, 3)));
        assert_ne!(of(&unix(3, 4)), of(&unix(5, 6)));
    }

    #[test]
    fn a_share_of_the_numbers_is_that_share_of_the_connections() {
        for share in [2u32, 8, 64] {
            let below = u32::MAX - u32::MAX / share;
            let followed = (0..32_768u16)
                .map(|port| tcp(([127, 0, 0, 1], 80), ([127, 0, 0, 1], 32_768 + port)))
                .filter(|open| !is_left_out(of(open), below))
                .count();
            let expected = 32_768 / share as usize;
            let off = followed.abs_diff(expected);
            assert!(off < expected / 4, "{followed} of {expected}");
        }
    }

    #[test]
    fn who_is_followed_by_a_small_share_is_followed_by_each_larger_one() {
        assert!(!is_left_out(ALWAYS_FOLLOWED, u32::MAX));
        assert!(!is_left_out(0, 0));
        assert!(is_left_out(0, 1));
    }
}
