//! Which exchange was asked for by which, on this node: a call belongs to the request that a task
//! was serving when it made it, and a request at a server to the call that a client made. Nothing
//! is guessed: where two answers are possible there is none, and the exchange stays the root of a
//! trace of its own, which is mended more easily than a wrong parent.
//!
//! Each exchange is a [`nodes`] of a tree from its beginning on. Who asked for it is known at once
//! ([`tasks`], [`joins`]) or when something is answered ([`threads`]); until then whoever comes of
//! it waits for its trace. Everything is decided by records, in their order, so that a replay links
//! as the live run did.

mod cause;
mod elsewhere;
mod go;
mod gone;
mod headers;
mod java;
mod joins;
mod node;
mod nodes;
mod options;
mod proxies;
mod pruning;
mod python;
mod questions;
mod recent;
mod tally;
mod tasks;
mod threads;
mod tokio;
mod turns;
mod wire;

use std::net::IpAddr;
use std::sync::Arc;

use wirespan_common::record::{ConnectionId, TaskEvent, TaskKind, TaskNote};
use wirespan_protocols::exchange::{Role, Ticket};

pub use joins::{Ends, JoinKey, Meeting, OF_CARRIER, OF_STREAM};
pub use nodes::{Node, NodeId};
pub use options::{TcpPlace, TcpPoint};
pub use questions::{CallerContext, ForPeers};
pub use tally::{Abstained, LinkCounts, LinkTally, QuestionFate};
pub use wire::Wire;

use crate::trace_context::{Named, SpanContext, TraceContext};
use cause::{Cause, Request};
use headers::{Headers, PassedOn};
use java::VirtualThreads;
use joins::Joins;
use nodes::{Nodes, REMEMBERED_MAX};
use options::OptionsHeard;
use python::{Decision, Python, RequestRead};
use questions::Questions;
use tasks::Tasks;
use threads::Threads;

/// How long an exchange that is over may still be found by what it caused, in nanoseconds of record
/// time: records of two processors, or of two processes, come in no certain order, and what a
/// request started may outlive it a little.
const REMEMBERED_NS: u64 = 100_000_000;

/// How long the first request of a connection waits for a client of which nothing is known, not
/// even that it is on this node: whose address is translated tells that with its own first record,
/// which may come after the server's, in nanoseconds of record time.
const OVERTAKEN_NS: u64 = 10_000_000;

/// Where both ends of a connection are on this node and watched, the later one announces itself
/// within so long of the other, in nanoseconds of record time: each does when it first moves bytes.
pub const ANNOUNCED_WITHIN_NS: u64 = REMEMBERED_NS;

/// How long a parent that may still become known is waited for, in nanoseconds of record time.
const AWAITED_NS: u64 = 10_000_000_000;

/// A task of a runtime, within its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Task {
    /// Of which kind.
    pub kind: TaskKind,
    /// Its number.
    pub id: u64,
    /// A part of it, or 0.
    pub part: u32,
}

/// Who made a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Actor {
    /// Process.
    pub tgid: u32,
    /// Thread.
    pub tid: u32,
    /// What ran on the thread, where that is known.
    pub task: Option<Task>,
}

/// How it is known which exchange asked for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// The task that served the one made the other.
    Task(TaskKind),
    /// The thread that answered the one had made the other in between.
    Thread,
    /// The request named the trace that it belongs to.
    Header,
    /// Both are the same exchange, seen at both ends of its connection.
    Connection,
    /// Both have the same `X-Request-Id`, and no other request of the process had it.
    RequestId,
    /// The agent of another node was asked, and saw the other end of the connection.
    Asked,
    /// An option of TCP said so, which the client's node had put into it.
    TcpOption,
}

