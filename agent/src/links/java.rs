//! Virtual threads of Java: what one calls for belongs to the request that it read, if it reads the
//! answer itself. Somebody else does where a client's own threads move bytes for several callers,
//! and then whose call it was is not known; nor is it of exchanges on streams, which share a
//! connection. One that has several requests on its hands calls for nobody that is known.
//!
//! Threads that Java has from the kernel go by the rules of [`super::threads`], and are remembered
//! by their numbers: while the garbage collector moves one's object, it may for an instant look
//! like a virtual one.

use hashbrown::{HashMap, HashSet};
use wirespan_common::java::IS_VIRTUAL;
use wirespan_common::record::TaskKind;
use wirespan_protocols::heap;

use super::pruning::Pruning;
use super::{Abstained, Actor, Begun, Mechanism, NodeId, Task, nodes::Nodes};

/// Virtual threads that are remembered; what more of them call for belongs to nobody that is known.
const REMEMBERED_MAX: usize = 128 * 1024;
/// So many are not worth looking through for those that serve nothing any more.
const REMEMBERED_FEW: usize = 1024;
/// Threads that Java has from the kernel, before remembering starts again.
const OF_KERNEL_MAX: usize = 64 * 1024;
/// Requests that one thread may have on its hands.
const REQUESTS_MAX: usize = 8;

/// A thread by its process and Java's number.
type JavaThread = (u32, u64);

/// What virtual threads serve.
#[derive(Debug, Default)]
pub struct VirtualThreads {
    /// Requests that each read, oldest first: those that are open and, if none is, the last one.
    serving: HashMap<JavaThread, Vec<NodeId>>,
    /// Of `serving`.
    pruning: Pruning,
    /// Calls that are not answered yet.
    calls: HashMap<NodeId, VirtualCall>,
    of_kernel: HashSet<JavaThread>,
}

#[derive(Clone, Copy, Debug)]
struct VirtualCall {
    request: NodeId,
    by: JavaThread,
}

impl VirtualThreads {
    /// Who it is that a record of a virtual machine with virtual threads names: one of those, or a
    /// thread like others.
    pub fn know(&mut self, actor: Actor) -> Actor {
        let Some(task) = actor.task.filter(|it| it.kind == TaskKind::VirtualThread) else {
            return actor;
        };
        let thread = (actor.tgid, task.id);
        let task = if task.part != IS_VIRTUAL {
            if task.id != 0 {
                if self.of_kernel.len() >= OF_KERNEL_MAX {
                    self.of_kernel.clear();
                }
                self.of_kernel.insert(thread);
            }
            let (kind, id) = (TaskKind::Thread, actor.tid.into());
            Some(Task { kind, id, ..task })
        } else if self.of_kernel.contains(&thread) {
            None
        } else {
            Some(task)
        };
        Actor { task, ..actor }
    }

    /// A request was read.
    pub fn reads(&mut self, nodes: &Nodes, request: NodeId, begun: &Begun, actor: Actor) {
        let Some(thread) = virtual_thread(actor).filter(|_| begun.stream.is_none()) else {
            return;
        };
        if self.pruning.is_due(self.serving.len(), REMEMBERED_FEW) {
            self.prune(nodes);
        }
        if self.serving.len() >= REMEMBERED_MAX && !self.serving.contains_key(&thread) {
            return;
        }
        let requests = self.serving.entry(thread).or_default();
        requests.retain(|request| is_open(nodes, *request));
        if requests.len() < REQUESTS_MAX {
            requests.push(request);
        }
    }

    /// A call is made. Whether who asked for it becomes known when it is answered.
    pub fn calls(&mut self, nodes: &Nodes, call: NodeId, begun: &Begun, actor: Actor) -> bool {
        let by = virtual_thread(actor).filter(|_| begun.stream.is_none());
        let found = by.and_then(|by| Some((by, self.request_of(nodes, by)?)));
        let Some((by, request)) = found else {
            return false;
        };
        self.calls.insert(call, VirtualCall { request, by });
        true
    }

    /// The request that a thread serves.
    fn request_of(&self, nodes: &Nodes, thread: JavaThread) -> Option<NodeId> {
        let requests = self.serving.get(&thread)?;
        let mut open = requests.iter().copied();
        let Some(first) = open.find(|request| is_open(nodes, *request)) else {
            // What it does after its answer is still for that, as long as it is remembered.
            let last = requests.last().copied();
            return last.filter(|request| nodes.get(*request).is_some());
        };
        let connection = |request: NodeId| nodes.get(request).map(|node| node.connection);
        // Those that were sent ahead on one connection are served one after the other.
        open.filter(|request| is_open(nodes, *request))
            .all(|other| connection(other) == connection(first))
            .then_some(first)
    }

    /// A call is answered.
    pub fn hears(&mut self, nodes: &mut Nodes, call: NodeId, actor: Option<Actor>) {
        if let Some(VirtualCall { request, by }) = self.calls.remove(&call) {
            match actor.and_then(virtual_thread) == Some(by) {
                true => link(nodes, call, request),
                false => nodes.abstain(call, Abstained::SharedThread),
            }
        }
    }

    /// An exchange is over. A call that was not answered was given up by whoever made it.
    pub fn ends(&mut self, nodes: &mut Nodes, call: NodeId) {
        if !self.calls.is_empty()
            && let Some(VirtualCall { request, .. }) = self.calls.remove(&call)
        {
            link(nodes, call, request);
        }
    }

    fn prune(&mut self, nodes: &Nodes) {
        let is_remembered = |request: &NodeId| nodes.get(*request).is_some();
        self.serving
            .retain(|_, requests| requests.iter().any(is_remembered));
    }

    /// Bytes of memory that they take.
    pub fn memory_bytes(&self) -> usize {
        heap::table::<(JavaThread, Vec<NodeId>)>(self.serving.capacity())
            + self.serving.len() * heap::vec::<NodeId>(4)
            + heap::table::<(NodeId, VirtualCall)>(self.calls.capacity())
            + heap::table::<JavaThread>(self.of_kernel.capacity())
    }
}

fn link(nodes: &mut Nodes, call: NodeId, request: NodeId) {
    nodes.link(call, request, Mechanism::Task(TaskKind::VirtualThread));
}

fn is_open(nodes: &Nodes, node: NodeId) -> bool {
    nodes.get(node).is_some_and(|node| !node.has_ended())
}

fn virtual_thread(actor: Actor) -> Option<JavaThread> {
    let task = actor.task?;
    (task.kind == TaskKind::VirtualThread).then_some((actor.tgid, task.id))
}
