//! How much of this machine a stranger's file may take to be looked into. BytesAt are counted as
//! they are read, and time as the processor spends it, so that a busy machine or a slow disk gives
//! nobody less; it knows nothing of what is read.

use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::image::BytesAt;

/// What may be spent, or was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cost {
    /// BytesAt read.
    pub bytes: u64,
    /// Time of a processor.
    pub time: Duration,
}

/// For one file. A browser with all its symbols takes 300 MB and a second.
pub(super) const FILE_MAX: Cost = Cost {
    bytes: 640 << 20,
    time: Duration::from_secs(5),
};
/// For all files of one process that nobody had looked into before.
pub(super) const PROCESS_MAX: Cost = Cost {
    bytes: 2 << 30,
    time: Duration::from_secs(15),
};

/// Why a file was not looked into to the end, or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GivenUp {
    /// There is more in it to be read than in any program.
    FileTooLarge,
    /// Other files of the process have taken all that there is for one.
    ProcessTooLarge,
    /// It is not answered when it is read or opened.
    Stalled,
    /// More files are mapped than may be held open.
    TooMany,
}

impl fmt::Display for GivenUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FileTooLarge => "looking into it would take more than any program does",
            Self::ProcessTooLarge => {
                "looking into other files that its process maps has taken all that one may take"
            }
            Self::Stalled => "its file system does not answer",
            Self::TooMany => "too many files with TLS are mapped",
        })
    }
}

impl Cost {
    /// What is left of it.
    pub fn minus(self, spent: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(spent.bytes),
            time: self.time.saturating_sub(spent.time),
        }
    }

    pub fn plus(self, more: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(more.bytes),
            time: self.time.saturating_add(more.time),
        }
    }

    /// The lesser of both, in each respect.
    pub fn at_most(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.min(other.bytes),
            time: self.time.min(other.time),
        }
    }

    pub fn is_nothing(self) -> bool {
        self.bytes == 0 || self.time.is_zero()
    }
}

/// BytesAt that cost something: when it is spent, they can't be read any more. For one thread.
pub(super) struct Metered<'a> {
    bytes: &'a dyn BytesAt,
    budget: Cost,
    spent: Cell<u64>,
    began: Duration,
    is_over: Cell<bool>,
    progress: &'a AtomicU64,
}

impl<'a> Metered<'a> {
    /// Counts reads in `progress`, for others to see that it goes on.
    pub fn new(bytes: &'a dyn BytesAt, budget: Cost, progress: &'a AtomicU64) -> Self {
        Self {
            bytes,
            budget,
            spent: Cell::new(0),
            began: processor_time(),
            is_over: Cell::new(false),
            progress,
        }
    }

    /// What was spent until now.
    pub fn spent(&self) -> Cost {
        Cost {
            bytes: self.spent.get(),
            time: processor_time().saturating_sub(self.began),
        }
    }

    /// Whether something could not be read because of that.
    pub fn is_over(&self) -> bool {
        self.is_over.get()
    }
}

impl BytesAt for Metered<'_> {
    fn len(&self) -> u64 {
        self.bytes.len()
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Option<()> {
        self.spent.set(self.spent.get() + into.len() as u64);
        self.progress.fetch_add(1, Ordering::Relaxed);
        let spent = self.spent();
        if spent.bytes > self.budget.bytes || spent.time > self.budget.time {
            self.is_over.set(true);
            return None;
        }
        self.bytes.read_at(offset, into)
    }
}

/// How long this thread has had a processor.
fn processor_time() -> Duration {
    // Neither field is negative.
    clock_gettime(ClockId::ThreadCPUTime)
        .try_into()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::image::InMemory;
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn what_costs_more_than_there_is_can_not_be_read() {
        let bytes = [7; 64];
        let bytes = InMemory(&bytes);
        let progress = AtomicU64::new(0);
        let budget = Cost {
            bytes: 40,
            time: HOUR,
        };
        let metered = Metered::new(&bytes, budget, &progress);
        let mut into = [0; 16];
        for _ in 0..2 {
            assert_eq!(metered.read_at(8, &mut into), Some(()));
        }
        // What is not there costs its asking too, and is not what it fails by.
        assert_eq!(metered.read_at(64, &mut into[..1]), None);
        assert!(!metered.is_over());
        assert_eq!(metered.read_at(0, &mut into), None);
        assert!(metered.is_over());
        assert_eq!(progress.into_inner(), 4);

        let progress = AtomicU64::new(0);
        let budget = Cost {
            bytes: 40,
            time: Duration::ZERO,
        };
        let metered = Metered::new(&bytes, budget, &progress);
        while metered.spent().time.is_zero() {}
        assert_eq!(metered.read_at(0, &mut into), None);
        assert!(metered.is_over());
    }
}
