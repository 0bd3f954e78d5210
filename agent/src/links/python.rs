//! Calls of Python programs: they belong to the request that the context they were made in answers,
//! or a context that it comes from. Decided when the request is answered, because servers read
//! requests in other contexts than those that they serve them in. PythonThreads without a context
//! are followed as far as each does one thing at a time.
//!
//! A call that nothing which is being answered accounts for belongs to nobody: a worker that a
//! request happened to start serves all later ones, too.

mod lineages;
mod outliving;
mod process;
mod requests;
#[cfg(test)]
mod tests;
mod threads;

use hashbrown::HashMap;
use wirespan_common::python::PythonPart;
use wirespan_common::record::{ConnectionId, TaskEvent, TaskKind, TaskNote};

use super::pruning::Pruning;
use super::{Actor, NodeId};
use process::PythonProcess;

/// Processes that are remembered; calls of more belong to nobody.
const PROCESSES_MAX: usize = 1024;

/// How often it is looked at what time decides, in nanoseconds.
const TICK_NS: u64 = 1_000_000;

/// A request at a server of a Python process.
#[derive(Clone, Copy, Debug)]
pub struct RequestRead {
    /// Which.
    pub node: NodeId,
    /// On which connection.
    pub connection: ConnectionId,
    /// Whether other requests are served on it at the same time.
    pub has_streams: bool,
    /// When its head was read.
    pub time_ns: u64,
}

/// What became of a call that waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Which.
    pub call: NodeId,
    /// The request that it belongs to, if it is known.
    pub request: Option<NodeId>,
    /// It came after that, and is no part of it.
    pub is_after: bool,
}

impl Decision {
    fn of(call: NodeId, request: Option<NodeId>) -> Self {
        Self {
            call,
            request,
            is_after: false,
        }
    }
}

/// All Python processes.
#[derive(Debug, Default)]
pub struct Python {
    processes: HashMap<u32, PythonProcess>,
    decisions: Vec<Decision>,
    /// When time passed last, as far as that was looked at.
    ticked_ns: u64,
    /// Of `processes`.
    pruning: Pruning,
}

/// What is current on a thread of Python's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CurrentContext {
    /// A context, by its birth, or a piece of work.
    Task(u64, PythonPart),
    /// A context that the thread or a greenlet has for itself, by its address.
    Own(u64),
    /// Nothing.
    Thread,
    /// Something of which nothing is known.
    Unknown,
}

impl CurrentContext {
    fn of(actor: Actor) -> Option<Self> {
        let task = actor.task.filter(|it| it.kind == TaskKind::PythonContext)?;
        Some(match PythonPart::try_from(task.part) {
            Ok(part @ (PythonPart::Context | PythonPart::Work)) => Self::Task(task.id, part),
            Ok(PythonPart::Own) => Self::Own(task.id),
            Ok(PythonPart::Thread) => Self::Thread,
            Ok(PythonPart::Unknown) | Err(_) => Self::Unknown,
        })
    }
}

impl Python {
    /// A request was read by a thread. Returns whether it is one of Python's.
    pub fn reads(&mut self, read: RequestRead, actor: Actor) -> bool {
        let Some(current) = CurrentContext::of(actor) else {
            return false;
        };
        if self.pruning.is_due(self.processes.len(), PROCESSES_MAX) {
            self.processes.retain(|_, process| !process.is_idle());
        }
        if self.processes.len() < PROCESSES_MAX || self.processes.contains_key(&actor.tgid) {
            let process = self.processes.entry(actor.tgid).or_default();
            process.reads(read, actor.tid, current);
        }
        true
    }

    /// A thread makes a call. Whether that waits to be decided; it may be decided at once.
    pub fn calls(&mut self, node: NodeId, actor: Actor, time_ns: u64) -> bool {
        let Some(current) = CurrentContext::of(actor) else {
            return false;
        };
        let Some(process) = self.processes.get_mut(&actor.tgid) else {
            return false;
        };
        let call = process::WaitingCall::new(node, actor.tid, current, time_ns);
        process.calls(call, &mut self.decisions)
    }

    /// A request of a process begins to be answered, by `actor` if that is known.
    pub fn answers(&mut self, node: NodeId, owner: u32, actor: Option<Actor>, now_ns: u64) {
        let Some(process) = self.processes.get_mut(&owner) else {
            return;
        };
        let current = actor.and_then(|actor| Some((actor.tid, CurrentContext::of(actor)?)));
        process.answers(node, current, now_ns, &mut self.decisions);
    }

    /// A request of a process is over.
    pub fn ends(&mut self, node: NodeId, owner: u32, now_ns: u64) {
        if let Some(process) = self.processes.get_mut(&owner) {
            process.ends(node, now_ns, &mut self.decisions);
        }
    }

    /// A task was told of, with the tasks that it comes from.
    pub fn note(
        &mut self,
        tgid: u32,
        event: TaskEvent,
        note: &TaskNote,
        ancestors: &[u64],
        now_ns: u64,
    ) {
        if let Some(process) = self.processes.get_mut(&tgid) {
            process.note(event, note, ancestors, now_ns, &mut self.decisions);
        }
    }

    /// Time passed.
    pub fn tick(&mut self, now_ns: u64) {
        if now_ns < self.ticked_ns.saturating_add(TICK_NS) {
            return;
        }
        self.ticked_ns = now_ns;
        for process in self.processes.values_mut() {
            process.tick(now_ns, &mut self.decisions);
        }
    }

    /// When something is decided by the time alone.
    pub fn until_ns(&self) -> Option<u64> {
        let processes = self.processes.values();
        processes.filter_map(PythonProcess::until_ns).min()
    }

    /// What was decided since the last call.
    pub fn decisions(&mut self) -> Option<Decision> {
        self.decisions.pop()
    }

    /// Bytes of memory that they take.
    pub fn memory_bytes(&self) -> usize {
        let processes = self.processes.values();
        wirespan_protocols::heap::table::<(u32, PythonProcess)>(self.processes.capacity())
            + processes.map(PythonProcess::memory_bytes).sum::<usize>()
    }
}
