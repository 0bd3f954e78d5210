//! Which request a task serves, where runtimes tell tasks apart: what it then asks for belongs to
//! that request. A task that another one makes serves what that one serves at that moment; a table
//! of who made whom would be wrong for whoever outlives the request.

use hashbrown::HashMap;
use wirespan_common::record::{ConnectionId, TaskEvent, TaskKind, TaskNote};
use wirespan_protocols::heap;

use super::go::{Doubts, ForItsRequest, Goroutine, Inherited, Outliving};
use super::node::NodeRequests;
use super::proxies::Proxies;
use super::pruning::Pruning;
use super::{Abstained, Actor, Begun, Mechanism, Node, NodeId, Task, nodes::Nodes};

/// Tasks that are remembered; of more it is not known what they serve.
const TASKS_MAX: usize = 128 * 1024;

/// Requests of a connection, by stream where it has streams.
type ServedPlace = (ConnectionId, u64);

/// What tasks serve.
#[derive(Debug, Default)]
pub struct Tasks {
    serving: HashMap<(u32, Task), TaskServing>,
    proxies: Proxies,
    node: NodeRequests,
    /// Requests that are read on a connection, the latest of each place.
    served: HashMap<ServedPlace, NodeId>,
    /// Somebody was seen who names requests by their connection.
    are_named: bool,
    /// Who asks next on a connection, or on a stream of it.
    asking: HashMap<ServedPlace, (Request, TaskKind)>,
    /// Calls on streams that a goroutine made; who wanted them may be told when they were sent.
    called: HashMap<ServedPlace, Called>,
    outliving: Outliving,
    doubts: Doubts,
    /// Of `serving` and of `asking`.
    pruning: [Pruning; 2],
}

/// A request for which something is done.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// Which.
    pub node: NodeId,
    /// If this goroutine ends without serving anybody else.
    pub doubt: Option<Goroutine>,
}

#[derive(Clone, Copy, Debug)]
struct Called {
    call: NodeId,
    /// It is known who wanted it, or in doubt.
    is_told: bool,
}

/// What a task serves.
#[derive(Clone, Copy, Debug)]
struct TaskServing {
    node: NodeId,
    /// It has that from the goroutine that made it.
    inherited: Option<Inherited>,
}

impl Tasks {
    /// The request was read by this task, which serves it.
    pub fn serves(&mut self, nodes: &Nodes, node: NodeId, begun: &Begun, actor: Actor) {
        let Some(task) = actor.task else {
            return;
        };
        if task.kind == TaskKind::ProxyRequest {
            return self
                .proxies
                .reads(nodes, node, (actor.tgid, task), begun.stream);
        }
        if task.kind == TaskKind::NodeStore {
            return self.node.reads(nodes, node, begun, actor.tgid, task);
        }
        // Streams are read by a goroutine that serves none of them.
        let is_apart = task.kind == TaskKind::Goroutine && begun.stream.is_some();
        if is_followed(task.kind) && !is_apart {
            let inherited = None;
            self.put((actor.tgid, task), TaskServing { node, inherited });
        }
    }

    /// A request begins at a server.
    pub fn begins(&mut self, node: NodeId, begun: &Begun) {
        if self.are_named || is_stream_of_go(begun) {
            self.served.insert(place_of(begun), node);
        }
    }

    /// The request that a call belongs to, and how that is known.
    pub fn asks(&mut self, nodes: &mut Nodes, begun: &Begun) -> Option<(Request, Mechanism)> {
        if !self.asking.is_empty()
            && let Some((request, kind)) = self.asking.remove(&place_of(begun))
        {
            return live(nodes, request).map(|request| (request, Mechanism::Task(kind)));
        }
        let actor = begun.actor?;
        let task = actor.task?;
        let request = match task.kind {
            TaskKind::ProxyRequest => {
                let named = self.proxies.asks(nodes, (actor.tgid, task));
                named.map(Request::certain)
            }
            TaskKind::NodeStore => {
                let named = self.node.asks(nodes, begun, actor.tgid, task);
                named.map(Request::certain)
            }
            kind if is_followed(kind) => self.request_of(nodes, (actor.tgid, task)),
            _ => None,
        };
        Some((live(nodes, request?)?, Mechanism::Task(task.kind)))
    }

    /// A call begins. Returns whether it may be told later who wanted it, if that is not known.
    pub fn calls(&mut self, call: NodeId, begun: &Begun, is_told: bool) -> bool {
        let may_be_told = is_stream_of_go(begun) && self.called.len() < TASKS_MAX;
        if may_be_told {
            self.called
                .insert(place_of(begun), Called { call, is_told });
        }
        may_be_told
    }

    /// It becomes known later whether a call is made for a request. Returns whether there was room.
    pub fn doubts(&mut self, goroutine: Goroutine, call: NodeId, request: NodeId) -> bool {
        self.doubts.add(goroutine, call, request)
    }

    /// Whether somebody might still have told who wanted a call; by now it is over.
    pub fn is_called(&self, id: NodeId, node: &Node) -> bool {
        let place = (node.connection, node.stream.unwrap_or(0));
        let called = self.called.get(&place);
        called.is_some_and(|it| it.call == id && !it.is_told)
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
        if event == TaskEvent::Asks {
            let request = self.request_of(nodes, own);
            let request = request.and_then(|request| live(nodes, request));
            return self.asks_at(nodes, place, request, kind);
        }
        // What had its number before is over.
        let before = self.serving.remove(&own);
        if kind == TaskKind::Goroutine {
            let inherited = before.and_then(|before| before.inherited);
            self.ends(nodes, (tgid, note.task), inherited, event);
        }
        let serving = match event {
            TaskEvent::Born | TaskEvent::Given => {
                let request = self.request_of(nodes, of(note.other));
                let is_goroutine = kind == TaskKind::Goroutine;
                request.map(|Request { node, doubt }| TaskServing {
                    node,
                    inherited: is_goroutine.then(|| Inherited::new(note.part, doubt)),
                })
            }
            TaskEvent::Serves => {
                self.are_named = true;
                let inherited = None;
                let node = self.served.get(&place).copied();
                node.map(|node| TaskServing { node, inherited })
            }
            TaskEvent::Ended | TaskEvent::Asks => None,
        };
        if let Some(serving) = serving {
            self.put(own, serving);
        }
    }

