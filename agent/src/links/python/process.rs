//! The rules, for one process. A call waits until a request is answered that accounts for it:
//!
//! 1. By the context. The answering one and those that it comes from, as far as they are younger
//!    than the request, are the request's; what was called in one of them, or in what comes from
//!    it, belongs to it. A context that is older is the request's if it answers on one connection
//!    only, where one request is served at a time: what it called since it was read.
//! 2. By a context of the thread's own, or of a greenlet's: the same one answers.
//! 3. By the thread, where that has no context: it read the request, has no other, and answers.
//!
//! What was made within all this may live on and serve anybody. A thread has to end with the
//! request. Of contexts nobody knows when they end: for a moment it is waited whether one makes a
//! call though the request is over, and then none of its calls are the request's. What it calls
//! then points at the request, unless it goes on and on.

use std::collections::VecDeque;

use hashbrown::HashMap;
use wirespan_common::python::PythonPart;
use wirespan_common::record::{TaskEvent, TaskNote};
use wirespan_protocols::heap;

use super::super::NodeId;
use super::lineages::Descents;
use super::outliving::OutlivingContexts;
use super::requests::ServedRequests;
use super::threads::PythonThreads;
use super::{CurrentContext, Decision, RequestRead};

/// Calls of a process that wait; those of more belong to nobody.
const CALLS_MAX: usize = 16 * 1024;
/// How much later than the answer a thread may end that was made for the request, in nanoseconds.
const THREAD_GRACE_NS: u64 = 10_000_000;
/// How long it is waited whether a context outlives the request that it was made for, from the
/// answer on, in nanoseconds: a worker that many use has the next call soon, and the request has to
/// be remembered by then.
const OUTLIVING_NS: u64 = super::super::REMEMBERED_NS / 2;

/// A call.
#[derive(Debug)]
pub(super) struct WaitingCall {
    node: NodeId,
    tid: u32,
    current: CurrentContext,
    time_ns: u64,
    /// What it was made in, and what that comes from.
    line: Vec<u64>,
    /// The request that it belongs to if this is answered by a thread that has no context, and
    /// which thread that is.
    by_thread: Option<(NodeId, u32)>,
    /// The context that it was made in served several requests of a connection by then.
    is_amid_several: bool,
}

/// A call that belongs to a request if the thread that made it ends.
#[derive(Debug)]
struct DyingCall {
    call: NodeId,
    request: NodeId,
    task: u64,
    until_ns: u64,
}

/// A call that belongs to a request if what it was made in does not outlive that.
#[derive(Debug)]
struct HeldCall {
    call: NodeId,
    request: NodeId,
    /// Contexts that come from those that are the request's own.
    made: Vec<u64>,
    until_ns: u64,
}

/// A process.
#[derive(Debug, Default)]
pub(super) struct PythonProcess {
    lineages: Descents,
    requests: ServedRequests,
    threads: PythonThreads,
    calls: HashMap<NodeId, WaitingCall>,
    /// In the order in which they were made; some are decided.
    order: VecDeque<(u64, NodeId)>,
    by_context: HashMap<u64, Vec<NodeId>>,
    by_thread: HashMap<u32, Vec<NodeId>>,
    dying: Vec<DyingCall>,
    held: VecDeque<HeldCall>,
    outliving: OutlivingContexts,
}

impl WaitingCall {
    pub fn new(node: NodeId, tid: u32, current: CurrentContext, time_ns: u64) -> Self {
        Self {
            node,
            tid,
            current,
            time_ns,
            line: Vec::new(),
            by_thread: None,
            is_amid_several: false,
        }
    }
}

impl PythonProcess {
    pub fn reads(&mut self, read: RequestRead, tid: u32, current: CurrentContext) {
        self.requests.read(&read, tid, current);
        self.threads.reads(tid, read.node);
    }

