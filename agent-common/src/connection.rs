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
    /// What may still be copied of what the process reads.
    pub ingress_budget: Budget,
    /// What may still be copied of what the process writes. Each direction has its own, because two
    /// threads may use them at the same time.
    pub egress_budget: Budget,
    /// A [`crate::record::Direction`], or [`NO_DIRECTION`] before the first transfer.
    pub direction: u8,
    /// A [`crate::watch::VerdictKind`], or 0 while there is none.
    pub verdict: u8,
    /// 1 if a record could not be written since the last one that was.
    pub lost: u8,
    /// A [`Sequence`].
    pub sequence: u8,
    /// Sequence number (TCP) of the byte at ingress position 0, where `sequence` says so.
    pub first_sequence: u32,
    /// Thread that read last, 0 before one did.
    pub reader: u32,
    /// A [`Held`].
    pub held: u8,
    /// Which shard is told of it, whoever uses it: that of the process that was seen with it first.
    pub shard: u8,
    /// 1 if its process, a proxy, was seen to answer on it: then it asks for nothing on it.
    pub answers: u8,
    /// Its process's [`crate::runtime::Proxy`], where `proxied_at` is known.
    pub proxy: u8,
    /// Address of its `struct sock` when it was first seen.
    pub sk: u64,
    /// Where its process, a proxy, keeps what it knows of it; 0 while that is not known.
    pub proxied_at: u64,
    /// Its number among those of which some are left out; see [`crate::sampling::draw`].
    pub draw: u32,
    /// Transfers since it is left alone, as far as they are counted.
    pub left_alone: u8,
    /// Zero.
    pub reserved: [u8; 3],
}
const _: () = assert!(size_of::<Connection>() == 120);

/// What the present turn of a direction may still copy.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Budget {
    /// Bytes.
    pub turn_bytes_left: u32,
    /// Bytes of them for which transfers are copied beyond `later_bytes_max`.
    pub opening_bytes_left: u32,
}

/// Whether the kernel's own count of bytes read tells of those that no hook saw (spliced out of a
/// socket, under the socket tracepoints; missed by a program that another one preempted).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Sequence {
    /// It is not looked at: every transfer is seen, or it counts something else.
    Ignored = 0,
    /// It agreed with the ingress position whenever it was looked at.
    Followed = 1,
    /// It was ahead, and the position was corrected.
    CaughtUp = 2,
}

/// What the program `look` found out about a connection's socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Held {
    /// Nobody looked.
    Unknown = 0,
    /// A descriptor of some process refers to its socket.
    Yes = 1,
    /// Its socket was closed.
    No = 2,
}

/// Nothing has moved yet.
pub const NO_DIRECTION: u8 = 0xff;
