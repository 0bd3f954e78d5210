//! File systems that are slow, full, or don't answer; files that others may not read.

use std::os::unix::fs::MetadataExt;
use std::sync::Mutex;
use std::sync::mpsc::Sender;

use super::super::{Reader, clock_record, of_shard};
use super::*;

/// A file system that begins to answer when it is told to, and takes so many bytes.
struct Slow {
    go: Option<Receiver<()>>,
    left: usize,
    taken: Arc<Mutex<Vec<u8>>>,
}

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let is_header = self.taken.lock().expect("sound").is_empty();
        if !is_header && let Some(go) = self.go.take() {
            let _ = go.recv();
        }
        if bytes.len() > self.left {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.left -= bytes.len();
        self.taken.lock().expect("sound").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Slow {
    fn settle(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn slow(left: usize) -> (Slow, Sender<()>, Arc<Mutex<Vec<u8>>>) {
    let (go, wait) = channel();
    let taken = Arc::default();
    let slow = Slow {
        go: Some(wait),
        left,
        taken: Arc::clone(&taken),
    };
    (slow, go, taken)
}

/// A record of 32 bytes.
fn record(number: u64) -> Vec<u8> {
    clock_record(number, 0)
}

fn records_in(file: &[u8]) -> u64 {
    let mut reader = Reader::new(file).expect("a recording");
    while reader.read_record(|_| {}).expect("whole") {}
    reader.records()
}

#[test]
fn what_a_stalled_file_system_does_not_take_is_counted_and_nobody_waits() {
    let health = Arc::new(Health::default());
    let (out, go, taken) = slow(usize::MAX);
    let recorder = Recorder::start(out, None, Arc::clone(&health)).expect("started");
    // Twice what may wait.
    let records = (2 * BATCHES_MAX * BATCH_BYTES / 32) as u64;
    let mut handle = recorder.handle();
    for number in 0..records {
        handle.keep(&record(number));
    }
    assert!(health.losses(Loss::NotRecorded) > 0);
    go.send(()).expect("it waits");
    drop(handle);
    let recorded = recorder.finish();
    assert!(!recorded.is_complete());
    assert_eq!(recorded.records + recorded.lost, records);
    assert_eq!(recorded.lost, health.losses(Loss::NotRecorded));
    assert_eq!(records_in(&taken.lock().expect("sound")), recorded.records);
}

#[test]
fn a_full_disk_is_an_error_and_the_rest_is_counted() {
    let health = Arc::new(Health::default());
    let (out, go, _) = slow(BATCH_BYTES * 2);
    let recorder = Recorder::start(out, None, Arc::clone(&health)).expect("started");
    drop(go);
    let records = (4 * BATCH_BYTES / 32) as u64;
    let mut handle = recorder.handle();
    for number in 0..records {
        handle.keep(&record(number));
    }
    drop(handle);
    let recorded = recorder.finish();
    assert!(recorded.error.is_some() && !recorded.is_complete());
    assert_eq!(recorded.records + recorded.lost, records);
    assert_eq!(recorded.lost, health.losses(Loss::NotRecorded));
}

#[test]
fn a_limit_ends_a_recording_at_a_whole_record_and_is_no_error() {
    let (out, go, taken) = slow(usize::MAX);
    drop(go);
    let recorder = Recorder::start(out, Some(16 + 32 * 3 + 31), Arc::default()).expect("started");
    let mut handle = recorder.handle();
    for number in 0..10 {
        handle.keep(&record(number));
    }
    drop(handle);
    let recorded = recorder.finish();
    assert!(recorded.is_complete() && recorded.is_full);
    assert_eq!(recorded.records, 3);
    let file = taken.lock().expect("sound");
    assert_eq!((file.len(), records_in(&file)), (16 + 32 * 3, 3));
}

#[test]
fn what_was_kept_is_in_the_file_before_the_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("calls");
    let recorder = Recorder::create(&file, None, Arc::default()).expect("created");
    let mut handle = recorder.handle();
    handle.keep(&record(1));
    handle.settle();
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while records_in(&std::fs::read(&file).expect("there")) < 1 {
        assert!(std::time::Instant::now() < deadline, "nothing came");
        std::thread::yield_now();
    }
    drop(handle);
    assert_eq!(recorder.finish().records, 1);
}

#[test]
fn lanes_share_one_file_and_its_limit_and_each_keeps_its_order() {
    let (out, go, taken) = slow(usize::MAX);
    drop(go);
    let recorder = Recorder::start(out, Some(16 + 32 * 5), Arc::default()).expect("started");
    let mut handles = [recorder.handle(), recorder.handle()];
    for number in 0..10 {
        let shard = (number % 2) as u8;
        handles[usize::from(shard)].keep(&of_shard(shard, record(number)));
    }
    drop(handles);
    let recorded = recorder.finish();
    assert!(recorded.is_complete() && recorded.is_full);
    assert_eq!(recorded.records, 5);
    let file = taken.lock().expect("sound");
    let mut reader = Reader::new(&file[..]).expect("a recording");
    let mut times = [Vec::new(), Vec::new()];
    while reader
        .read_record(|record| times[usize::from(record.shard)].push(record.time_ns))
        .expect("whole")
    {}
    assert_eq!(times, [vec![0, 2, 4], vec![1, 3]]);
}

#[test]
fn nobody_else_may_read_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("calls");
    let recorder = Recorder::create(&file, None, Arc::default()).expect("created");
    let mode = std::fs::metadata(&file).expect("there").mode();
    assert_eq!(mode & 0o7777, 0o600);
    assert!(recorder.finish().is_complete());
    let error = Recorder::create(&file, None, Arc::default()).expect_err("it exists");
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
}
