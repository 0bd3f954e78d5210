//! Probes on the functions of TLS libraries, in watched processes only, one process at a time. It
//! finds no functions; what it is given was found in one version of one file.
//!
//! **No probe stands in code that was not analysed as it is mapped.** Before and after it attaches,
//! it compares what stands in the process's memory with what was analysed, and the file with its
//! version; where anything differs, nothing stays. Probes on another version of the file go first,
//! whoever has them, because the kernel keeps its copy of an instruction as long as anybody has a
//! probe there. While probes stand, whoever wants to write to the file waits until they have gone
//! ([`lease`]). Nothing of a file is attached if one of its places is refused: half of the
//! plaintext would make wrong spans.

mod closer;
mod expected;
mod lease;
mod links;
mod programs;
mod standing;
mod strikes;
mod trial;

use std::collections::{HashMap, HashSet};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use aya::Ebpf;
use wirespan_common::record::TaskKind;
use wirespan_common::runtime::Runtime;
use wirespan_common::watch::{PROBES_ON_GOROUTINES, PROBES_ON_THREADS};

pub use super::bpf::knows_links;
use super::loader::Loader;
use super::object::KernelSide;
use super::privileges;
use crate::discover::ProcRoot;
use crate::discover::tls::{
    End, FileId, FileVersion, FunctionSite, Library, LibraryKind, MappedCode,
};
use crate::visible::Visible;
use expected::{Breakpoints, Expected, Unlike};
use links::{Link, Linker};
use programs::{Place, places, task_place};
use standing::Begun;
pub use standing::{Death, Standing};
pub use strikes::Spent;
use strikes::Strikes;

/// Files of which it is remembered what stood in them, before remembering starts again.
const REMEMBERED_MAX: usize = 4096;

/// What attaches. Dropping it takes all probes away, and waits for that.
pub struct TlsProbes {
    root: ProcRoot,
    linker: Linker,
    standing: Arc<Standing>,
    /// What stood at the places of probes, in each version that had some.
    probed: HashMap<FileId, Vec<Expected>>,
    /// Files whose tasks can't be followed here.
    unfollowed: HashSet<(FileId, FileVersion)>,
    /// Processes whose tasks are not to be followed.
    left_alone: HashSet<u32>,
    /// Those of no process are.
    follows_nobody: bool,
    strikes: Strikes,
    /// Files of which it was said that they are read, or why not.
    said: HashSet<(FileId, FileVersion)>,
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Probes are there, and this is what the kernel side is to know of the process.
    Probed(ProbedProcess),
    /// Not as things are; it may be different in a while.
    NotNow,
    /// The file was written to since it was looked into.
    Changed,
    /// There are none, and none are to be expected: the process has gone, or the file was refused,
    /// which is logged.
    None,
}

/// What the kernel side is to know of a process whose file has probes, or needs none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProbedProcess {
    /// What sees plaintext in it: a set of `PROBES_*`.
    pub probes: u32,
    /// How the tasks of its runtime are told apart, if the file says that.
    pub runtime: Option<(TaskKind, Runtime)>,
}

/// Which probes of a file are put in place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ProbePart {
    All,
    /// Those that see plaintext; without those that see tasks.
    Tls,
}

impl TlsProbes {
    pub(super) fn new(
        ebpf: Arc<Mutex<Ebpf>>,
        maps: HashMap<String, OwnedFd>,
        side: KernelSide,
    ) -> std::io::Result<Self> {
        let strikes = Strikes::new(&maps)?;
        let (standing, closings) = Standing::new();
        closer::start(&standing, closings)?;
        Ok(Self {
            root: ProcRoot::host(),
            linker: Linker::new(ebpf, Loader::new(maps), side),
            standing,
            probed: HashMap::new(),
            unfollowed: HashSet::new(),
            left_alone: HashSet::new(),
            // The legacy object does not tell tasks apart.
            follows_nobody: side == KernelSide::Legacy,
            strikes,
            said: HashSet::new(),
        })
    }

    /// Follows tasks of nobody from now on.
    pub fn follow_nobody(&mut self) {
        self.follows_nobody = true;
    }

    /// What is attached, for whoever hears of the end of processes first.
    #[must_use]
    pub fn standing(&self) -> Arc<Standing> {
        Arc::clone(&self.standing)
    }

    /// Finds out what the kernel can do, and loads what most processes will need, so that none
    /// waits for that.
    pub fn prepare(&mut self) {
        self.linker.prepare();
    }

