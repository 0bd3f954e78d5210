//! A ring buffer's reading end. Most records wake nobody, because being woken costs ten times the
//! record; the reader looks by itself, often while there is something to see. It decodes nothing.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use aya::Ebpf;
use aya::maps::{MapData, RingBuf};
use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, epoll, poll};
use rustix::io::Errno;
use rustix::time::Timespec;
use wirespan_common::shard::SHARDS_MAX;

use super::StartError;
use super::perf::PerfReader;

/// How long the reader sleeps between two looks: as long as it takes for some hundred records to
/// come, because a look costs as much as ten of them. At 200,000 requests per second, each with two
/// records of some 250 bytes, a buffer of 4 MiB lasts for 40 ms, and the kernel side calls when a
/// quarter of it is full. It is mapped twice, one behind the other, so it counts twice in what is
/// resident.
#[derive(Debug)]
pub struct Wait {
    next: Duration,
}

impl Wait {
    const SHORTEST: Duration = Duration::from_millis(1);
    const LONGEST: Duration = Duration::from_millis(20);
    /// A look that finds fewer records came too soon,
    const FEW: usize = 256;
    /// and one that finds more, too late.
    const MANY: usize = 768;

    /// Begins with the shortest.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            next: Self::SHORTEST,
        }
    }

    /// How long to sleep now, after a look that found so many records.
    pub fn after(&mut self, records: usize) -> Duration {
        let now = self.next;
        if records < Self::FEW {
            self.next = (now * 2).min(Self::LONGEST);
        } else if records > Self::MANY {
            self.next = (now / 2).max(Self::SHORTEST);
        }
        self.next
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
pub enum Reader {
    /// Of a ring.
    Ring(RingReader),
    /// Of what the legacy object has instead.
    Perf(Box<PerfReader>),
}

/// The reading end of a ring.
pub struct RingReader {
    ring: RingBuf<MapData>,
    /// Readable when the kernel side has called: not, as the ring is, whenever a record is in it.
    calls: OwnedFd,
}

impl Reader {
    /// The ring of a shard. To be asked for once.
    pub(super) fn new(ebpf: &mut Ebpf, shard: u8) -> Result<Self, StartError> {
        let Some(name) = RINGS.get(usize::from(shard)) else {
            return Err(StartError::Load(format!("there is no shard {shard}")));
        };
        let ring: RingBuf<MapData> = super::take_map(ebpf, name)?;
        let calls = calls(&ring).map_err(|error| StartError::Load(format!("{name}: {error}")))?;
        Ok(Self::Ring(RingReader { ring, calls }))
    }

    /// Hands each record that is there to `take`, at most `most`; returns how many there were.
    pub fn drain(&mut self, most: usize, take: impl FnMut(&[u8])) -> usize {
        match self {
            Self::Ring(ring) => ring.drain(most, take),
            Self::Perf(perf) => perf.drain(most, take),
        }
    }

    /// What is there is all that comes: nothing is held back for its order any more.
    pub fn close(&mut self) {
        match self {
            Self::Ring(_) => {}
            Self::Perf(perf) => perf.close(),
        }
    }

    /// Sleeps until the kernel side asks for attention, `wake` becomes readable, or `longest` has
    /// passed.
    pub fn sleep(&self, wake: BorrowedFd<'_>, longest: Duration) {
        match self {
            Self::Ring(ring) => ring.sleep(wake, longest),
            Self::Perf(perf) => perf.sleep(wake, longest),
        }
    }
}

impl RingReader {
    fn drain(&mut self, most: usize, mut take: impl FnMut(&[u8])) -> usize {
        for count in 0..most {
            match self.ring.next() {
                Some(record) => take(&record),
                None => return count,
            }
        }
        most
    }

    fn sleep(&self, wake: BorrowedFd<'_>, longest: Duration) {
        let mut waited_for = [
            PollFd::new(&self.calls, PollFlags::IN),
            PollFd::from_borrowed_fd(wake, PollFlags::IN),
        ];
        let longest = Timespec {
            tv_sec: longest.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: longest.subsec_nanos().into(),
        };
        // Interrupted or not: the caller looks again.
        let _: Result<usize, _> = poll(&mut waited_for, Some(&longest));
        let [calls, _] = waited_for;
        if !calls.revents().is_empty() {
            // Heard; nothing is done with it but looking.
            let mut heard = Vec::with_capacity(1);
            let now = Timespec::default();
            let _: Result<usize, _> =
                epoll::wait(&self.calls, spare_capacity(&mut heard), Some(&now));
        }
    }
}

/// A ring is readable as long as a record is in it. Who waits for the edge is told of calls only
/// (epoll(7), `EPOLLET`).
fn calls(ring: &RingBuf<MapData>) -> Result<OwnedFd, Errno> {
    let calls = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
    epoll::add(&calls, ring, epoll::EventData::new_u64(0), flags)?;
    Ok(calls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_reader_sleeps_longer_and_longer_up_to_a_bound() {
        let mut wait = Wait::new();
        let sleeps: Vec<_> = (0..20).map(|_| wait.after(0)).collect();
        assert!(sleeps.windows(2).all(|pair| pair[0] <= pair[1]));
        assert_eq!(sleeps.last(), Some(&Wait::LONGEST));
    }

    #[test]
    fn a_busy_reader_looks_as_often_as_there_is_much_to_see() {
        for per_ms in [60, 200, 1_000] {
            let mut wait = Wait::new();
            let mut slept = Wait::LONGEST;
            for _ in 0..20 {
                slept = wait.after(per_ms * slept.as_millis() as usize);
            }
            let seen = per_ms * slept.as_millis() as usize;
            let is_shortest = slept == Wait::SHORTEST;
            assert!(
                seen >= Wait::FEW && (seen <= Wait::MANY || is_shortest),
                "{per_ms}"
            );
        }
    }
}
