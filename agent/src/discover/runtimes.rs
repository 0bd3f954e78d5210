//! Which tasks the runtime of a program puts on threads, and how they are told apart: what was
//! found in one file, a file here per runtime. It attaches nothing and reads no process; what an
//! offset or an address means is the business of the kernel side's file of the same name.
//!
//! **Nothing is guessed.** What a runtime's finder says holds for the file's very bytes: places are
//! read from code, checked against types, or tried. What can't be checked is not said, with a
//! reason that a person can read, and the calls of such programs are not linked.
//!
//! To add a runtime: a file here with a [`Finder`], a line in [`FINDERS`], the points of its code
//! that get probes in [`TaskPoint`] and their programs in `capture/tls/programs.rs`.

mod go;
mod haproxy;
mod java;
mod nginx;
mod python;
mod relocations;
mod threads;
mod tokio;

use std::path::Path;

pub use threads::{is_shell, may_go_by_threads};

use wirespan_common::record::TaskKind;
use wirespan_common::runtime::{PLACES, Runtime};

use super::tls::MappedCode;
use super::tls::image::{BytesAt, Damaged, Image, ImageKind};

/// How the tasks of the runtime in a file are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeTasks {
    /// What they are.
    pub kind: TaskKind,
    /// What the kernel side needs to know to find them, in the order that its file says.
    pub places: [RuntimePlace; PLACES],
    /// The rest of the runtime, with all places, is in another file of the process.
    pub is_part: bool,
    /// Where probes tell what becomes of them.
    pub probes: Vec<TaskProbe>,
}

/// What the kernel side is told of a runtime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RuntimePlace {
    /// Nothing.
    #[default]
    None,
    /// The same in all processes: an offset in a structure, a number.
    Value(u64),
    /// An address in the process's memory: so many bytes from where code of the file is mapped that
    /// lies in the file at `code`.
    Address {
        /// In the file, in bytes.
        code: u64,
        /// What is added to its address, modulo 2^64.
        distance: u64,
    },
}

/// A point of a runtime's code on which a probe is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskProbe {
    /// What happens there.
    pub point: TaskPoint,
    /// Where it lies in the file, in bytes.
    pub offset: u64,
}

/// What happens at a point of a runtime's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TaskPoint {
    /// Go's runtime asks what kind a goroutine is, that was just made or ends.
    GoGoroutine,
    /// A function of a Go library begins that serves whoever comes.
    GoOnItsOwn,
    /// A goroutine of net/http asks on a connection over HTTP/1.
    GoRoundTrip,
    /// A goroutine begins to serve a stream of HTTP/2.
    GoRunHandler,
    /// A goroutine asks on a stream of grpc-go.
    GoGrpcWrite,
    /// A goroutine begins to serve a stream of grpc-go.
    GoGrpcHandle,
    /// A `PyContext` is copied; the new one is in a register that the places name.
    PythonCopied,
    /// `SimpleQueue.put` of Python's `_queue` begins.
    PythonPut,
    /// `SimpleQueue.get` is about to return.
    PythonGot,
    /// A task of tokio is bound to its runtime; its header is in a register that the places name.
    TokioBorn,
    /// A value is put into a channel of tokio; its place is in a register that the places name.
    TokioPut,
    /// The same, where a place's block is looked for.
    TokioPutInBlock,
    /// The task of tower's `Buffer`, which passes requests on, begins to do so.
    TokioPassesOn,
    /// A request is sent on a stream of h2.
    TokioAsks,
    /// A response is sent on a stream of h2, which is the first argument.
    TokioAnswers,
    /// The same, where it is the second.
    TokioAnswersBySecond,
}

/// What was found of a runtime in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RuntimeVerdict {
    /// Its tasks can be told apart.
    Known(RuntimeTasks),
    /// There is one, and why its tasks can't be told apart, as a sentence without a full stop.
    Unknown(String),
    /// The same, of a runtime that may have several tasks on a thread at a time: not even by
    /// threads is anything known.
    Sharing(TaskKind, String),
    /// No sign of any.
    #[default]
    Nothing,
}

impl RuntimeVerdict {
    /// What the kernel side is to know: of a runtime whose tasks can't be told apart no more than
    /// that threads are not its tasks, where that is so.
    pub(super) fn tasks(&self) -> Option<RuntimeTasks> {
        match self {
            Self::Known(tasks) => Some(tasks.clone()),
            Self::Sharing(kind, _) => Some(RuntimeTasks {
                kind: *kind,
                places: Default::default(),
                is_part: false,
                probes: Vec::new(),
            }),
            Self::Unknown(_) | Self::Nothing => None,
        }
    }
}