impl Mechanism {
    /// As it stands in spans.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Task(TaskKind::Goroutine) => "goroutine",
            Self::Task(TaskKind::Tokio) => "tokio",
            Self::Task(TaskKind::PythonContext) => "python_context",
            Self::Task(TaskKind::ProxyRequest) => "proxy_request",
            Self::Task(TaskKind::VirtualThread) => "virtual_thread",
            Self::Task(TaskKind::NodeStore) => "node_store",
            Self::Task(TaskKind::Thread) | Self::Thread => "thread",
            Self::Header => "header",
            Self::Connection => "connection",
            Self::RequestId => "request_id",
            Self::Asked => "asked",
            Self::TcpOption => "tcp_option",
        }
    }

    /// Whether what asked for it is on this node.
    #[must_use]
    pub const fn is_within_node(self) -> bool {
        !matches!(self, Self::Asked | Self::TcpOption)
    }
}

/// What is known of an exchange as it begins.
#[derive(Clone, Copy, Debug)]
pub struct Begun {
    /// Which side of it is watched.
    pub role: Role,
    /// Whose it is.
    pub owner: u32,
    /// On which connection.
    pub connection: ConnectionId,
    /// On which stream of it, where it has streams.
    pub stream: Option<u64>,
    /// Who moved the last byte of the request's head; `None` if that was not this record.
    pub actor: Option<Actor>,
    /// Where it may be seen at the other end of its connection.
    pub ends: Option<Ends>,
    /// The address of that end, as far as this one sees, where other nodes may be asked.
    pub peer: Option<IpAddr>,
    /// Where on its TCP connection its request is, where options are heeded.
    pub place: Option<TcpPlace>,
    /// Where it may be seen may become known when it is answered.
    pub may_meet_later: bool,
    /// When the head of the request ended.
    pub time_ns: u64,
    /// An SDK in the process makes its span, and ours is left out.
    pub is_left_to_sdk: bool,
}

/// All links.
#[derive(Debug)]
pub struct Links {
    trace_context: TraceContext,
    nodes: Nodes,
    headers: Headers,
    joins: Joins,
    tasks: Tasks,
    threads: Threads,
    java: VirtualThreads,
    python: Python,
    derives_traces: bool,
    questions: Questions,
    options: OptionsHeard,
    /// Requests may be served of which nobody here knows until then, in nanoseconds of record time:
    /// their connections are left out.
    unseen_until_ns: u64,
}

impl Links {
    /// None yet; ids will be taken from `trace_context`.
    #[must_use]
    pub fn new(trace_context: TraceContext) -> Self {
        Self {
            trace_context,
            nodes: Nodes::default(),
            headers: Headers::default(),
            joins: Joins::default(),
            tasks: Tasks::default(),
            threads: Threads::default(),
            java: VirtualThreads::default(),
            python: Python::default(),
            derives_traces: false,
            questions: Questions::default(),
            options: OptionsHeard::default(),
            unseen_until_ns: 0,
        }
    }

    /// Some connections are left out from now on, or none is any more. What was read on them before
    /// may still be served for a while.
    pub fn leave_out(&mut self, leaves_out: bool, now_ns: u64) {
        if leaves_out {
            self.unseen_until_ns = u64::MAX;
        } else if self.unseen_until_ns == u64::MAX {
            self.unseen_until_ns = now_ns.saturating_add(AWAITED_NS);
        }
    }

    /// An exchange begins, whose request named the trace that it belongs to, if it did.
    pub fn begin(&mut self, begun: &Begun, named: Named) -> NodeId {
        let begun = &Begun {
            actor: begun.actor.map(|actor| self.java.know(actor)),
            ..*begun
        };
        let mut own = self.trace_context.place(begun.role, named);
        if self.derives_traces
            && named.parent.is_none()
            && let Some(trace_id) = begun.ends.and_then(|ends| ends.key.trace_id())
        {
            own.trace_id = trace_id;
        }
        let derived = begun.ends.and_then(|ends| ends.key.span_id());
        if begun.role == Role::Client
            && let Some(span_id) = derived
        {
            own.span_id = span_id;
        }
        let node = self.nodes.begin(Node::new(own, named, begun));
        match begun.role {
            Role::Server => self.begin_server(node, begun, named),
            Role::Client => self.begin_client(node, begun, named),
        }
        node
    }

