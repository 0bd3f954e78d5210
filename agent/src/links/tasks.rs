//! Which request a task serves, where runtimes tell tasks apart: what it then asks for belongs to
//! that request. A task that another one makes serves what that one serves at that moment; a table
//! of who made whom would be wrong for whoever outlives the request.

use std::collections::VecDeque;

use hashbrown::HashMap;
use wirespan_common::record::{ConnectionId, TaskEvent, TaskKind, TaskNote};
use wirespan_protocols::heap;

use super::cause::{Cause, Request};
use super::go::{Doubts, ForItsRequest, Goroutine, Inherited, Outliving};
use super::node::{NodeNumber, NodeRequests};
use super::proxies::Proxies;
use super::pruning::Pruning;
use super::tokio::{Asker, Tokio};
use super::{Abstained, Actor, Begun, Mechanism, Node, NodeId, Task, nodes::Nodes};

/// Tasks that are remembered; of more it is not known what they serve.
const TASKS_MAX: usize = 128 * 1024;

/// How long it is waited, in nanoseconds of record time, whether a task whose end is not told does
/// something though its request is over.
const LATE_NS: u64 = 50_000_000;

/// Requests of a connection, by stream where it has streams.
type ServedPlace = (ConnectionId, u64);

/// What tasks serve.
#[derive(Debug, Default)]
pub struct Tasks {
    serving: HashMap<(u32, Task), TaskServing>,
    proxies: Proxies,
    tokio: Tokio,
    /// Requests that are over, with calls of tasks whose end is not told, and until when that is
    /// waited.
    late: VecDeque<(u64, NodeId)>,
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

#[derive(Clone, Copy, Debug)]
struct Called {
    call: NodeId,
    /// It is known who wanted it, or in doubt.
    is_told: bool,
}

/// What a task serves.
#[derive(Clone, Copy, Debug)]
struct TaskServing {
    cause: Cause,
    /// It has that from the goroutine, or task of tokio, that made it.
    inherited: Option<Inherited>,
}

impl Tasks {
    /// The request was read by this task, which serves it.
    pub fn serves(&mut self, nodes: &mut Nodes, node: NodeId, begun: &Begun, actor: Actor) {
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
        let of_tokio = task.kind == TaskKind::Tokio;
        // Streams are read by one that serves none of them.
        if begun.stream.is_some() && (of_tokio || task.kind == TaskKind::Goroutine) {
            if of_tokio {
                self.tokio.reads((actor.tgid, task.id), begun.connection);
            }
            return;
        }
        let own = (actor.tgid, task);
        if of_tokio && self.is_serving(nodes, own) {
            // It reads ahead, and which of them it works on is not known.
            self.serving.remove(&own);
        } else if is_followed(task.kind) {
            let (cause, inherited) = (Cause::Node(node), None);
            self.put(own, TaskServing { cause, inherited });
        }
    }

    /// Whether a task serves a request that it read and that is not over.
    fn is_serving(&self, nodes: &Nodes, task: (u32, Task)) -> bool {
        match self.serving.get(&task) {
            Some(TaskServing {
                cause: Cause::Node(node),
                inherited: None,
            }) => nodes.get(*node).is_some_and(|node| !node.has_ended()),
            _ => false,
        }
    }

    /// A request begins at a server.
    pub fn begins(&mut self, node: NodeId, begun: &Begun) {
        if self.are_named || begun.stream.is_some() && is_followed_on_streams(begun) {
            self.served.insert(place_of(begun), node);
        }
    }

    /// The request that a call belongs to, and how that is known.
    pub fn asks(
        &mut self,
        nodes: &mut Nodes,
        call: NodeId,
        begun: &Begun,
    ) -> Option<(Request, Mechanism)> {
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
            TaskKind::Tokio => self.asks_by_tokio(nodes, (actor.tgid, task), call, begun),
            TaskKind::NodeStore => {
                let named = self.node.asks(nodes, call, begun, actor.tgid, task);
                named.map(of_node)
            }
            kind if is_followed(kind) => self.request_of(nodes, (actor.tgid, task)),
            _ => None,
        };
        Some((live(nodes, request?)?, Mechanism::Task(task.kind)))
    }

