//! Which TLS libraries the watched processes map: asked per process, answered with what changed. It
//! keeps what was found in each version of a file, so that a library is looked into once however many
//! processes map it, and holds open those that can be read as long as a process maps them; it
//! attaches nothing.
//!
//! A process is looked at when it begins to be watched, when TLS is seen on one of its connections
//! and nobody knows whose, and each second while it is young ([`Libraries::due`]), because most
//! programs load their libraries then. A look at a process that mapped nothing new costs one
//! reading of its mappings.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::proc_root::ProcRoot;
use super::analysis::{self, Verdict};
use super::held::{HeldFile, Version};
use super::mappings::{self, Mapping};
use super::opening::open_mapped;
use super::{FileId, Finding, Library, Unreadable};

/// See the module.
#[derive(Debug)]
pub struct Libraries {
    root: ProcRoot,
    processes: HashMap<u32, Looked>,
    /// Processes that map a readable library.
    users: HashMap<FileId, HashSet<u32>>,
    /// What was found in the files that they map.
    held: HashMap<FileId, Arc<Library>>,
    /// By version and file name, which tells libraries from programs.
    verdicts: HashMap<(Version, PathBuf), Arc<Verdict>>,
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
#[derive(Clone, Debug, Default)]
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
            held: HashMap::new(),
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
        let findings = mappings
            .iter()
            .filter_map(|mapping| self.finding(pid, mapping));
        findings.collect()
    }

    fn take_in(&mut self, pid: u32, mapping: &Mapping, changes: &mut Changes) {
        match self.finding(pid, mapping) {
            Some(Finding::Readable(library)) => {
                self.users.entry(mapping.file).or_default().insert(pid);
                changes.mapped.push(library);
            }
            Some(Finding::Unreadable(unreadable)) => {
                if self.said.len() >= REMEMBERED_MAX {
                    self.said.clear();
                }
                if self.said.insert(mapping.file) {
                    changes.unreadable.push(unreadable);
                }
            }
            None => {}
        }
    }

    /// `None` where there is no sign of TLS.
    fn finding(&mut self, pid: u32, mapping: &Mapping) -> Option<Finding> {
        if let Some(library) = self.known(mapping) {
            return Some(Finding::Readable(library));
        }
        let unreadable = |reason| {
            Some(Finding::Unreadable(Unreadable {
                file: mapping.file,
                name: mapping.name.clone(),
                reason,
            }))
        };
        let held = match open_mapped(&self.root, pid, mapping) {
            Ok(held) => Arc::new(held),
            Err(error) if analysis::is_tls_library(mapping.file_name()) => {
                return unreadable(format!("it can't be opened: {error}"));
            }
            Err(_) => return None,
        };
        match &*self.verdict(&held, mapping) {
            Verdict::Readable(found) => {
                let library = Arc::new(Library {
                    file: mapping.file,
                    held,
                    name: mapping.name.clone(),
                    kind: found.kind,
                    functions: found.functions.clone(),
                });
                self.held.insert(mapping.file, Arc::clone(&library));
                Some(Finding::Readable(library))
            }
            Verdict::Unreadable(reason) => unreadable(reason.clone()),
            Verdict::Nothing => None,
        }
    }

    /// What was found in the file for another process, if it is certainly the same file and nobody
    /// has written to it since.
    fn known(&self, mapping: &Mapping) -> Option<Arc<Library>> {
        let library = self.held.get(&mapping.file)?;
        let version = library.held.version();
        // Its inode can't be another file's as long as it is held, if inodes are its device's own.
        let is_unique = version.device == mapping.file.device;
        let is_same = is_unique && library.held.is_unchanged().unwrap_or(false);
        is_same.then(|| Arc::clone(library))
    }

    fn verdict(&mut self, held: &HeldFile, mapping: &Mapping) -> Arc<Verdict> {
        let key = (held.version(), mapping.file_name().to_owned());
        if let Some(verdict) = self.verdicts.get(&key) {
            return Arc::clone(verdict);
        }
        let verdict = analysis::analyse(held, &mapping.name);
        if !held.is_unchanged().unwrap_or(false) {
            let reason = "it was written to while it was looked into";
            return Arc::new(Verdict::Unreadable(reason.to_owned()));
        }
        let verdict = Arc::new(verdict);
        if self.verdicts.len() >= REMEMBERED_MAX {
            self.verdicts.clear();
        }
        self.verdicts.insert(key, Arc::clone(&verdict));
        verdict
    }

    fn unmapped(&mut self, pid: u32, file: FileId, gone: &mut Vec<FileId>) {
        if let Some(users) = self.users.get_mut(&file)
            && users.remove(&pid)
            && users.is_empty()
        {
            self.users.remove(&file);
            self.held.remove(&file);
            gone.push(file);
        }
    }
}

#[cfg(test)]
#[path = "libraries/tests.rs"]
mod tests;
