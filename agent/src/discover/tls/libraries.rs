//! Which TLS libraries the watched processes map: asked per process, answered with what changed. It
//! keeps what was found in each file, so that a library is looked into once however many processes
//! map it; it attaches nothing.
//!
//! A process is looked at when it begins to be watched, when TLS is seen on one of its connections
//! and nobody knows whose, and each second while it is young ([`Libraries::due`]), because most
//! programs load their libraries then. A look at a process that mapped nothing new costs one
//! reading of its mappings.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::proc_root::ProcRoot;
use super::analysis::{self, Verdict};
use super::mappings::{self, Mapping, Version};
use super::{FileId, Finding, Library, Unreadable};

/// See the module.
#[derive(Debug)]
pub struct Libraries {
    root: ProcRoot,
    processes: HashMap<u32, Looked>,
    /// Processes that map a readable library.
    users: HashMap<FileId, HashSet<u32>>,
    verdicts: HashMap<(FileId, Version), Arc<Verdict>>,
    /// Files of which it was said that they can't be read.
    said: HashSet<FileId>,
}

/// What is remembered of a process.
#[derive(Debug)]
struct Looked {
    /// Files it maps, sorted; those that were looked into.
    files: Vec<FileId>,
    first: Instant,
    last: Instant,
}

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
            said: HashSet::new(),
        }
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
            first: now,
            last: now,
        });
        looked.last = now;
        let files: Vec<FileId> = mappings.iter().map(|mapping| mapping.file).collect();
        if looked.files == files {
            return Changes::default();
        }
        let before = std::mem::replace(&mut looked.files, files);
        let is_new = |file: &FileId| before.binary_search(file).is_err();
        let mut changes = Changes::default();
        for mapping in mappings.iter().filter(|mapping| is_new(&mapping.file)) {
            self.take_in(pid, mapping, &mut changes);
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

    /// When there will be somebody to be looked at, if nothing else happens.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        let young = self
            .processes
            .values()
            .filter(|looked| looked.last.saturating_duration_since(looked.first) < YOUNG);
        young.map(|looked| looked.last + EVERY).min()
    }

    /// Young processes that are to be looked at now.
    #[must_use]
    pub fn due(&self, now: Instant) -> Vec<u32> {
        let is_due = |looked: &Looked| {
            looked.last.saturating_duration_since(looked.first) < YOUNG
                && now.saturating_duration_since(looked.last) >= EVERY
        };
        let due = self.processes.iter().filter(|(_, looked)| is_due(looked));
        due.map(|(pid, _)| *pid).collect()
    }

    /// What there is of TLS in a process at this moment, readable or not, whatever was said of it
    /// before.
    pub fn survey(&mut self, pid: u32) -> Vec<Finding> {
        let mappings = mappings::of(&self.root, pid).unwrap_or_default();
        let mut findings: Vec<Finding> = mappings
            .iter()
            .map(|mapping| self.finding(pid, mapping))
            .collect();
        findings.retain(|finding| *finding != Finding::Nothing);
        findings
    }

    fn take_in(&mut self, pid: u32, mapping: &Mapping, changes: &mut Changes) {
        match self.finding(pid, mapping) {
            Finding::Readable(library) => {
                self.users.entry(mapping.file).or_default().insert(pid);
                changes.mapped.push(library);
            }
            Finding::Unreadable(unreadable) => {
                if self.said.len() >= REMEMBERED_MAX {
                    self.said.clear();
                }
                if self.said.insert(mapping.file) {
                    changes.unreadable.push(unreadable);
                }
            }
            Finding::Nothing => {}
        }
    }

    fn finding(&mut self, pid: u32, mapping: &Mapping) -> Finding {
        let verdict = match self.verdict(pid, mapping) {
            Ok(verdict) => verdict,
            Err(error) if analysis::is_tls_library(mapping.file_name()) => {
                Arc::new(Verdict::Unreadable(format!("it can't be opened: {error}")))
            }
            Err(_) => return Finding::Nothing,
        };
        let open_path = mapping.open_path(&self.root, pid);
        verdict.of(mapping.file, open_path, mapping.name.clone())
    }

    fn verdict(&mut self, pid: u32, mapping: &Mapping) -> std::io::Result<Arc<Verdict>> {
        let (file, version) = mapping.open(&self.root, pid)?;
        let key = (mapping.file, version);
        if let Some(verdict) = self.verdicts.get(&key) {
            return Ok(Arc::clone(verdict));
        }
        let verdict = Arc::new(analysis::analyse(&file, &mapping.name));
        if self.verdicts.len() >= REMEMBERED_MAX {
            self.verdicts.clear();
        }
        self.verdicts.insert(key, Arc::clone(&verdict));
        Ok(verdict)
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