    /// Whether it waits, or is decided.
    pub fn calls(&mut self, mut call: WaitingCall, decisions: &mut Vec<Decision>) -> bool {
        if self.calls.len() >= CALLS_MAX || call.current == CurrentContext::Unknown {
            return false;
        }
        if let CurrentContext::Task(task, _) = call.current {
            call.line = self.lineages.line(task);
            self.free_outliving(&call.line, decisions);
            self.outliving.calls(&call.line, &self.requests);
            if let Some(request) = self.requests.owner(&call.line, call.time_ns) {
                decisions.push(Decision::of(call.node, Some(request)));
                return true;
            }
        }
        let Some(oldest_ns) = self.requests.oldest_ns() else {
            return self.outliving.waits(&call.line, call.node, call.time_ns);
        };
        call.by_thread = self.request_of_thread(&call);
        for context in contexts_in_question(&call.line, oldest_ns) {
            self.by_context.entry(*context).or_default().push(call.node);
        }
        let thread = match (call.by_thread, call.current) {
            (Some((_, thread)), _) => Some(thread),
            (None, CurrentContext::Own(_)) => Some(call.tid),
            _ => None,
        };
        if let Some(thread) = thread {
            self.by_thread.entry(thread).or_default().push(call.node);
        }
        self.order.push_back((call.time_ns, call.node));
        self.calls.insert(call.node, call);
        true
    }

    /// The request that a call belongs to if its thread, or the one that gave it its work, has only
    /// that one.
    fn request_of_thread(&self, call: &WaitingCall) -> Option<(NodeId, u32)> {
        let with = |tid: u32| Some((self.threads.only(tid)?, tid));
        match call.current {
            CurrentContext::Own(_) | CurrentContext::Thread => with(call.tid),
            // An event loop of the thread's own, which began within the request.
            CurrentContext::Task(_, PythonPart::Context) => {
                let (request, tid) = with(call.tid)?;
                let read_ns = self.requests.unanswered(request)?.read_ns;
                let is_within = call.line.last().is_some_and(|oldest| *oldest >= read_ns);
                is_within.then_some((request, tid))
            }
            CurrentContext::Task(task, _) => {
                if !self.threads.open(call.tid).is_empty() {
                    return with(call.tid);
                }
                let (request, tid) = with(self.lineages.get(task)?.giver?)?;
                let read_ns = self.requests.unanswered(request)?.read_ns;
                // It had been read when the work was given.
                (read_ns <= task).then_some((request, tid))
            }
            CurrentContext::Unknown => None,
        }
    }

    pub fn answers(
        &mut self,
        node: NodeId,
        current: Option<(u32, CurrentContext)>,
        now_ns: u64,
        decisions: &mut Vec<Decision>,
    ) {
        let Some(request) = self.requests.unanswered(node) else {
            return;
        };
        let (has_streams, reader) = (request.has_streams, request.tid);
        match current {
            _ if has_streams => self.requests.answered(node, &[]),
            Some((tid, current)) => self.link(node, tid, current, now_ns, decisions),
            None => self.requests.answered(node, &[]),
        }
        self.threads.done(reader, node);
        self.give_up(decisions);
    }

    fn link(
        &mut self,
        node: NodeId,
        tid: u32,
        current: CurrentContext,
        now_ns: u64,
        decisions: &mut Vec<Decision>,
    ) {
        let mut found = Vec::new();
        if let CurrentContext::Task(task, _) = current {
            let line = self.lineages.line(task);
            self.by_older_context(node, &line, &mut found);
            self.requests.answered(node, &line);
            self.by_contexts(node, &mut found);
        } else {
            self.requests.answered(node, &[]);
        }
        if !matches!(current, CurrentContext::Task(_, PythonPart::Context)) {
            self.by_thread(node, tid, current, now_ns, &mut found);
        }
        for call in found {
            self.settle(call, node, now_ns, decisions);
        }
    }

    /// Calls in contexts that are the request's.
    fn by_contexts(&self, node: NodeId, found: &mut Vec<NodeId>) {
        let Some(request) = self.requests.get(node) else {
            return;
        };
        for context in request.answer.iter().flat_map(|answer| &answer.contexts) {
            let calls = self.by_context.get(context).into_iter().flatten();
            found.extend(calls.filter(|call| self.is_since(**call, request.read_ns)));
        }
    }

    /// Calls in a context that answers one request after the other on a connection, and in what
    /// comes from it since the request was read.
    fn by_older_context(&mut self, node: NodeId, line: &[u64], found: &mut Vec<NodeId>) {
        let Some(request) = self.requests.get(node) else {
            return;
        };
        let (read_ns, connection) = (request.read_ns, request.connection);
        let Some(own) = line.first().copied().filter(|own| *own < read_ns) else {
            return;
        };
        if !self.requests.is_serial(own, connection) {
            return;
        }
        for call in self.by_context.get(&own).into_iter().flatten() {
            let Some(known) = self.calls.get_mut(call) else {
                continue;
            };
            let younger = known.line.iter().take_while(|context| **context >= read_ns);
            let is_below = known.line.get(younger.count()) == Some(&own);
            if !is_below || known.time_ns < read_ns {
                continue;
            }
            known.is_amid_several |= self.requests.has_another(node, known.time_ns);
            if !known.is_amid_several {
                found.push(*call);
            }
        }
    }

