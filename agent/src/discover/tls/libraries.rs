//! Which TLS libraries the watched processes map: asked per process, answered with what changed. It
//! keeps what was found in each version of a file, so that a library is looked into once however
//! many processes map it, and holds open those that can be read as long as a process maps them; it
//! attaches nothing.
//!
//! A process is looked at when it begins to be watched, when TLS is seen on one of its connections
//! and nobody knows whose, and again and again while it is young, at first every few milliseconds,
//! because most programs load their libraries then. A look at a process that mapped nothing new
//! costs one reading of its mappings.
//!
//! What is read is a stranger's, so it is read on threads that may hang, and only a survey waits
//! for them. Each process has one file looked into at a time, and what is given up is said once per
//! file and counted.

mod process;
mod reports;
mod tasks;
mod work;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::proc_root::ProcRoot;
use super::budget::{Cost, FILE_MAX, GivenUp, PROCESS_MAX};
use super::verdicts::{FileKey, Verdicts};
use super::{FileId, Finding, Library, Unreadable};
use crate::blocking::Bounds;
use process::MappingProcess;
use tasks::LookTasks;

/// See the module.
pub struct Libraries {
    root: ProcRoot,
    tasks: LookTasks,
    verdicts: Arc<Verdicts>,
    processes: HashMap<u32, MappingProcess>,
    /// Processes for which there may be something to do.
    busy: BTreeSet<u32>,
    /// When to look at processes again; the number is that of their last look.
    due: BTreeSet<(Instant, u32, u64)>,
    /// Number of the next look.
    next_look: u64,
    /// Files that are looked into.
    looked_into: HashSet<FileKey>,
    /// Devices that don't answer, and how many looks hang for that.
    stalled: BTreeMap<u64, u32>,
    /// What was found in the files that processes map.
    held: HashMap<FileId, Arc<Library>>,
    /// Processes that map a readable library.
    users: HashMap<FileId, HashSet<u32>>,
    /// What was found and not told yet.
    found: BTreeMap<u32, Vec<Finding>>,
    /// Files of which it was said that they can't be read, and why.
    said: HashSet<(FileId, String)>,
    count: Box<dyn Fn(GivenUp) + Send>,
    file_budget: Cost,
    process_budget: Cost,
}

/// What is different since the last time.
#[derive(Clone, Debug, Default)]
pub struct LibraryChanges {
    /// Libraries that the process maps and did not map at the last look; others may have mapped
    /// them before.
    pub mapped: Vec<Arc<Library>>,
    /// Files with TLS that can't be read; each is named once, whoever maps it.
    pub unreadable: Vec<Unreadable>,
    /// Files with tasks that can't be told apart; likewise.
    pub unlinkable: Vec<Unreadable>,
}

/// When a process is looked at again for which nobody had time.
const EVERY: Duration = Duration::from_secs(1);
/// When what did not find room is tried again.
const ROOM_AFTER: Duration = Duration::from_millis(100);
/// Files that were spoken of before remembering starts again.
const SAID_MAX: usize = 8192;
/// Files that are held open because they can be read.
const HELD_MAX: usize = 512;
/// How long a survey waits for a process's files.
const SURVEY_MAX: Duration = Duration::from_secs(10);

impl Libraries {
    /// Knows of no process until it is told to [`Libraries::look`] at one.
    #[must_use]
    pub fn new(root: ProcRoot) -> Self {
        Self {
            root,
            tasks: LookTasks::new(Bounds::default()),
            verdicts: Arc::default(),
            processes: HashMap::new(),
            busy: BTreeSet::new(),
            due: BTreeSet::new(),
            next_look: 0,
            looked_into: HashSet::new(),
            stalled: BTreeMap::new(),
            held: HashMap::new(),
            users: HashMap::new(),
            found: BTreeMap::new(),
            said: HashSet::new(),
            count: Box::new(|_| {}),
            file_budget: FILE_MAX,
            process_budget: PROCESS_MAX,
        }
    }

