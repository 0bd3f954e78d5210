//! What user space tells the kernel side about a process or a connection. No policy.

use core::mem::size_of;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Value of the `WATCHED` map, by thread group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Watch {
    /// Bytes that the first transfer of a turn may copy.
    pub opening_bytes_max: u32,
    /// Bytes that each later transfer of the same turn may copy.
    pub later_bytes_max: u32,
    /// A bit set of `PROBES_*`: what sees plaintext in the process, so that its socket calls are
    /// looked at in that light. 0 costs nothing.
    pub probes: u32,
    /// 1 once user space was told that the process serves a selected port, else 0.
    pub serves: u8,
    /// Which shard is told of connections that the process is seen with first.
    pub shard: u8,
    /// A [`crate::record::TaskKind`]: which tasks its runtime puts on threads, where they can be
    /// told apart ([`crate::runtime::Runtime`]). 0 costs nothing.
    pub tasks: u8,
    /// 1: its calls may carry their trace, where only chosen ones do
    /// ([`crate::carriers::MODE_CHOSEN`]).
    pub carries: u8,
}
const _: () = assert!(size_of::<Watch>() == 16);

/// Slots of the `HINTS` map. A process that is not watched finds its own empty, mostly, and that
/// costs a tenth of a look into a hash table.
pub const HINTS: u32 = 16 * 1024;

/// Slot of a process (thread group). Pids are given out one after the other, so neighbours differ.
#[must_use]
pub const fn hint_slot(tgid: u32) -> u32 {
    tgid % HINTS
}

/// The process maps TLS libraries with probes that work by thread.
pub const PROBES_ON_THREADS: u32 = 1;
/// The process maps TLS libraries with probes that work by goroutine.
pub const PROBES_ON_GOROUTINES: u32 = 2;

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
            probes: 0,
            serves: 0,
            shard: 0,
            tasks: 0,
            carries: 0,
        }
    }
}

/// What user space makes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A protocol that is understood: no need to ask again.
    Understood,
    /// Nothing that is understood: copy nothing, report nothing.
    Ignored,
    /// Not among those that are followed while not all are: copy nothing, report nothing, until it
    /// is among them again ([`crate::sampling`]).
    LeftOut,
    /// TLS: copy nothing, but tell how it ends. The kernel side comes to it by itself when a TLS
    /// object is on it.
    Carrier,
    /// HTTP/2: payloads of DATA frames (RFC 9113, 6.1) need not be copied.
    ///
    /// Both are stream positions at which a frame header is known to begin, the latest that user
    /// space knows, ahead of what it has read where a frame is under way; [`NO_BOUNDARY`] where it
    /// knows none. The kernel side walks frames from there on if it has not yet passed that
    /// position, else from where it finds plausible frames itself.
    Http2 {
        /// In what the process reads.
        ingress_boundary: u64,
        /// In what the process writes.
        egress_boundary: u64,
    },
}

/// Nobody knows where a frame begins.
pub const NO_BOUNDARY: u64 = u64::MAX;

/// What a [`Verdict`] says in one byte; 0 is none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum VerdictKind {
    /// [`Verdict::Understood`].
    Understood = 1,
    /// [`Verdict::Ignored`].
    Ignored = 2,
    /// [`Verdict::Http2`].
    Http2 = 3,
    /// [`Verdict::Carrier`].
    Carrier = 4,
    /// [`Verdict::LeftOut`]. The kernel side comes to it by itself for a new connection.
    LeftOut = 5,
    /// No stream, or one of wirespan's own. Only the kernel side says so.
    Unfit = 6,
}

impl VerdictKind {
    /// Whether a connection of which this was said is neither copied nor told of.
    #[inline(always)]
    #[must_use]
    pub const fn leaves_alone(raw: u8) -> bool {
        raw == Self::Ignored as u8 || raw == Self::LeftOut as u8 || raw == Self::Unfit as u8
    }
}

/// Value of the `VERDICTS` map, by connection: a [`Verdict`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct VerdictValue {
    /// A [`VerdictKind`].
    pub kind: u8,
    /// Zero.
    pub reserved: [u8; 7],
    /// See [`Verdict::Http2`], by [`crate::record::Direction`]; else [`NO_BOUNDARY`].
    pub boundaries: [u64; 2],
}
const _: () = assert!(size_of::<VerdictValue>() == 24);

impl From<Verdict> for VerdictValue {
    fn from(verdict: Verdict) -> Self {
        let (kind, boundaries) = match verdict {
            Verdict::Understood => (VerdictKind::Understood, [NO_BOUNDARY; 2]),
            Verdict::Ignored => (VerdictKind::Ignored, [NO_BOUNDARY; 2]),
            Verdict::LeftOut => (VerdictKind::LeftOut, [NO_BOUNDARY; 2]),
            Verdict::Carrier => (VerdictKind::Carrier, [NO_BOUNDARY; 2]),
            Verdict::Http2 {
                ingress_boundary,
                egress_boundary,
            } => (VerdictKind::Http2, [ingress_boundary, egress_boundary]),
        };
        Self {
            kind: kind as u8,
            reserved: [0; 7],
            boundaries,
        }
    }
}
