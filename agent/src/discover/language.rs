//! The language that a program was written in, as a value of `telemetry.sdk.language`, where it
//! can be told without looking into the process. It does not guess: C has no value, and neither
//! have Deno and Bun.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use procfs::process::Process;

use super::elf;
use super::naming::Interpreter;

/// Remembers what executables' headers said, because a program is usually run more than once.
#[derive(Debug, Default)]
pub(super) struct Languages {
    by_file: Mutex<HashMap<FileIdentity, Option<&'static str>>>,
}

/// Device, inode and time of the last change.
type FileIdentity = (u64, u64, i64, i64);

/// Executables that are remembered; when there are more, remembering starts again.
const FILES_MAX: usize = 512;

impl Languages {
    /// By the executable's name, else its headers, else the libraries that are mapped by now.
    pub fn of(&self, process: &Process, executable: &Path) -> Option<&'static str> {
        match Interpreter::of(executable) {
            Some(Interpreter::Deno | Interpreter::Bun | Interpreter::Shell) => return None,
            Some(interpreter) => return by_interpreter(interpreter),
            None => {}
        }
        by_name(executable)
            .or_else(|| self.by_headers(process))
            .or_else(|| by_mapped_libraries(process))
    }

    fn by_headers(&self, process: &Process) -> Option<&'static str> {
        // This link of procfs leads to the file itself, whatever its path means here: it may be
        // in a container's file system, or unlinked.
        let file = process.open_relative("exe").ok()?;
        let metadata = file.metadata().ok()?;
        let identity = (
            metadata.dev(),
            metadata.ino(),
            metadata.mtime(),
            metadata.mtime_nsec(),
        );
        if let Some(language) = self.by_file().get(&identity) {
            return *language;
        }
        // Without the lock: it may hang.
        let language = elf::traits(file).and_then(|traits| by_traits(&traits));
        let mut by_file = self.by_file();
        if by_file.len() >= FILES_MAX {
            by_file.clear();
        }
        by_file.insert(identity, language);
        language
    }

    fn by_file(&self) -> MutexGuard<'_, HashMap<FileIdentity, Option<&'static str>>> {
        self.by_file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn by_interpreter(interpreter: Interpreter) -> Option<&'static str> {
    Some(match interpreter {
        Interpreter::Python => "python",
        Interpreter::Node => "nodejs",
        Interpreter::Java => "java",
        Interpreter::Dotnet => "dotnet",
        Interpreter::Ruby => "ruby",
        Interpreter::Php => "php",
        // semconv has no value for these.
        Interpreter::Perl | Interpreter::Deno | Interpreter::Bun | Interpreter::Shell => {
            return None;
        }
    })
}

fn by_name(executable: &Path) -> Option<&'static str> {
    match executable.file_name()?.to_str()? {
        name if name.starts_with("beam.") => Some("erlang"),
        name if name.starts_with("php-fpm") => Some("php"),
        _ => None,
    }
}

fn by_traits(traits: &elf::Traits) -> Option<&'static str> {
    // Of the libraries, those of a runtime say more than that of C++, which others use too. The
    // linker of C++ puts it among those that the executable itself asks for.
    let libraries = || traits.needed.iter().map(String::as_str);
    if traits.go {
        Some("go")
    } else if traits.rust {
        Some("rust")
    } else {
        libraries()
            .find_map(by_runtime_library)
            .or_else(|| libraries().find_map(by_library_of_cpp))
    }
}

/// Most bytes of `maps` that are read: a JVM has megabytes of it, the libraries stand in the
/// first lines that name files as well as in the last.
const MAPS_LEN_MAX: u64 = 256 * 1024;

fn by_mapped_libraries(process: &Process) -> Option<&'static str> {
    let maps = process.open_relative("maps").ok()?;
    let lines = BufReader::with_capacity(16 * 1024, maps.take(MAPS_LEN_MAX)).lines();
    // Not so C++'s library: plug-ins and other libraries of programs in C bring it along.
    lines.map_while(Result::ok).find_map(|line| {
        let (_, library) = line.rsplit_once('/')?;
        by_runtime_library(library)
    })
}

fn by_runtime_library(name: &str) -> Option<&'static str> {
    let (stem, _) = name.split_once(".so")?;
    Some(match stem {
        "libjvm" => "java",
        "libcoreclr" => "dotnet",
        "libnode" => "nodejs",
        _ if stem.starts_with("libpython") => "python",
        _ if stem.starts_with("libruby") => "ruby",
        // mod_php and the embedding library: libphp, libphp8, libphp8.2
        _ if stem.starts_with("libphp") => "php",
        _ => return None,
    })
}

fn by_library_of_cpp(name: &str) -> Option<&'static str> {
    name.starts_with("libstdc++.so").then_some("cpp")
}
