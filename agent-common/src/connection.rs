//! What the kernel side remembers of a connection: the value of its `CONNECTIONS` map. User space
//! only reads it, to learn how far streams have come whose bytes are no longer reported.

use core::mem::size_of;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::record::Extent;

/// Value of the `CONNECTIONS` map, by [`crate::record::ConnectionId`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Connection {
    /// How far what the process read has come.
    pub ingress: Extent,
    /// How far what the process wrote has come.
    pub egress: Extent,
    /// Bytes that the present turn may still copy.
    pub turn_bytes_left: u32,
    /// Bytes of them for which transfers are copied beyond `later_bytes_max`.
    pub opening_bytes_left: u32,
    /// A [`crate::record::Direction`], or [`NO_DIRECTION`] before the first transfer.
    pub direction: u8,
    /// A [`crate::watch::Verdict`], or 0 while there is none.
    pub verdict: u8,
    /// 1 if a record could not be written since the last one that was.
    pub lost: u8,
    /// Zero.
    pub reserved: [u8; 5],
}
const _: () = assert!(size_of::<Connection>() == 80);

/// Nothing has moved yet.
pub const NO_DIRECTION: u8 = 0xff;
