//! Which request a task serves, where runtimes tell tasks apart: what it then asks for belongs to
//! that request. A task that another one makes serves what that one serves at that moment; a table
//! of who made whom would be wrong for whoever outlives the request.

use hashbrown::HashMap;
use wirespan_common::record::{ConnectionId, TaskEvent, TaskKind, TaskNote};
use wirespan_protocols::heap;

use super::go::{Inherited, Outliving};
use super::{Actor, Begun, Mechanism, Node, NodeId, Task, nodes::Nodes};

/// Tasks that are remembered; of more it is not known what they serve.
const TASKS_MAX: usize = 128 * 1024;

/// Requests of a connection, by stream where it has streams.
type Place = (ConnectionId, u64);

/// What tasks serve.
#[derive(Debug, Default)]
pub struct Tasks {
    serving: HashMap<(u32, Task), Serving>,
    /// Requests that are read on a connection, the latest of each place.
    served: HashMap<Place, NodeId>,
    /// Somebody was seen who names requests by their connection.
    are_named: bool,
    /// Who asks next on a connection, or on a stream of it.
    asking: HashMap<Place, (NodeId, TaskKind)>,
    /// Calls on streams that a goroutine made; who wanted them may be told when they were sent.
    called: HashMap<Place, NodeId>,
    outliving: Outliving,
}

/// What a task serves.
#[derive(Clone, Copy, Debug)]
struct Serving {
    node: NodeId,
    /// It has that from the goroutine that made it.
    inherited: Option<Inherited>,
}

impl Tasks {
    /// The request was read by this task, which serves it.
    pub fn serves(&mut self, node: NodeId, begun: &Begun, actor: Actor) {
        let Some(task) = actor.task.filter(|task| is_followed(task.kind)) else {
            return;
        };
        // Streams are read by a goroutine that serves none of them.
        if task.kind != TaskKind::Goroutine || begun.stream.is_none() {
            let inherited = None;
            self.put((actor.tgid, task), Serving { node, inherited });
        }
    }

    /// A request begins at a server.
    pub fn begins(&mut self, node: NodeId, begun: &Begun) {
        if self.are_named || is_stream_of_go(begun) {
            self.served.insert(place_of(begun), node);
        }
    }

    /// The request that a call belongs to, and how that is known.
    pub fn asks(&mut self, nodes: &Nodes, begun: &Begun) -> Option<(NodeId, Mechanism)> {
        if !self.asking.is_empty()
            && let Some((node, kind)) = self.asking.remove(&place_of(begun))
        {
            return live(nodes, node).map(|node| (node, Mechanism::Task(kind)));
        }
        let actor = begun.actor?;
        let task = actor.task?;
        let node = match task.kind {
            // Its number is the connection of the request itself.
            TaskKind::ProxyRequest => {
                self.are_named = true;
                self.served.get(&(task.id, task.part.into())).copied()
            }
            kind if is_followed(kind) => self.request_of(nodes, (actor.tgid, task)),
            _ => None,
        };
        Some((live(nodes, node?)?, Mechanism::Task(task.kind)))
    }

    /// A call begins. Returns whether it may be told later who wanted it, if that is not known.
    pub fn calls(&mut self, node: NodeId, begun: &Begun) -> bool {
        let may_be_told = is_stream_of_go(begun) && self.called.len() < TASKS_MAX;
        if may_be_told {
            self.called.insert(place_of(begun), node);
        }
        may_be_told
    }

    /// Whether somebody might still have told who wanted a call; by now it is over.
    pub fn is_called(&self, id: NodeId, node: &Node) -> bool {
        let place = (node.connection, node.stream.unwrap_or(0));
        self.called.get(&place) == Some(&id)
    }

    /// What was said of a socket is said of the TLS object that is on it from now on.
    pub fn carries(&mut self, socket: ConnectionId, object: ConnectionId) {
        if let Some(asking) = self.asking.remove(&(socket, 0)) {
            self.asking.insert((object, 0), asking);
        }
    }

