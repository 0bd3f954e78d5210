//! A recording that is written while the daemon runs, by a thread of its own: the threads that read
//! the rings hand bytes over and never wait. What does not fit in between is left out, counted,
//! and makes the recording incomplete, as does whatever the file system refuses.
//!
//! All shards have one recording, each a handle into it. Records of one are in order in the file;
//! those of several come in stretches.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::time::Duration;

use super::Writer;
use crate::health::{Health, Loss};
use crate::sandbox;
use crate::visible::Visible;

/// Only who made a recording may read it: it holds what was said on sockets.
const MODE: u32 = 0o600;
/// Handed over at a time.
const BATCH_BYTES: usize = 64 * 1024;
/// Batches that wait for the file system: 16 MiB, a second of a very busy machine.
const BATCHES_MAX: usize = 256;
/// What is younger may be lacking in the file when the daemon is killed.
pub const SETTLE_EVERY: Duration = Duration::from_secs(1);
/// How long the file system may take for the end of a recording.
const FINISH_MAX: Duration = Duration::from_secs(5);

/// What a recording came to.
#[derive(Debug, Default)]
pub struct Recorded {
    /// Records in the file.
    pub records: u64,
    /// Records that are not, because the file system was too slow or refused them.
    pub lost: u64,
    /// Whether the recording was ended by its limit; what came later is not counted.
    pub is_full: bool,
    /// What the file system said.
    pub error: Option<String>,
}

impl Recorded {
    /// Whether everything is in the file that should be.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.lost == 0 && self.error.is_none()
    }
}

/// The recording, which ends when this is finished.
#[derive(Debug)]
pub struct Recorder {
    to: SyncSender<RecordBatch>,
    done: Receiver<WriterOutcome>,
    shared: Arc<RecordingTotals>,
}

/// Takes records of one shard for the file. What it still has is handed over when it is dropped.
#[derive(Debug)]
pub struct RecorderHandle {
    to: SyncSender<RecordBatch>,
    batch: RecordBatch,
    shared: Arc<RecordingTotals>,
}

/// What all handles share.
#[derive(Debug)]
struct RecordingTotals {
    /// Bytes that may still be taken.
    bytes_left: AtomicU64,
    is_full: AtomicBool,
    lost: AtomicU64,
    health: Arc<Health>,
}

/// Records, end to end.
#[derive(Debug, Default)]
struct RecordBatch {
    bytes: Vec<u8>,
    records: u64,
}

/// What the thread came to.
#[derive(Debug, Default)]
struct WriterOutcome {
    records: u64,
    lost: u64,
    error: Option<String>,
}

impl Recorder {
    /// Creates the file, which must not exist yet, and begins the recording. It ends at
    /// `bytes_max`, if that is given, with a whole record.
    ///
    /// # Errors
    /// The file can't be created, the recording's header not be written, or the thread not start.
    pub fn create(file: &Path, bytes_max: Option<u64>, health: Arc<Health>) -> io::Result<Self> {
        Self::start(create(file)?, bytes_max, health)
    }

    fn start<W: Sink>(out: W, bytes_max: Option<u64>, health: Arc<Health>) -> io::Result<Self> {
        let mut writer = Writer::new(out)?;
        writer.flush()?;
        let begun = writer.bytes();
        let (to, batches) = sync_channel(BATCHES_MAX);
        let (tell, done) = channel();
        let counted = Arc::clone(&health);
        std::thread::Builder::new()
            .name("recording".into())
            .spawn(move || {
                sandbox::without_rights();
                let _ = tell.send(write(writer, &batches, &counted));
            })?;
        let left = bytes_max.map_or(u64::MAX, |max| max.saturating_sub(begun));
        Ok(Self {
            to,
            done,
            shared: Arc::new(RecordingTotals {
                bytes_left: AtomicU64::new(left),
                is_full: AtomicBool::new(false),
                lost: AtomicU64::new(0),
                health,
            }),
        })
    }

    /// A way into it, for one shard.
    #[must_use]
    pub fn handle(&self) -> RecorderHandle {
        RecorderHandle {
            to: self.to.clone(),
            batch: RecordBatch::default(),
            shared: Arc::clone(&self.shared),
        }
    }

