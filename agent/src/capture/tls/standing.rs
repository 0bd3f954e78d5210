//! What is attached where: which processes have probes on which version of which file, what is just
//! being taken off, and what is not touched again. Several threads ask and tell it, and none waits
//! in it for the kernel: links that are to go are handed to others ([`super::closer`]).
//!
//! As long as a file has probes, or they are just being put there or taken off, it holds a lease on
//! it, where there are leases ([`leases`]).

mod death;
mod leases;

use std::collections::{HashMap, HashSet};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::links::Link;
use crate::discover::tls::{FileId, FileVersion, Library};
pub use death::Death;
use death::{FAULTS, was_cut_short};
use leases::Leases;

/// How long after probes were put on a file the death of its process is laid to them.
const SUSPECT: Duration = Duration::from_secs(10);
/// Deaths that wait to be told.
const DEATHS_MAX: usize = 64;

/// See the module.
pub struct Standing {
    state: Mutex<StandingState>,
    /// Fewer links are being closed.
    closed: Condvar,
    closer: Sender<Closing>,
}

#[derive(Default)]
struct StandingState {
    processes: HashMap<u32, Vec<Probed>>,
    /// Files on which no probe is put again.
    refused: HashSet<FileId>,
    under_way: Option<Attaching>,
    /// How many links are being closed.
    closing: HashMap<(FileId, FileVersion), usize>,
    leases: Leases,
    deaths: Vec<Death>,
}

/// What is just being attached to.
struct Attaching {
    pid: u32,
    file: (FileId, FileVersion),
    /// The process became another one meanwhile, or somebody wants to write to the file.
    is_cancelled: bool,
}

/// A file with probes in one process.
struct Probed {
    library: Arc<Library>,
    links: Vec<Link>,
    since: Instant,
}

/// A link that is to go.
pub struct Closing {
    /// What it was made for.
    pub key: (FileId, FileVersion),
    /// Dropping it detaches.
    pub link: Link,
}

/// Whether probes may be put on a file now.
#[derive(Debug, PartialEq, Eq)]
pub enum Begun {
    /// They may; whether the process may have breakpoints already, copied from another one.
    Yes {
        /// See there.
        inherits: bool,
    },
    /// They are there.
    Already,
    /// Never again.
    Refused,
    /// Not while somebody has the file open for writing.
    Written,
}

impl Standing {
    /// Knows of nothing; what is to be closed is received at the other end.
    pub fn new() -> (Arc<Self>, Receiver<Closing>) {
        let (closer, closings) = channel();
        let standing = Self {
            state: Mutex::default(),
            closed: Condvar::new(),
            closer,
        };
        (Arc::new(standing), closings)
    }

    /// Probes are to be put on a file in a process. Those on any other version of it go first, from
    /// whatever process, and have gone when this returns. [`Standing::end`] has to follow where it
    /// says yes.
    pub fn begin(&self, pid: u32, library: &Arc<Library>) -> Begun {
        let version = library.held.version();
        let mut state = self.lock();
        if state.refused.contains(&library.file) {
            return Begun::Refused;
        }
        let is_same = |probed: &Probed| probed.library.held.version() == version;
        if let Some(all) = state.processes.get(&pid)
            && all
                .iter()
                .any(|probed| probed.library.file == library.file && is_same(probed))
        {
            return Begun::Already;
        }
        let key = (library.file, version);
        state.under_way = Some(Attaching {
            pid,
            file: key,
            is_cancelled: false,
        });
        self.take(&mut state, |_, probed| {
            probed.library.file == library.file && !is_same(probed)
        });
        let is_in_the_way =
            |(file, other): &(FileId, FileVersion)| *file == library.file && *other != version;
        let mut state = self
            .closed
            .wait_while(state, |state| state.closing.keys().any(is_in_the_way))
            .unwrap_or_else(PoisonError::into_inner);
        if !state.leases.take(library) {
            state.under_way = None;
            return Begun::Written;
        }
        let stands = |probed: &Probed| probed.library.file == library.file;
        let inherits =
            state.processes.values().flatten().any(stands) || state.closing.contains_key(&key);
        Begun::Yes { inherits }
    }

    /// What came of it: these links. Returns whether they stay; they don't in a process that has
    /// executed another program since, nor on a file that somebody wants to write to.
    pub fn end(&self, pid: u32, library: &Arc<Library>, links: Vec<Link>) -> bool {
        let mut state = self.lock();
        let under_way = state.under_way.take();
        let is_cancelled = under_way.is_some_and(|under_way| under_way.is_cancelled);
        if is_cancelled || state.refused.contains(&library.file) {
            self.close(&mut state, library, links);
            return false;
        }
        if !links.is_empty() {
            state.processes.entry(pid).or_default().push(Probed {
                library: Arc::clone(library),
                links,
                since: Instant::now(),
            });
        }
        true
    }

    /// Links that were not good.
    pub fn discard(&self, library: &Library, links: Vec<Link>) {
        let mut state = self.lock();
        state.under_way = None;
        self.close(&mut state, library, links);
    }

    /// Takes all probes from a process: it ended, became another program, or is not watched.
    pub fn detach(&self, pid: u32) {
        let mut state = self.lock();
        if let Some(under_way) = &mut state.under_way
            && under_way.pid == pid
        {
            under_way.is_cancelled = true;
        }
        let gone = state.processes.remove(&pid).unwrap_or_default();
        for probed in gone {
            self.close(&mut state, &probed.library, probed.links);
        }
    }

