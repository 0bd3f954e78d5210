//! A ring buffer's reading end. Most records wake nobody, because being woken costs ten times the
//! record; the reader looks by itself, often while there is something to see. It decodes nothing.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use aya::Ebpf;
use aya::maps::{MapData, RingBuf};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use wirespan_common::shard::SHARDS_MAX;

use super::StartError;

/// How long the reader sleeps when it found the buffer empty. At 200,000 requests per second, each
/// with two records of some 250 bytes, a buffer of 4 MiB lasts for 40 ms. It is mapped twice, one
/// behind the other, so it counts twice in what is resident.
#[derive(Debug)]
pub struct Wait {
    next: Duration,
}

impl Wait {
    const SHORTEST: Duration = Duration::from_millis(1);
    const LONGEST: Duration = Duration::from_millis(10);

    /// Begins with the shortest.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            next: Self::SHORTEST,
        }
    }

    /// There was something to read.
    pub fn found(&mut self) {
        self.next = Self::SHORTEST;
    }

    /// There was nothing: how long to sleep now. Grows while nothing comes.
    pub fn nothing(&mut self) -> Duration {
        let now = self.next;
        self.next = (now * 2).min(Self::LONGEST);
        now
    }
}

impl Default for Wait {
    fn default() -> Self {
        Self::new()
    }
}

/// The maps of the kernel side that are rings, by shard.
pub(super) const RINGS: [&str; SHARDS_MAX] = [
    "RECORDS",
    "RECORDS_1",
    "RECORDS_2",
    "RECORDS_3",
    "RECORDS_4",
    "RECORDS_5",
    "RECORDS_6",
    "RECORDS_7",
];

/// The reading end.
pub struct Reader {
    ring: RingBuf<MapData>,
}

impl Reader {
    /// The ring of a shard. To be asked for once.
    pub(super) fn new(ebpf: &mut Ebpf, shard: u8) -> Result<Self, StartError> {
        let Some(name) = RINGS.get(usize::from(shard)) else {
            return Err(StartError::Load(format!("there is no shard {shard}")));
        };
        Ok(Self {
            ring: super::take_map(ebpf, name)?,
        })
    }

    /// Hands each record that is there to `take`, at most `most`; returns how many there were.
    pub fn drain(&mut self, most: usize, mut take: impl FnMut(&[u8])) -> usize {
        for count in 0..most {
            match self.ring.next() {
                Some(record) => take(&record),
                None => return count,
            }
        }
        most
    }

    /// Sleeps until the kernel side asks for attention, `wake` becomes readable, or `longest` has
    /// passed.
    pub fn sleep(&self, wake: BorrowedFd<'_>, longest: Duration) {
        let mut waited_for = [
            PollFd::new(&self.ring, PollFlags::IN),
            PollFd::from_borrowed_fd(wake, PollFlags::IN),
        ];
        let longest = Timespec {
            tv_sec: longest.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: longest.subsec_nanos().into(),
        };
        // Interrupted or not: the caller looks again.
        let _: Result<usize, _> = poll(&mut waited_for, Some(&longest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_reader_sleeps_longer_and_longer_up_to_a_bound() {
        let mut wait = Wait::new();
        let sleeps: Vec<_> = (0..20).map(|_| wait.nothing()).collect();
        assert!(sleeps.windows(2).all(|pair| pair[0] <= pair[1]));
        assert_eq!(sleeps.last(), Some(&Wait::LONGEST));
        wait.found();
        assert_eq!(wait.nothing(), Wait::SHORTEST);
    }
}
