//! Where the outside world is looked at: a proc file system, the machine's or a test's. It answers
//! small questions about one process each, and `None` means that the process has gone or may not
//! be looked at; it never fails.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use procfs::process;

/// A mounted proc file system. It must be one that shows the initial pid namespace (`hostPID` in
/// Kubernetes), because the kernel side reports pids of that one.
#[derive(Clone, Debug)]
pub struct ProcRoot {
    path: PathBuf,
    host_name: String,
    own_pid: u32,
    tick_ns: u64,
}

impl ProcRoot {
    /// The machine's own, `/proc`.
    #[must_use]
    pub fn host() -> Self {
        Self::at("/proc")
    }

    /// A tree that is laid out like `/proc`.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let host_name = fs::read_to_string(path.join("sys/kernel/hostname"))
            .map(|name| name.trim().to_owned())
            .unwrap_or_default();
        // What `self` points to is this process's pid in the namespace that this proc file system
        // shows, which need not be the one this process lives in.
        let own_pid = fs::read_link(path.join("self"))
            .ok()
            .and_then(|link| link.to_str()?.parse().ok())
            .unwrap_or_else(std::process::id);
        Self {
            path,
            host_name,
            own_pid,
            tick_ns: 1_000_000_000 / procfs::ticks_per_second().max(1),
        }
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the machine is called where this process runs: in a pod, the pod's name.
    #[must_use]
    pub fn host_name(&self) -> &str {
        &self.host_name
    }

    /// This process's pid, as the kernel side reports it.
    #[must_use]
    pub fn own_pid(&self) -> u32 {
        self.own_pid
    }

    /// All processes, in no order.
    pub fn pids(&self) -> impl Iterator<Item = u32> + use<> {
        fs::read_dir(&self.path)
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
    }

    /// A handle that stays with this very process: if the pid is reused, reading through it fails.
    pub(super) fn open(&self, pid: u32) -> Option<process::Process> {
        process::Process::new_with_root(self.dir(pid)).ok()
    }

    /// What the kernel answers about a process by itself, without its memory.
    pub(super) fn stat(&self, pid: u32) -> Option<Stat> {
        self.stat_of(&self.open(pid)?)
    }

    pub(super) fn stat_of(&self, process: &process::Process) -> Option<Stat> {
        let stat = process.stat().ok()?;
        Some(Stat {
            start_ns: stat.starttime.saturating_mul(self.tick_ns),
            parent: u32::try_from(stat.ppid).unwrap_or_default(),
            comm: stat.comm,
        })
    }

    /// CPU time that all threads of a process have had; `None` if it has gone.
    #[must_use]
    pub fn cpu_time(&self, pid: u32) -> Option<Duration> {
        let stat = self.open(pid)?.stat().ok()?;
        let ticks = stat.utime.saturating_add(stat.stime);
        Some(Duration::from_nanos(ticks.saturating_mul(self.tick_ns)))
    }

    /// The user as which the process runs; 0 also where that can't be told.
    #[must_use]
    pub fn user(&self, pid: u32) -> u32 {
        fs::metadata(self.dir(pid)).map_or(0, |metadata| metadata.uid())
    }

    /// Whether a debugger holds the process (ptrace(2)); also where that can't be told.
    #[must_use]
    pub fn is_debugged(&self, pid: u32) -> bool {
        let status = self.open(pid).and_then(|process| process.status().ok());
        status.is_none_or(|status| status.tracerpid != 0)
    }

    /// Path of the executable as the process sees it; `None` also for kernel threads.
    pub(super) fn executable(&self, pid: u32) -> Option<PathBuf> {
        let path = fs::read_link(self.dir(pid).join("exe")).ok()?;
        Some(without_deleted(path))
    }

    pub(super) fn dir(&self, pid: u32) -> PathBuf {
        self.path.join(pid.to_string())
    }
}

/// Some of `/proc/<pid>/stat`.
pub(super) struct Stat {
    /// When the process began, in nanoseconds of the boot clock (to the clock tick).
    pub start_ns: u64,
    pub parent: u32,
    /// What the kernel calls it.
    pub comm: String,
}

/// A path from a link of procfs, without what the kernel appends to the path of a file that was
/// unlinked since (an upgrade replaced it).
pub(super) fn without_deleted(path: PathBuf) -> PathBuf {
    match path.as_os_str().as_bytes().strip_suffix(b" (deleted)") {
        Some(stripped) => PathBuf::from(OsStr::from_bytes(stripped)),
        None => path,
    }
}

/// At most `len_max` bytes of a file of a process.
pub(super) fn read_bounded(
    process: &process::Process,
    name: impl AsRef<Path>,
    len_max: u64,
) -> Option<Vec<u8>> {
    let file: File = process.open_relative(name).ok()?;
    let mut bytes = Vec::new();
    file.take(len_max).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Text from bytes that need not be any.
pub(super) fn lossy(bytes: &[u8]) -> String {
    std::ffi::OsString::from_vec(bytes.to_vec())
        .into_string()
        .unwrap_or_else(|raw| raw.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_debugged_where_nobody_can_tell() {
        let host = ProcRoot::host();
        assert!(!host.is_debugged(std::process::id()));
        let empty = tempfile::tempdir().expect("a directory");
        assert!(ProcRoot::at(empty.path()).is_debugged(std::process::id()));
    }
}