    /// A goroutine has ended, or its number is another one's, which tells the same later: then
    /// nobody knows what it did in between.
    fn ends(
        &mut self,
        nodes: &mut Nodes,
        goroutine: Goroutine,
        inherited: Option<Inherited>,
        event: TaskEvent,
    ) {
        let served_others = inherited.is_none_or(|it| self.outliving.has(goroutine, &it));
        for (call, request) in self.doubts.take(goroutine) {
            if event == TaskEvent::Ended && !served_others {
                let mechanism = Mechanism::Task(TaskKind::Goroutine);
                nodes.link(call, request, mechanism);
            } else {
                nodes.abstain(call, Abstained::OutlivingTask);
            }
        }
    }

    /// The call at a place is made, or was, for this request.
    fn asks_at(
        &mut self,
        nodes: &mut Nodes,
        place: ServedPlace,
        request: Option<Request>,
        kind: TaskKind,
    ) {
        let Some(called) = self.called.get_mut(&place) else {
            match request {
                Some(request) => drop(self.asking.insert(place, (request, kind))),
                None => drop(self.asking.remove(&place)),
            }
            return;
        };
        if std::mem::replace(&mut called.is_told, true) {
            return;
        }
        let call = called.call;
        match request {
            Some(Request { node, doubt: None }) => {
                nodes.link(call, node, Mechanism::Task(kind));
            }
            Some(Request {
                node,
                doubt: Some(goroutine),
            }) if self.doubts.add(goroutine, call, node) => {}
            None => nodes.abstain(call, Abstained::IdleTask),
            Some(_) => nodes.abstain(call, Abstained::OutlivingTask),
        }
    }

    /// The request for which a task does something now.
    fn request_of(&mut self, nodes: &mut Nodes, task: (u32, Task)) -> Option<Request> {
        let TaskServing { node, inherited } = self.serving.get_mut(&task)?;
        let Some(inherited) = inherited else {
            return Some(Request::certain(*node));
        };
        let is_over = nodes.get(*node).is_none_or(Node::has_ended);
        let goroutine = (task.0, task.1.id);
        let doubt = match self.outliving.look(goroutine, inherited, is_over) {
            ForItsRequest::Yes => None,
            ForItsRequest::IfEnds(goroutine) => Some(goroutine),
            ForItsRequest::No => return None,
            ForItsRequest::NeverWas => {
                for (call, _) in self.doubts.take(goroutine) {
                    nodes.abstain(call, Abstained::OutlivingTask);
                }
                return None;
            }
        };
        Some(Request { node: *node, doubt })
    }

    /// One is over and was told.
    pub fn forget(&mut self, id: NodeId, node: &Node) {
        let place = (node.connection, node.stream.unwrap_or(0));
        if !self.served.is_empty() && self.served.get(&place) == Some(&id) {
            self.served.remove(&place);
        }
        if !self.called.is_empty() && self.called.get(&place).is_some_and(|it| it.call == id) {
            self.called.remove(&place);
        }
    }

    fn put(&mut self, task: (u32, Task), serving: TaskServing) {
        if self.serving.len() < TASKS_MAX || self.serving.contains_key(&task) {
            self.serving.insert(task, serving);
        }
    }

    /// Forgets tasks that serve nothing any more, if there are many.
    pub fn tidy(&mut self, nodes: &Nodes) {
        const MANY: usize = TASKS_MAX / 2;
        let [of_serving, of_asking] = &mut self.pruning;
        if of_serving.is_due(self.serving.len(), MANY) {
            self.serving.retain(|_, it| nodes.get(it.node).is_some());
        }
        if of_asking.is_due(self.asking.len(), MANY) {
            self.asking
                .retain(|_, (request, _)| nodes.get(request.node).is_some());
        }
        self.doubts.tidy(|call| nodes.get(call).is_some());
    }

    /// Bytes of memory that they take.
    pub fn memory_bytes(&self) -> usize {
        heap::table::<((u32, Task), TaskServing)>(self.serving.capacity())
            + self.proxies.memory_bytes()
            + self.node.memory_bytes()
            + heap::table::<(ServedPlace, NodeId)>(self.served.capacity())
            + heap::table::<(ServedPlace, (Request, TaskKind))>(self.asking.capacity())
            + heap::table::<(ServedPlace, Called)>(self.called.capacity())
            + self.outliving.memory_bytes()
            + self.doubts.memory_bytes()
    }
}

fn place_of(begun: &Begun) -> ServedPlace {
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
        TaskKind::Goroutine | TaskKind::Tokio => true,
        // Decided when they answer or hear one, or by the socket.
        TaskKind::PythonContext
        | TaskKind::ProxyRequest
        | TaskKind::VirtualThread
        | TaskKind::NodeStore
        | TaskKind::Thread => false,
    }
}

/// The request, unless it was over too long ago to be remembered.
fn live(nodes: &Nodes, request: Request) -> Option<Request> {
    nodes.get(request.node).map(|_| request)
}

impl Request {
    fn certain(node: NodeId) -> Self {
        Self { node, doubt: None }
    }
}
