//! What is remembered of a process while its files are looked into.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::super::FileId;
use super::super::budget::Cost;
use super::super::mappings::Mapping;
use super::super::verdicts::WaitingFile;
use crate::blocking::LookTicket;

/// How long a process counts as young.
const YOUNG: Duration = Duration::from_secs(10);
/// How long after a look a young process is looked at again: half of the time that it is known for,
/// within these. A program that lives for some milliseconds loads its libraries in the first of
/// them.
const AGAIN_MIN: Duration = Duration::from_millis(2);
const AGAIN_MAX: Duration = Duration::from_secs(1);
/// Files of one process that may hang before it is left alone.
const STALLS_MAX: u32 = 2;

/// See the module.
#[derive(Debug)]
pub(super) struct MappingProcess {
    /// The number of the first look at it, and of the last one; they are never used twice.
    pub first_look: u64,
    pub last_look: u64,
    first: Instant,
    pub last: Instant,
    /// Files it maps of which enough is known, or will be.
    pub files: BTreeSet<FileId>,
    /// A look is asked for.
    pub again: bool,
    /// The last look found no room for all; it is repeated.
    pub is_part: bool,
    /// The look that is under way, and the files that it has not opened yet.
    pub opens: Option<LookTicket>,
    pub opening: VecDeque<Mapping>,
    /// Files that are to be looked into, and the one that is.
    pub waiting: VecDeque<(Mapping, WaitingFile)>,
    pub looks_into: Option<LookTicket>,
    /// What looking into its files has cost.
    pub spent: Cost,
    /// Looks that hang.
    pub stalls: u32,
}

impl MappingProcess {
    pub fn new(look: u64, now: Instant) -> Self {
        Self {
            first_look: look,
            last_look: look,
            first: now,
            last: now,
            files: BTreeSet::new(),
            again: true,
            is_part: false,
            opens: None,
            opening: VecDeque::new(),
            waiting: VecDeque::new(),
            looks_into: None,
            spent: Cost::default(),
            stalls: 0,
        }
    }

    /// How long after its last look it is looked at again without being asked for; never, if it is
    /// not young any longer.
    pub fn again_after(&self) -> Option<Duration> {
        let age = self.last.saturating_duration_since(self.first);
        (age < YOUNG).then(|| (age / 2).clamp(AGAIN_MIN, AGAIN_MAX))
    }

    /// Whether a look that was asked for can begin.
    pub fn may_be_looked_at(&self) -> bool {
        self.again && self.opens.is_none() && self.waiting.is_empty() && self.stalls < STALLS_MAX
    }

    /// Whether something can be begun for it, now or when there is room.
    pub fn is_waited_for(&self) -> bool {
        self.may_be_looked_at() || (self.looks_into.is_none() && !self.waiting.is_empty())
    }

    /// Whether there is still to be something found, other than by what hangs.
    pub fn is_busy(&self) -> bool {
        self.opens.is_some()
            || self.looks_into.is_some()
            || !self.waiting.is_empty()
            || self.is_part
            || self.may_be_looked_at()
    }
}
