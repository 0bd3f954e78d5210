//! Looks into large files on a thread of its own: an executable of a hundred megabytes takes longer
//! than whoever reads records may be kept. It is handed files through a bounded queue and hands
//! back what it found; it knows nothing of processes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use super::super::analysis::{self, Verdict};
use super::super::image::OpenFile;
use super::super::mappings::Version;
use super::FileId;

/// A file in one of its versions.
pub(super) type Key = (FileId, Version);

/// See the module. Its thread begins with the first file and ends when this is dropped, after the
/// file that it is at.
#[derive(Debug, Default)]
pub(super) struct Analyst {
    desk: Option<Desk>,
}

#[derive(Debug)]
struct Desk {
    files: SyncSender<(Key, OpenFile, PathBuf)>,
    verdicts: Receiver<(Key, Arc<Verdict>)>,
}

/// Files that wait; of more, each is offered again with the next look.
const FILES_MAX: usize = 32;

impl Analyst {
    /// Takes a file that a process maps as `name`, unless too many wait.
    pub fn take(&mut self, key: Key, file: OpenFile, name: &Path) -> bool {
        if self.desk.is_none() {
            self.desk = Desk::open();
        }
        let given = |desk: &Desk| desk.files.try_send((key, file, name.to_owned())).is_ok();
        self.desk.as_ref().is_some_and(given)
    }

    /// A file that was looked into, if another one is.
    pub fn next(&self) -> Option<(Key, Arc<Verdict>)> {
        self.desk.as_ref()?.verdicts.try_recv().ok()
    }

    /// The same, and waits for it.
    #[cfg(test)]
    pub fn wait(&self) -> Option<(Key, Arc<Verdict>)> {
        self.desk.as_ref()?.verdicts.recv().ok()
    }
}

impl Desk {
    fn open() -> Option<Self> {
        let (files, waiting) = sync_channel(FILES_MAX);
        let (found, verdicts) = channel();
        let spawned = thread::Builder::new()
            .name("tls-analysis".to_owned())
            .spawn(move || work(&waiting, &found));
        if let Err(error) = spawned {
            log::error!("can't look for TLS in large files: {error}");
            return None;
        }
        Some(Self { files, verdicts })
    }
}

fn work(waiting: &Receiver<(Key, OpenFile, PathBuf)>, found: &Sender<(Key, Arc<Verdict>)>) {
    while let Ok((key, file, name)) = waiting.recv() {
        let verdict = Arc::new(analysis::analyse(&file, &name));
        if found.send((key, verdict)).is_err() {
            return;
        }
    }
}