    /// Ids of traces that begin here follow from the connection.
    pub fn derive_traces(&mut self, derives: bool) {
        self.derives_traces = derives;
    }

    fn begin_server(&mut self, node: NodeId, begun: &Begun, named: Named) {
        self.headers.serves(node, begun.owner, named);
        self.threads.begins(begun.owner);
        if let Some(actor) = begun.actor {
            self.tasks.serves(&mut self.nodes, node, begun, actor);
            self.threads.reads(&mut self.nodes, node, actor);
            self.java.reads(&self.nodes, node, begun, actor);
            let read = RequestRead {
                node,
                connection: begun.connection,
                has_streams: begun.stream.is_some(),
                time_ns: begun.time_ns,
            };
            if self.python.reads(read, actor)
                && let Some(known) = self.nodes.get_mut(node)
            {
                known.may_be_outlived = true;
            }
        }
        self.tasks.begins(node, begun);
        let caller = begun.ends.and_then(|ends| self.joins.server(node, ends));
        match caller {
            Some(caller) => self.nodes.link(node, caller, Mechanism::Connection),
            None if self.heed(node, begun) => {}
            None if begun.may_meet_later => self.nodes.await_for(node, AWAITED_NS),
            None if self.ask(node, begun.ends, begun.peer) => {}
            None if begun.ends.is_some_and(|ends| ends.may_be_local) => {
                self.nodes.await_for(node, REMEMBERED_NS);
            }
            None if begun.ends.is_some_and(|ends| ends.key.is_first()) => {
                self.nodes.await_for(node, OVERTAKEN_NS);
            }
            None if begun.place.is_some() && self.names_nobody(node) => {
                self.nodes.await_for(node, OVERTAKEN_NS)
            }
            None => self.nodes.stand_alone(node),
        }
    }

    fn begin_client(&mut self, node: NodeId, begun: &Begun, named: Named) {
        let has_unseen = begun.time_ns < self.unseen_until_ns;
        if let Some(known) = self.nodes.get_mut(node) {
            known.is_of_nobody = !has_unseen && !self.threads.has_requests(begun.owner);
        }
        let serving = self.tasks.asks(&mut self.nodes, node, begun);
        let may_be_told = self.tasks.calls(node, begun, serving.is_some());
        let passed_on = self.headers.passes_on(begun.owner, named);
        self.nodes.hint(node, self.headers.hint(begun.owner, named));
        match (passed_on, serving, begun.actor) {
            (PassedOn::Of(request), ..) => self.nodes.link(node, request, Mechanism::Header),
            // An SDK in the process knows better.
            (PassedOn::No, ..) if named.parent.is_some() => {
                self.nodes.abstain(node, Abstained::NamedByProgram);
            }
            (_, serving, _) if has_unseen && !self.is_named_by_task(serving) => {
                self.nodes.abstain(node, Abstained::LeftOut);
            }
            (_, Some((request, mechanism)), _) => self.belongs(node, request, mechanism),
            (.., Some(actor))
                if self.threads.calls(&self.nodes, node, begun.owner, actor)
                    || self.java.calls(&self.nodes, node, begun, actor)
                    || self.python.calls(node, actor, begun.time_ns) =>
            {
                self.nodes.await_for(node, AWAITED_NS);
            }
            _ if may_be_told => self.nodes.await_for(node, AWAITED_NS),
            _ => self.nodes.abstain(node, why_nobody(begun)),
        }
        self.decide();
        if let Some(ends) = begun.ends {
            self.meet_client(node, ends);
            self.tell_begun(node);
        }
    }

