//! How much of a ring buffer one process may fill. It counts what it is told and decides; it asks
//! nobody.
//!
//! A ring is one for all that are watched in its shard, and whoever talks most would fill it for
//! everybody; so who holds much of it loses records first, and what is left over is for the others.
//! Each ring is shared by itself: a process that writes into two, as it uses a connection that
//! another one was seen with first, has a ledger for each.
//!
//! The rule is that of dynamic thresholds in shared buffers (Choudhury and Hahne, "Dynamic queue
//! length thresholds for shared-memory packet switches", 1998): one may hold at most so many times
//! what is free. Alone, a process may fill two thirds; two of them two fifths each; and however
//! many they are, something stays free.
//!
//! What a process holds is estimated: all that it wrote since it was last looked at, of which the
//! reader has taken the same part as of everything that was written since.

use core::mem::size_of;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A process may hold so many times what is free.
pub const SHARES_OF_FREE: u64 = 2;
/// A process is looked at each time it has written this part of the ring.
const LOOKS_PER_RING: u64 = 64;

/// Bits of a process's number: `PID_MAX_LIMIT` is 2^22 (include/linux/threads.h).
const PID_BITS: u32 = 24;

/// Key of the `LEDGERS` map: a process (thread group) and the shard into whose ring it wrote.
#[inline(always)]
#[must_use]
pub const fn ledger_key(tgid: u32, shard: u8) -> u32 {
    tgid | (shard as u32) << PID_BITS
}

/// The process of a [`ledger_key`].
#[must_use]
pub const fn ledger_process(key: u32) -> u32 {
    key & ((1 << PID_BITS) - 1)
}

/// Value of the `LEDGERS` map, by [`ledger_key`]: what a process wrote into one ring buffer.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Ledger {
    /// Position in all that was ever written, in bytes, from which on `held` counts.
    pub since: u64,
    /// Bytes of the process behind `since`, as of its last look.
    pub held: u64,
    /// Bytes that it wrote after that.
    pub unlooked: u64,
    /// 1 if it was refused at its last look, else 0.
    pub refused: u64,
    /// Its records that could not be written, for whatever reason.
    pub lost: u64,
}
const _: () = assert!(size_of::<Ledger>() == 40);

/// Where the ring buffer's ends are; positions are bytes since it was made.
#[derive(Clone, Copy, Debug)]
pub struct Ring {
    /// Bytes that it has room for.
    pub size: u64,
    /// The reader has taken everything before.
    pub consumed: u64,
    /// Everything before was written.
    pub produced: u64,
}

impl Ring {
    /// Whether so much waits that the reader should look at once.
    #[inline(always)]
    #[must_use]
    pub const fn is_filling(&self) -> bool {
        self.produced.wrapping_sub(self.consumed) > self.size / 4
    }
}

impl Ledger {
    /// Whether the ring has to be looked at ([`Ledger::admits`]) before the process writes `len`
    /// more bytes. Of one that writes little it need not.
    #[inline(always)]
    #[must_use]
    pub const fn is_due(&self, len: u64, ring_size: u64) -> bool {
        self.refused != 0 || self.unlooked.wrapping_add(len) > ring_size / LOOKS_PER_RING
    }

    /// The process writes that many bytes.
    #[inline(always)]
    pub const fn writes(&mut self, len: u64) {
        self.unlooked = self.unlooked.wrapping_add(len);
    }

    /// Whether the process may write more at the moment.
    #[inline(always)]
    pub const fn admits(&mut self, ring: Ring) -> bool {
        let mut waiting = ring.produced.wrapping_sub(ring.consumed);
        if waiting > ring.size {
            waiting = ring.size;
        }
        let written = ring.produced.wrapping_sub(self.since);
        self.held = self.held.wrapping_add(self.unlooked);
        self.unlooked = 0;
        if waiting < written {
            self.since = ring.produced.wrapping_sub(waiting);
            // Neither factor is much more than the ring's size, which is below 2^32.
            self.held = self.held.wrapping_mul(waiting) / written;
        }
        let free = ring.size.wrapping_sub(waiting);
        let admits = self.held <= free.wrapping_mul(SHARES_OF_FREE);
        self.refused = !admits as u64;
        admits
    }
}

/// What a process wrote into a ring since its ledger was looked at: one for each processor, so that
/// of many small records hardly any pays for a look into the table of ledgers.
///
/// What is in purses is missing in ledgers: [`PURSE_BYTES`] at most on each processor, less than a
/// process may write there between two looks at the ring.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Purse {
    /// A [`ledger_key`]; 0 if it is nobody's.
    key: u32,
    /// Bytes.
    spent: u32,
}

/// What a purse holds.
pub const PURSE_BYTES: u32 = 4 * 1024;

impl Purse {
    /// Pays for `len` bytes, if it is this ledger's and holds as much; else it has to be emptied.
    #[inline(always)]
    #[must_use]
    pub const fn pays(&mut self, key: u32, len: u32) -> bool {
        let spent = self.spent.wrapping_add(len);
        if self.key != key || spent > PURSE_BYTES {
            return false;
        }
        self.spent = spent;
        true
    }

    /// Empties it: the bytes that are to be written into which ledger.
    #[inline(always)]
    pub const fn empty(&mut self) -> (u32, u64) {
        let emptied = *self;
        *self = Self { key: 0, spent: 0 };
        (emptied.key, emptied.spent as u64)
    }

