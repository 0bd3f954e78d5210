//! Which processes there are, which of them are targets, what is known about each. It reads
//! procfs and files of processes; it touches no kernel map.
//!
//! [`Watcher`] owns the answer to "who is watched": it is fed the life of processes and says whom
//! to watch and what is known about them. It asks [`Selector`] whether a process is a target and
//! [`Describer`] for its name; both look at the world through one [`ProcRoot`].

mod admission;
mod container;
mod criteria;
mod describe;
mod elf;
mod environment;
mod host;
mod language;
mod listeners;
mod masked;
mod naming;
mod pid_namespace;
mod proc_root;
pub mod runtimes;
mod selection;
pub mod tls;
mod uncopied;
mod unit;
mod watcher;

pub use admission::{Admission, Candidate, Unmeant};
pub use container::Container;
pub use criteria::Criterion;
pub use describe::Describer;
pub use host::Host;
pub use listeners::{listened_on, ports};
pub use pid_namespace::ForeignPids;
pub use proc_root::ProcRoot;
pub use selection::Selector;
pub use uncopied::{Uncopied, uncopied};
pub use watcher::{Action, Look, Watcher};

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wirespan_protocols::heap;

use crate::enrich::kubernetes::PodTelling;
use crate::kubernetes::PodPlace;
use crate::semconv;

/// What was found out about a process when it began to be watched. Travels in recordings as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Process {
    /// In the initial pid namespace.
    pub pid: u32,
    /// Nanoseconds of the boot clock at which it began, or 0; together with `pid` its identity.
    pub start_ns: u64,
    /// Path of its executable as it sees it.
    pub executable: PathBuf,
    /// Its arguments, the first being its name.
    pub command_args: Vec<String>,
    /// Service name by the rules of the README, overrides included.
    pub service_name: String,
    /// Service namespace, if any is known.
    pub service_namespace: Option<String>,
    /// `service.instance.id`.
    pub service_instance_id: String,
    /// A value of `telemetry.sdk.language`, where it can be told.
    pub language: Option<String>,
    /// From the target's `OTEL_RESOURCE_ATTRIBUTES` and wirespan's own, percent-decoded: what each
    /// of them may say ([`crate::enrich::who`]), without `service.name` and `service.namespace`,
    /// which have fields of their own.
    pub resource_attributes: BTreeMap<String, String>,
    /// The machine's name.
    pub host_name: String,
    /// What the machine says of itself; all processes have it in common.
    #[serde(skip_serializing_if = "says_nothing")]
    pub host: Arc<Host>,
    /// The container that it runs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<Container>,
    /// The pod that the container belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<PodPlace>,
    /// Names among `resource_attributes`, and that of `service_namespace`, which wirespan's own
    /// list says of all that it traces and the process does not: a pod goes before them.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub general: BTreeSet<String>,
    /// Nobody said `service_name`: a pod goes before it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_named_by_what_it_runs: bool,
    /// What is told of its pod, and how that names it.
    #[serde(skip_serializing_if = "PodTelling::is_default")]
    pub telling: PodTelling,
    /// Its pod, or which of the pod's containers it is in, is not known yet, and may soon be told:
    /// another description follows then.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub awaits_place: bool,
    /// Why not all that it moves can be copied.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub uncopied: Vec<Uncopied>,
    /// It said more of itself than is kept.
    pub is_cut: bool,
}

fn says_nothing(host: &Host) -> bool {
    host.is_silent()
}

impl Process {
    /// Whether what it forks gives itself a title that names it.
    #[must_use]
    pub fn titles_children(&self) -> bool {
        naming::titles_children(&self.executable)
    }

    /// Whether it is such a child and has not done so yet.
    fn awaits_title(&self) -> bool {
        self.titles_children() && !naming::is_titled(&self.command_args)
    }

    /// Whether another description says the same but for where in Kubernetes it is.
    #[must_use]
    pub fn differs_in_place_only(&self, other: &Self) -> bool {
        let elsewhere = |process: &Self| Self {
            place: None,
            awaits_place: false,
            ..process.clone()
        };
        let is_here = self.place == other.place && self.awaits_place == other.awaits_place;
        !is_here && elsewhere(self) == elsewhere(other)
    }

    /// Bytes of memory that it takes, with its pod.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let pod = self.place.as_ref().map_or(0, |it| it.pod.memory_bytes());
        self.own_memory_bytes() + pod
    }

    /// The same without its pod, which others may share.
    #[must_use]
    pub fn own_memory_bytes(&self) -> usize {
        let text = |text: &String| heap::block(text.capacity());
        let optional = |it: &Option<String>| it.as_ref().map_or(0, text);
        let attributes = self.resource_attributes.iter();
        let attributes = attributes.map(|(name, value)| MAP_ENTRY + text(name) + text(value));
        let general = self.general.iter();
        let general = general.map(|name| MAP_ENTRY + text(name));
        heap::boxed::<Self>()
            + heap::block(self.executable.capacity())
            + heap::vec::<String>(self.command_args.capacity())
            + self.command_args.iter().map(text).sum::<usize>()
            + text(&self.service_name)
            + optional(&self.service_namespace)
            + text(&self.service_instance_id)
            + optional(&self.language)
            + attributes.sum::<usize>()
            + text(&self.host_name)
            + self.container.as_ref().map_or(0, Container::heap_bytes)
            + self.place.as_ref().map_or(0, |it| optional(&it.container))
            + self.telling.heap_bytes()
            + general.sum::<usize>()
    }

    /// Keeps what names it, and drops what else it says of itself; whether there was anything.
    pub fn cut(&mut self) -> bool {
        let said = !self.resource_attributes.is_empty();
        self.resource_attributes = BTreeMap::new();
        self.general
            .retain(|name| name == semconv::SERVICE_NAMESPACE);
        self.command_args = Vec::new();
        let said = self.place.as_mut().is_some_and(PodPlace::cut) || said;
        self.is_cut |= said;
        said
    }
}

/// What an entry of a `BTreeMap` of texts takes besides their bytes: nodes for eleven are two
/// thirds full, as a rule.
const MAP_ENTRY: usize = 2 * size_of::<String>() * 3 / 2;
