//! What stands where after processes begin, end and die, told without a kernel.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use super::*;
use crate::discover::tls::{HeldFile, LibraryKind};

/// A library that is any file, which no probe ever comes near.
fn library(inode: u64, name: &str) -> Arc<Library> {
    library_at(std::path::Path::new("/proc/self/exe"), inode, name)
}

fn library_at(path: &std::path::Path, inode: u64, name: &str) -> Arc<Library> {
    let held = HeldFile::for_tests(path, inode);
    Arc::new(Library {
        file: FileId { device: 1, inode },
        held: Arc::new(held),
        name: PathBuf::from(name),
        kind: Some(LibraryKind::OpenSsl),
        functions: Vec::new(),
        tasks: None,
    })
}

fn link() -> Link {
    let null = std::fs::File::open("/dev/null").expect("a file");
    Link::Many(OwnedFd::from(null))
}

fn put(standing: &Standing, pid: u32, library: &Arc<Library>) {
    assert!(matches!(standing.begin(pid, library), Begun::Yes { .. }));
    assert!(standing.end(pid, library, vec![link()]));
}

/// What is to be closed, as it would be.
fn close(standing: &Standing, closings: &Receiver<Closing>) -> usize {
    let closed = closings
        .try_iter()
        .map(|closing| standing.was_closed(closing.key));
    closed.count()
}

#[test]
fn probes_go_with_their_process() {
    let (standing, closings) = Standing::new();
    let shared = library(1, "shared");
    put(&standing, 10, &shared);
    put(&standing, 11, &shared);
    assert_eq!(standing.begin(10, &shared), Begun::Already);
    standing.detach(10);
    assert_eq!(close(&standing, &closings), 1);
    assert!(!standing.has(10) && standing.has(11));
    // The other's are there still, and a child of it has a copy of them.
    assert_eq!(standing.begin(12, &shared), Begun::Yes { inherits: true });
}

#[test]
fn a_process_that_becomes_another_program_while_it_is_attached_to_has_nothing() {
    let (standing, closings) = Standing::new();
    let mapped = library(1, "mapped");
    assert_eq!(standing.begin(10, &mapped), Begun::Yes { inherits: false });
    standing.detach(10);
    assert!(!standing.end(10, &mapped, vec![link()]));
    assert_eq!(close(&standing, &closings), 1);
    assert!(!standing.has(10));
}

#[test]
fn a_fault_soon_after_takes_probes_from_the_file_everywhere_and_for_good() {
    let (standing, closings) = Standing::new();
    let (suspect, other) = (library(1, "suspect"), library(2, "other"));
    put(&standing, 10, &suspect);
    put(&standing, 11, &suspect);
    put(&standing, 11, &other);
    assert!(standing.ended(10, libc::SIGSEGV as u32 | 0x80));
    assert_eq!(close(&standing, &closings), 2);
    let death = Death {
        pid: 10,
        signal: libc::SIGSEGV as u32,
        files: vec!["suspect".into()],
    };
    assert_eq!(standing.deaths(), [death]);
    assert_eq!(standing.begin(11, &suspect), Begun::Refused);
    assert_eq!(standing.begin(11, &other), Begun::Already);
}

#[test]
fn other_ends_are_not_laid_to_probes() {
    let (standing, closings) = Standing::new();
    let mapped = library(1, "mapped");
    // It left, it was ended, it failed.
    for code in [0, libc::SIGKILL as u32, libc::SIGABRT as u32, 139 << 8] {
        put(&standing, 10, &mapped);
        assert!(!standing.ended(10, code), "{code:#x}");
        assert_eq!(close(&standing, &closings), 1);
    }
    // It had none.
    assert!(!standing.ended(11, libc::SIGSEGV as u32));
    assert_eq!(standing.deaths(), []);
}

#[test]
fn a_file_that_was_written_to_loses_its_probes() {
    let (standing, closings) = Standing::new();
    let (written, other) = (library(1, "written"), library(2, "other"));
    put(&standing, 10, &written);
    put(&standing, 10, &other);
    put(&standing, 11, &written);
    let mut pids = standing.changed(written.file);
    pids.sort_unstable();
    assert_eq!(pids, [10, 11]);
    assert_eq!(close(&standing, &closings), 2);
    assert_eq!(standing.files().len(), 1);
}