    fn asks_by_tokio(
        &mut self,
        nodes: &mut Nodes,
        task: (u32, Task),
        call: NodeId,
        begun: &Begun,
    ) -> Option<Request> {
        let serving = self.serving.get(&task);
        let serves_itself = serving.is_some_and(|it| it.inherited.is_none());
        let own = (task.0, task.1.id);
        match self.tokio.asks(own, call, begun, serves_itself) {
            Asker::Own => self.request_of(nodes, task),
            Asker::Others(Some(Request { by: Some(by), .. })) => {
                let (kind, part) = (TaskKind::Tokio, 0);
                let (tgid, id) = by;
                self.request_of(nodes, (tgid, Task { kind, id, part }))
            }
            Asker::Others(request) => self.known(request?),
        }
    }

    /// The same request, by now perhaps known for which it is; `None` if it never will be.
    fn known(&self, request: Request) -> Option<Request> {
        let Cause::Handler(task) = request.cause else {
            return Some(request);
        };
        match self.tokio.answered(task) {
            None => Some(request),
            Some(answered) => answered.map(|node| Request {
                cause: Cause::Node(node),
                ..request
            }),
        }
    }

    /// A call waits until a task has answered. Returns whether there was room.
    pub fn awaits(&mut self, task: (u32, u64), call: NodeId, doubt: Option<Goroutine>) -> bool {
        self.tokio.awaits(task, call, doubt)
    }

    /// A call begins. Returns whether it may be told later who wanted it, if that is not known.
    pub fn calls(&mut self, call: NodeId, begun: &Begun, is_told: bool) -> bool {
        if self.node.waits(call) {
            return true;
        }
        let may_be_told = is_stream_of_go(begun) && self.called.len() < TASKS_MAX;
        if may_be_told {
            self.called
                .insert(place_of(begun), Called { call, is_told });
        }
        may_be_told
    }

    /// It becomes known later whether a call is made for a request. Returns whether there was room.
    pub fn doubts(
        &mut self,
        nodes: &Nodes,
        doubt: (Goroutine, TaskKind),
        call: NodeId,
        request: NodeId,
    ) -> bool {
        let (task, kind) = doubt;
        if kind != TaskKind::Tokio {
            return self.doubts.add(task, call, request);
        }
        let is_added = self.doubts.add_endless(task, call, request);
        if is_added && nodes.get(request).is_some_and(Node::has_ended) {
            self.late.push_back((nodes.now_ns() + LATE_NS, request));
        }
        is_added
    }

    /// Time passed: tasks that did nothing for others by now did all of it for their request, and
    /// so did those of Node whose number was not used since.
    pub fn tick(&mut self, nodes: &mut Nodes, now_ns: u64) {
        while let Some((call, request)) = self.node.next_after(now_ns) {
            match request {
                Some(request) => {
                    nodes.comes_after(call, request, Mechanism::Task(TaskKind::NodeStore));
                }
                None => nodes.abstain(call, Abstained::OutlivingTask),
            }
        }
        while let Some((number, is_own)) = self.node.next_due(now_ns) {
            for (call, request) in self.doubts.take(number) {
                if is_own {
                    nodes.link(call, request, Mechanism::Task(TaskKind::NodeStore));
                } else {
                    nodes.abstain(call, Abstained::OutlivingTask);
                }
            }
        }
        while let Some((_, request)) = self.late.pop_front_if(|(until_ns, _)| *until_ns <= now_ns) {
            for task in self.doubts.take_endless(request) {
                let kind = TaskKind::Tokio;
                let (id, part) = (task.1, 0);
                let serving = self.serving.get(&(task.0, Task { kind, id, part }));
                let inherited = serving.and_then(|serving| serving.inherited);
                let served_others = inherited.is_none_or(|it| self.outliving.has(task, &it));
                for (call, request) in self.doubts.take(task) {
                    match served_others {
                        true => nodes.abstain(call, Abstained::OutlivingTask),
                        false => nodes.link(call, request, Mechanism::Task(kind)),
                    }
                }
            }
        }
    }

    /// Whether somebody might still have told who wanted a call; by now it is over.
    pub fn is_called(&self, id: NodeId, node: &Node) -> bool {
        let place = (node.connection, node.stream.unwrap_or(0));
        let called = self.called.get(&place);
        called.is_some_and(|it| it.call == id && !it.is_told)
    }

    /// A request is over.
    pub fn request_ends(&mut self, node: NodeId, now_ns: u64) {
        self.node.ends(node, now_ns);
        if self.doubts.has_endless(node) {
            self.late.push_back((now_ns + LATE_NS, node));
        }
    }

