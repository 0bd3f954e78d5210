//! How many links were found, and by what, and how many calls have no parent, and why. It decides
//! nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use wirespan_common::record::TaskKind;

use super::Mechanism;

/// Why it is not known for whom a call was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Abstained {
    /// Its process had no request to answer that is known: it made it for itself.
    NoRequest,
    /// It names a parent that is not known here, as an SDK's calls do.
    NamedByProgram,
    /// Nothing tells what of its process made it.
    UnknownTask,
    /// What made it serves no request that is known.
    IdleTask,
    /// What made it may serve others than the request that it was made for.
    OutlivingTask,
    /// Its thread had several things on its hands, or was not the one that answered.
    SharedThread,
    /// No request that was answered accounts for it.
    Unaccounted,
    /// Nobody answered in time.
    Late,
    /// What was found contradicts what is known besides, or is no longer remembered.
    Contradicted,
    /// It may be for a request on a connection that was left out.
    LeftOut,
}

impl Abstained {
    /// All of them, in order of their discriminants.
    pub const ALL: [Self; 10] = [
        Self::NoRequest,
        Self::NamedByProgram,
        Self::UnknownTask,
        Self::IdleTask,
        Self::OutlivingTask,
        Self::SharedThread,
        Self::Unaccounted,
        Self::Late,
        Self::Contradicted,
        Self::LeftOut,
    ];

    /// As it stands in the summary and in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoRequest => "no_request",
            Self::NamedByProgram => "named_by_program",
            Self::UnknownTask => "unknown_task",
            Self::IdleTask => "idle_task",
            Self::OutlivingTask => "outliving_task",
            Self::SharedThread => "shared_thread",
            Self::Unaccounted => "unaccounted",
            Self::Late => "late",
            Self::Contradicted => "contradicted",
            Self::LeftOut => "left_out",
        }
    }

    /// The same for people, as the end of a sentence about calls.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::NoRequest => "made while the process had no request to answer that is known",
            Self::NamedByProgram => "that name a parent which is not known here, as an SDK's do",
            Self::UnknownTask => "of which nothing tells what in the process made them",
            Self::IdleTask => "made by what serves no request that is known",
            Self::OutlivingTask => "made by what may serve other requests, too",
            Self::SharedThread => {
                "made by a thread with several things on its hands, or answered by another one"
            }
            Self::Unaccounted => "for which no request that was answered accounts",
            Self::Late => "whose request was not answered in time",
            Self::Contradicted => "about which what was found contradicts itself",
            Self::LeftOut => "while not all connections were followed",
        }
    }
}

/// What became of questions about who made a request, which other nodes were asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum QuestionFate {
    /// It was asked.
    Asked,
    /// Somebody knew the client, and the request is below it.
    Answered,
    /// Nobody who was asked knew it.
    Unknown,
    /// No answer came in time.
    Unanswered,
    /// An answer came when nobody waited for it any longer.
    Late,
    /// It was not asked: too many questions were open.
    NoRoom,
    /// A question, or something that others are told, was forgotten: nobody took it in time.
    Overrun,
}

impl QuestionFate {
    /// All of them, in order of their discriminants.
    pub const ALL: [Self; 7] = [
        Self::Asked,
        Self::Answered,
        Self::Unknown,
        Self::Unanswered,
        Self::Late,
        Self::NoRoom,
        Self::Overrun,
    ];

    /// As it stands in the summary and in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Answered => "answered",
            Self::Unknown => "unknown",
            Self::Unanswered => "unanswered",
            Self::Late => "late",
            Self::NoRoom => "no_room",
            Self::Overrun => "overrun",
        }
    }
}

/// Mechanisms that are told apart: tasks by their kind, before them the others.
const MECHANISMS: usize = 32;
const FIRST_OF_TASKS: usize = OTHERS.len();
const OTHERS: [Mechanism; 6] = [
    Mechanism::Thread,
    Mechanism::Header,
    Mechanism::Connection,
    Mechanism::RequestId,
    Mechanism::Asked,
    Mechanism::TcpOption,
];

