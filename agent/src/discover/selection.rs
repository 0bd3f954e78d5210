//! Whether a process is a target. It keeps no state about processes and changes nothing.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::config::Targets;

use super::listeners::Listening;
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

    /// What it selects.
    pub(super) fn targets(&self) -> &Targets {
        &self.targets
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

    /// Whether all ports are selected that another one selects.
    pub(super) fn selects_ports_of(&self, other: &Self) -> bool {
        let mut ports = other.targets.open_ports.iter().cloned().flatten();
        ports.all(|port| self.selects_port(port))
    }

    /// Whether a process holds a listening socket on a selected port now, as far as `listening`
    /// was kept informed.
    pub(super) fn selects_listener(
        &self,
        root: &ProcRoot,
        listening: &mut Listening,
        pid: u32,
    ) -> bool {
        !self.targets.open_ports.is_empty()
            && listening.is_held_by(root, pid, |port| self.selects_port(port))
    }

    /// All processes that are targets now, except this one: those that are selected, and their
    /// descendants that run the same executable (workers that closed the listening socket).
    #[must_use]
    pub fn scan(&self, root: &ProcRoot) -> HashSet<u32> {
        self.scan_keeping(root, &mut Listening::default())
    }

    /// As [`Selector::scan`], and keeps what it learned about sockets.
    pub(super) fn scan_keeping(&self, root: &ProcRoot, listening: &mut Listening) -> HashSet<u32> {
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
            let pids = others.iter().map(|(pid, _)| *pid);
            selected.extend(listening.scan(root, pids, |port| self.selects_port(port)));
        }
        add_workers(root, &mut selected, others);
        selected
    }
}

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
        .filter_map(|(pid, _)| Some((*pid, root.stat(*pid)?.parent)))
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