    /// A runtime told something of a task.
    pub fn note(
        &mut self,
        nodes: &mut Nodes,
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
        let (node, inherited) = match event {
            TaskEvent::Born | TaskEvent::Given => {
                let is_goroutine = kind == TaskKind::Goroutine;
                let inherited = is_goroutine.then(|| Inherited::new(note.part));
                (self.request_of(nodes, of(note.other)), inherited)
            }
            TaskEvent::Serves => {
                self.are_named = true;
                (self.served.get(&place).copied(), None)
            }
            TaskEvent::Ended => (None, None),
            TaskEvent::Asks => {
                let request = self.request_of(nodes, own);
                let request = request.and_then(|node| live(nodes, node));
                self.asks_at(nodes, place, request, kind);
                return;
            }
        };
        match node {
            Some(node) => self.put(own, Serving { node, inherited }),
            // What had its number before is over.
            None => drop(self.serving.remove(&own)),
        }
    }

    /// The call at a place is made, or was, for this request.
    fn asks_at(
        &mut self,
        nodes: &mut Nodes,
        place: Place,
        request: Option<NodeId>,
        kind: TaskKind,
    ) {
        match (self.called.get(&place), request) {
            (Some(&call), Some(request)) => nodes.link(call, request, Mechanism::Task(kind)),
            (Some(&call), None) => nodes.stand_alone(call),
            (None, Some(request)) => drop(self.asking.insert(place, (request, kind))),
            (None, None) => drop(self.asking.remove(&place)),
        }
    }

    /// The request for which a task does something now.
    fn request_of(&mut self, nodes: &Nodes, task: (u32, Task)) -> Option<NodeId> {
        let Serving { node, inherited } = self.serving.get_mut(&task)?;
        if let Some(inherited) = inherited {
            let is_over = nodes.get(*node).is_none_or(Node::has_ended);
            let outliving = &mut self.outliving;
            if !outliving.is_for_its_request(task.0, inherited, is_over) {
                return None;
            }
        }
        Some(*node)
    }

    /// One is over and was told.
    pub fn forget(&mut self, id: NodeId, node: &Node) {
        let place = (node.connection, node.stream.unwrap_or(0));
        for known in [&mut self.served, &mut self.called] {
            if !known.is_empty() && known.get(&place) == Some(&id) {
                known.remove(&place);
            }
        }
    }

    fn put(&mut self, task: (u32, Task), serving: Serving) {
        if self.serving.len() < TASKS_MAX || self.serving.contains_key(&task) {
            self.serving.insert(task, serving);
        }
    }

    /// Forgets tasks that serve nothing any more, if there are many.
    pub fn tidy(&mut self, nodes: &Nodes) {
        const MANY: usize = TASKS_MAX / 2;
        if self.serving.len() >= MANY {
            self.serving.retain(|_, it| nodes.get(it.node).is_some());
        }
        if self.asking.len() >= MANY {
            self.asking
                .retain(|_, (node, _)| nodes.get(*node).is_some());
        }
    }

    /// Bytes of memory that they take.
    pub fn memory_bytes(&self) -> usize {
        heap::table::<((u32, Task), Serving)>(self.serving.capacity())
            + heap::table::<(Place, NodeId)>(self.served.capacity())
            + heap::table::<(Place, (NodeId, TaskKind))>(self.asking.capacity())
            + heap::table::<(Place, NodeId)>(self.called.capacity())
            + self.outliving.memory_bytes()
    }
}

fn place_of(begun: &Begun) -> Place {
    (begun.connection, begun.stream.unwrap_or(0))
}

/// Whether it is an exchange on a stream whose bytes a goroutine moves. Who asks or serves may be
/// another one.
fn is_stream_of_go(begun: &Begun) -> bool {
    let task = begun.actor.and_then(|actor| actor.task);
    begun.stream.is_some() && task.is_some_and(|task| task.kind == TaskKind::Goroutine)
}

/// Whether what a task of this kind asks for belongs to the request that it read.
fn is_followed(kind: TaskKind) -> bool {
    match kind {
        TaskKind::Goroutine | TaskKind::Tokio | TaskKind::VirtualThread | TaskKind::NodeStore => {
            true
        }
        // Decided when they answer, or by the connection.
        TaskKind::PythonContext | TaskKind::ProxyRequest | TaskKind::ThreadTurn => false,
    }
}

/// The request, unless it was over too long ago to be remembered.
fn live(nodes: &Nodes, node: NodeId) -> Option<NodeId> {
    nodes.get(node).map(|_| node)
}