    /// Whether a task says itself which request it serves, and that is being served: then a call is
    /// not for one that nobody here knows of. Whatever rests on a request being the only one that a
    /// thread or task has, or the next that it answers, is not.
    fn is_named_by_task(&self, serving: Option<(Request, Mechanism)>) -> bool {
        let Some((request, Mechanism::Task(kind))) = serving else {
            return false;
        };
        let is_open = match request.cause {
            Cause::Node(node) => self.nodes.get(node).is_some_and(|node| !node.has_ended()),
            Cause::Handler(_) => false,
        };
        let names_requests = matches!(
            kind,
            TaskKind::Goroutine | TaskKind::ProxyRequest | TaskKind::NodeStore
        );
        is_open && request.doubt.is_none() && names_requests
    }

    /// A call belongs to a request, perhaps to be known later.
    fn belongs(&mut self, call: NodeId, request: Request, mechanism: Mechanism) {
        let is_awaited = match (request.cause, request.doubt, mechanism) {
            (Cause::Node(node), None, _) => return self.nodes.serve(call, node, mechanism),
            (Cause::Handler(task), doubt, _) => self.tasks.awaits(task, call, doubt),
            (Cause::Node(node), Some(doubt), Mechanism::Task(kind)) => {
                self.tasks.doubts(&self.nodes, (doubt, kind), call, node)
            }
            _ => false,
        };
        match is_awaited {
            true => self.nodes.await_for(call, AWAITED_NS),
            false => self.nodes.abstain(call, Abstained::OutlivingTask),
        }
    }

    /// Takes over what became of calls that waited for an answer.
    fn decide(&mut self) {
        while let Some(decision) = self.python.decisions() {
            let mechanism = Mechanism::Task(TaskKind::PythonContext);
            let Decision { call, request, .. } = decision;
            match request {
                Some(request) if decision.is_after => {
                    self.nodes.comes_after(call, request, mechanism);
                }
                Some(request) => self.nodes.link(call, request, mechanism),
                None => self.nodes.stand_alone(call),
            }
        }
    }

    fn meet_client(&mut self, node: NodeId, ends: Ends) {
        if let Some(server) = self.joins.client(node, ends) {
            self.nodes.link(server, node, Mechanism::Connection);
        }
    }

    /// The response to a request begins; `actor` wrote or read the last byte of its head, and
    /// `ends` tells where the exchange may be seen at the other end of its connection, if that was
    /// not known when it began; `peer` is the address of that end, where other nodes may be asked.
    pub fn answer(
        &mut self,
        ticket: Ticket,
        actor: Option<Actor>,
        ends: Option<Ends>,
        peer: Option<IpAddr>,
    ) {
        let node = NodeId::of(ticket);
        let Some(known) = self.nodes.get_mut(node) else {
            return;
        };
        // Where it was known before, it was met by that.
        let ends = ends.filter(|_| known.ends.is_none());
        known.ends = known.ends.or(ends);
        let (role, owner, known_ends) = (known.role, known.owner, known.ends);
        let told = self.options.release(node);
        let actor = actor.map(|actor| self.java.know(actor));
        let now_ns = self.nodes.now_ns();
        match role {
            Role::Server => {
                if let Some(actor) = actor {
                    self.threads.answers(&mut self.nodes, node, actor);
                }
                self.python.answers(node, owner, actor, now_ns);
                self.decide();
                let Some(ends) = ends else { return };
                match self.joins.server(node, ends) {
                    Some(caller) => self.nodes.link(node, caller, Mechanism::Connection),
                    None if told.is_some_and(|told| self.told_by_option(node, told)) => {}
                    None if self.ask(node, Some(ends), peer) => {}
                    None => self.nodes.await_for(node, REMEMBERED_NS),
                }
            }
            Role::Client => {
                if let Some(actor) = actor {
                    self.threads.hears(node, actor);
                }
                self.java.hears(&mut self.nodes, node, actor);
                if let Some(ends) = ends {
                    if self.heeds_options() {
                        self.nodes.know_by(node, ends.key);
                    }
                    self.meet_client(node, ends);
                    self.tell_begun(node);
                } else if let Some(ends) = known_ends
                    && let Some(server) = self.joins.overtaken(node, ends)
                {
                    self.nodes.link(server, node, Mechanism::Connection);
                }
            }
        }
    }