    /// When something is decided by the time alone, in nanoseconds of record time.
    #[must_use]
    pub fn until_ns(&self) -> Option<u64> {
        let of_tokio = self.late.front().map(|(until_ns, _)| *until_ns);
        of_tokio.into_iter().chain(self.node.until_ns()).min()
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
        (tgid, tid): (u32, u32),
        (event, kind): (TaskEvent, TaskKind),
        note: &TaskNote,
        numbers: &[u64],
    ) {
        if kind == TaskKind::Tokio {
            return self.note_of_tokio(nodes, (tgid, tid), event, note, numbers);
        }
        if kind == TaskKind::NodeStore {
            return self.note_of_node(nodes, (tgid, note.task), event, note);
        }
        let of = |id| {
            let part = 0;
            (tgid, Task { kind, id, part })
        };
        if note.after_loss != 0 && kind == TaskKind::Goroutine {
            self.lose(nodes, tgid);
        }
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
                if let Some(Request { cause, .. }) = request {
                    cause.may_be_outlived(nodes);
                }
                let is_goroutine = kind == TaskKind::Goroutine;
                request.map(|Request { cause, doubt, .. }| TaskServing {
                    cause,
                    inherited: is_goroutine.then(|| Inherited::new(note.part, doubt)),
                })
            }
            TaskEvent::Serves => {
                self.are_named = true;
                let inherited = None;
                let node = self.served.get(&place).copied();
                if let Some(node) = node {
                    nodes.served(node);
                }
                node.map(|node| TaskServing {
                    cause: Cause::Node(node),
                    inherited,
                })
            }
            _ => None,
        };
        if let Some(serving) = serving {
            self.put(own, serving);
        }
    }

    /// The script in Node told of a stream.
    fn note_of_node(
        &mut self,
        nodes: &mut Nodes,
        number: NodeNumber,
        event: TaskEvent,
        note: &TaskNote,
    ) {
        let place = (note.other, note.part.into());
        match event {
            TaskEvent::Serves => {
                if let Some(request) = self.served.get(&place) {
                    self.node.claims(nodes, *request, note.other, number);
                }
            }
            TaskEvent::Asks => {
                let named = self.node.request_with(nodes, None, number);
                self.asks_at(nodes, place, named.map(of_node), TaskKind::NodeStore);
            }
            _ => {}
        }
    }

    /// Some of what became of a process's goroutines was not told: their numbers may be others' by
    /// now, so none of them serves a request that is known.
    fn lose(&mut self, nodes: &Nodes, tgid: u32) {
        self.serving
            .retain(|(of, task), _| *of != tgid || task.kind != TaskKind::Goroutine);
        self.asking.retain(|_, (request, kind)| {
            let owner = match request.cause {
                Cause::Node(node) => nodes.get(node).map(|node| node.owner),
                Cause::Handler((tgid, _)) => Some(tgid),
            };
            *kind != TaskKind::Goroutine || owner != Some(tgid)
        });
    }

    /// tokio told something of a task.
    fn note_of_tokio(
        &mut self,
        nodes: &mut Nodes,
        (tgid, tid): (u32, u32),
        event: TaskEvent,
        note: &TaskNote,
        numbers: &[u64],
    ) {
        let of = |id| {
            let (kind, part) = (TaskKind::Tokio, 0);
            (tgid, Task { kind, id, part })
        };
        match event {
            TaskEvent::Born => {
                self.serving.remove(&of(note.task));
                if let Some(cause) = self.tokio.born(tgid, tid, note) {
                    let inherited = None;
                    self.put(of(note.task), TaskServing { cause, inherited });
                } else if let Some(Request { cause, doubt, .. }) =
                    self.request_of(nodes, of(note.other))
                {
                    cause.may_be_outlived(nodes);
                    let inherited = Some(Inherited::new(note.part, doubt));
                    self.put(of(note.task), TaskServing { cause, inherited });
                }
            }
            TaskEvent::Put => {
                let request = self.serving.get(&of(note.task)).map(|serving| Request {
                    cause: serving.cause,
                    doubt: None,
                    by: serving.inherited.map(|_| (tgid, note.task)),
                });
                let cause = request.map(|request| request.cause);
                let taker = self.tokio.puts(nodes, tgid, note, numbers, request);
                // Who is given something by others does not work for the request it was made for.
                if let Some((_, taker)) = taker.filter(|(_, taker)| *taker != note.task)
                    && let Some(serving) = self.serving.get(&of(taker))
                    && serving.inherited.is_some()
                    && Some(serving.cause) != cause
                {
                    self.serving.remove(&of(taker));
                }
            }
            TaskEvent::Sends => self.tokio.sends(tgid, note, numbers),
            TaskEvent::Answers => self.answers(nodes, of(note.task), numbers),
            _ => {}
        }
        self.tokio.tidy(nodes);
    }

    /// A task answers on a stream.
    fn answers(&mut self, nodes: &mut Nodes, task: (u32, Task), numbers: &[u64]) {
        let (Some(stream), Some(serving)) = (numbers.first(), self.serving.get(&task)) else {
            return;
        };
        let Cause::Handler(handler) = serving.cause else {
            return;
        };
        let served = &self.served;
        let request = |connection, stream| served.get(&(connection, stream)).copied();
        let kind = TaskKind::Tokio;
        let answered = self.tokio.answers(handler, *stream, request).into_iter();
        let calls = answered.flat_map(|(request, calls)| {
            calls
                .into_iter()
                .map(move |(call, doubt)| (request, call, doubt))
        });
        for (request, call, doubt) in calls {
            match doubt {
                None => nodes.link(call, request, Mechanism::Task(kind)),
                Some(task) if self.doubts(nodes, (task, kind), call, request) => {}
                Some(_) => nodes.abstain(call, Abstained::OutlivingTask),
            }
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
            Some(Request {
                cause: Cause::Node(node),
                doubt: None,
                ..
            }) => nodes.serve(call, node, Mechanism::Task(kind)),
            Some(Request {
                cause: Cause::Node(node),
                doubt: Some(goroutine),
                ..
            }) if self.doubts.add(goroutine, call, node) => {}
            None => nodes.abstain(call, Abstained::IdleTask),
            Some(_) => nodes.abstain(call, Abstained::OutlivingTask),
        }
    }

    /// The request for which a task does something now.
    fn request_of(&mut self, nodes: &mut Nodes, task: (u32, Task)) -> Option<Request> {
        let tokio = &self.tokio;
        let TaskServing { cause, inherited } = self.serving.get_mut(&task)?;
        if let Cause::Handler(handler) = *cause
            && let Some(answered) = tokio.answered(handler)
        {
            *cause = Cause::Node(answered?);
        }
        let cause = *cause;
        let by = None;
        let Some(inherited) = inherited else {
            let doubt = None;
            return Some(Request { cause, doubt, by });
        };
        let is_over = match cause {
            Cause::Node(node) => nodes.get(node).is_none_or(Node::has_ended),
            Cause::Handler(_) => false,
        };
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
        Some(Request { cause, doubt, by })
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
            let tokio = &self.tokio;
            self.serving.retain(|_, it| match it.cause {
                Cause::Node(node) => nodes.knows(node),
                Cause::Handler(task) => tokio.is_awaited(task),
            });
        }
        if of_asking.is_due(self.asking.len(), MANY) {
            self.asking
                .retain(|_, (request, _)| live(nodes, *request).is_some());
        }
        self.doubts.tidy(|call| nodes.get(call).is_some());
    }

    /// Bytes of memory that they take.
    pub fn memory_bytes(&self) -> usize {
        heap::table::<((u32, Task), TaskServing)>(self.serving.capacity())
            + self.proxies.memory_bytes()
            + self.tokio.memory_bytes()
            + heap::vec::<(u64, NodeId)>(self.late.capacity())
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

/// What the script in Node says something is asked for, and the number that has to be its own.
fn of_node((node, doubt): (NodeId, Option<NodeNumber>)) -> Request {
    Request {
        cause: Cause::Node(node),
        doubt,
        by: None,
    }
}

/// Whether it is an exchange that is read by one who does not serve it.
fn is_followed_on_streams(begun: &Begun) -> bool {
    let task = begun.actor.and_then(|actor| actor.task);
    task.is_some_and(|task| {
        matches!(
            task.kind,
            TaskKind::Goroutine | TaskKind::Tokio | TaskKind::NodeStore
        )
    })
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
    match request.cause {
        Cause::Node(node) => nodes.knows(node).then_some(request),
        Cause::Handler(_) => Some(request),
    }
}
