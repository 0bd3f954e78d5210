//! Probes on the functions of TLS libraries: attached once per file, for every process that maps
//! it. It finds no functions; what it is given was checked.
//!
//! Nothing of a file is attached if one of its places is refused: half of the plaintext would make
//! wrong spans.

mod programs;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use aya::Ebpf;
use aya::programs::UProbe;
use aya::programs::uprobe::{UProbeLink, UProbeScope};
use wirespan_common::watch::{PROBES_ON_GOROUTINES, PROBES_ON_THREADS};

use super::reason::one_line;
use super::strategy;
use crate::discover::tls::{FileId, Library, LibraryKind};
use programs::{Place, places};

/// Threads that detach at the same time.
const CLOSERS_MAX: usize = 32;

/// What is attached; dropping it detaches.
pub struct TlsProbes {
    ebpf: Arc<Mutex<Ebpf>>,
    /// Found out when the first program is loaded.
    can_walk: Option<bool>,
    files: HashMap<FileId, Attached>,
}

#[derive(Default)]
struct Attached {
    /// A bit set of `PROBES_*`; 0 if the file was refused, which is said once.
    probes: u32,
    links: Vec<UProbeLink>,
}

impl TlsProbes {
    pub(super) fn new(ebpf: Arc<Mutex<Ebpf>>) -> Self {
        Self {
            ebpf,
            can_walk: None,
            files: HashMap::new(),
        }
    }

    /// Attaches to a file unless that was done. Returns the `PROBES_*` that are on it, 0 if it was
    /// refused, which is logged, once per file. It takes tens of milliseconds.
    pub fn attach(&mut self, library: &Library) -> u32 {
        if let Some(attached) = self.files.get(&library.file) {
            return attached.probes;
        }
        let name = library.name.display();
        let can_walk = *self.can_walk.get_or_insert_with(strategy::can_walk);
        let mut links = Vec::new();
        let mut probes = 0;
        for site in &library.functions {
            probes |= probes_of(site.function.library());
            for place in places(site) {
                match self.attach_one(library, place.on(can_walk)) {
                    Ok(link) => links.push(link),
                    Err(reason) => {
                        let function = site.function;
                        log::warn!("can't read TLS in {name}: {function:?}: {reason}");
                        self.files.insert(library.file, Attached::default());
                        return 0;
                    }
                }
            }
        }
        log::info!("reading TLS in {name} ({} probes)", links.len());
        let attached = Attached { probes, links };
        self.files.insert(library.file, attached);
        probes
    }

    /// Detaches from a file.
    pub fn detach(&mut self, file: FileId) {
        if let Some(Attached { links, .. }) = self.files.remove(&file) {
            close(links);
        }
    }

    fn attach_one(&self, library: &Library, place: Place) -> Result<UProbeLink, String> {
        // For each place anew, so that others get their turn.
        let mut ebpf = self.ebpf.lock().map_err(|_| "another thread panicked")?;
        attach_one(&mut ebpf, library, place)
    }
}

impl Drop for TlsProbes {
    fn drop(&mut self) {
        close(self.files.drain().flat_map(|(_, it)| it.links).collect());
    }
}

/// Detaches. The kernel waits for all processors each time, and does so for many at once.
fn close(mut links: Vec<UProbeLink>) {
    let began = Instant::now();
    let count = links.len();
    let each = count.div_ceil(CLOSERS_MAX).max(1);
    std::thread::scope(|scope| {
        while !links.is_empty() {
            let some = links.split_off(links.len().saturating_sub(each));
            // Where there is no thread to be had, they are dropped here.
            let _ = std::thread::Builder::new().spawn_scoped(scope, move || drop(some));
        }
    });
    log::debug!(
        "detaching {count} probes took {} ms",
        began.elapsed().as_millis()
    );
}

fn probes_of(kind: LibraryKind) -> u32 {
    match kind {
        LibraryKind::Go => PROBES_ON_GOROUTINES,
        LibraryKind::OpenSsl | LibraryKind::GnuTls | LibraryKind::Rustls => PROBES_ON_THREADS,
    }
}

fn attach_one(ebpf: &mut Ebpf, library: &Library, place: Place) -> Result<UProbeLink, String> {
    let Place {
        program: name,
        offset,
    } = place;
    let program: &mut UProbe = ebpf
        .program_mut(name)
        .ok_or_else(|| format!("the object has no program {name}"))?
        .try_into()
        .map_err(|error| one_line(&error))?;
    if program.fd().is_err() {
        let began = Instant::now();
        program.load().map_err(|error| one_line(&error))?;
        log::debug!("loading {name} took {} ms", began.elapsed().as_millis());
    }
    let id = program
        .attach(offset, library.held.path(), UProbeScope::AllProcesses)
        .map_err(|error| format!("{offset:#x}: {}", one_line(&error)))?;
    program.take_link(id).map_err(|error| one_line(&error))
}
