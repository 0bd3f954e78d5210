//! Ways to a mapped file, in directories laid out like `/proc`.

use std::os::unix::fs::{MetadataExt, symlink};

use super::super::FileId;
use super::*;

/// A process 7 whose file system is a directory here, and that maps a file of it.
struct World {
    dir: tempfile::TempDir,
    mapping: Mapping,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(dir.path().join("7/map_files")).expect("created");
        fs::create_dir_all(dir.path().join("there/lib")).expect("created");
        symlink(dir.path().join("there"), dir.path().join("7/root")).expect("linked");
        let library = dir.path().join("there/lib/libssl.so.3");
        fs::write(&library, "library").expect("written");
        let metadata = fs::metadata(library).expect("there");
        let mapping = Mapping {
            file: FileId {
                device: metadata.dev(),
                inode: metadata.ino(),
            },
            range: (0x1000, 0x2000),
            name: "/lib/libssl.so.3".into(),
        };
        Self { dir, mapping }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn open(&self) -> io::Result<String> {
        let held = open_mapped(&ProcRoot::at(self.dir.path()), 7, &self.mapping)?;
        fs::read_to_string(held.path())
    }

    #[track_caller]
    fn is_found(&self) {
        assert_eq!(self.open().expect("found"), "library");
    }

    #[track_caller]
    fn is_refused(&self, why: &str) {
        assert_eq!(self.open().expect_err("nothing").to_string(), why);
    }
}

#[test]
fn without_the_right_to_follow_mappings_the_file_is_found_by_its_name() {
    World::new().is_found();
}

#[test]
fn another_file_of_that_name_is_refused() {
    let world = World::new();
    let library = world.path("there/lib/libssl.so.3");
    fs::rename(&library, world.path("there/before")).expect("moved");
    fs::write(&library, "another").expect("written");
    world.is_refused("another file has its name");
    // Whoever may follow mappings finds it under whatever name.
    let range = world.path("7/map_files/1000-2000");
    symlink(world.path("there/before"), range).expect("linked");
    world.is_found();
}

#[test]
fn another_file_that_was_mapped_in_its_place_meanwhile_is_refused() {
    let world = World::new();
    fs::rename(world.path("there/lib"), world.path("elsewhere")).expect("moved");
    fs::write(world.path("other"), "other").expect("written");
    symlink(world.path("other"), world.path("7/map_files/1000-2000")).expect("linked");
    assert!(world.open().is_err());
}

#[test]
fn an_executable_is_found_without_its_name() {
    let world = World::new();
    fs::rename(world.path("there/lib"), world.path("elsewhere")).expect("moved");
    symlink(world.path("elsewhere/libssl.so.3"), world.path("7/exe")).expect("linked");
    world.is_found();
}

#[test]
fn the_name_is_taken_below_the_root_that_the_process_has() {
    let mut world = World::new();
    // As one sees it who does not share the changed root.
    world.mapping.name = world.path("there/lib/libssl.so.3");
    world.is_found();
    // A link of a container leads to a place in it.
    world.mapping.name = "/usr/lib/libssl.so.3".into();
    fs::create_dir(world.path("there/usr")).expect("created");
    symlink("/lib", world.path("there/usr/lib")).expect("linked");
    world.is_found();
}

#[test]
fn a_pipe_in_its_place_is_not_waited_for() {
    let world = World::new();
    let library = world.path("there/lib/libssl.so.3");
    fs::remove_file(&library).expect("removed");
    let pipe = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &library, pipe, Mode::from(0o600), 0).expect("a pipe");
    world.is_refused("another thing that is no file has its name");
}