    /// A process ended. Where it died by a fault soon after probes were put on files that it maps,
    /// they are taken from these files in all processes, for good. Returns whether that is so.
    pub fn ended(&self, pid: u32, exit_code: u32) -> bool {
        let signal = exit_code & 0x7f;
        let is_fault = FAULTS.contains(&signal);
        let mut state = self.lock();
        let suspects: Vec<Arc<Library>> = match state.processes.get(&pid) {
            Some(all) if is_fault => all
                .iter()
                .filter(|probed| probed.since.elapsed() < SUSPECT)
                .filter(|probed| !was_cut_short(&probed.library, signal))
                .map(|probed| Arc::clone(&probed.library))
                .collect(),
            _ => Vec::new(),
        };
        let files: Vec<FileId> = suspects.iter().map(|library| library.file).collect();
        state.refused.extend(&files);
        self.take(&mut state, |_, probed| files.contains(&probed.library.file));
        if !suspects.is_empty() && state.deaths.len() < DEATHS_MAX {
            let files = suspects
                .iter()
                .map(|library| library.name.clone())
                .collect();
            state.deaths.push(Death { pid, signal, files });
        }
        drop(state);
        self.detach(pid);
        !suspects.is_empty()
    }

    /// Deaths that were not told of before.
    pub fn deaths(&self) -> Vec<Death> {
        std::mem::take(&mut self.lock().deaths)
    }

    /// Whether a process has probes.
    pub fn has(&self, pid: u32) -> bool {
        self.lock().processes.contains_key(&pid)
    }

    /// Files with probes, each version once.
    pub fn files(&self) -> Vec<Arc<Library>> {
        let mut files: Vec<Arc<Library>> = Vec::new();
        let state = self.lock();
        for Probed { library, .. } in state.processes.values().flatten() {
            let key = (library.file, library.held.version());
            if files
                .iter()
                .all(|known| (known.file, known.held.version()) != key)
            {
                files.push(Arc::clone(library));
            }
        }
        files
    }

    /// A file was written to, or is about to be: takes its probes from all processes, and returns
    /// which these are.
    pub fn changed(&self, file: FileId) -> Vec<u32> {
        let mut state = self.lock();
        let mut pids = self.take(&mut state, |_, probed| probed.library.file == file);
        if let Some(under_way) = &mut state.under_way
            && under_way.file.0 == file
            && !under_way.is_cancelled
        {
            under_way.is_cancelled = true;
            pids.push(under_way.pid);
        }
        pids
    }

    /// Takes leases from now on: somebody hears SIGIO, and calls [`Standing::wanted`] then.
    pub fn take_leases(&self) {
        self.lock().leases.begin();
    }

    /// Files that somebody waits to write to. Who has waited for `longest` waits no longer,
    /// whatever stands there still.
    pub fn wanted(&self, longest: Duration) -> Vec<Arc<Library>> {
        self.lock().leases.wanted(longest)
    }

    /// Takes all probes away, and returns when they have gone.
    pub fn clear(&self) {
        let mut state = self.lock();
        self.take(&mut state, |_, _| true);
        let state = self
            .closed
            .wait_while(state, |state| !state.closing.is_empty());
        drop(state);
    }

    /// A link was closed.
    pub fn was_closed(&self, key: (FileId, FileVersion)) {
        let mut state = self.lock();
        if let Some(count) = state.closing.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                state.closing.remove(&key);
            }
        }
        state.give_back(key);
        self.closed.notify_all();
    }

    /// Closes what is chosen; returns the processes that had it.
    fn take(&self, state: &mut StandingState, chosen: impl Fn(u32, &Probed) -> bool) -> Vec<u32> {
        let mut taken = Vec::new();
        let mut pids = Vec::new();
        state.processes.retain(|pid, all| {
            let before = taken.len();
            taken.extend(all.extract_if(.., |probed| chosen(*pid, probed)));
            if taken.len() > before {
                pids.push(*pid);
            }
            !all.is_empty()
        });
        for probed in taken {
            self.close(state, &probed.library, probed.links);
        }
        pids
    }

    fn close(&self, state: &mut StandingState, library: &Library, links: Vec<Link>) {
        let key = (library.file, library.held.version());
        for link in links {
            *state.closing.entry(key).or_default() += 1;
            // Without the closer it is closed here and now, which takes longer.
            if self.closer.send(Closing { key, link }).is_err() {
                state.closing.remove(&key);
            }
        }
        state.give_back(key);
    }

    fn lock(&self) -> MutexGuard<'_, StandingState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StandingState {
    /// Gives the lease on a file back, unless it has probes or will have, or had until just now.
    fn give_back(&mut self, key: (FileId, FileVersion)) {
        let is_it = |probed: &Probed| (probed.library.file, probed.library.held.version()) == key;
        let is_under_way = self.under_way.as_ref().is_some_and(|it| it.file == key);
        if self.leases.has(key)
            && !is_under_way
            && !self.closing.contains_key(&key)
            && !self.processes.values().flatten().any(is_it)
        {
            self.leases.give_back(key);
        }
    }
}

#[cfg(test)]
#[path = "standing/tests.rs"]
mod tests;
