//! Probes on the functions of TLS libraries: attached once per file, shared by every process that
//! maps it, detached with the last of them. It finds no functions; what it is given was checked.
//!
//! Nothing of a file is attached if one of its places is refused: half of the plaintext would make
//! wrong spans.

mod programs;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use aya::Ebpf;
use aya::programs::UProbe;
use aya::programs::uprobe::{UProbeLink, UProbeScope};
use wirespan_common::watch::{PROBES_ON_GOROUTINES, PROBES_ON_THREADS};

use super::reason::one_line;
use crate::discover::tls::{FileId, FunctionSite, Library, LibraryKind};
use programs::{Place, places};

/// What is attached, and for whom.
#[derive(Default)]
pub struct TlsProbes {
    attached: HashMap<FileId, Attached>,
    /// Files that were refused, so that it is said once.
    refused: HashSet<FileId>,
    of_process: HashMap<u32, Vec<FileId>>,
}

struct Attached {
    kind: LibraryKind,
    processes: usize,
    /// Dropping them detaches.
    _links: Vec<UProbeLink>,
}

impl TlsProbes {
    /// The process maps these libraries, and no others. Returns the `PROBES_*` that see it now.
    pub fn update(&mut self, ebpf: &mut Ebpf, pid: u32, libraries: &[Arc<Library>]) -> u32 {
        let before = self.of_process.remove(&pid).unwrap_or_default();
        let mut now = Vec::new();
        for library in libraries {
            // What is mapped by two names is one file.
            if !now.contains(&library.file) && self.attach(ebpf, library) {
                now.push(library.file);
            }
        }
        for file in before {
            self.leave(file);
        }
        let probes = now
            .iter()
            .filter_map(|file| self.attached.get(file))
            .fold(0, |probes, attached| probes | probes_of(attached.kind));
        if !now.is_empty() {
            self.of_process.insert(pid, now);
        }
        probes
    }

    /// The process ended, or is watched no longer.
    pub fn forget(&mut self, pid: u32) {
        for file in self.of_process.remove(&pid).unwrap_or_default() {
            self.leave(file);
        }
    }

    /// Attaches to a file, for one more process. Returns whether it is attached.
    fn attach(&mut self, ebpf: &mut Ebpf, library: &Library) -> bool {
        if let Some(attached) = self.attached.get_mut(&library.file) {
            attached.processes += 1;
            return true;
        }
        if self.refused.contains(&library.file) {
            return false;
        }
        let links: Result<Vec<_>, String> = library
            .functions
            .iter()
            .flat_map(|site| places(site).map(move |place| (site, place)))
            .map(|(site, place)| attach_one(ebpf, library, site, place))
            .collect();
        match links {
            Ok(links) => {
                log::info!(
                    "reading TLS in {} ({:?}, {} probes)",
                    library.name.display(),
                    library.kind,
                    links.len()
                );
                let attached = Attached {
                    kind: library.kind,
                    processes: 1,
                    _links: links,
                };
                self.attached.insert(library.file, attached);
                true
            }
            Err(reason) => {
                log::warn!("can't read TLS in {}: {reason}", library.name.display());
                self.refused.insert(library.file);
                false
            }
        }
    }

    fn leave(&mut self, file: FileId) {
        if let Some(attached) = self.attached.get_mut(&file) {
            attached.processes -= 1;
            if attached.processes == 0 {
                self.attached.remove(&file);
            }
        }
    }
}

fn probes_of(kind: LibraryKind) -> u32 {
    match kind {
        LibraryKind::Go => PROBES_ON_GOROUTINES,
        LibraryKind::OpenSsl | LibraryKind::GnuTls | LibraryKind::Rustls => PROBES_ON_THREADS,
    }
}

fn attach_one(
    ebpf: &mut Ebpf,
    library: &Library,
    site: &FunctionSite,
    place: Place,
) -> Result<UProbeLink, String> {
    let Place { program, offset } = place;
    let mut attach = || {
        let program: &mut UProbe = ebpf
            .program_mut(program)
            .ok_or_else(|| format!("the object has no program {program}"))?
            .try_into()
            .map_err(|error| one_line(&error))?;
        if program.fd().is_err() {
            program.load().map_err(|error| one_line(&error))?;
        }
        let id = program
            .attach(offset, &library.open_path, UProbeScope::AllProcesses)
            .map_err(|error| one_line(&error))?;
        program.take_link(id).map_err(|error| one_line(&error))
    };
    attach().map_err(|reason: String| format!("{:?} at {offset:#x}: {reason}", site.function))
}
