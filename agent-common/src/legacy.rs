//! What the daemon and the legacy object agree on: constants that the daemon writes into the
//! object's instructions, because kernels before 5.2 know no global data; and news that wait in a
//! map, because their perf buffers take nothing from interrupts.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::config::Offsets;
use crate::record::{ConnectionId, Header, Life, Progress};

/// Upper half of a 64-bit immediate that stands for a constant; the lower half is its number.
/// No program has another use for such a number: "wspn", in ASCII.
pub const CONSTANT_MARK: u32 = 0x7773_706e;

/// Number of the first constant that is no member of [`Offsets`]: those are numbered as they lie
/// there.
const BEHIND_OFFSETS: u32 = (size_of::<Offsets>() / size_of::<u32>()) as u32;
/// Number of the constant that is wirespan's own process.
pub const OWN_PROCESS: u32 = BEHIND_OFFSETS;

/// What the constants of a kernel are.
#[derive(Clone, Copy, Debug)]
pub struct Constants {
    /// Where the kernel keeps what is read of it.
    pub offsets: Offsets,
    /// wirespan's own process.
    pub own_process: u32,
}

impl Constants {
    /// The constant of this number; `None` if there is none.
    #[must_use]
    pub fn value(&self, number: u32) -> Option<u32> {
        match number {
            OWN_PROCESS => Some(self.own_process),
            _ => {
                let at = usize::try_from(number)
                    .ok()?
                    .checked_mul(size_of::<u32>())?;
                let bytes = self.offsets.as_bytes().get(at..at + size_of::<u32>())?;
                Some(u32::from_ne_bytes(bytes.try_into().ok()?))
            }
        }
    }
}

/// What waits to be told: news of a socket's state, which may come up in an interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Hash)]
#[repr(C)]
pub struct NewsKey {
    /// Whose: a connection's, or 0.
    pub connection: ConnectionId,
    /// The process that was running.
    pub tgid: u32,
    /// The record's kind.
    pub kind: u16,
    /// The stage that a connection came to, or the port that is listened on.
    pub what: u16,
}

/// The record, as it will be told: the header says how long it is.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct NewsRecord {
    /// Header and body.
    pub record: [u64; NEWS_WORDS],
}

/// Length of the longest record that is news, in words of eight bytes.
pub const NEWS_WORDS: usize = {
    let longest = if size_of::<Progress>() > size_of::<Life>() {
        size_of::<Progress>()
    } else {
        size_of::<Life>()
    };
    (size_of::<Header>() + longest) / 8
};

/// News that wait at a time. They wait for the end of a system call, or for
/// [`SWEEP_MS`]: at 50,000 connections a second that end, 2,500 come together.
pub const NEWS_MAX: u32 = 4096;
/// How often the daemon takes out what nobody else told, in milliseconds.
pub const SWEEP_MS: u64 = 50;

/// Where a run's records may begin in its outbox, in bytes.
pub const OUTBOX_STARTS: usize = 8 * 1024;
/// Longest record.
pub const OUTBOX_RECORD_MAX: usize = 16 * 1024 - 8;
/// Largest sample that a perf buffer holds.
pub const SAMPLE_MAX: usize = OUTBOX_STARTS + OUTBOX_RECORD_MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_numbered_as_offsets_lie() {
        let offsets = Offsets {
            task_struct_files: 7,
            unix_address_name: 9,
            ..Offsets::default()
        };
        let constants = Constants {
            offsets,
            own_process: 42,
        };
        assert_eq!(constants.value(0), Some(7));
        assert_eq!(constants.value(BEHIND_OFFSETS - 1), Some(9));
        assert_eq!(constants.value(OWN_PROCESS), Some(42));
        assert_eq!(constants.value(OWN_PROCESS + 1), None);
        assert_eq!(constants.value(u32::MAX), None);
    }
}