    /// It is this ledger's from now on.
    #[inline(always)]
    pub const fn open(&mut self, key: u32) {
        self.key = key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 4 << 20;

    /// Processes that write records of 500 bytes at rates, into a ring whose reader takes
    /// `capacity` of them per round. Returns what each lost, in records.
    fn run<const N: usize>(rates: [u64; N], capacity: u64, rounds: u64) -> [u64; N] {
        const LEN: u64 = 500;
        let mut ledgers = [Ledger::default(); N];
        let (mut consumed, mut produced) = (0u64, 0u64);
        let mut lost = [0; N];
        for _ in 0..rounds {
            let most = rates.into_iter().max().unwrap_or_default();
            // Interleaved, as fast as each goes.
            for turn in 0..most {
                for (of, rate) in rates.into_iter().enumerate() {
                    if (turn + 1) * rate / most == turn * rate / most {
                        continue;
                    }
                    let ring = Ring {
                        size: SIZE,
                        consumed,
                        produced,
                    };
                    let ledger = &mut ledgers[of];
                    let admitted = !ledger.is_due(LEN, SIZE) || ledger.admits(ring);
                    if admitted && produced - consumed + LEN <= SIZE {
                        ledger.writes(LEN);
                        produced += LEN;
                    } else {
                        lost[of] += 1;
                    }
                }
            }
            consumed += (capacity * LEN).min(produced - consumed);
        }
        lost
    }

    #[test]
    fn a_process_has_a_ledger_for_each_ring() {
        const PID_LAST: u32 = (1 << 22) - 1;
        let keys = [(1, 0), (1, 1), (2, 0), (PID_LAST, 0), (PID_LAST, 7)];
        for (index, (tgid, shard)) in keys.into_iter().enumerate() {
            let key = ledger_key(tgid, shard);
            assert_eq!(ledger_process(key), tgid);
            let same = keys.map(|(tgid, shard)| ledger_key(tgid, shard) == key);
            assert_eq!(same.iter().filter(|same| **same).count(), 1, "{index}");
        }
        assert_eq!(ledger_key(77, 0), 77, "one shard pays nothing for others");
    }

    #[test]
    fn a_ring_is_filling_from_a_quarter_on() {
        let ring = |waiting| Ring {
            size: SIZE,
            consumed: 7,
            produced: 7 + waiting,
        };
        assert!(!ring(SIZE / 4).is_filling());
        assert!(ring(SIZE / 4 + 1).is_filling());
    }

    #[test]
    fn a_purse_pays_for_one_process_until_it_is_empty() {
        let mut purse = Purse::default();
        assert!(!purse.pays(7, 1), "it is nobody's");
        purse.open(7);
        assert!(purse.pays(7, 1000));
        assert!(!purse.pays(8, 1), "it is another one's");
        assert!(purse.pays(7, PURSE_BYTES - 1000));
        assert!(!purse.pays(7, 1), "it holds no more");
        assert_eq!(purse.empty(), (7, PURSE_BYTES.into()));
        assert!(!purse.pays(7, 1), "it is nobody's again");
        assert_eq!(purse.empty(), (0, 0));
    }

    #[test]
    fn a_quiet_process_loses_nothing_beside_noisy_ones() {
        let [noisy, quiet] = run([10_000, 5], 2_000, 200);
        assert_eq!(quiet, 0);
        assert!(noisy > 0, "the reader can't take all of it");
        let [.., quiet] = run([3_000, 10_000, 7_000, 5], 2_000, 200);
        assert_eq!(quiet, 0);
    }

    #[test]
    fn nobody_loses_while_the_reader_keeps_up() {
        assert_eq!(run([2_000, 2_000, 10], 4_010, 200), [0; 3]);
    }

    #[test]
    fn a_burst_may_fill_two_thirds() {
        let records = SIZE * 2 / 3 / 500;
        assert_eq!(run([records - 200], 0, 1), [0]);
        let [lost] = run([SIZE / 500], 0, 1);
        assert!(lost > SIZE / 4 / 500, "{lost}");
    }

    #[test]
    fn what_was_written_long_ago_is_not_held_against_a_process() {
        // It wrote as much as the ring holds, a while ago; then another one fills it.
        let mut ledger = Ledger {
            held: SIZE,
            ..Ledger::default()
        };
        let ring = Ring {
            size: SIZE,
            consumed: 100 * SIZE,
            produced: 100 * SIZE + SIZE * 9 / 10,
        };
        assert!(ledger.admits(ring));
        assert!(ledger.held < SIZE / 50, "{ledger:?}");
    }

    #[test]
    fn who_was_refused_is_admitted_once_the_reader_has_come_round() {
        let mut ledger = Ledger {
            held: SIZE * 3 / 4,
            ..Ledger::default()
        };
        let mut ring = Ring {
            size: SIZE,
            consumed: 0,
            produced: SIZE * 3 / 4,
        };
        assert!(!ledger.admits(ring));
        assert!(ledger.is_due(1, SIZE), "it is looked at again");
        ring.consumed = ring.produced;
        assert!(ledger.admits(ring));
        assert_eq!(ledger.held, 0);
    }
}