    /// A runtime told something of a task; `now_ns` is when, in record time.
    pub fn note(
        &mut self,
        now_ns: u64,
        (tgid, tid): (u32, u32),
        event: TaskEvent,
        kind: TaskKind,
        note: &TaskNote,
        ancestors: &[u64],
    ) {
        if kind == TaskKind::PythonContext {
            self.python.note(tgid, event, note, ancestors, now_ns);
            return self.decide();
        }
        let who = (tgid, tid);
        self.tasks
            .note(&mut self.nodes, who, (event, kind), note, ancestors);
        self.tasks.tidy(&self.nodes);
    }

    /// An exchange is over; what it was, if that was not told before.
    pub fn end(&mut self, ticket: Ticket, now_ns: u64) -> Option<NodeId> {
        let id = NodeId::of(ticket);
        if !self.nodes.end(id, now_ns) {
            return None;
        }
        if let Some(node) = self.nodes.get(id).filter(|it| it.role == Role::Server) {
            self.python.ends(id, node.owner, now_ns);
            self.tasks.request_ends(id, now_ns);
            self.decide();
        }
        self.java.ends(&mut self.nodes, id);
        if let Some(node) = self.nodes.get_mut(id) {
            let waits = self.joins.end(id, node);
            let is_known = match node.role {
                Role::Server => !waits,
                Role::Client => self.tasks.is_called(id, node),
            };
            if node.role == Role::Server {
                self.threads.ends(node.owner);
            }
            let is_asked = self.questions.is_open(id, node);
            if is_known {
                self.nodes.stand_alone(id);
            } else if is_asked {
                let within_ns = self.questions.within_ns();
                self.nodes.await_answer(id, within_ns);
            }
        }
        Some(id)
    }

    /// What is known of an exchange.
    #[must_use]
    pub fn get(&self, node: NodeId) -> Option<&Node> {
        self.nodes.get(node)
    }

    /// Where an exchange stands in its trace, how that is known, and whether it stays there.
    #[must_use]
    pub fn place(&self, node: NodeId) -> Option<(SpanContext, Option<Mechanism>, bool)> {
        self.nodes.place(node)
    }

    /// Time passed, in nanoseconds of record time: told before anything of a record is.
    #[inline]
    pub fn pass(&mut self, now_ns: u64) {
        self.nodes.pass(now_ns);
    }

