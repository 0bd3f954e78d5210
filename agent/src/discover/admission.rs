//! Whether a process that is selected may be watched, by where in Kubernetes it is and by whom
//! nobody means. It changes nothing, and asks nobody who could hang.

use std::path::Path;

use crate::config::{Meets, Setting, Targets};
use crate::kubernetes::{PodPlace, Pods, Whereabouts};

use super::{Container, ProcRoot};

/// Whether it may be watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Admitted,
    /// Its pod, or which of its containers it is in, is not known yet.
    Awaited,
    /// It may not.
    Refused(Unmeant),
}

/// Why it may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmeant {
    /// What it runs is excluded unless it is named.
    Executable,
    /// So is the namespace of its pod.
    Namespace,
    /// It runs in no pod, and only pods are meant.
    NoPod,
    /// Its pod does not meet this.
    Pod(Setting),
}

/// What a process is, as far as that decides.
pub struct Candidate<'a> {
    /// Thread group, in the initial pid namespace.
    pub pid: u32,
    /// As the process sees it.
    pub executable: &'a Path,
    /// Reads its container; only asked where that decides.
    pub container: &'a dyn Fn() -> Option<Container>,
}

impl Targets {
    /// Whether a selected process may be watched, as far as `pods` are known.
    #[must_use]
    pub fn admit(&self, pods: &Pods, candidate: &Candidate<'_>) -> Admission {
        if self.pids.binary_search(&candidate.pid).is_ok() {
            return Admission::Admitted;
        }
        let executable = candidate.executable;
        if self.exclusions.have_executable(executable) && !self.name_executable(executable) {
            return Admission::Refused(Unmeant::Executable);
        }
        if self.pods.is_empty() && pods.are_none() {
            return Admission::Admitted;
        }
        let whereabouts = (candidate.container)().map(|container| pods.find(&container));
        let needs_pod = !self.pods.is_empty();
        match whereabouts {
            Some(Whereabouts::Known(place)) => self.admit_place(&place),
            Some(Whereabouts::Awaited(Some(place))) => match self.admit_place(&place) {
                // Of another container than the one that is meant, perhaps.
                Admission::Awaited if !needs_pod => Admission::Admitted,
                admission => admission,
            },
            _ if !needs_pod => Admission::Admitted,
            Some(Whereabouts::Awaited(None)) => Admission::Awaited,
            Some(Whereabouts::Nowhere) | None => Admission::Refused(Unmeant::NoPod),
        }
    }

    /// The same, of a process that is there.
    #[must_use]
    pub fn admit_of(&self, root: &ProcRoot, pods: &Pods, pid: u32, executable: &Path) -> Admission {
        let candidate = Candidate {
            pid,
            executable,
            container: &|| root.container(pid),
        };
        self.admit(pods, &candidate)
    }

    fn admit_place(&self, place: &PodPlace) -> Admission {
        let namespace = &place.pod.namespace;
        if self.exclusions.have_namespace(namespace) && !self.pods.name_namespaces() {
            return Admission::Refused(Unmeant::Namespace);
        }
        match self.pods.meets(place) {
            Meets::Yes => Admission::Admitted,
            Meets::NotYet => Admission::Awaited,
            Meets::No(setting) => Admission::Refused(Unmeant::Pod(setting)),
        }
    }
}

impl std::fmt::Display for Unmeant {
    /// As the rest of a sentence about the process.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Executable => f.write_str("runs an agent or collector, which no setting names"),
            Self::Namespace => f.write_str("runs in a namespace of the cluster's own"),
            Self::NoPod => f.write_str("runs in no pod that the API server tells of"),
            Self::Pod(_) => f.write_str("runs in a pod that is not meant"),
        }
    }
}
