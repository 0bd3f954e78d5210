//! Processes that are selected and not watched, because of the pod that they run in or because that
//! is not known yet. What is heard of pods may change it, in either direction.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use super::{Action, Watcher};
use crate::discover::admission::Admission;
use crate::discover::{Candidate, Container, ProcRoot, Process};
use crate::kubernetes::pod::Pod;

/// How many are remembered. Others come to be watched when all processes are looked at.
const HELD_MAX: usize = 16 * 1024;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct HeldBack {
    processes: HashMap<u32, HeldProcess>,
}

#[derive(Debug)]
struct HeldProcess {
    /// As of a watched process.
    start_ns: u64,
    container: Container,
    /// It serves by a socket of somebody else, so that no look at all processes finds it.
    serves: bool,
}

impl HeldBack {
    fn put(&mut self, root: &ProcRoot, pid: u32, serves: bool) {
        let serves = serves || self.processes.get(&pid).is_some_and(|held| held.serves);
        // Without a container it is in no pod, and never will be.
        if let Some(container) = root.container(pid)
            && let Some(stat) = root.stat(pid)
            && self.processes.len() < HELD_MAX
        {
            let held = HeldProcess {
                start_ns: stat.start_ns,
                container,
                serves,
            };
            self.processes.insert(pid, held);
        }
    }

    pub(super) fn forget(&mut self, pid: u32) {
        self.processes.remove(&pid);
    }

    pub(super) fn clear(&mut self) {
        self.processes.clear();
    }

    /// Drops those that are gone.
    pub(super) fn sweep(&mut self, root: &ProcRoot) {
        self.processes.retain(|pid, held| {
            let stat = root.stat(*pid);
            stat.is_some_and(|stat| stat.start_ns == held.start_ns)
        });
    }

    fn concerned_by(&self, pods: &[Arc<Pod>]) -> Vec<(u32, bool)> {
        let is_concerned =
            |held: &HeldProcess| pods.iter().any(|pod| pod.may_have(&held.container));
        let concerned = self.processes.iter().filter(|(_, held)| is_concerned(held));
        let mut concerned: Vec<_> = concerned.map(|(pid, held)| (*pid, held.serves)).collect();
        concerned.sort_unstable();
        concerned
    }
}

impl Watcher {
    pub(super) fn admission(&self, pid: u32, executable: &Path) -> Admission {
        let targets = self.selector.targets();
        targets.admit_of(&self.root, &self.pods, pid, executable)
    }

    /// The same of one that was just looked at, of which the container is known.
    pub(super) fn admission_of(&self, process: &Process) -> Admission {
        let candidate = Candidate {
            pid: process.pid,
            executable: &process.executable,
            container: &|| process.container.clone(),
        };
        self.selector.targets().admit(&self.pods, &candidate)
    }

    /// Whether a process that is selected is watched; if it is not, it is held back.
    pub(super) fn admits(
        &mut self,
        pid: u32,
        executable: Option<&Path>,
        serves: bool,
        actions: &mut Vec<Action>,
    ) -> bool {
        let executable = executable.unwrap_or(Path::new(""));
        let admission = self.admission(pid, executable);
        if admission == Admission::Admitted {
            self.held_back.forget(pid);
            return true;
        }
        self.hold_back(pid, &admission, serves, actions);
        false
    }

    /// Does not watch a process that is selected. One that is watched stays so until it is known to
    /// be none of those that are meant: its pod may be forgotten before it ends.
    pub(super) fn hold_back(
        &mut self,
        pid: u32,
        admission: &Admission,
        serves: bool,
        actions: &mut Vec<Action>,
    ) {
        let is_watched = self.watched.contains_key(&pid);
        if is_watched && *admission == Admission::Awaited {
            return;
        }
        self.held_back.put(&self.root, pid, serves);
        self.forget(pid);
        self.departed.remove(&pid);
        actions.push(Action::Refuse(pid));
    }

    /// All processes that are selected and may be watched, and those that may not.
    pub(super) fn selected(&mut self) -> (HashSet<u32>, Vec<(u32, Admission)>) {
        let mut listening = std::mem::take(&mut self.listening);
        let mut turned_away = Vec::new();
        let admits = |pid, executable: &Path| {
            let admission = self.admission(pid, executable);
            let is_admitted = admission == Admission::Admitted;
            if !is_admitted {
                turned_away.push((pid, admission));
            }
            is_admitted
        };
        let selected = self
            .selector
            .scan_keeping(&self.root, &mut listening, admits);
        self.listening = listening;
        (selected, turned_away)
    }

    /// Holds back those of the watched ones that may not be watched as `pods` are by now; all, if
    /// it is not said which ones have changed.
    pub(super) fn turn_away(&mut self, pods: Option<&[Arc<Pod>]>, actions: &mut Vec<Action>) {
        let is_concerned = |container: Option<&Container>| match (pods, container) {
            (None, _) => true,
            (Some(pods), Some(container)) => pods.iter().any(|pod| pod.may_have(container)),
            (Some(_), None) => false,
        };
        let watched = self.watched.iter().filter(|(_, watched)| {
            // What is not described yet is asked of when it is.
            let process = watched.process.as_deref();
            pods.is_none() || process.is_some_and(|it| is_concerned(it.container.as_ref()))
        });
        let mut watched: Vec<_> = watched
            .map(|(pid, watched)| (*pid, watched.executable.clone().unwrap_or_default()))
            .collect();
        watched.sort_unstable();
        for (pid, executable) in watched {
            let admission = self.admission(pid, &executable);
            if matches!(admission, Admission::Refused(_)) {
                self.hold_back(pid, &admission, false, actions);
            }
        }
    }

    /// Watches those that were held back and may be watched as `pods` are by now.
    pub(super) fn let_in(&mut self, pods: &[Arc<Pod>], actions: &mut Vec<Action>) {
        self.held_back.sweep(&self.root);
        let mut anybody = false;
        for (pid, serves) in self.held_back.concerned_by(pods) {
            let executable = self.root.executable(pid).unwrap_or_default();
            if self.admission(pid, &executable) != Admission::Admitted {
                continue;
            }
            anybody = true;
            self.held_back.forget(pid);
            if serves && let Some(stat) = self.root.stat(pid) {
                actions.push(Action::Watch(pid));
                self.look(pid, stat.comm, actions);
            }
        }
        if anybody {
            // Their children too, which began unseen.
            self.scan(actions);
        }
    }
}
