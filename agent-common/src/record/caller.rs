//! Who made a request, as the agent of the client's node tells that of the server's, or as an
//! option of TCP says.

use core::mem::size_of;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Body of [`super::Kind::Caller`]. The first two say which request it is about, as both ends of
/// its connection know it; the rest is about the client's span.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Caller {
    /// Sequence numbers of the first byte that the client sent, and of the first that the server
    /// did.
    pub starts: [u32; 2],
    /// Which request of the connection.
    pub at: u64,
    /// Not all zero, where `bits` says that it is known.
    pub trace_id: [u8; 16],
    /// The same.
    pub span_id: [u8; 8],
    /// 56 bits by which all who sample the trace decide, where `bits` says so.
    pub randomness: u64,
    /// W3C trace flags.
    pub flags: u8,
    /// A bit set of `CALLER_*`.
    pub bits: u8,
    /// Zero.
    pub reserved: [u8; 6],
}
const _: () = assert!(size_of::<Caller>() == 56);

/// The client is known; without this nobody that was asked knows it.
pub const CALLER_KNOWN: u8 = 1;
/// Whoever began the trace decided whether it is sampled.
pub const CALLER_DECIDED: u8 = 2;
/// It was decided that it is.
pub const CALLER_SAMPLED: u8 = 4;
/// `randomness` is that of the trace.
pub const CALLER_RANDOM: u8 = 8;
/// A TCP option said so: `at` is where the request begins on the TCP connection, in bytes modulo
/// 2^32, and of the client's span nothing is said, because it follows from that. Made by the kernel
/// side.
pub const CALLER_BY_OPTION: u8 = 16;