    /// More are remembered than should be; [`Links::tick`] forgets some.
    #[inline]
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.nodes.remembered() > REMEMBERED_MAX
    }

    /// The request that a call comes of without being part of it, and how that is known.
    #[must_use]
    pub fn follows(&self, call: NodeId) -> Option<(SpanContext, Mechanism)> {
        self.nodes.follows(call)
    }

    /// Whoever waits for a trace waits no longer than this: those whose time has come stand alone,
    /// and those that are over are forgotten.
    pub fn tick(&mut self, now_ns: u64) {
        // First, while the requests that it links to are remembered.
        self.python.tick(now_ns);
        self.tasks.tick(&mut self.nodes, now_ns);
        self.decide();
        self.forget(REMEMBERED_MAX);
        self.nodes.give_up(now_ns);
    }

    /// Calls of tasks that outlive their request are part of it for so long after its end, in
    /// nanoseconds of record time.
    pub fn allow_late(&mut self, late_ns: u64) {
        self.nodes.allow_late(late_ns);
    }

    /// Memory is scarce: what is over is forgotten at once.
    pub fn shed(&mut self) {
        self.forget(0);
        self.nodes.shed();
    }

    /// Forgets what is over, but for what may still be asked for: so many at most.
    fn forget(&mut self, kept_max: usize) {
        let (headers, joins, tasks) = (&mut self.headers, &mut self.joins, &mut self.tasks);
        let (questions, options) = (&mut self.questions, &mut self.options);
        let mut unanswered = 0;
        self.nodes.forget(kept_max, |id, node| {
            headers.forget(node);
            joins.forget(id, node);
            tasks.forget(id, node);
            options.release(id);
            unanswered += u32::from(questions.forget(id, node));
        });
        let tally = &mut self.nodes.tally;
        tally.questions(QuestionFate::Unanswered, unanswered);
    }

    /// A TLS object is on a socket from now on.
    pub fn carries(&mut self, socket: ConnectionId, object: ConnectionId) {
        self.tasks.carries(socket, object);
    }

    /// One end of a connection is on this node; what is known of it.
    pub fn opened(&mut self, starts: Option<[u32; 2]>, address: Option<&Arc<str>>) {
        if self.joins.opened(starts, address)
            && self.questions.are_asked()
            && let Some(Ok(address)) = address.map(|it| it.parse::<IpAddr>())
            && !address.is_loopback()
        {
            self.questions.leave(ForPeers::Has(address));
        }
    }

    /// Such an end is gone.
    pub fn closed(&mut self, starts: [u32; 2]) {
        self.joins.closed(starts);
        self.options.closed(starts);
    }

    /// Whether the other end of a TCP connection is known to be on this node.
    #[must_use]
    pub fn has_both(&self, starts: [u32; 2]) -> bool {
        self.joins.has_both(starts)
    }

    /// Whether an address is known to be one of this node's.
    #[must_use]
    pub fn is_own(&self, address: &str) -> bool {
        self.joins.is_own(address)
    }

    /// There will be no more records: what is not known by now never will be.
    pub fn finish(&mut self) {
        self.python.tick(u64::MAX);
        self.tasks.tick(&mut self.nodes, u64::MAX);
        self.decide();
        self.nodes.give_up(u64::MAX);
    }

    /// An exchange of which it became known where it stands, and somebody waited for that.
    pub fn next_settled(&mut self) -> Option<NodeId> {
        self.nodes.next_settled()
    }

    /// Which side of an exchange is watched.
    #[must_use]
    pub fn role(&self, ticket: Ticket) -> Option<Role> {
        Some(self.nodes.get(NodeId::of(ticket))?.role)
    }

    /// Somebody waits to hear where this exchange stands.
    pub fn tell_when_settled(&mut self, node: NodeId) {
        self.nodes.tell_when_settled(node);
    }

    /// When the first one that waits will have waited long enough, in nanoseconds of record time.
    #[must_use]
    pub fn until_ns(&self) -> Option<u64> {
        let of_tasks = [self.python.until_ns(), self.tasks.until_ns()];
        let all = of_tasks.into_iter().chain([self.nodes.until_ns()]);
        all.flatten().min()
    }

    /// What was linked, and what was not, since the last call.
    pub fn take_tally(&mut self) -> LinkTally {
        std::mem::take(&mut self.nodes.tally)
    }

    /// Exchanges that have begun and not ended.
    #[must_use]
    pub fn open(&self) -> usize {
        self.nodes.open()
    }

    /// A number that grows with [`Links::memory_bytes`] and is cheaper to have.
    #[must_use]
    pub fn growing_bytes(&self) -> usize {
        self.nodes.growing_bytes()
    }

    /// Bytes of memory that they take.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.nodes.memory_bytes()
            + self.headers.memory_bytes()
            + self.joins.memory_bytes()
            + self.tasks.memory_bytes()
            + self.threads.memory_bytes()
            + self.java.memory_bytes()
            + self.python.memory_bytes()
            + self.questions.memory_bytes()
            + self.options.memory_bytes()
    }
}

/// Why nothing is known of who made a call.
fn why_nobody(begun: &Begun) -> Abstained {
    match begun.actor.and_then(|actor| actor.task) {
        None => Abstained::UnknownTask,
        Some(task) if task.kind == TaskKind::Thread => Abstained::SharedThread,
        Some(_) => Abstained::IdleTask,
    }
}
