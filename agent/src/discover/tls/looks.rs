//! What is done on threads that may hang, because a stranger's file or memory is read: a process's
//! files are opened, one of them is looked into. Both tell what they found as they go; they decide
//! nothing.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;

use super::super::proc_root::ProcRoot;
use super::super::runtimes;
use super::FileId;
use super::analysis::{self, FileFinding};
use super::budget::{Cost, GivenUp, Metered};
use super::held::HeldFile;
use super::mappings::{self, Mapping};
use super::opening::open_mapped;
use super::verdicts::{Content, Verdicts, WaitingFile, key};
use crate::blocking::LookTicket;

/// Which look at a process says something. What a process's earlier bearer of the pid is told of
/// is of no use to the later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Whose {
    pub pid: u32,
    pub look: u64,
}

/// What threads tell.
#[derive(Debug)]
pub(super) enum LookReport {
    /// The process maps these, and those of `order` will be opened, in that order.
    Mapped {
        whose: Whose,
        files: BTreeSet<FileId>,
        order: Vec<Mapping>,
    },
    /// The next of them was opened.
    Opened {
        whose: Whose,
        mapping: Mapping,
        opened: Opened,
    },
    /// The thread is through with it; `None` if it panicked.
    Done(LookTicket, Option<Done>),
}

/// What became of opening a file.
#[derive(Debug)]
pub(super) enum Opened {
    /// It is known what there is in it.
    Known(Arc<Content>, HeldFile),
    /// It has to be looked into.
    Unknown(WaitingFile),
    /// It is not to be waited for.
    NotAsked(GivenUp),
    /// It was not found, or may not be read.
    Refused(io::Error),
    /// Its process has ended or does not map it any longer.
    Vanished,
}

/// How a look ended.
#[derive(Debug)]
pub(super) enum Done {
    /// All that is mapped was opened, or for want of room only a part of it.
    Opened { is_all: bool },
    /// The process has gone.
    Gone,
    /// A file was looked into.
    LookedInto {
        mapping: Mapping,
        held: HeldFile,
        content: Arc<Content>,
        /// Why not to the end.
        given_up: Option<GivenUp>,
        cost: Cost,
    },
}

/// A look at what a process maps.
pub(super) struct MappingLook {
    pub root: ProcRoot,
    pub whose: Whose,
    /// Of these files enough is known.
    pub known: BTreeSet<FileId>,
    /// Devices whose files don't answer at present.
    pub stalled: BTreeSet<u64>,
    pub verdicts: Arc<Verdicts>,
}

impl MappingLook {
    /// Opens what is new. First all of it: the process may be gone before one file was looked into.
    pub fn run(self, tell: &Sender<LookReport>, steps: &AtomicU64) -> Done {
        let Some(mappings) = mappings::of(&self.root, self.whose.pid) else {
            return Done::Gone;
        };
        let files = mappings.iter().map(|mapping| mapping.file).collect();
        let is_new = |mapping: &Mapping| !self.known.contains(&mapping.file);
        let mut order: Vec<Mapping> = mappings.into_iter().filter(is_new).collect();
        // The executable lies lowest, mostly.
        order.sort_by_key(|mapping| (!is_likely(mapping), mapping.range));
        // Without an owner nobody wants to know.
        let _ = tell.send(LookReport::Mapped {
            whose: self.whose,
            files,
            order: order.clone(),
        });
        let mut is_all = true;
        for mapping in order {
            if !self.verdicts.has_room(is_likely(&mapping)) {
                is_all = false;
                break;
            }
            let opened = self.open(&mapping);
            steps.fetch_add(1, Ordering::Relaxed);
            let _ = tell.send(LookReport::Opened {
                whose: self.whose,
                mapping,
                opened,
            });
        }
        Done::Opened { is_all }
    }

    fn open(&self, mapping: &Mapping) -> Opened {
        if self.stalled.contains(&mapping.file.device) {
            return Opened::NotAsked(GivenUp::Stalled);
        }
        match open_mapped(&self.root, self.whose.pid, mapping) {
            Ok(held) => match self.verdicts.get(&key(&held, mapping.file_name())) {
                Some(content) => Opened::Known(content, held),
                None => Opened::Unknown(self.verdicts.wait(held)),
            },
            Err(error) if self.is_still_mapped(mapping) => Opened::Refused(error),
            Err(_) => Opened::Vanished,
        }
    }

    fn is_still_mapped(&self, mapping: &Mapping) -> bool {
        let mappings = mappings::of(&self.root, self.whose.pid);
        mappings.is_some_and(|mappings| mappings.contains(mapping))
    }
}

/// Whether it is worth being looked into before others: a library for TLS by its name.
fn is_likely(mapping: &Mapping) -> bool {
    analysis::is_tls_library(mapping.file_name())
}

/// A look into a file.
pub(super) struct LookInto {
    pub mapping: Mapping,
    pub waiting: WaitingFile,
    /// What may be spent on any file.
    pub file_budget: Cost,
    /// What its process has left.
    pub process_budget: Cost,
    pub verdicts: Arc<Verdicts>,
}

impl LookInto {
    pub fn run(self, steps: &AtomicU64) -> Done {
        let WaitingFile { held, place } = self.waiting;
        let budget = self.file_budget.at_most(self.process_budget);
        let metered = Metered::new(&held, budget, steps);
        let found = analysis::analyse(&metered, &self.mapping.name);
        let is_whole = !metered.is_over();
        let tasks = runtimes::analyse(&metered, &self.mapping.name);
        let cost = metered.spent();
        let given_up = metered.is_over().then(|| match budget == self.file_budget {
            true => GivenUp::FileTooLarge,
            false => GivenUp::ProcessTooLarge,
        });
        let is_unchanged = held.is_unchanged().unwrap_or(false);
        let reason = match given_up {
            Some(reason) => Some(reason.to_string()),
            None if is_unchanged => None,
            None => Some("it was written to while it was looked into".to_owned()),
        };
        let content = Arc::new(match reason {
            None => Content { tls: found, tasks },
            Some(reason) => Content {
                tls: match is_whole && is_unchanged {
                    true => found,
                    false => FileFinding::Unreadable(reason.clone()),
                },
                tasks: match tasks {
                    runtimes::RuntimeVerdict::Nothing => tasks,
                    _ => runtimes::RuntimeVerdict::Unknown(reason),
                },
            },
        });
        // Another process may have more left.
        if is_unchanged && given_up != Some(GivenUp::ProcessTooLarge) {
            let key = key(&held, self.mapping.file_name());
            self.verdicts.insert(key, &content);
        }
        drop(place);
        Done::LookedInto {
            mapping: self.mapping,
            held,
            content,
            given_up,
            cost,
        }
    }
}