    /// Calls of threads without a context.
    fn by_thread(
        &mut self,
        node: NodeId,
        tid: u32,
        current: CurrentContext,
        now_ns: u64,
        found: &mut Vec<NodeId>,
    ) {
        let Some(request) = self.requests.get(node).filter(|it| it.tid == tid) else {
            return;
        };
        let (read_ns, own) = (request.read_ns, request.own);
        let answers = match current {
            CurrentContext::Own(address) if self.threads.answers(tid, address, read_ns, now_ns) => {
                Some(address).filter(|it| own.is_none_or(|own| own == *it))
            }
            _ => None,
        };
        for call in self.by_thread.get(&tid).into_iter().flatten() {
            let Some(known) = self.calls.get(call) else {
                continue;
            };
            let is_by_own = known.tid == tid
                && answers.is_some_and(|address| known.current == CurrentContext::Own(address))
                && !self.shares_own(node, tid, known.time_ns);
            let is_only =
                known.by_thread == Some((node, tid)) && self.threads.only(tid) == Some(node);
            if (is_by_own || is_only) && known.time_ns >= read_ns {
                found.push(*call);
            }
        }
    }

    /// Whether the same context of a thread's own read another request that is not answered.
    fn shares_own(&self, node: NodeId, tid: u32, time_ns: u64) -> bool {
        let own_of = |node: NodeId| self.requests.get(node).and_then(|it| it.own);
        let Some(own) = own_of(node) else {
            return false;
        };
        self.threads.open(tid).iter().any(|other| {
            *other != node
                && own_of(*other) == Some(own)
                && self
                    .requests
                    .unanswered(*other)
                    .is_some_and(|it| it.read_ns <= time_ns)
        })
    }

    fn is_since(&self, call: NodeId, read_ns: u64) -> bool {
        self.calls
            .get(&call)
            .is_some_and(|call| call.time_ns >= read_ns)
    }

    /// A call belongs to a request, unless it was made by a thread that may outlive it.
    fn settle(
        &mut self,
        call: NodeId,
        request: NodeId,
        now_ns: u64,
        decisions: &mut Vec<Decision>,
    ) {
        let Some(known) = self.take(call) else { return };
        let thread = match known.current {
            CurrentContext::Task(task, _) => self.lineages.get(task).filter(|it| it.is_thread),
            _ => None,
        };
        let made = match thread {
            // It can't outlive anything.
            Some(thread) if thread.ended_ns.is_some() => &[],
            _ => self.requests.made_for(request, &known.line),
        };
        match (thread, known.current) {
            // Its own thread, as long as that answers requests.
            (Some(thread), CurrentContext::Task(task, _))
                if thread.ended_ns.is_none() && self.reader(request) != Some(known.tid) =>
            {
                self.dying.push(DyingCall {
                    call,
                    request,
                    task,
                    until_ns: now_ns.saturating_add(THREAD_GRACE_NS),
                });
            }
            _ if !made.is_empty() => self.held.push_back(HeldCall {
                call,
                request,
                made: made.to_vec(),
                until_ns: now_ns.saturating_add(OUTLIVING_NS),
            }),
            _ => decisions.push(Decision::of(call, Some(request))),
        }
    }

    /// What has this line makes a call: calls that it made for requests that are over were not, as
    /// far as is known, for those.
    fn free_outliving(&mut self, line: &[u64], decisions: &mut Vec<Decision>) {
        let requests = &self.requests;
        let outlives = |it: &HeldCall| {
            it.made.iter().any(|context| line.contains(context)) && requests.is_over(it.request)
        };
        let freed = extract(&mut self.held, outlives);
        decisions.extend(freed.iter().map(|it| Decision::of(it.call, None)));
    }

    fn reader(&self, request: NodeId) -> Option<u32> {
        self.requests.get(request).map(|it| it.tid)
    }

    /// A call does not wait any longer.
    fn take(&mut self, call: NodeId) -> Option<WaitingCall> {
        let known = self.calls.remove(&call)?;
        for context in &known.line {
            remove(&mut self.by_context, context, call);
        }
        let threads = [known.by_thread.map(|(_, tid)| tid), Some(known.tid)];
        for tid in threads.into_iter().flatten() {
            remove(&mut self.by_thread, &tid, call);
        }
        Some(known)
    }