/// What was counted since it was last taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkTally {
    linked: [u32; MECHANISMS],
    abstained: [u32; Abstained::ALL.len()],
    questions: [u32; QuestionFate::ALL.len()],
}

impl LinkTally {
    /// A link was found.
    pub fn link(&mut self, mechanism: Mechanism) {
        if let Some(count) = self.linked.get_mut(place_of(mechanism)) {
            *count += 1;
        }
    }

    /// A call has no parent.
    pub fn abstain(&mut self, why: Abstained) {
        self.abstained[why as usize] += 1;
    }

    /// This became of a question.
    pub fn question(&mut self, fate: QuestionFate) {
        self.questions(fate, 1);
    }

    /// The same of several.
    pub fn questions(&mut self, fate: QuestionFate, count: u32) {
        self.questions[fate as usize] += count;
    }
}

/// The same for all threads, since the beginning.
#[derive(Debug, Default)]
pub struct LinkCounts {
    linked: [AtomicU64; MECHANISMS],
    abstained: [AtomicU64; Abstained::ALL.len()],
    questions: [AtomicU64; QuestionFate::ALL.len()],
}

impl LinkCounts {
    /// Adds what a shard counted.
    pub fn add(&self, tally: &LinkTally) {
        let add = |to: &[AtomicU64], counts: &[u32]| {
            for (to, count) in to.iter().zip(counts) {
                if *count > 0 {
                    to.fetch_add(u64::from(*count), Ordering::Relaxed);
                }
            }
        };
        add(&self.linked, &tally.linked);
        add(&self.abstained, &tally.abstained);
        add(&self.questions, &tally.questions);
    }

    /// Links that were found, by the names of mechanisms, those of which there are none too.
    #[must_use]
    pub fn linked(&self) -> BTreeMap<&'static str, u64> {
        let tasks = (0..=u8::MAX).filter_map(|kind| TaskKind::try_from(kind).ok());
        let mut counts = BTreeMap::new();
        for mechanism in tasks.map(Mechanism::Task).chain(OTHERS) {
            let count = self.linked.get(place_of(mechanism));
            let count = count.map_or(0, |count| count.load(Ordering::Relaxed));
            *counts.entry(mechanism.name()).or_default() += count;
        }
        counts
    }

    /// Questions of which this became.
    #[must_use]
    pub fn questions(&self, fate: QuestionFate) -> u64 {
        self.questions[fate as usize].load(Ordering::Relaxed)
    }

    /// Calls without a parent, for this reason.
    #[must_use]
    pub fn abstained(&self, why: Abstained) -> u64 {
        self.abstained[why as usize].load(Ordering::Relaxed)
    }
}

fn place_of(mechanism: Mechanism) -> usize {
    match mechanism {
        Mechanism::Thread => 0,
        Mechanism::Header => 1,
        Mechanism::Connection => 2,
        Mechanism::RequestId => 3,
        Mechanism::Asked => 4,
        Mechanism::TcpOption => 5,
        // Numbers of kinds begin at 1.
        Mechanism::Task(kind) => FIRST_OF_TASKS + kind as usize,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mechanism_is_counted_by_its_name() {
        let counts = LinkCounts::default();
        let mut tally = LinkTally::default();
        for kind in (0..=u8::MAX).filter_map(|kind| TaskKind::try_from(kind).ok()) {
            tally.link(Mechanism::Task(kind));
        }
        for mechanism in OTHERS {
            tally.link(mechanism);
        }
        counts.add(&tally);
        let linked = counts.linked();
        assert_eq!(linked["thread"], 2, "a task of that kind is one, too");
        assert_eq!((linked["goroutine"], linked["header"]), (1, 1));
        assert_eq!((linked["request_id"], linked["tcp_option"]), (1, 1));
        assert!(linked.values().all(|count| *count > 0), "{linked:?}");
    }

    #[test]
    fn reasons_stand_in_their_places() {
        for (place, why) in Abstained::ALL.into_iter().enumerate() {
            assert_eq!(why as usize, place, "{}", why.name());
        }
        for (place, fate) in QuestionFate::ALL.into_iter().enumerate() {
            assert_eq!(fate as usize, place, "{}", fate.name());
        }
    }
}