    /// Attaches to a file in a process that maps it, unless that was done. It takes a millisecond
    /// or two; the first of a kind also loads programs, which takes tens.
    pub fn attach(&mut self, pid: u32, library: &Arc<Library>) -> Attempt {
        let key = (library.file, library.held.version());
        let is_unfollowed =
            self.follows_nobody || self.unfollowed.contains(&key) || self.left_alone.contains(&pid);
        let part = match is_unfollowed {
            true => ProbePart::Tls,
            false => ProbePart::All,
        };
        match self.attach_part(pid, library, part) {
            // A kernel on which the one can't be had may well have the other.
            Err(Failure::Kernel(reason)) if part == ProbePart::All && library.tasks.is_some() => {
                if self.unfollowed.len() >= REMEMBERED_MAX {
                    self.unfollowed.clear();
                }
                self.unfollowed.insert(key);
                self.say_once(library, log::Level::Warn, || {
                    format!(
                        "can't tell apart the tasks of {}: {}",
                        Visible(library.name.display()),
                        Visible(&reason)
                    )
                });
                match self.attach_part(pid, library, ProbePart::Tls) {
                    Ok(attempt) => attempt,
                    Err(failure) => self.give_up(pid, library, failure),
                }
            }
            Ok(attempt) => attempt,
            Err(failure) => self.give_up(pid, library, failure),
        }
    }

    /// What a process and the probes on its tasks have spent. `None` if it has gone.
    #[must_use]
    pub fn spent(&self, pid: u32) -> Option<Spent> {
        Some(Spent {
            strikes: self.strikes.of(pid)?,
            cpu: self.root.cpu_time(pid)?,
        })
    }

    /// From now on the tasks of a process are not followed, whatever it maps.
    pub fn unfollow(&mut self, pid: u32) {
        if self.left_alone.len() < REMEMBERED_MAX {
            self.left_alone.insert(pid);
        }
    }

    /// They may be again: it is another program, or nobody's concern.
    pub fn follow_again(&mut self, pid: u32) {
        self.left_alone.remove(&pid);
    }

    fn attach_part(
        &mut self,
        pid: u32,
        library: &Arc<Library>,
        part: ProbePart,
    ) -> Result<Attempt, Failure> {
        let places = places_of(library, part);
        if places.is_empty() {
            return Ok(Attempt::Probed(self.probed(pid, library, part)?));
        }
        let inherits = match self.standing.begin(pid, library) {
            Begun::Yes { inherits } => inherits,
            Begun::Already => return Ok(Attempt::Probed(self.probed(pid, library, part)?)),
            Begun::Refused => return Ok(Attempt::None),
            Begun::Written => return Err(Failure::Written),
        };
        let mut links = Vec::new();
        let put = self.put(pid, library, &places, inherits, &mut links);
        if let Err(failure) = put {
            self.standing.discard(library, links);
            return Err(failure);
        }
        if !self.standing.end(pid, library, links) {
            return Ok(Attempt::None);
        }
        self.say_once(library, log::Level::Info, || {
            let what = match library.kind {
                Some(_) => "reading TLS in",
                None => "following tasks in",
            };
            format!(
                "{what} {} ({} probes)",
                Visible(library.name.display()),
                places.len()
            )
        });
        Ok(Attempt::Probed(self.probed(pid, library, part)?))
    }

    fn probed(
        &self,
        pid: u32,
        library: &Library,
        part: ProbePart,
    ) -> Result<ProbedProcess, Failure> {
        let runtime = match &library.tasks {
            Some(tasks) if part == ProbePart::All => {
                let code = MappedCode::of(&self.root, pid, library.file).map_err(Unlike::from)?;
                tasks.runtime(&code).map(|runtime| (tasks.kind, runtime))
            }
            _ => None,
        };
        Ok(ProbedProcess {
            probes: probes_of(library),
            runtime,
        })
    }

    /// Puts probes there, and their links into `links`, whatever comes of it.
    fn put(
        &mut self,
        pid: u32,
        library: &Arc<Library>,
        places: &[Place],
        inherits: bool,
        links: &mut Vec<Link>,
    ) -> Result<(), Failure> {
        let offsets = places.iter().map(|place| place.offset);
        let expected = Expected::of(&library.held, offsets).ok_or(Failure::Changed)?;
        self.remember(library, &expected)?;
        if !library.held.is_unchanged().unwrap_or(false) {
            return Err(Failure::Changed);
        }
        let code = MappedCode::of(&self.root, pid, library.file).map_err(Unlike::from)?;
        let before = if inherits {
            Breakpoints::Inherited
        } else {
            Breakpoints::None
        };
        match expected.compare(&code, before) {
            // The kernel's own, of somebody else's probe, which it has beside ours. A debugger's
            // would never reach it any longer.
            Err(Unlike::Foreign(_)) if !self.root.is_debugged(pid) => {
                expected.compare(&code, Breakpoints::Inherited)?;
            }
            found => found?,
        }
        let linked = self.linker.link(pid, &library.held, places);
        *links = match linked {
            Ok(links) => links,
            Err((some, reason)) => {
                *links = some;
                // A process that has gone is refused with many words.
                expected.compare(&code, Breakpoints::Inherited)?;
                return Err(Failure::Kernel(reason));
            }
        };
        expected.compare(&code, Breakpoints::All)?;
        // Of memory that is nobody's any longer nothing can be read, so it is still the one that
        // was looked at before.
        if !library.held.is_unchanged().unwrap_or(false) {
            return Err(Failure::Changed);
        }
        Ok(())
    }

