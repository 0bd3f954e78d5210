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

    /// Whether a process is selected by its pid or its executable, whatever it listens on; any is
    /// where pods alone select.
    #[must_use]
    pub fn selects(&self, pid: u32, executable: &Path) -> bool {
        let targets = &self.targets;
        targets.pids.binary_search(&pid).is_ok()
            || targets.name_executable(executable)
            || targets.are_pods()
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
    /// descendants that run the same executable (workers that closed the listening socket); of
    /// these, those that `admits` does not turn away.
    #[must_use]
    pub fn scan(&self, root: &ProcRoot, admits: impl FnMut(u32, &Path) -> bool) -> HashSet<u32> {
        self.scan_keeping(root, &mut Listening::default(), admits)
    }

    /// As [`Selector::scan`], and keeps what it learned about sockets.
    pub(super) fn scan_keeping(
        &self,
        root: &ProcRoot,
        listening: &mut Listening,
        mut admits: impl FnMut(u32, &Path) -> bool,
    ) -> HashSet<u32> {
        let mut selected = HashSet::new();
        let mut all = HashMap::new();
        for pid in root.pids().filter(|pid| *pid != root.own_pid()) {
            // Kernel threads and zombies have no executable.
            let Some(executable) = root.executable(pid) else {
                continue;
            };
            if self.selects(pid, &executable) {
                selected.insert(pid);
            }
            all.insert(pid, executable);
        }
        if !self.targets.open_ports.is_empty() {
            let pids = all.keys().copied();
            selected.extend(listening.scan(root, pids, |port| self.selects_port(port)));
        }
        let mut is_admitted = |pid: &u32| all.get(pid).is_some_and(|it| admits(*pid, it));
        selected.retain(|pid| is_admitted(pid));
        for worker in workers(root, &selected, &all) {
            // It may run in another container than its parent.
            if is_admitted(&worker) {
                selected.insert(worker);
            }
        }
        selected
    }
}

/// Descendants of selected processes that run the executable of their parent.
fn workers(
    root: &ProcRoot,
    selected: &HashSet<u32>,
    executables: &HashMap<u32, PathBuf>,
) -> HashSet<u32> {
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
    let mut workers = HashSet::new();
    loop {
        let before = undecided.len();
        undecided.retain(|(pid, parent)| {
            let is_worker = (selected.contains(parent) || workers.contains(parent))
                && executables.get(pid) == executables.get(parent);
            if is_worker {
                workers.insert(*pid);
            }
            !is_worker
        });
        if undecided.len() == before {
            return workers;
        }
    }
}
