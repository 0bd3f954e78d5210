//! Whether a process is a target. It keeps no state about processes and changes nothing.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::config::Targets;

use super::listeners;
use super::proc_root::ProcRoot;

/// [`Targets`], ready to be asked.
#[derive(Clone, Debug)]
pub struct Selector {
    targets: Targets,
}

impl Selector {
    /// Selects what `targets` describes.
    #[must_use]
    pub fn new(targets: Targets) -> Self {
        Self { targets }
    }

    /// Whether a process is selected by its pid or its executable, whatever it listens on.
    #[must_use]
    pub fn selects(&self, pid: u32, executable: &Path) -> bool {
        let targets = &self.targets;
        targets.pids.binary_search(&pid).is_ok()
            || targets
                .auto_target_exe
                .as_ref()
                .is_some_and(|globs| globs.is_match(executable))
            || targets
                .executable_name
                .as_ref()
                .is_some_and(|regex| regex.is_match(&executable.to_string_lossy()))
    }

    /// Whether listening on this port selects a process.
    #[must_use]
    pub fn selects_port(&self, port: u16) -> bool {
        let ranges = &self.targets.open_ports;
        let after = ranges.partition_point(|range| *range.end() < port);
        ranges.get(after).is_some_and(|range| range.contains(&port))
    }

    /// Whether a process holds a listening socket on a selected port now.
    #[must_use]
    pub fn selects_listener(&self, root: &ProcRoot, pid: u32) -> bool {
        // Most processes that are asked about were started a moment ago and have no socket at all;
        // the tables of sockets are the expensive part.
        if self.targets.open_ports.is_empty() || listeners::sockets(root, pid).next().is_none() {
            return false;
        }
        let listening = listeners::listening(root, pid, |port| self.selects_port(port));
        !listening.is_empty() && listeners::holds_any(root, pid, &listening)
    }

    /// All processes that are targets now, except this one: those that are selected, and their
    /// descendants that run the same executable (workers that closed the listening socket).
    #[must_use]
    pub fn scan(&self, root: &ProcRoot) -> HashSet<u32> {
        let mut selected = HashSet::new();
        let mut others = Vec::new();
        for pid in root.pids().filter(|pid| *pid != root.own_pid()) {
            // Kernel threads and zombies have no executable.
            let Some(executable) = root.executable(pid) else {
                continue;
            };
            if self.selects(pid, &executable) {
                selected.insert(pid);
            }
            others.push((pid, executable));
        }
        if !self.targets.open_ports.is_empty() {
            let candidates = others.iter().map(|(pid, _)| *pid);
            let candidates = candidates.filter(|pid| !selected.contains(pid)).collect();
            selected.extend(self.listeners_among(root, candidates));
        }
        add_workers(root, &mut selected, others);
        selected
    }

    /// Those that hold a listening socket on a selected port. The tables of sockets are read once
    /// per network namespace, and descriptors only where a namespace has such a socket.
    fn listeners_among(&self, root: &ProcRoot, pids: Vec<u32>) -> Vec<u32> {
        let mut namespaces: HashMap<OsString, Vec<u32>> = HashMap::new();
        for pid in pids {
            if let Ok(namespace) = fs::read_link(root.dir(pid).join("ns/net")) {
                namespaces
                    .entry(namespace.into_os_string())
                    .or_default()
                    .push(pid);
            }
        }
        let mut holders = Vec::new();
        for members in namespaces.into_values() {
            // The first member may have gone since; then its tables are empty, and so on.
            let Some(listening) = members
                .iter()
                .take(NAMESPACE_TRIES)
                .map(|pid| listeners::listening(root, *pid, |port| self.selects_port(port)))
                .find(|inodes| !inodes.is_empty())
            else {
                continue;
            };
            holders.extend(
                members
                    .into_iter()
                    .filter(|pid| listeners::holds_any(root, *pid, &listening)),
            );
        }
        holders
    }
}

/// Members of a namespace that are asked for its sockets before it counts as having none: more
/// than one, for the case that one exits meanwhile.
const NAMESPACE_TRIES: usize = 3;

/// Adds descendants of selected processes that run the executable of their parent.
fn add_workers(root: &ProcRoot, selected: &mut HashSet<u32>, all: Vec<(u32, PathBuf)>) {
    let executables: HashMap<u32, PathBuf> = all.into_iter().collect();
    let of_selected: HashSet<&Path> = selected
        .iter()
        .filter_map(|pid| executables.get(pid))
        .map(PathBuf::as_path)
        .collect();
    // Only processes that run an executable of a selected one can qualify; few do.
    let mut undecided: Vec<(u32, u32)> = executables
        .iter()
        .filter(|(pid, executable)| {
            !selected.contains(*pid) && of_selected.contains(executable.as_path())
        })
        .filter_map(|(pid, _)| Some((*pid, root.start_and_parent(*pid)?.1)))
        .collect();
    loop {
        let before = undecided.len();
        undecided.retain(|(pid, parent)| {
            let is_worker =
                selected.contains(parent) && executables.get(pid) == executables.get(parent);
            if is_worker {
                selected.insert(*pid);
            }
            !is_worker
        });
        if undecided.len() == before {
            return;
        }
    }
}