    /// The kernel may keep its copy of an instruction though nobody has a probe there any longer: a
    /// call that a return probe waits for keeps it, and so does a probe that could not be taken out
    /// of memory because its file had been cut short. How long, nobody knows. Neither happens to
    /// executables, which have no return probes and can't be written to while they run.
    fn remember(&mut self, library: &Library, expected: &Expected) -> Result<(), Failure> {
        let returns = |site: &FunctionSite| site.end == End::ReturnProbe;
        if !library.functions.iter().any(returns) {
            return Ok(());
        }
        if self.probed.len() >= REMEMBERED_MAX {
            self.probed.clear();
        }
        let before = self.probed.entry(library.file).or_default();
        if before.iter().any(|before| before.contradicts(expected)) {
            return Err(Failure::Kept);
        }
        if !before.contains(expected) {
            before.push(expected.clone());
        }
        Ok(())
    }

    fn give_up(&mut self, pid: u32, library: &Library, failure: Failure) -> Attempt {
        let (reason, attempt) = match failure {
            Failure::Changed => return Attempt::Changed,
            Failure::Unlike(Unlike::Gone) => return Attempt::None,
            Failure::Unlike(unlike @ Unlike::Foreign(_)) => (unlike.to_string(), Attempt::NotNow),
            Failure::Unlike(unlike @ Unlike::Unseen(_)) => {
                let why = privileges::memory_is_closed().map(|why| format!(" ({why})"));
                (
                    format!("{unlike}{}", why.unwrap_or_default()),
                    Attempt::None,
                )
            }
            Failure::Unlike(unlike) => (unlike.to_string(), Attempt::None),
            Failure::Kernel(reason) => (reason, Attempt::None),
            Failure::Written => (
                "somebody has it open for writing; it is tried again for a while".to_owned(),
                Attempt::NotNow,
            ),
            Failure::Kept => (
                "the file was replaced in place, and the kernel may still hold the code that it \
                 had at the same place before"
                    .to_owned(),
                Attempt::None,
            ),
        };
        self.say_once(library, log::Level::Warn, || {
            format!(
                "can't read TLS in {} of process {pid}: {}",
                Visible(library.name.display()),
                Visible(&reason)
            )
        });
        attempt
    }

    fn say_once(&mut self, library: &Library, level: log::Level, what: impl Fn() -> String) {
        if self.said.len() >= REMEMBERED_MAX {
            self.said.clear();
        }
        let is_new = self.said.insert((library.file, library.held.version()));
        log::log!(if is_new { level } else { log::Level::Debug }, "{}", what());
    }
}

impl Drop for TlsProbes {
    fn drop(&mut self) {
        self.standing.clear();
    }
}

/// Why there are no probes.
#[derive(Debug)]
enum Failure {
    /// The file was written to.
    Changed,
    /// What stands in memory is not what is expected.
    Unlike(Unlike),
    /// The kernel refused.
    Kernel(String),
    /// The kernel may hold code of a version before.
    Kept,
    /// Somebody has the file open for writing.
    Written,
}

impl From<Unlike> for Failure {
    fn from(unlike: Unlike) -> Self {
        Self::Unlike(unlike)
    }
}

/// Where programs go.
fn places_of(library: &Library, part: ProbePart) -> Vec<Place> {
    let tls = library.functions.iter().flat_map(places);
    let tasks = match part {
        ProbePart::All => library.tasks.as_ref(),
        ProbePart::Tls => None,
    };
    let probes = tasks.into_iter().flat_map(|tasks| &tasks.probes);
    tls.chain(probes.map(task_place)).collect()
}

fn probes_of(library: &Library) -> u32 {
    let of = |kind| match kind {
        LibraryKind::Go => PROBES_ON_GOROUTINES,
        LibraryKind::OpenSsl | LibraryKind::GnuTls | LibraryKind::Rustls => PROBES_ON_THREADS,
    };
    let functions = library.functions.iter();
    functions.fold(0, |probes, site| probes | of(site.function.library()))
}
