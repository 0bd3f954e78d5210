//! Mappings of processes that are made here: directories laid out like `/proc`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tempfile::TempDir;

use super::super::made::{Made, PLAIN};
use super::*;

struct World {
    dir: TempDir,
    libraries: Libraries,
    began: Instant,
}

impl World {
    fn new() -> Self {
        let dir = TempDir::new().expect("a directory");
        fs::create_dir(dir.path().join("lib")).expect("created");
        let libraries = Libraries::new(ProcRoot::at(dir.path()));
        Self {
            dir,
            libraries,
            began: Instant::now(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("lib").join(name)
    }

    /// A file that can be mapped, by what it is called here.
    fn file(&self, name: &str, bytes: &[u8]) -> FileId {
        let path = self.path(name);
        fs::write(&path, bytes).expect("written");
        let metadata = fs::metadata(&path).expect("there");
        FileId {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }

    /// Has a process map these files, and no others.
    fn maps(&self, pid: u32, files: &[(FileId, &str)]) {
        let dir = self.dir.path().join(pid.to_string());
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(dir.join("map_files")).expect("created");
        symlink(self.dir.path(), dir.join("root")).expect("linked");
        let mut maps = String::new();
        for (index, (file, name)) in files.iter().enumerate() {
            let start = 0x1000 * (index + 1);
            let range = format!("{start:x}-{:x}", start + 0x1000);
            let major = rustix::fs::major(file.device);
            let minor = rustix::fs::minor(file.device);
            let inode = file.inode;
            for permissions in ["r--p", "r-xp"] {
                maps += &format!(
                    "{range} {permissions} 00000000 {major:x}:{minor:x} {inode}  /lib/{name}\n"
                );
            }
            symlink(self.path(name), dir.join("map_files").join(range)).expect("linked");
        }
        fs::write(dir.join("maps"), maps).expect("written");
    }

    fn ends(&self, pid: u32) {
        fs::remove_dir_all(self.dir.path().join(pid.to_string())).expect("removed");
    }

    /// All that comes of looking at a process.
    fn look(&mut self, pid: u32) -> LibraryChanges {
        self.libraries.look(pid, self.began);
        let mut all = self.settle();
        assert!(all.len() <= 1, "{all:?}");
        all.remove(&pid).unwrap_or_default()
    }

    /// Waits until nothing is under way.
    fn settle(&mut self) -> BTreeMap<u32, LibraryChanges> {
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut all: BTreeMap<u32, LibraryChanges> = BTreeMap::new();
        loop {
            for (pid, changes) in self.libraries.changes(self.began) {
                let known = all.entry(pid).or_default();
                known.mapped.extend(changes.mapped);
                known.unreadable.extend(changes.unreadable);
            }
            if self.libraries.is_settled() {
                return all;
            }
            assert!(Instant::now() < deadline, "{:?}", self.libraries);
            self.libraries.wait();
        }
    }
}

fn openssl() -> Vec<u8> {
    Made::library(&[("SSL_read", PLAIN), ("SSL_write", PLAIN)]).bytes()
}

fn names(changes: &LibraryChanges) -> Vec<&Path> {
    let mapped = changes.mapped.iter();
    mapped.map(|library| library.name.as_path()).collect()
}

fn is_nothing(changes: &LibraryChanges) -> bool {
    changes.mapped.is_empty() && changes.unreadable.is_empty()
}

#[test]
fn a_library_is_told_once_and_again_when_it_is_mapped_late() {
    let mut world = World::new();
    let library = world.file("libssl.so.3", &openssl());
    let python = world.file("python3", &Made::program(&[]).bytes());
    world.maps(7, &[(python, "python3")]);
    assert!(is_nothing(&world.look(7)));

    world.maps(7, &[(python, "python3"), (library, "libssl.so.3")]);
    let changes = world.look(7);
    assert_eq!(names(&changes), [Path::new("/lib/libssl.so.3")]);
    assert_eq!(changes.mapped[0].file, library);
    assert!(is_nothing(&world.look(7)));

    world.maps(7, &[(python, "python3")]);
    assert!(world.libraries.held.contains_key(&library));
    assert!(is_nothing(&world.look(7)));
    assert!(!world.libraries.held.contains_key(&library));
}

#[test]
fn a_library_is_gone_with_the_last_process_that_maps_it() {
    let mut world = World::new();
    let library = world.file("libssl.so.3", &openssl());
    for pid in [7, 8, 9] {
        world.maps(pid, &[(library, "libssl.so.3")]);
        assert_eq!(world.look(pid).mapped.len(), 1);
    }
    world.libraries.forget(7);
    // One that has gone maps nothing.
    world.ends(8);
    assert!(is_nothing(&world.look(8)));
    assert!(world.libraries.held.contains_key(&library));
    world.libraries.forget(9);
    assert!(world.libraries.held.is_empty());
    world.libraries.forget(9);
}

#[test]
fn a_library_stays_open_when_its_process_and_its_name_have_gone() {
    let mut world = World::new();
    let library = world.file("libssl.so.3", &openssl());
    world.maps(7, &[(library, "libssl.so.3")]);
    let found = world.look(7).mapped.remove(0);
    world.ends(7);
    fs::remove_file(world.path("libssl.so.3")).expect("removed");
    let held = fs::read(found.held.path()).expect("read");
    assert_eq!(held, openssl());
    assert!(found.held.path().starts_with("/proc/self/fd"));
}

#[test]
fn a_file_is_looked_into_again_only_if_it_changed() {
    let mut world = World::new();
    let library = world.file("libssl.so.3", &openssl());
    for pid in [7, 8] {
        world.maps(pid, &[(library, "libssl.so.3")]);
        assert_eq!(world.look(pid).mapped.len(), 1);
    }
    assert_eq!(world.libraries.verdicts.len(), 1);
    // A program that is written anew while nobody runs it, or somebody does, keeps its inode.
    assert_eq!(
        world.file("libssl.so.3", &Made::library(&[]).bytes()),
        library
    );
    world.maps(9, &[(library, "libssl.so.3")]);
    assert!(is_nothing(&world.look(9)));
    assert_eq!(world.libraries.verdicts.len(), 2);
}

#[test]
fn what_cannot_be_read_is_said_once_whoever_maps_it() {
    let mut world = World::new();
    let library = world.file("libssl.so.3", b"\x7fELF\x02\x01");
    let proxy = world.file("proxy", b"\x7fELF\x02\x01\x01aaaaaaaaaaaaaaaaaaa");
    let files = [(library, "libssl.so.3"), (proxy, "proxy")];
    world.maps(7, &files);
    world.maps(8, &files);
    let said = world.look(7).unreadable;
    assert_eq!(said.len(), 1);
    assert_eq!(said[0].name, Path::new("/lib/proxy"));
    assert_eq!(
        said[0].reason,
        "its file is damaged: it ends within its header"
    );
    assert!(is_nothing(&world.look(8)));
    // Who asks for all of it is told again.
    assert_eq!(world.libraries.survey(8).len(), 1);
}

#[test]
fn young_processes_are_looked_at_often_and_then_less() {
    let mut world = World::new();
    world.maps(7, &[]);
    let library = world.file("libssl.so.3", &openssl());
    let began = world.began;
    let at = |millis: u64| began + Duration::from_millis(millis);
    let first = world.libraries.next_look;
    world.look(7);
    let looked_at = [
        (1, 1),
        (2, 2),
        (3, 2),
        (4, 3),
        (5, 3),
        (6, 4),
        (8, 4),
        (9, 5),
        (1000, 6),
        (1499, 6),
        (1500, 7),
        (4000, 8),
        (4999, 8),
        (5000, 9),
        (10_500, 10),
        (20_000, 10),
    ];
    for (millis, looks) in looked_at {
        world.began = at(millis);
        world.settle();
        assert_eq!(world.libraries.next_look - first, looks, "{millis}");
    }
    // It is not young any longer: whoever asks has it looked at.
    world.maps(7, &[(library, "libssl.so.3")]);
    assert!(world.settle().is_empty());
    assert_eq!(world.look(7).mapped.len(), 1);
    assert_eq!(world.libraries.next_due(), None);
}

/// A sparse library with so many bytes of names, all of them empty.
fn endless(world: &World, name: &str, len: u64) -> FileId {
    let mut bytes = openssl();
    let sections = usize::try_from(super::super::image::u64_at(&bytes, 40)).expect("small");
    // sh_size of .strings
    let at = sections + 2 * 64 + 32;
    bytes[at..at + 8].copy_from_slice(&len.to_le_bytes());
    let file = world.file(name, &bytes);
    let sparse = File::options().write(true).open(world.path(name));
    sparse
        .and_then(|file| file.set_len(5 << 30))
        .expect("sparse");
    file
}

#[test]
fn a_process_with_endless_files_keeps_nobody_waiting() {
    let mut world = World::new();
    let names: Vec<_> = (0..12).map(|index| format!("libssl.so.{index}")).collect();
    let files: Vec<_> = names
        .iter()
        .map(|name| (endless(&world, name, 200 << 20), &**name))
        .collect();
    world.maps(7, &files);
    let library = world.file("libssl-innocent.so", &openssl());
    world.maps(8, &[(library, "libssl-innocent.so")]);
    world.libraries.look(7, world.began);
    world.libraries.look(8, world.began);
    let mut looked_into = 0;
    let mut is_found = false;
    while !is_found {
        world.libraries.wait();
        for (pid, changes) in world.libraries.changes(world.began) {
            looked_into += changes.unreadable.len();
            is_found |= pid == 8 && changes.mapped.len() == 1;
        }
    }
    assert!(looked_into < files.len(), "after all the others");
}

#[test]
fn what_costs_too_much_is_given_up_said_once_and_counted() {
    let mut world = World::new();
    let counted = Arc::new(Mutex::new(Vec::new()));
    let count = Arc::clone(&counted);
    world.libraries = Libraries::new(ProcRoot::at(world.dir.path()))
        .counting(move |reason| count.lock().expect("whole").push(reason));
    // Two files' worth of it, and a bit.
    world.libraries.file_budget.bytes = 1 << 20;
    world.libraries.process_budget.bytes = 5 << 19;
    let names: Vec<_> = (0..4).map(|index| format!("libssl.so.{index}")).collect();
    let files: Vec<_> = names
        .iter()
        .map(|name| (endless(&world, name, 200 << 20), &**name))
        .collect();
    world.maps(7, &files);
    let said = world.look(7).unreadable;
    let mut reasons: Vec<_> = said
        .iter()
        .map(|it| it.given_up.expect("given up"))
        .collect();
    assert_eq!(*counted.lock().expect("whole"), reasons);
    reasons.sort_unstable();
    let (file, process) = (GivenUp::FileTooLarge, GivenUp::ProcessTooLarge);
    assert_eq!(reasons, [file, file, process, process]);
    assert_eq!(
        said[0].reason,
        said[0].given_up.expect("given up").to_string()
    );

    // Another process has its own share for what is not known yet.
    world.maps(8, &files);
    let said = world.look(8).unreadable;
    assert!(said.iter().all(|it| it.given_up == Some(file)) && said.len() == 2);
    assert_eq!(counted.lock().expect("whole").len(), 6);
    world.maps(9, &files);
    assert!(is_nothing(&world.look(9)));
}

#[test]
fn not_more_than_so_many_files_are_kept_open() {
    let mut world = World::new();
    let names: Vec<_> = (0..300).map(|index| format!("module{index}.so")).collect();
    let module = Made::library(&[]).bytes();
    let mut files: Vec<_> = names
        .iter()
        .map(|name| (world.file(name, &module), &**name))
        .collect();
    files.push((world.file("libssl.so.3", &openssl()), "libssl.so.3"));
    world.maps(7, &files);
    world.libraries.look(7, world.began);
    let mut most = 0;
    let mut mapped = Vec::new();
    while !world.libraries.is_settled() {
        most = most.max(world.libraries.verdicts.waiting());
        for (_, changes) in world.libraries.changes(Instant::now()) {
            mapped.extend(changes.mapped);
        }
        world.libraries.wait();
    }
    assert!(most <= 192, "{most} at once");
    // All were looked into, each by its own version.
    assert_eq!(world.libraries.verdicts.len(), files.len());
    assert_eq!(mapped.len(), 1);
}
