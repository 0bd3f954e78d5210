//! A recording that is written while the daemon runs, by a thread of its own: the thread that reads
//! the ring hands bytes over and never waits. What does not fit in between is left out, counted,
//! and makes the recording incomplete, as does whatever the file system refuses.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::time::Duration;

use super::Writer;
use crate::health::{Health, Loss};
use crate::visible::Visible;

/// Only who made a recording may read it: it holds what was said on sockets.
const MODE: u32 = 0o600;
/// Handed over at a time.
const BATCH_BYTES: usize = 64 * 1024;
/// Batches that wait for the file system: 16 MiB, a second of a very busy machine.
const BATCHES_MAX: usize = 256;
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

/// Takes records for the file.
#[derive(Debug)]
pub struct Recorder {
    to: Option<SyncSender<RecordBatch>>,
    done: Receiver<WriterOutcome>,
    batch: RecordBatch,
    /// Bytes that may still be taken.
    bytes_left: u64,
    is_full: bool,
    lost: u64,
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
                let _ = tell.send(write(writer, &batches, &counted));
            })?;
        Ok(Self {
            to: Some(to),
            done,
            batch: RecordBatch::default(),
            bytes_left: bytes_max.map_or(u64::MAX, |max| max.saturating_sub(begun)),
            is_full: false,
            lost: 0,
            health,
        })
    }

    /// Keeps the record that `bytes` begin with. It does not wait.
    pub fn keep(&mut self, bytes: &[u8]) {
        if self.is_full {
            return;
        }
        let Some(record) = super::whole_record(bytes) else {
            return self.lose(1);
        };
        let len = record.len() as u64;
        if len > self.bytes_left {
            self.is_full = true;
            log::warn!("the recording has reached its limit: it ends here, tracing goes on");
            return;
        }
        self.bytes_left -= len;
        self.batch.bytes.extend_from_slice(record);
        self.batch.records += 1;
        if self.batch.bytes.len() >= BATCH_BYTES {
            self.hand_over();
        }
    }

    /// Ends the recording. It waits for the file system, but not for ever.
    #[must_use]
    pub fn finish(mut self) -> Recorded {
        if self.batch.records > 0 {
            self.hand_over();
        }
        self.to = None;
        let written = self
            .done
            .recv_timeout(FINISH_MAX)
            .unwrap_or_else(|_| WriterOutcome {
                error: Some(format!(
                    "the file system did not answer within {FINISH_MAX:?}"
                )),
                ..WriterOutcome::default()
            });
        Recorded {
            records: written.records,
            lost: self.lost + written.lost,
            is_full: self.is_full,
            error: written.error,
        }
    }

    fn hand_over(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        let Some(to) = &self.to else { return };
        match to.try_send(batch) {
            Ok(()) => self.batch.bytes.reserve(BATCH_BYTES),
            Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) => {
                if self.lost == 0 {
                    log::warn!("the file system is slower than the recording: it has gaps");
                }
                self.lose(batch.records);
            }
        }
    }

    fn lose(&mut self, records: u64) {
        self.lost += records;
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
        if written.error.is_none()
            && let Err(error) = writer.write_all(&batch.bytes, batch.records)
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
