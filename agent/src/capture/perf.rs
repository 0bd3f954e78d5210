//! Records out of perf buffers, for kernels without a ring buffer: one buffer for each processor,
//! whose samples hold the records of one run each. It hands them on in the order in which they
//! happened, marks connections after a loss, and fetches news that nobody else told. It decodes no
//! more of a record than that takes.

mod buffer;
mod marks;
mod news;
mod order;
mod sample;

use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aya::Ebpf;
use aya::maps::Map;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use wirespan_common::legacy::SWEEP_MS;

use self::buffer::{PerfBuffer, put};
use self::marks::LossMarks;
use self::news::StateNews;
use self::order::HeldRecords;
use self::sample::{PerfEntry, records};
use super::StartError;
use crate::wall_clock::monotonic_ns;

/// Name of the map that has the buffers.
pub(super) const BUFFERS: &str = "RECORDS";

/// Bytes of records that wait for their turn; while there are more, the buffers wait.
const HELD_MAX: usize = 8 << 20;
/// How long before it is told a record may have got its time: a program ends within microseconds,
/// and may be interrupted. In nanoseconds.
const RUN_NS: u64 = 1_000_000;

/// The map that has the buffers.
fn descriptor(ebpf: &Ebpf) -> Result<BorrowedFd<'_>, StartError> {
    match ebpf.map(BUFFERS) {
        Some(Map::PerfEventArray(map)) => Ok(map.fd().as_fd()),
        _ => Err(StartError::Load(format!(
            "the object has no map {BUFFERS} of perf buffers"
        ))),
    }
}

/// Samples that found no room, by processor.
#[derive(Debug, Default)]
pub struct LostSamples(Vec<(u32, AtomicU64)>);

impl LostSamples {
    /// Over all processors.
    pub fn total(&self) -> u64 {
        let each = self.0.iter();
        each.map(|(_, lost)| lost.load(Ordering::Relaxed)).sum()
    }
}

/// The reading end of all buffers.
pub struct PerfReader {
    buffers: Vec<PerfBuffer>,
    lost: Arc<LostSamples>,
    held: HeldRecords,
    marks: LossMarks,
    news: StateNews,
    swept_at: Instant,
    /// Nothing is waited for any more.
    closes: bool,
}

impl PerfReader {
    /// Makes a buffer for each processor that is there.
    pub(super) fn new(ebpf: &mut Ebpf) -> Result<Self, StartError> {
        let refused = |reason: String| StartError::Load(format!("perf buffers: {reason}"));
        let map = descriptor(ebpf)?;
        let processors = aya::util::online_cpus()
            .map_err(|(file, error)| refused(format!("{file}: {error}")))?;
        let mut buffers = Vec::new();
        for &processor in &processors {
            let buffer = PerfBuffer::open(processor, processors.len())
                .map_err(|error| refused(format!("processor {processor}: {error}")))?;
            put(map, processor, buffer.as_fd())
                .map_err(|error| refused(format!("processor {processor}: {error}")))?;
            buffers.push(buffer);
        }
        let each = processors.iter();
        let lost = LostSamples(each.map(|&cpu| (cpu, AtomicU64::new(0))).collect());
        Ok(Self {
            buffers,
            lost: Arc::new(lost),
            held: HeldRecords::default(),
            marks: LossMarks::default(),
            news: StateNews::new(ebpf)?,
            swept_at: Instant::now(),
            closes: false,
        })
    }

    /// What was lost, for others to look at.
    pub(super) fn lost(&self) -> Arc<LostSamples> {
        Arc::clone(&self.lost)
    }

    /// From now on records are handed on without waiting for older ones.
    pub fn close(&mut self) {
        self.closes = true;
    }

    /// Hands each record to `take` that nothing older can come before, at most `most`; returns how
    /// many there were.
    pub fn drain(&mut self, most: usize, mut take: impl FnMut(&[u8])) -> usize {
        let began = monotonic_ns();
        let is_due = self.swept_at.elapsed() >= Duration::from_millis(SWEEP_MS);
        if is_due || self.closes {
            self.swept_at = Instant::now();
            self.news.sweep(|record| self.held.add(record));
        }
        self.read_buffers();
        let settled = if self.closes {
            u64::MAX
        } else {
            began.saturating_sub(RUN_NS)
        };
        let marks = &mut self.marks;
        self.held.release(settled, most, |record| {
            marks.mark(record);
            take(record);
        })
    }

    fn read_buffers(&mut self) {
        let Self {
            buffers,
            lost,
            held,
            marks,
            ..
        } = self;
        for (buffer, (processor, lost)) in buffers.iter_mut().zip(&lost.0) {
            if held.bytes() >= HELD_MAX {
                return;
            }
            buffer.read(HELD_MAX, |event| match event {
                PerfEntry::Sample(sample) => records(sample, |record| held.add(record)),
                PerfEntry::Lost(count) => {
                    log::debug!("the buffer of processor {processor} had no room {count} times");
                    lost.fetch_add(count, Ordering::Relaxed);
                    marks.lost();
                }
            });
        }
    }

    /// Sleeps until a buffer fills, `wake` becomes readable, or `longest` has passed.
    pub fn sleep(&self, wake: BorrowedFd<'_>, longest: Duration) {
        let mut waited_for = vec![PollFd::from_borrowed_fd(wake, PollFlags::IN)];
        let buffers = self.buffers.iter();
        waited_for.extend(buffers.map(|it| PollFd::from_borrowed_fd(it.as_fd(), PollFlags::IN)));
        let longest = Timespec {
            tv_sec: longest.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: longest.subsec_nanos().into(),
        };
        // Interrupted or not: the caller looks again.
        let _: Result<usize, _> = poll(&mut waited_for, Some(&longest));
    }
}
