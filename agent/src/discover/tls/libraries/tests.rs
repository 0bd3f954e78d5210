//! Mappings of processes that are made here: directories laid out like `/proc`.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

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

fn is_nothing(changes: &Changes) -> bool {
    changes.mapped.is_empty() && changes.gone.is_empty() && changes.unreadable.is_empty()
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
    assert_eq!(world.look(7).gone, [library]);
}

#[test]
fn a_library_is_gone_with_the_last_process_that_maps_it() {
    let mut world = World::new();
    let library = world.file("libssl.so.3", &openssl());
    for pid in [7, 8, 9] {
        world.maps(pid, &[(library, "libssl.so.3")]);
        assert_eq!(world.look(pid).mapped.len(), 1);
    }
    assert_eq!(world.libraries.forget(7), []);
    // One that has gone maps nothing.
    world.ends(8);
    assert!(is_nothing(&world.look(8)));
    assert_eq!(world.libraries.forget(9), [library]);
    assert_eq!(world.libraries.forget(9), []);
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
    assert_eq!(world.libraries.next_due(), Some(began + at(20)));
    // Once more when it is not young any longer.
    assert_eq!(world.libraries.due(began + at(105)), [7]);
    world.libraries.look(7, began + at(105));
    assert_eq!(world.libraries.due(began + at(120)), [0; 0]);
    assert_eq!(world.libraries.next_due(), None);
    world.libraries.forget(7);
    assert_eq!(world.libraries.due(began + at(20)), [0; 0]);
}
