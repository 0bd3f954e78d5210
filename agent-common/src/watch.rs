//! What user space tells the kernel side about a process or a connection. No policy.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Value of the `WATCHED` map, by thread group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Watch {
    /// Bytes that the first transfer of a turn may copy.
    pub opening_bytes_max: u32,
    /// Bytes that each later transfer of the same turn may copy.
    pub later_bytes_max: u32,
}

/// Where most heads fit: nginx and Apache refuse longer ones than 8 KiB, typical ones have 1 KiB.
pub const OPENING_BYTES_DEFAULT: u32 = 4096;
/// Enough for the heads of pipelined responses, little for the pieces of a body.
pub const LATER_BYTES_DEFAULT: u32 = 512;
/// Given to a process in which a parser met a head that did not fit.
pub const OPENING_BYTES_RAISED: u32 = 16 * 1024;
/// Given to a process in which a parser met a head that did not fit.
pub const LATER_BYTES_RAISED: u32 = 4096;
/// Bytes that one turn may copy in all; after that, transfers are only counted until the direction
/// turns.
pub const TURN_BYTES_MAX: u32 = 64 * 1024;

impl Default for Watch {
    fn default() -> Self {
        Self {
            opening_bytes_max: OPENING_BYTES_DEFAULT,
            later_bytes_max: LATER_BYTES_DEFAULT,
        }
    }
}

/// Value of the `VERDICTS` map, by connection: what user space makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Verdict {
    /// A protocol that is understood: no need to ask again.
    Understood = 1,
    /// Nothing that is understood: copy nothing, report nothing.
    Ignored = 2,
}
