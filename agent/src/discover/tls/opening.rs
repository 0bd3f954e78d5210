//! From a mapping of a process to the file behind it, held open. There are three ways to it, and
//! what is found by any of them is taken only if it is the mapped file:
//!
//! - `/proc/<pid>/map_files/<range>` leads to the file itself, whatever became of its name. To
//!   follow it takes `CAP_SYS_ADMIN` or `CAP_CHECKPOINT_RESTORE` (`proc_map_files_get_link` of the
//!   kernel's fs/proc/base.c).
//! - `/proc/<pid>/exe` leads to the executable, and takes `CAP_SYS_PTRACE`.
//! - Its name, in the process's own file system (`/proc/<pid>/root`), takes `CAP_SYS_PTRACE`, and
//!   `CAP_DAC_READ_SEARCH` where a directory is not everybody's.
//!
//! `stat` and `/proc/<pid>/maps` name the same device on most file systems. On btrfs, and with
//! overlayfs on some kernels, they don't; there the file is mapped, and what the kernel calls this
//! mapping is compared.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat, openat2};
use rustix::io::Errno;

use super::super::proc_root::ProcRoot;
use super::held::{FoundFile, HeldFile};
use super::mappings::Mapping;
use super::own_mapping;

/// Opens the file that is mapped.
///
/// # Errors
/// It can't be found by any way, or may not be read.
pub(super) fn open_mapped(root: &ProcRoot, pid: u32, mapping: &Mapping) -> io::Result<HeldFile> {
    let dir = root.dir(pid);
    let (start, end) = mapping.range;
    let by_range = || FoundFile::at(&dir.join(format!("map_files/{start:x}-{end:x}")));
    let by_name = || FoundFile::new(place_in(&dir.join("root"), &mapping.name)?);
    let by_exe = || FoundFile::at(&dir.join("exe"));
    by_range()
        .and_then(|found| if_mapped(&found, mapping))
        .or_else(|_| by_name().and_then(|found| if_mapped(&found, mapping)))
        // Of all, what is wrong with the file of its name says most.
        .or_else(|error| {
            let found = by_exe().and_then(|found| if_mapped(&found, mapping));
            found.map_err(|_| error)
        })
}

fn if_mapped(found: &FoundFile, mapping: &Mapping) -> io::Result<HeldFile> {
    let is_other = || io::Error::other("another file has its name");
    if found.id() == mapping.file {
        return HeldFile::open(found);
    }
    // The same number is no proof, but two files of one device differ in it. Where a layer above
    // gives out numbers of its own, none of them is known.
    let held = HeldFile::open(found)?;
    match own_mapping::named(held.file()) {
        Some(file) if file == mapping.file => Ok(held),
        _ => Err(is_other()),
    }
}

/// What `name` leads to below the root directory of a process. The kernel tells names of mappings
/// as they are seen from its mount namespace, so that the root of a process that changed it is a
/// part of them.
fn place_in(root: &Path, name: &Path) -> io::Result<rustix::fd::OwnedFd> {
    let below = fs::read_link(root)
        .ok()
        .and_then(|root| name.strip_prefix(root).ok().map(Path::to_owned))
        .unwrap_or_else(|| name.to_owned());
    let relative: PathBuf = below
        .components()
        .filter(|component| matches!(component, Component::Normal(_)))
        .collect();
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let root = open(root, flags | OFlags::DIRECTORY, Mode::empty())?;
    // A link within a container leads to where it leads for the container.
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    match openat2(&root, &relative, flags, Mode::empty(), resolve) {
        // Refused by a filter of system calls that does not know it, or there was a race.
        Err(Errno::NOSYS | Errno::PERM | Errno::AGAIN) => {
            Ok(openat(&root, &relative, flags, Mode::empty())?)
        }
        found => Ok(found?),
    }
}

#[cfg(test)]
#[path = "opening/tests.rs"]
mod tests;
