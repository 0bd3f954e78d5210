//! Puts the kernel side's programs on places of a file, in one process: by one link for many places
//! where the kernel can (uprobe_multi, 6.6), else by one perf event for each. Which of them works
//! is found out by trying it on the daemon itself. It does not look at what stands there.

use std::ffi::CString;
use std::num::NonZeroU32;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use aya::Ebpf;
use aya::maps::Array;
use aya::programs::UProbe;
use aya::programs::uprobe::{UProbeLink, UProbeScope};

use super::programs::{Group, Place, groups};
use super::trial;
use crate::capture::bpf::{self, Places, ProgramUse};
use crate::capture::loader::Loader;
use crate::capture::object::KernelSide;
use crate::capture::reason::one_line;
use crate::capture::strategy;
use crate::discover::tls::HeldFile;
use crate::visible::Visible;

/// What keeps probes where they are; dropping it takes them off, which takes the kernel tens of
/// milliseconds.
pub enum Link {
    /// On many places.
    Many(OwnedFd),
    /// On one.
    One(UProbeLink),
}

/// Makes links.
pub struct Linker {
    ebpf: Arc<Mutex<Ebpf>>,
    loader: Loader,
    /// Found out when the first link is made, if there is a choice.
    method: Option<AttachMethod>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AttachMethod {
    Many,
    /// And whether programs can walk frames.
    One(bool),
}

impl Linker {
    /// Has made none.
    pub fn new(ebpf: Arc<Mutex<Ebpf>>, loader: Loader, side: KernelSide) -> Self {
        Self {
            ebpf,
            loader,
            method: match side {
                KernelSide::Modern => None,
                KernelSide::Legacy => Some(AttachMethod::One(false)),
            },
        }
    }

    /// Finds out what works, and loads what libraries in C need.
    pub fn prepare(&mut self) {
        if self.method() == AttachMethod::Many
            && let Err(reason) = self.loader.load(ProgramUse::Probes, &["tls_return"])
        {
            log::debug!("{}", Visible(reason));
        }
    }

    fn method(&mut self) -> AttachMethod {
        match self.method {
            Some(method) => method,
            None => {
                let found = self.find_method();
                *self.method.insert(found)
            }
        }
    }

    /// Puts programs on `places` of `file` in process `pid`: on all of them or on none.
    ///
    /// # Errors
    /// What the kernel says, in one line.
    pub fn link(
        &mut self,
        pid: u32,
        file: &HeldFile,
        places: &[Place],
    ) -> Result<Vec<Link>, (Vec<Link>, String)> {
        let mut links = Vec::new();
        let outcome = match self.method() {
            AttachMethod::Many => self.link_many(pid, file, places, &mut links),
            AttachMethod::One(can_walk) => self.link_each(pid, file, places, can_walk, &mut links),
        };
        match outcome {
            Ok(()) => Ok(links),
            Err(reason) => Err((links, reason)),
        }
    }

    fn link_many(
        &mut self,
        pid: u32,
        file: &HeldFile,
        places: &[Place],
        links: &mut Vec<Link>,
    ) -> Result<(), String> {
        let groups = groups(places);
        let names: Vec<_> = groups.iter().map(|group| group.program).collect();
        self.loader.load(ProgramUse::Probes, &names)?;
        let path = CString::new(file.path().into_os_string().into_vec())
            .map_err(|error| one_line(&error))?;
        for group in &groups {
            links.push(self.link_group(pid, &path, group)?);
        }
        Ok(())
    }

    fn link_group(&self, pid: u32, path: &CString, group: &Group) -> Result<Link, String> {
        let places = Places {
            path,
            offsets: &group.offsets,
            cookies: &group.cookies,
            on_return: group.on_return,
            pid,
        };
        let program = self.loader.program(group.program);
        let program = program.ok_or_else(|| format!("{} is not loaded", group.program))?;
        bpf::link(program, &places)
            .map(Link::Many)
            .map_err(|error| format!("{}: {}", group.program, one_line(&error)))
    }

    fn link_each(
        &self,
        pid: u32,
        file: &HeldFile,
        places: &[Place],
        can_walk: bool,
        links: &mut Vec<Link>,
    ) -> Result<(), String> {
        let scope = NonZeroU32::new(pid).map(UProbeScope::OneProcess);
        let scope = scope.ok_or("no process has the number 0")?;
        for place in places {
            // For each place anew, so that others get their turn.
            let mut ebpf = self.ebpf.lock().map_err(|_| "another thread panicked")?;
            links.push(Link::One(link_one(
                &mut ebpf,
                file,
                place.on(can_walk),
                scope,
            )?));
        }
        Ok(())
    }

    /// Finds out whether the kernel can put probes on many places at once, in one process and in
    /// all of its threads (before 6.10 it took a process for its first thread).
    fn find_method(&mut self) -> AttachMethod {
        match self.try_many() {
            Ok(()) => AttachMethod::Many,
            Err(reason) => {
                log::debug!("probes are put on one place at a time: {}", Visible(reason));
                AttachMethod::One(strategy::can_walk())
            }
        }
    }

    fn try_many(&mut self) -> Result<(), String> {
        let group = trial::group().ok_or("the daemon does not find itself in memory")?;
        self.loader.load(ProgramUse::Probes, &[group.program])?;
        let before = self.tries()?;
        let link = self.link_group(std::process::id(), &trial::path(), &group)?;
        trial::run_on_another_thread();
        let hits = self.tries()? - before;
        // It waits for all processors, and nobody for it.
        std::thread::spawn(move || drop(link));
        (hits == 1)
            .then_some(())
            .ok_or_else(|| format!("of one call {hits} were seen"))
    }

    /// How often a probe on the daemon itself was hit.
    fn tries(&self) -> Result<u64, String> {
        let ebpf = self.ebpf.lock().map_err(|_| "another thread panicked")?;
        let map = ebpf.map("TRIES").ok_or("the object has no map TRIES")?;
        let counter: Array<_, u64> = map.try_into().map_err(|error| one_line(&error))?;
        counter.get(&0, 0).map_err(|error| one_line(&error))
    }
}

fn link_one(
    ebpf: &mut Ebpf,
    file: &HeldFile,
    Place {
        program: name,
        offset,
    }: Place,
    scope: UProbeScope,
) -> Result<UProbeLink, String> {
    let program: &mut UProbe = ebpf
        .program_mut(name)
        .ok_or_else(|| format!("the object has no program {name}"))?
        .try_into()
        .map_err(|error| one_line(&error))?;
    if program.fd().is_err() {
        let began = Instant::now();
        program.load().map_err(|error| one_line(&error))?;
        log::debug!(
            "loading {} took {} ms",
            Visible(name),
            began.elapsed().as_millis()
        );
    }
    let id = program
        .attach(offset, file.path(), scope)
        .map_err(|error| format!("{offset:#x}: {}", one_line(&error)))?;
    program.take_link(id).map_err(|error| one_line(&error))
}
