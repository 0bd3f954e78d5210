//! Which TLS libraries the watched processes map: asked per process, answered with what changed. It
//! keeps what was found in each file, so that a library is looked into once however many processes
//! map it; it attaches nothing.
//!
//! A process is looked at when it begins to be watched, when TLS is seen on one of its connections
//! and nobody knows whose, and each second while it is young ([`Libraries::due`]), because most
//! programs load their libraries then. A look at a process that mapped nothing new costs one
//! reading of its mappings. Large files are looked into elsewhere ([`analyst`]); a process is due
//! for a look when that is done.

mod analyst;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use analyst::{Analyst, Key};

use super::super::proc_root::ProcRoot;
use super::analysis::{self, Verdict};
use super::image::Bytes as _;
use super::mappings::{self, Mapping};
use super::{FileId, Finding, Library, Unreadable};

/// See the module.
#[derive(Debug)]
pub struct Libraries {
    root: ProcRoot,
    processes: HashMap<u32, Looked>,
    /// Processes that map a readable library.
    users: HashMap<FileId, HashSet<u32>>,
    verdicts: HashMap<Key, Arc<Verdict>>,
    analyst: Analyst,
    /// Files that the analyst has.
    taken: HashSet<Key>,
    /// Length of files from which on they are the analyst's.
    large_len: u64,
    /// Files of which it was said that they can't be read.
    said: HashSet<FileId>,
}

/// What is remembered of a process.
#[derive(Debug)]
struct Looked {
    /// Files it maps, sorted; those that were looked into.
    files: Vec<FileId>,
    /// Those that are waited for.
    waits: Vec<Key>,
    first: Instant,
    last: Instant,
}

/// A file that is being looked into.
struct Later(Key);

/// What is different since the last look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Libraries that the process maps and did not map at the last look; others may have mapped
    /// them before.
    pub mapped: Vec<Arc<Library>>,
    /// Libraries that no process maps any longer, of all that were looked at.
    pub gone: Vec<FileId>,
    /// Files with TLS that can't be read; each is named once, whoever maps it.
    pub unreadable: Vec<Unreadable>,
}

/// How long a process counts as young, and how often it is looked at then.
const YOUNG: Duration = Duration::from_secs(10);
const EVERY: Duration = Duration::from_secs(1);
/// Looking into a file of so many bytes takes some ten milliseconds.
const LARGE_LEN: u64 = 32 << 20;
/// Verdicts, and files that were spoken of, before remembering starts again. A verdict takes some
/// hundred bytes.
const REMEMBERED_MAX: usize = 8192;

impl Libraries {
    /// Knows of no process until it is told to [`Libraries::look`] at one.
    #[must_use]
    pub fn new(root: ProcRoot) -> Self {
        Self {
            root,
            processes: HashMap::new(),
            users: HashMap::new(),
            verdicts: HashMap::new(),
            analyst: Analyst::default(),
            taken: HashSet::new(),
            large_len: u64::MAX,
            said: HashSet::new(),
        }
    }

    /// From now on looks do not wait for large files: what is in them is told with a later one.
    pub fn hurry(&mut self) {
        self.large_len = LARGE_LEN;
    }

    /// Looks at a watched process. One that has gone is taken for one that maps nothing.
    pub fn look(&mut self, pid: u32, now: Instant) -> Changes {
        let Some(mappings) = mappings::of(&self.root, pid) else {
            return Changes {
                gone: self.forget(pid),
                ..Changes::default()
            };
        };
        let looked = self.processes.entry(pid).or_insert_with(|| Looked {
            files: Vec::new(),
            waits: Vec::new(),
            first: now,
            last: now,
        });
        looked.last = now;
        looked.waits.clear();
        let files: Vec<FileId> = mappings.iter().map(|mapping| mapping.file).collect();
        if looked.files == files {
            return Changes::default();
        }
        let before = std::mem::replace(&mut looked.files, files);
        let is_new = |file: &FileId| before.binary_search(file).is_err();
        let mut changes = Changes::default();
        let mut waits = Vec::new();
        for mapping in mappings.iter().filter(|mapping| is_new(&mapping.file)) {
            match self.finding(pid, mapping) {
                Ok(finding) => self.take_in(pid, mapping.file, finding, &mut changes),
                Err(Later(key)) => waits.push(key),
            }
        }
        if let Some(looked) = self.processes.get_mut(&pid) {
            // Then they are new at the next look.
            let is_there = |file: &FileId| waits.iter().all(|(waited, _)| waited != file);
            looked.files.retain(is_there);
            looked.waits = waits;
        }
        let still = |file: &FileId| mappings.iter().any(|mapping| mapping.file == *file);
        for file in before.iter().filter(|file| !still(file)) {
            self.unmapped(pid, *file, &mut changes.gone);
        }
        changes
    }

