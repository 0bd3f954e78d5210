//! Mappings of processes that are made here: directories laid out like `/proc`.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use tempfile::TempDir;

use super::super::made::{Made, PLAIN};
use super::*;

struct World {
    dir: TempDir,
    libraries: Libraries,
    began: Instant,
}

/// Inode number and file name of a mapped file, in `/lib`.
type Mapped<'a> = (u64, &'a str);

impl World {
    fn new() -> Self {
        let dir = TempDir::new().expect("a directory");
        let libraries = Libraries::new(ProcRoot::at(dir.path()));
        Self {
            dir,
            libraries,
            began: Instant::now(),
        }
    }

    /// A file that can be mapped, by what it is called here.
    fn file(&self, name: &str, bytes: &[u8]) {
        fs::write(self.dir.path().join(name), bytes).expect("written");
    }

    /// Has a process map these files, and no others.
    fn maps(&self, pid: u32, files: &[Mapped<'_>]) {
        let dir = self.dir.path().join(pid.to_string());
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(dir.join("map_files")).expect("created");
        let mut maps = String::new();
        for (inode, name) in files {
            let range = format!("{:x}-{:x}", inode * 0x1000, inode * 0x1000 + 0x1000);
            let (start, end) = range.split_once('-').expect("a range");
            maps += &format!("{start:0>8}-{end:0>8} r--p 00000000 08:01 {inode}  /lib/{name}\n");
            maps += &format!("{start:0>8}-{end:0>8} r-xp 00000000 08:01 {inode}  /lib/{name}\n");
            let target = self.dir.path().join(name);
            symlink(target, dir.join("map_files").join(range)).expect("linked");
        }
        fs::write(dir.join("maps"), maps).expect("written");
    }

    fn ends(&self, pid: u32) {
        fs::remove_dir_all(self.dir.path().join(pid.to_string())).expect("removed");
    }

    fn look(&mut self, pid: u32) -> Changes {
        self.libraries.look(pid, self.began)
    }
}

fn openssl() -> Vec<u8> {
    Made::library(&[("SSL_read", PLAIN), ("SSL_write", PLAIN)]).bytes()
}

fn names(changes: &Changes) -> Vec<&Path> {
    let mapped = changes.mapped.iter();
    mapped.map(|library| library.name.as_path()).collect()
}

fn file(inode: u64) -> FileId {
    FileId {
        device: 0x801,
        inode,
    }
}

#[test]
fn a_library_is_told_once_and_again_when_it_is_mapped_late() {
    let mut world = World::new();
    world.file("libssl.so.3", &openssl());
    world.file("python3", &Made::program(&[]).bytes());
    world.maps(7, &[(1, "python3")]);
    assert_eq!(world.look(7), Changes::default());

    world.maps(7, &[(1, "python3"), (2, "libssl.so.3")]);
    let changes = world.look(7);
    assert_eq!(names(&changes), [Path::new("/lib/libssl.so.3")]);
    let library = &changes.mapped[0];
    assert_eq!(library.file, file(2));
    let through = world.dir.path().join("7/map_files/2000-3000");
    assert_eq!(library.open_path, through);
    assert_eq!(world.look(7), Changes::default());

    world.maps(7, &[(1, "python3")]);
    assert_eq!(world.look(7).gone, [file(2)]);
}

#[test]
fn a_library_is_gone_with_the_last_process_that_maps_it() {
    let mut world = World::new();
    world.file("libssl.so.3", &openssl());
    for pid in [7, 8, 9] {
        world.maps(pid, &[(2, "libssl.so.3")]);
        assert_eq!(world.look(pid).mapped.len(), 1);
    }
    assert_eq!(world.libraries.forget(7), []);
    // One that has gone maps nothing.
    world.ends(8);
    assert_eq!(world.look(8), Changes::default());
    assert_eq!(world.libraries.forget(9), [file(2)]);
    assert_eq!(world.libraries.forget(9), []);
}

#[test]
fn a_file_is_looked_into_again_only_if_it_changed() {
    let mut world = World::new();
    world.file("libssl.so.3", &openssl());
    world.maps(7, &[(2, "libssl.so.3")]);
    world.maps(8, &[(2, "libssl.so.3")]);
    world.look(7);
    world.look(8);
    assert_eq!(world.libraries.verdicts.len(), 1);
    // A program that is written anew while nobody runs it keeps its inode.
    world.file("libssl.so.3", &Made::library(&[]).bytes());
    world.maps(9, &[(2, "libssl.so.3")]);
    assert_eq!(world.look(9), Changes::default());
    assert_eq!(world.libraries.verdicts.len(), 2);
}

#[test]
fn what_cannot_be_read_is_said_once_whoever_maps_it() {
    let mut world = World::new();
    world.file("libssl.so.3", b"\x7fELF\x02\x01");
    world.file("proxy", b"\x7fELF\x02\x01\x01aaaaaaaaaaaaaaaaaaa");
    world.maps(7, &[(2, "libssl.so.3"), (3, "proxy")]);
    world.maps(8, &[(2, "libssl.so.3"), (3, "proxy")]);
    let said = world.look(7).unreadable;
    assert_eq!(said.len(), 1);
    assert_eq!(said[0].name, Path::new("/lib/proxy"));
    assert_eq!(
        said[0].reason,
        "its file is damaged: it ends within its header"
    );
    assert_eq!(world.look(8), Changes::default());
    // Who asks for all of it is told again.
    assert_eq!(world.libraries.survey(8).len(), 1);
}

#[test]
fn without_the_right_to_follow_mappings_only_the_same_file_is_taken_by_its_name() {
    let mut world = World::new();
    world.file("libssl.so.3", &openssl());
    let lib = world.dir.path().join("7/root/lib");
    fs::create_dir_all(&lib).expect("created");
    let named = lib.join("libssl.so.3");
    fs::write(&named, openssl()).expect("written");
    let metadata = fs::metadata(&named).expect("there");
    let (major, minor) = (
        rustix::fs::major(metadata.dev()),
        rustix::fs::minor(metadata.dev()),
    );
    let map = |inode: u64| {
        let line =
            format!("1000-2000 r-xp 00000000 {major:x}:{minor:x} {inode} /lib/libssl.so.3\n");
        fs::write(world.dir.path().join("7/maps"), line).expect("written");
    };
    map(metadata.ino() + 1);
    let changes = world.libraries.look(7, world.began);
    assert!(changes.mapped.is_empty());
    assert!(
        changes.unreadable[0]
            .reason
            .starts_with("it can't be opened: ")
    );
    map(metadata.ino());
    assert_eq!(world.libraries.look(7, world.began).mapped.len(), 1);
}

#[test]
fn young_processes_are_looked_at_each_second() {
    let mut world = World::new();
    world.maps(7, &[]);
    let at = |tenths: u64| Duration::from_millis(tenths * 100);
    let began = world.began;
    world.look(7);
    assert_eq!(world.libraries.due(began + at(9)), [0; 0]);
    assert_eq!(world.libraries.due(began + at(10)), [7]);
    world.libraries.look(7, began + at(10));
    assert_eq!(world.libraries.due(began + at(19)), [0; 0]);
    assert_eq!(world.libraries.due(began + at(105)), [7]);
    assert_eq!(world.libraries.due(began + at(110)), [0; 0]);
    world.libraries.forget(7);
    assert_eq!(world.libraries.due(began + at(20)), [0; 0]);
}

#[test]
fn a_large_file_is_looked_into_elsewhere_and_told_when_that_is_done() {
    let mut world = World::new();
    world.libraries.large_len = 1;
    world.file("libssl.so.3", &openssl());
    for pid in [7, 8] {
        world.maps(pid, &[(2, "libssl.so.3")]);
        assert_eq!(world.look(pid), Changes::default());
        assert_eq!(world.look(pid), Changes::default());
    }
    assert_eq!(world.libraries.taken.len(), 1);
    let (key, verdict) = world.libraries.analyst.wait().expect("a verdict");
    assert_eq!(world.libraries.due(world.began), [0; 0]);
    world.libraries.found(key, verdict);
    let mut due = world.libraries.due(world.began);
    due.sort_unstable();
    assert_eq!(due, [7, 8]);
    for pid in due {
        assert_eq!(names(&world.look(pid)), [Path::new("/lib/libssl.so.3")]);
    }
    assert_eq!(world.libraries.due(world.began), [0; 0]);
    assert!(world.libraries.taken.is_empty());
    assert_eq!(world.libraries.forget(7), []);
    assert_eq!(world.libraries.forget(8), [file(2)]);
}

#[test]
fn whoever_asks_for_all_of_it_waits_for_large_files() {
    let mut world = World::new();
    world.libraries.large_len = 1;
    world.file("libssl.so.3", &openssl());
    world.maps(7, &[(2, "libssl.so.3")]);
    assert_eq!(world.libraries.survey(7).len(), 1);
    // It is known from then on.
    assert_eq!(world.look(7).mapped.len(), 1);
}

#[test]
fn a_process_that_went_while_its_file_was_looked_into_is_forgotten() {
    let mut world = World::new();
    world.libraries.large_len = 1;
    world.file("libssl.so.3", &openssl());
    world.maps(7, &[(2, "libssl.so.3")]);
    world.look(7);
    assert_eq!(world.libraries.forget(7), []);
    let (key, verdict) = world.libraries.analyst.wait().expect("a verdict");
    world.libraries.found(key, verdict);
    assert_eq!(world.libraries.due(world.began), [0; 0]);
}

#[test]
fn a_file_that_was_unmapped_while_it_was_looked_into_is_not_waited_for() {
    let mut world = World::new();
    world.libraries.large_len = 1 << 20;
    world.file("large", &vec![0; 1 << 20]);
    world.maps(7, &[(2, "large")]);
    world.look(7);
    world.maps(7, &[]);
    world.look(7);
    let (key, verdict) = world.libraries.analyst.wait().expect("a verdict");
    world.libraries.found(key, verdict);
    assert_eq!(world.libraries.due(world.began), [0; 0]);
}