#[test]
fn a_bus_error_in_a_file_that_was_cut_short_is_not_laid_to_probes() {
    let (standing, _closings) = Standing::new();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("x");
    std::fs::write(&path, "a library").expect("written");
    let mapped = library_at(&path, 1, "mapped");
    put(&standing, 10, &mapped);
    put(&standing, 11, &mapped);
    put(&standing, 12, &mapped);
    std::fs::write(&path, "a lib").expect("written");
    assert!(!standing.ended(10, libc::SIGBUS as u32));
    std::fs::write(&path, "a library").expect("written");
    assert!(standing.ended(11, libc::SIGBUS as u32));
}

/// Whether somebody may write to a file now.
fn may_be_written(path: &std::path::Path) -> bool {
    // The kernel tells the holder of the lease, which would end the tests.
    let _ = signal_hook::flag::register(libc::SIGIO, Arc::default());
    let mut options = std::fs::File::options();
    let flags = libc::O_NONBLOCK;
    std::os::unix::fs::OpenOptionsExt::custom_flags(options.write(true), flags);
    options.open(path).is_ok()
}

#[test]
fn who_wants_to_write_waits_until_the_last_probe_has_gone() {
    let (standing, closings) = Standing::new();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("x");
    std::fs::write(&path, "a library").expect("written");
    let mapped = library_at(&path, 1, "mapped");
    let (long, no_time) = (Duration::from_secs(60), Duration::ZERO);
    standing.take_leases();
    put(&standing, 10, &mapped);
    put(&standing, 11, &mapped);
    assert_eq!(standing.begin(12, &mapped), Begun::Yes { inherits: true });
    assert_eq!(standing.wanted(long).len(), 0);
    assert!(!may_be_written(&path));
    assert_eq!(standing.wanted(long).len(), 1);
    let mut pids = standing.changed(mapped.file);
    pids.sort_unstable();
    assert_eq!(pids, [10, 11, 12]);
    assert_eq!(standing.changed(mapped.file).len(), 0);
    // What was under way goes too, and nothing new comes.
    assert!(!standing.end(12, &mapped, vec![link()]));
    assert_eq!(standing.begin(13, &mapped), Begun::Written);
    let mut left = 3;
    for closing in closings.try_iter() {
        assert!(!may_be_written(&path), "{left} stand");
        standing.was_closed(closing.key);
        left -= 1;
    }
    assert_eq!(left, 0);
    assert!(may_be_written(&path));
    assert_eq!(standing.wanted(long).len(), 0);
    // If it takes too long, nobody waits for it.
    put(&standing, 10, &mapped);
    assert!(!may_be_written(&path));
    assert_eq!(standing.wanted(no_time).len(), 1);
    assert!(may_be_written(&path));
    assert_eq!(standing.wanted(no_time).len(), 0);
}

#[test]
fn no_probe_is_put_on_a_file_that_is_open_for_writing() {
    let (standing, closings) = Standing::new();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("x");
    let writer = std::fs::File::create(&path).expect("a file");
    let mapped = library_at(&path, 1, "mapped");
    standing.take_leases();
    assert_eq!(standing.begin(10, &mapped), Begun::Written);
    drop(writer);
    assert_eq!(standing.begin(10, &mapped), Begun::Yes { inherits: false });
    standing.discard(&mapped, vec![link()]);
    assert!(!may_be_written(&path));
    assert_eq!(close(&standing, &closings), 1);
    assert!(may_be_written(&path));
    // Without anything to be closed, too.
    assert_eq!(standing.begin(10, &mapped), Begun::Yes { inherits: false });
    standing.discard(&mapped, Vec::new());
    assert!(may_be_written(&path));
}

#[test]
fn another_version_waits_until_the_one_before_has_gone() {
    let (standing, closings) = Standing::new();
    let before = library(1, "before");
    put(&standing, 10, &before);
    let mut after = library(1, "after");
    let held = HeldFile::for_tests(std::path::Path::new("/proc/self/exe"), 99);
    Arc::get_mut(&mut after).expect("nobody else has it").held = Arc::new(held);
    std::thread::scope(|scope| {
        let attaching = scope.spawn(|| standing.begin(11, &after));
        // It asked for that by itself.
        let closing = closings.recv().expect("one");
        assert!(!standing.has(10));
        assert!(!attaching.is_finished());
        standing.was_closed(closing.key);
        let begun = attaching.join().expect("no panic");
        assert_eq!(begun, Begun::Yes { inherits: false });
    });
}