    /// Forgets a process that ended or is no longer watched. Returns the libraries that no process
    /// maps any longer.
    pub fn forget(&mut self, pid: u32) -> Vec<FileId> {
        let mut gone = Vec::new();
        if let Some(looked) = self.processes.remove(&pid) {
            for file in looked.files {
                self.unmapped(pid, file, &mut gone);
            }
        }
        gone
    }

    /// Processes that are to be looked at now: young ones, and those of which a file was looked
    /// into.
    #[must_use]
    pub fn due(&mut self, now: Instant) -> Vec<u32> {
        while let Some((key, verdict)) = self.analyst.next() {
            self.found(key, verdict);
        }
        let is_due = |looked: &Looked| {
            let is_young = now.saturating_duration_since(looked.first) < YOUNG + EVERY;
            let is_known = |key: &Key| self.verdicts.contains_key(key);
            looked.waits.iter().any(is_known)
                || (is_young || !looked.waits.is_empty())
                    && now.saturating_duration_since(looked.last) >= EVERY
        };
        let due = self.processes.iter().filter(|(_, looked)| is_due(looked));
        due.map(|(pid, _)| *pid).collect()
    }

    /// What there is of TLS in a process at this moment, readable or not, whatever was said of it
    /// before.
    pub fn survey(&mut self, pid: u32) -> Vec<Finding> {
        let mappings = mappings::of(&self.root, pid).unwrap_or_default();
        // Whoever asks so waits for it.
        let large_len = std::mem::replace(&mut self.large_len, u64::MAX);
        let mut findings: Vec<Finding> = mappings
            .iter()
            .filter_map(|mapping| self.finding(pid, mapping).ok())
            .collect();
        self.large_len = large_len;
        findings.retain(|finding| *finding != Finding::Nothing);
        findings
    }

    fn take_in(&mut self, pid: u32, file: FileId, finding: Finding, changes: &mut Changes) {
        match finding {
            Finding::Readable(library) => {
                self.users.entry(file).or_default().insert(pid);
                changes.mapped.push(library);
            }
            Finding::Unreadable(unreadable) => {
                if self.said.len() >= REMEMBERED_MAX {
                    self.said.clear();
                }
                if self.said.insert(file) {
                    changes.unreadable.push(unreadable);
                }
            }
            Finding::Nothing => {}
        }
    }

    fn finding(&mut self, pid: u32, mapping: &Mapping) -> Result<Finding, Later> {
        let verdict = match self.verdict(pid, mapping) {
            Ok(verdict) => verdict?,
            Err(error) if analysis::is_tls_library(mapping.file_name()) => {
                Arc::new(Verdict::Unreadable(format!("it can't be opened: {error}")))
            }
            Err(_) => return Ok(Finding::Nothing),
        };
        let open_path = mapping.open_path(&self.root, pid);
        Ok(verdict.of(mapping.file, open_path, mapping.name.clone()))
    }

    fn verdict(
        &mut self,
        pid: u32,
        mapping: &Mapping,
    ) -> std::io::Result<Result<Arc<Verdict>, Later>> {
        let (file, version) = mapping.open(&self.root, pid)?;
        let key = (mapping.file, version);
        if let Some(verdict) = self.verdicts.get(&key) {
            return Ok(Ok(Arc::clone(verdict)));
        }
        if file.len() >= self.large_len {
            if !self.taken.contains(&key) && self.analyst.take(key, file, &mapping.name) {
                self.taken.insert(key);
            }
            return Ok(Err(Later(key)));
        }
        let verdict = Arc::new(analysis::analyse(&file, &mapping.name));
        self.found(key, Arc::clone(&verdict));
        Ok(Ok(verdict))
    }

    fn found(&mut self, key: Key, verdict: Arc<Verdict>) {
        self.taken.remove(&key);
        if self.verdicts.len() >= REMEMBERED_MAX {
            self.verdicts.clear();
        }
        self.verdicts.insert(key, verdict);
    }

    fn unmapped(&mut self, pid: u32, file: FileId, gone: &mut Vec<FileId>) {
        if let Some(users) = self.users.get_mut(&file)
            && users.remove(&pid)
            && users.is_empty()
        {
            self.users.remove(&file);
            gone.push(file);
        }
    }
}

#[cfg(test)]
#[path = "libraries/tests.rs"]
mod tests;
