//! What was found in which version of a file, remembered for all threads that look; and how many
//! files they have open that nobody has looked into yet. It looks into none.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::super::runtimes::RuntimeFinding;
use super::analysis::FileFinding;
use super::held::{FileVersion, HeldFile};

/// Verdicts before remembering starts again. One takes some hundred bytes.
const REMEMBERED_MAX: usize = 8192;
/// Files that wait, opened, to be looked into.
const WAITING_MAX: usize = 192;
/// And such as have the name of a library for TLS.
const LIKELY_MAX: usize = 256;

/// A version of a file, and its name, which tells libraries from programs.
pub(super) type FileKey = (FileVersion, PathBuf);

/// What there is in a file.
#[derive(Debug)]
pub(super) struct FileContent {
    pub tls: FileFinding,
    pub tasks: RuntimeFinding,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    known: Mutex<HashMap<FileKey, Arc<FileContent>>>,
    waiting: Arc<AtomicUsize>,
}

/// A file that waits to be looked into.
#[derive(Debug)]
pub(super) struct WaitingFile {
    pub held: HeldFile,
    /// Dropped when it no longer waits.
    pub place: WaitingSlot,
}

/// One of the places of those that wait.
#[derive(Debug)]
pub(super) struct WaitingSlot(Arc<AtomicUsize>);

pub(super) fn key(held: &HeldFile, file_name: &Path) -> FileKey {
    (held.version(), file_name.to_owned())
}

impl Verdicts {
    pub fn get(&self, key: &FileKey) -> Option<Arc<FileContent>> {
        self.known().get(key).map(Arc::clone)
    }

    pub fn insert(&self, key: FileKey, content: &Arc<FileContent>) {
        let mut known = self.known();
        if known.len() >= REMEMBERED_MAX {
            known.clear();
        }
        known.insert(key, Arc::clone(content));
    }

    /// Whether one more file may be opened to wait.
    pub fn has_room(&self, is_likely: bool) -> bool {
        let max = if is_likely { LIKELY_MAX } else { WAITING_MAX };
        self.waiting.load(Ordering::Relaxed) < max
    }

    pub fn wait(&self, held: HeldFile) -> WaitingFile {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        WaitingFile {
            held,
            place: WaitingSlot(Arc::clone(&self.waiting)),
        }
    }

    /// Nothing is called under the lock.
    fn known(&self) -> MutexGuard<'_, HashMap<FileKey, Arc<FileContent>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.known().len()
    }
}

impl Drop for WaitingSlot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