    /// Has each file that is given up counted, with the reason.
    #[must_use]
    pub fn counting(mut self, count: impl Fn(GivenUp) + Send + 'static) -> Self {
        self.count = Box::new(count);
        self
    }

    /// Has a watched process looked at; [`Libraries::changes`] tells what comes of it.
    pub fn look(&mut self, pid: u32, now: Instant) {
        let look = self.next_look;
        let process = self.processes.entry(pid);
        process
            .or_insert_with(|| MappingProcess::new(look, now))
            .again = true;
        self.busy.insert(pid);
    }

    /// Forgets a process that ended or is no longer watched, and lets go of the libraries that no
    /// process maps any longer.
    pub fn forget(&mut self, pid: u32) {
        self.busy.remove(&pid);
        self.found.remove(&pid);
        if let Some(process) = self.processes.remove(&pid) {
            for file in process.files {
                self.unmapped(pid, file);
            }
        }
    }

    /// What was found by now, and of which process. It has looked at whoever is to be looked at.
    pub fn changes(&mut self, now: Instant) -> Vec<(u32, LibraryChanges)> {
        self.work(now);
        let found = std::mem::take(&mut self.found);
        found
            .into_iter()
            .map(|(pid, found)| (pid, self.changes_of(found)))
            .collect()
    }

    /// When there will be something to be done, if nothing else happens.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        let due = self.due.first().map(|(at, _, _)| *at);
        due.into_iter().chain(self.tasks.next_due()).min()
    }

    /// Whether all that was asked for was found, but for what does not answer.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.busy.is_empty() && !self.processes.values().any(MappingProcess::is_busy)
    }

    /// What there is of TLS in a process at this moment, readable or not, whatever was said of it
    /// before. Waits for it, but not for ever.
    pub fn survey(&mut self, pid: u32) -> Vec<Finding> {
        self.forget(pid);
        let deadline = Instant::now() + SURVEY_MAX;
        self.look(pid, Instant::now());
        self.work(Instant::now());
        while self
            .processes
            .get(&pid)
            .is_some_and(MappingProcess::is_busy)
            && Instant::now() < deadline
        {
            self.wait();
            self.work(Instant::now());
        }
        let found = self.found.remove(&pid).unwrap_or_default();
        self.forget(pid);
        // Of a file that was tried again, the last word on either matter.
        let about_tls = |it: &Finding| match it {
            Finding::Readable(library) => library.kind.is_some(),
            Finding::Unreadable(_) => true,
            Finding::Unlinkable(_) => false,
        };
        let by_file = found
            .into_iter()
            .map(|it| ((it.file(), about_tls(&it)), it));
        by_file.collect::<BTreeMap<_, _>>().into_values().collect()
    }

    fn changes_of(&mut self, findings: Vec<Finding>) -> LibraryChanges {
        let mut changes = LibraryChanges::default();
        for finding in findings {
            match finding {
                Finding::Readable(library) => changes.mapped.push(library),
                Finding::Unreadable(unreadable) if self.is_news(&unreadable) => {
                    unreadable.given_up.into_iter().for_each(&self.count);
                    changes.unreadable.push(unreadable);
                }
                Finding::Unlinkable(unlinkable) if self.is_news(&unlinkable) => {
                    changes.unlinkable.push(unlinkable);
                }
                Finding::Unreadable(_) | Finding::Unlinkable(_) => {}
            }
        }
        changes
    }

    /// Whether that was not said of the file before.
    fn is_news(&mut self, unreadable: &Unreadable) -> bool {
        if self.said.len() >= SAID_MAX {
            self.said.clear();
        }
        let said = (unreadable.file, unreadable.reason.clone());
        self.said.insert(said)
    }

    /// Lets go of a library if nobody maps it any longer.
    fn unmapped(&mut self, pid: u32, file: FileId) {
        let Some(users) = self.users.get_mut(&file) else {
            return;
        };
        if users.remove(&pid) && users.is_empty() {
            self.users.remove(&file);
            self.held.remove(&file);
        }
    }
}

impl fmt::Debug for Libraries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Libraries")
            .field("processes", &self.processes.len())
            .field("held", &self.held.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