    /// Calls that nothing can account for any longer belong to nobody.
    fn give_up(&mut self, decisions: &mut Vec<Decision>) {
        let oldest_ns = self.requests.oldest_ns().unwrap_or(u64::MAX);
        while let Some(&(time_ns, call)) = self.order.front() {
            if self.calls.contains_key(&call) && time_ns >= oldest_ns {
                return;
            }
            self.order.pop_front();
            if let Some(known) = self.take(call)
                && !self.outliving.waits(&known.line, call, known.time_ns)
            {
                decisions.push(Decision::of(call, None));
            }
        }
    }

    pub fn ends(&mut self, node: NodeId, now_ns: u64, decisions: &mut Vec<Decision>) {
        if let Some(request) = self.requests.get(node) {
            self.threads.done(request.tid, node);
        }
        self.requests.ended(node, now_ns);
        self.give_up(decisions);
    }

    pub fn note(
        &mut self,
        event: TaskEvent,
        note: &TaskNote,
        ancestors: &[u64],
        now_ns: u64,
        decisions: &mut Vec<Decision>,
    ) {
        self.lineages.note(event, note, ancestors, now_ns);
        if event == TaskEvent::Ended {
            let ended = |it: &mut DyingCall| it.task == note.task;
            decisions.extend(self.dying.extract_if(.., ended).map(|it| {
                let request = Some(it.request).filter(|_| now_ns <= it.until_ns);
                Decision::of(it.call, request)
            }));
        }
    }

    pub fn tick(&mut self, now_ns: u64, decisions: &mut Vec<Decision>) {
        let late = |it: &mut DyingCall| it.until_ns < now_ns;
        let dead = self.dying.extract_if(.., late);
        decisions.extend(dead.map(|it| Decision::of(it.call, None)));
        while let Some(held) = self.held.pop_front_if(|it| it.until_ns <= now_ns) {
            decisions.push(Decision::of(held.call, Some(held.request)));
        }
        let outliving = &mut self.outliving;
        self.requests
            .forget(now_ns, |context, request| outliving.over(context, request));
        self.outliving.tick(now_ns, decisions);
    }

    /// When something is decided by the time alone.
    pub fn until_ns(&self) -> Option<u64> {
        let dying = self.dying.iter().map(|it| it.until_ns + 1);
        let held = self.held.front().map(|it| it.until_ns);
        dying.chain(held).chain(self.outliving.until_ns()).min()
    }

    pub fn is_idle(&self) -> bool {
        self.requests.is_empty()
            && self.calls.is_empty()
            && self.dying.is_empty()
            && self.held.is_empty()
            && self.outliving.is_idle()
    }

    pub fn memory_bytes(&self) -> usize {
        self.lineages.memory_bytes()
            + self.requests.memory_bytes()
            + self.threads.memory_bytes()
            + self.outliving.memory_bytes()
            + heap::table::<(NodeId, WaitingCall)>(self.calls.capacity())
            + self.calls.len() * heap::vec::<u64>(4)
            + heap::vec::<(u64, NodeId)>(self.order.capacity())
            + heap::table::<(u64, Vec<NodeId>)>(self.by_context.capacity())
            + heap::table::<(u32, Vec<NodeId>)>(self.by_thread.capacity())
            + heap::vec::<DyingCall>(self.dying.capacity())
            + heap::vec::<HeldCall>(self.held.capacity())
            + self.held.len() * heap::vec::<u64>(2)
    }
}

/// Of a line, those that may be a request's: the younger ones, and the first that is older than the
/// oldest request.
fn contexts_in_question(line: &[u64], oldest_ns: u64) -> &[u64] {
    let younger = line.iter().take_while(|context| **context >= oldest_ns);
    &line[..(younger.count() + 1).min(line.len())]
}

/// Takes out what `is_wanted`, mostly nothing.
fn extract(held: &mut VecDeque<HeldCall>, is_wanted: impl Fn(&HeldCall) -> bool) -> Vec<HeldCall> {
    if !held.iter().any(&is_wanted) {
        return Vec::new();
    }
    let (found, kept): (Vec<_>, Vec<_>) = held.drain(..).partition(is_wanted);
    held.extend(kept);
    found
}

fn remove<K: std::hash::Hash + Eq>(calls: &mut HashMap<K, Vec<NodeId>>, key: &K, call: NodeId) {
    if let Some(found) = calls.get_mut(key) {
        found.retain(|other| *other != call);
        if found.is_empty() {
            calls.remove(key);
        }
    }
}
