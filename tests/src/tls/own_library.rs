//! A program on a libssl of its own, which tests may do to as they like, and two builds of that
//! library.

use std::path::PathBuf;

use super::programs::{OPENSSL_3, c_program};
use crate::process::{Process, tied};

/// See the module.
#[derive(Debug)]
pub struct OwnLibrary {
    /// Where all of it lies, as long as it is needed.
    pub directory: tempfile::TempDir,
    /// For what is to be written over the library.
    pub next: tempfile::TempDir,
    /// `openssl.c` on the library.
    pub program: PathBuf,
    /// What it maps: the first build, to begin with.
    pub library: PathBuf,
    /// Both have the same functions, at other places.
    pub builds: [PathBuf; 2],
}

impl OwnLibrary {
    /// The second build has its code elsewhere in the file.
    ///
    /// # Panics
    /// They do not compile.
    #[must_use]
    pub fn create() -> Self {
        Self::of([&[], &["-Wl,-z,noseparate-code"]], &[])
    }

    /// In each build the places of the other's functions are amid the same functions.
    ///
    /// # Panics
    /// They do not compile.
    #[must_use]
    pub fn shifted() -> Self {
        Self::of([&["shift.s"], &[]], &[("shift.s", SHIFT)])
    }

    fn of(arguments: [&[&str]; 2], sources: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, text) in sources {
            std::fs::write(directory.path().join(name), text).expect("written");
        }
        let build = |name: &str, arguments: &[&str]| {
            let path = directory.path().join(name);
            let mut command = tied("cc");
            command.current_dir(directory.path());
            command.args(["-shared", "-Wl,-soname,libssl.so.3", "-Wl,-Bsymbolic"]);
            command.args(arguments);
            command.args([
                "-Wl,--whole-archive",
                "-l:libssl.a",
                "-Wl,--no-whole-archive",
            ]);
            // Its other half in it, whose inner functions it calls.
            command.arg("-l:libcrypto.a").arg("-o").arg(&path);
            Process::start("cc", &mut command).succeed();
            path
        };
        let builds = [build("one", arguments[0]), build("two", arguments[1])];
        let library = directory.path().join("libssl.so.3");
        std::fs::copy(&builds[0], &library).expect("a copy");
        let runtime = format!("-Wl,-rpath,{}", directory.path().display());
        // Nothing is looked up in the library later, when it may be written over.
        let now = "-Wl,-z,now";
        let path = library.to_str().expect("a path");
        let libraries = [path, OPENSSL_3[1], &runtime, now];
        let program = c_program(directory.path(), "openssl.c", &libraries);
        Self {
            directory,
            next: tempfile::tempdir().expect("a directory"),
            program,
            library,
            builds,
        }
    }
}

/// What stands before all functions, as long as they are aligned to.
const SHIFT: &str = ".text\n.skip 16\n.section .note.GNU-stack,\"\",@progbits\n";
