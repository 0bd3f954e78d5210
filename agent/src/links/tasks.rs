//! Which request a task serves, where runtimes tell tasks apart: what it then asks for belongs to
//! that request. A task that another one makes serves what that one serves at that moment; a table
//! of who made whom would be wrong for whoever outlives the request.

use hashbrown::HashMap;
use wirespan_common::record::{ConnectionId, TaskEvent, TaskKind, TaskNote};
use wirespan_protocols::heap;

use super::proxies::Proxies;
use super::{Actor, Begun, Mechanism, Node, NodeId, Task, nodes::Nodes};

/// Tasks that are remembered; of more it is not known what they serve.
const TASKS_MAX: usize = 128 * 1024;

/// Requests of a connection, by stream where it has streams.
type ServedPlace = (ConnectionId, u64);

/// What tasks serve.
#[derive(Debug, Default)]
pub struct Tasks {
    serving: HashMap<(u32, Task), NodeId>,
    proxies: Proxies,
    /// Requests that are read on a connection, the latest of each place.
    served: HashMap<ServedPlace, NodeId>,
    /// Somebody was seen who names requests by their connection.
    are_named: bool,
    /// Who asks next on a connection, or on a stream of it.
    asking: HashMap<ServedPlace, (NodeId, TaskKind)>,
}

impl Tasks {
    /// The request was read by this task, which serves it.
    pub fn serves(&mut self, nodes: &Nodes, node: NodeId, actor: Actor, stream: Option<u64>) {
        match actor.task {
            Some(task) if task.kind == TaskKind::ProxyRequest => {
                self.proxies.reads(nodes, node, (actor.tgid, task), stream);
            }
            Some(task) if is_followed(task.kind) => self.put((actor.tgid, task), node),
            _ => {}
        }
    }

    /// A request begins at a server.
    pub fn begins(&mut self, node: NodeId, begun: &Begun) {
        if self.are_named {
            let place = (begun.connection, begun.stream.unwrap_or(0));
            self.served.insert(place, node);
        }
    }

    /// The request that a call belongs to, and how that is known.
    pub fn asks(&mut self, nodes: &Nodes, begun: &Begun) -> Option<(NodeId, Mechanism)> {
        if !self.asking.is_empty() {
            let place = (begun.connection, begun.stream.unwrap_or(0));
            if let Some((node, kind)) = self.asking.remove(&place) {
                return live(nodes, node).map(|node| (node, Mechanism::Task(kind)));
            }
        }
        let actor = begun.actor?;
        let task = actor.task?;
        let node = match task.kind {
            TaskKind::ProxyRequest => self.proxies.asks(nodes, (actor.tgid, task)),
            kind if is_followed(kind) => self.serving.get(&(actor.tgid, task)).copied(),
            _ => None,
        };
        let node = live(nodes, node?)?;
        Some((node, Mechanism::Task(task.kind)))
    }

    /// A runtime told something of a task.
    pub fn note(
        &mut self,
        nodes: &Nodes,
        tgid: u32,
        event: TaskEvent,
        kind: TaskKind,
        note: &TaskNote,
    ) {
        let of = |id| {
            let part = 0;
            (tgid, Task { kind, id, part })
        };
        let own = of(note.task);
        let place = (note.other, note.part.into());
        match event {
            TaskEvent::Born => match self.serving.get(&of(note.other)) {
                Some(&node) => self.put(own, node),
                // What had its number before is over.
                None => drop(self.serving.remove(&own)),
            },
            TaskEvent::Ended => drop(self.serving.remove(&own)),
            TaskEvent::Serves => {
                self.are_named = true;
                match self.served.get(&place) {
                    Some(&node) => self.put(own, node),
                    None => drop(self.serving.remove(&own)),
                }
            }
            TaskEvent::Asks => {
                let serving = self.serving.get(&own);
                match serving.and_then(|node| live(nodes, *node)) {
                    Some(node) => drop(self.asking.insert(place, (node, kind))),
                    None => drop(self.asking.remove(&place)),
                }
            }
            TaskEvent::Given => match self.serving.get(&of(note.other)) {
                Some(&node) => self.put(own, node),
                None => drop(self.serving.remove(&own)),
            },
        }
    }

    /// One is over and was told.
    pub fn forget(&mut self, id: NodeId, node: &Node) {
        if self.served.is_empty() {
            return;
        }
        let place = (node.connection, node.stream.unwrap_or(0));
        if self.served.get(&place) == Some(&id) {
            self.served.remove(&place);
        }
    }

    fn put(&mut self, task: (u32, Task), node: NodeId) {
        if self.serving.len() < TASKS_MAX || self.serving.contains_key(&task) {
            self.serving.insert(task, node);
        }
    }

    /// Forgets tasks that serve nothing any more, if there are many.
    pub fn tidy(&mut self, nodes: &Nodes) {
        const MANY: usize = TASKS_MAX / 2;
        if self.serving.len() >= MANY {
            self.serving.retain(|_, node| nodes.get(*node).is_some());
        }
        if self.asking.len() >= MANY {
            self.asking
                .retain(|_, (node, _)| nodes.get(*node).is_some());
        }
    }

    /// Bytes of memory that they take.
    pub fn memory_bytes(&self) -> usize {
        heap::table::<((u32, Task), NodeId)>(self.serving.capacity())
            + self.proxies.memory_bytes()
            + heap::table::<(ServedPlace, NodeId)>(self.served.capacity())
            + heap::table::<(ServedPlace, (NodeId, TaskKind))>(self.asking.capacity())
    }
}

/// Whether what a task of this kind asks for belongs to the request that it read.
fn is_followed(kind: TaskKind) -> bool {
    match kind {
        TaskKind::Goroutine | TaskKind::Tokio | TaskKind::VirtualThread | TaskKind::NodeStore => {
            true
        }
        // Decided when they answer, or by the socket.
        TaskKind::PythonContext | TaskKind::ProxyRequest | TaskKind::Thread => false,
    }
}

/// The request, unless it was over too long ago to be remembered.
fn live(nodes: &Nodes, node: NodeId) -> Option<NodeId> {
    nodes.get(node).map(|_| node)
}