    /// Ends the recording, once all handles were dropped. It waits for the file system, but not for
    /// ever.
    #[must_use]
    pub fn finish(self) -> Recorded {
        let Self { to, done, shared } = self;
        drop(to);
        let written = done
            .recv_timeout(FINISH_MAX)
            .unwrap_or_else(|_| WriterOutcome {
                error: Some(format!(
                    "the file system did not answer within {FINISH_MAX:?}"
                )),
                ..WriterOutcome::default()
            });
        Recorded {
            records: written.records,
            lost: shared.lost.load(Ordering::Acquire) + written.lost,
            is_full: shared.is_full.load(Ordering::Acquire),
            error: written.error,
        }
    }
}

impl RecorderHandle {
    /// Keeps the record that `bytes` begin with. It does not wait.
    pub fn keep(&mut self, bytes: &[u8]) {
        if self.shared.is_full.load(Ordering::Acquire) {
            return;
        }
        let Some(record) = super::whole_record(bytes) else {
            return self.shared.lose(1);
        };
        if !self.shared.has_room(record.len() as u64) {
            return;
        }
        self.batch.bytes.extend_from_slice(record);
        self.batch.records += 1;
        if self.batch.bytes.len() >= BATCH_BYTES {
            self.hand_over();
            self.batch.bytes.reserve(BATCH_BYTES);
        }
    }

    /// Has what was kept so far written, so that a daemon that is killed leaves it.
    pub fn settle(&mut self) {
        if self.batch.records > 0 {
            self.hand_over();
        }
    }

    fn hand_over(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        if let Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) =
            self.to.try_send(batch)
        {
            if self.shared.lost.load(Ordering::Acquire) == 0 {
                log::warn!("the file system is slower than the recording: it has gaps");
            }
            self.shared.lose(batch.records);
        }
    }
}

impl Drop for RecorderHandle {
    fn drop(&mut self) {
        self.settle();
    }
}

impl RecordingTotals {
    /// Takes so many bytes of those that may still be taken. If they are too few, that is the end.
    fn has_room(&self, len: u64) -> bool {
        let take = |left: u64| left.checked_sub(len);
        let taken = self
            .bytes_left
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, take);
        if taken.is_err() && !self.is_full.swap(true, Ordering::AcqRel) {
            log::warn!("the recording has reached its limit: it ends here, tracing goes on");
        }
        taken.is_ok()
    }

    fn lose(&self, records: u64) {
        self.lost.fetch_add(records, Ordering::AcqRel);
        self.health.lose(Loss::NotRecorded, records);
    }
}

/// Creates a file that nobody else may read; it must not exist yet.
///
/// # Errors
/// Those of the file system.
pub fn create(file: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(file)?;
    // A umask takes bits away, and some file systems give some.
    file.set_permissions(Permissions::from_mode(MODE))?;
    Ok(file)
}

/// Where a recording goes: a file, or what tests put in its place.
trait Sink: Write + Send + 'static {
    /// Brings what was written to the disk.
    fn settle(&mut self) -> io::Result<()>;
}

impl Sink for File {
    fn settle(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

fn write<W: Sink>(
    mut writer: Writer<W>,
    batches: &Receiver<RecordBatch>,
    health: &Health,
) -> WriterOutcome {
    let mut written = WriterOutcome::default();
    for batch in batches {
        let mut write = || {
            writer.write_all(&batch.bytes, batch.records)?;
            writer.flush()
        };
        if written.error.is_none()
            && let Err(error) = write()
        {
            log::error!("the recording ends here: {}", Visible(&error));
            written.error = Some(error.to_string());
        }
        if written.error.is_some() {
            written.lost += batch.records;
            health.lose(Loss::NotRecorded, batch.records);
        } else {
            written.records += batch.records;
        }
    }
    if written.error.is_none() {
        let settled = writer.finish().and_then(|mut out| out.settle());
        written.error = settled.err().map(|error| error.to_string());
    }
    written
}

#[cfg(test)]
mod tests;