/// Looks for one runtime in a file that a process maps under this path.
type Finder = fn(&Image<'_>, &Path) -> Result<RuntimeVerdict, Damaged>;

/// All runtimes; of several in one file the first is taken.
const FINDERS: &[Finder] = &[
    go::find,
    nginx::find,
    haproxy::find,
    python::find,
    java::find,
    tokio::find,
];

/// Looks into a file that a process maps as `name`.
pub(super) fn analyse(bytes: &dyn BytesAt, name: &Path) -> RuntimeVerdict {
    let found = |bytes| -> Result<RuntimeVerdict, Damaged> {
        let ImageKind::Image(image) = Image::parse(bytes)? else {
            return Ok(RuntimeVerdict::Nothing);
        };
        for find in FINDERS {
            let verdict = find(&image, name)?;
            if verdict != RuntimeVerdict::Nothing {
                return Ok(verdict);
            }
        }
        Ok(RuntimeVerdict::Nothing)
    };
    // A damaged file is spoken of by who looks for TLS in it.
    found(bytes).unwrap_or_default()
}

impl RuntimePlace {
    /// Where an address of the image is in memory.
    pub(super) fn address(image: &Image<'_>, address: u64) -> Self {
        match image.code() {
            Some((code, at)) => Self::Address {
                code,
                distance: address.wrapping_sub(at),
            },
            None => Self::None,
        }
    }
}

impl RuntimeTasks {
    /// What the kernel side is to be told of a process that maps the file; `None` if it does not
    /// any longer, or where another file says it.
    #[must_use]
    pub fn runtime(&self, mapped: &MappedCode) -> Option<Runtime> {
        if self.is_part {
            return None;
        }
        let mut runtime = Runtime::default();
        for (told, place) in runtime.places.iter_mut().zip(self.places) {
            *told = match place {
                RuntimePlace::None => 0,
                RuntimePlace::Value(value) => value,
                RuntimePlace::Address { code, distance } => {
                    mapped.address_of(code)?.wrapping_add(distance)
                }
            };
        }
        Some(runtime)
    }
}

#[cfg(test)]
mod tests {
    use std::os::linux::fs::MetadataExt;

    use super::super::ProcRoot;
    use super::super::tls::FileId;
    use super::super::tls::image::InMemory;
    use super::super::tls::own_code_offset;
    use super::*;

    #[test]
    fn an_address_is_where_the_file_is_mapped() {
        let file = std::fs::metadata("/proc/self/exe").expect("this test has a file");
        let file = FileId {
            device: file.st_dev(),
            inode: file.st_ino(),
        };
        let bytes = std::fs::read("/proc/self/exe").expect("read");
        let bytes = InMemory(&bytes);
        let Ok(ImageKind::Image(image)) = Image::parse(&bytes) else {
            panic!("this test is no ELF file");
        };
        let (code, at) = image.code().expect("it has code");
        let here = an_address_is_where_the_file_is_mapped as *const () as u64;
        let offset = own_code_offset(here).expect("it is mapped");
        let tasks = RuntimeTasks {
            kind: TaskKind::Goroutine,
            places: std::array::from_fn(|index| match index {
                0 => RuntimePlace::Value(7),
                1 => RuntimePlace::address(&image, at + (offset - code)),
                // Data lies elsewhere in the file, and before code in memory.
                2 => RuntimePlace::address(&image, at - 1),
                _ => RuntimePlace::None,
            }),
            is_part: false,
            probes: Vec::new(),
        };
        let mapped = MappedCode::of(&ProcRoot::host(), std::process::id(), file).expect("mapped");
        let runtime = tasks.runtime(&mapped).expect("mapped");
        let begin = here - (offset - code);
        assert_eq!(runtime.places, [7, here, begin - 1, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn proxies_are_known_by_their_names_and_what_they_export() {
        let bytes = std::fs::read("/bin/true").expect("read");
        let bytes = InMemory(&bytes);
        let named = |name: &str| analyse(&bytes, Path::new(name));
        let RuntimeVerdict::Known(tasks) = named("/usr/sbin/nginx") else {
            panic!("nginx")
        };
        assert_eq!(tasks.kind, TaskKind::ProxyRequest);
        assert_eq!(tasks.places[1..], [RuntimePlace::None; PLACES - 1]);
        // That program has no table of descriptors.
        assert!(matches!(
            named("/usr/sbin/haproxy"),
            RuntimeVerdict::Unknown(_)
        ));
        assert_eq!(named("/usr/sbin/nginx-prometheus"), RuntimeVerdict::Nothing);
    }

    #[test]
    fn what_is_no_program_has_no_runtime() {
        for bytes in [&b""[..], b"\x7fELF", b"#!/bin/sh\n"] {
            assert_eq!(
                analyse(&InMemory(bytes), Path::new("/x")),
                RuntimeVerdict::Nothing
            );
        }
    }
}
