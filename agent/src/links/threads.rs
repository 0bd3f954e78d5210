//! Calls of threads that do one thing at a time: what a thread asked for since it last answered,
//! and heard, belongs to the request that it answers next, whoever read that.
//!
//! Nothing says that a thread does one thing at a time, so it is believed until it is seen to do
//! otherwise. It has to call on sockets that no event loop looks after, and hear each answer
//! itself. Who waits for an answer does nothing else: one that reads a request meanwhile, or calls
//! again, does several things at once, and is left alone for good if it does so too often. What it
//! has read besides what it answers may be for others: then what it calls for belongs to nobody
//! that is known, before it was seen for some time that its like wait. Of a pool, whose threads
//! answer what others read, it is not believed before some answers, and no longer once one of its
//! threads was seen to call for something else than what it answered next ([`pool`]).

mod pool;

use std::num::NonZero;

use hashbrown::HashMap;
use wirespan_common::record::{Polled, TaskKind};
use wirespan_protocols::heap;

use super::pruning::Pruning;
use super::{Abstained, Actor, Mechanism, NodeId, nodes::Nodes};
use pool::{Pool, ReadBy};

/// Threads that are remembered; those of more make no calls that are known to belong to anything.
const THREADS_MAX: usize = 64 * 1024;
/// Processes with pools that are remembered, before remembering starts again.
const POOLS_MAX: usize = 16 * 1024;
/// Calls of one thread that wait for an answer of its.
const CALLS_MAX: usize = 1024;
/// The same of a thread that never read or answered a request, and may be one that never will.
const CALLS_OF_NEW_MAX: usize = 8;
/// Requests that a thread may be seen to have on its hands.
const REQUESTS_MAX: usize = 8;
/// How often a thread may be seen to do several things at once before it is left alone: one that
/// does not may be, where records were lost.
const TANGLES_MAX: u8 = 4;
/// Answers after calls that it waited for, by which one of those is forgotten.
const TANGLE_FORGOTTEN: u8 = 64;

/// What is known of threads, by process and thread.
#[derive(Debug, Default)]
pub struct Threads {
    threads: HashMap<(u32, u32), Thread>,
    /// How many requests each process has to answer.
    unanswered: HashMap<u32, u32>,
    /// Processes with pools of threads.
    pools: HashMap<u32, Pool>,
    /// Of `threads`.
    pruning: Pruning,
}

#[derive(Debug, Default)]
struct Thread {
    /// Requests that it read and has not answered.
    requests: Vec<NodeId>,
    /// Calls that it made since it answered.
    calls: Vec<ThreadCall>,
    tangles: u8,
    /// Answers since a tangle was forgotten.
    waited: u8,
    /// It read or answered a request.
    serves: bool,
    /// It answered one.
    answers: bool,
}

#[derive(Clone, Copy, Debug)]
struct ThreadCall {
    node: NodeId,
    /// It read the answer itself.
    is_heard: bool,
}

impl Threads {
    /// A process has a request to answer.
    pub fn begins(&mut self, owner: u32) {
        *self.unanswered.entry(owner).or_default() += 1;
    }

    /// It has one less.
    pub fn ends(&mut self, owner: u32) {
        if let Some(count) = self.unanswered.get_mut(&owner) {
            *count -= 1;
            if *count == 0 {
                self.unanswered.remove(&owner);
            }
        }
    }

    /// Whether a process has requests to answer.
    pub fn has_requests(&self, owner: u32) -> bool {
        self.unanswered.contains_key(&owner)
    }

    /// A thread makes a call. Whether that is to wait for what it answers.
    pub fn calls(&mut self, nodes: &Nodes, node: NodeId, owner: u32, actor: Actor) -> bool {
        if !waits_itself(actor) || !self.unanswered.contains_key(&owner) {
            return false;
        }
        let Some(thread) = self.touch(actor) else {
            return false;
        };
        if !thread.is_serial() || thread.calls.len() >= thread.calls_max() {
            return false;
        }
        let waits = thread.waits(nodes);
        if waits {
            thread.tangle();
        } else {
            let is_heard = false;
            thread.calls.push(ThreadCall { node, is_heard });
        }
        let pool = self.pools.entry(actor.tgid).or_default();
        match waits {
            true => pool.did_not_wait(),
            false => pool.called(),
        }
        !waits
    }

    /// A call is answered, which this thread read.
    pub fn hears(&mut self, node: NodeId, actor: Actor) {
        let Some(thread) = self.threads.get_mut(&(actor.tgid, actor.tid)) else {
            return;
        };
        let call = thread.calls.iter_mut().rev().find(|call| call.node == node);
        if let Some(call) = call {
            call.is_heard = waits_itself(actor);
        }
    }

    /// A thread reads a request: what it called for before is not for this one.
    pub fn reads(&mut self, nodes: &mut Nodes, request: NodeId, actor: Actor) {
        if !is_followed(actor) {
            return;
        }
        let Some(thread) = self.touch(actor) else {
            return;
        };
        if !thread.is_serial() {
            return;
        }
        thread.serves = true;
        thread.requests.retain(|request| is_open(nodes, *request));
        if thread.requests.len() < REQUESTS_MAX {
            thread.requests.push(request);
        }
        let waits = thread.waits(nodes);
        if waits {
            thread.tangle();
        }
        let settled = thread.settle(nodes, None);
        if waits {
            self.pools.entry(actor.tgid).or_default().did_not_wait();
        }
        self.settled(actor.tgid, settled);
        if let Some(request) = nodes.get_mut(request) {
            request.read_by = NonZero::new(actor.tid);
        }
    }

    /// Who read a request that this thread answers now, and has it off its hands.
    fn take_reader(&mut self, nodes: &mut Nodes, request: NodeId, actor: Actor) -> ReadBy {
        let known = nodes.get_mut(request);
        match known.and_then(|node| node.read_by.take()) {
            Some(tid) if tid.get() == actor.tid => ReadBy::Own,
            Some(tid) => match self.threads.get_mut(&(actor.tgid, tid.get())) {
                Some(reader) => {
                    reader.requests.retain(|known| *known != request);
                    if reader.answers {
                        ReadBy::Worker
                    } else {
                        ReadBy::Other
                    }
                }
                None => ReadBy::Other,
            },
            None => ReadBy::Other,
        }
    }

    /// A thread begins to answer a request.
    pub fn answers(&mut self, nodes: &mut Nodes, request: NodeId, actor: Actor) {
        if !is_followed(actor) {
            return;
        }
        let key = (actor.tgid, actor.tid);
        let reader = self.take_reader(nodes, request, actor);
        let pool = self.pools.entry(actor.tgid).or_default();
        let Some(thread) = self.threads.get_mut(&key) else {
            // What it answers may have been called for by others.
            return pool.answers(reader, &[], nodes, request);
        };
        (thread.serves, thread.answers) = (true, true);
        let has_others = thread.has_others(nodes, request);
        thread.requests.retain(|known| *known != request);
        let mut is_believed = true;
        if thread.is_serial() {
            let before = pool.is_believed();
            pool.answers(reader, &thread.calls, nodes, request);
            is_believed &= reader == ReadBy::Own || before && pool.is_believed();
            if has_others {
                is_believed &= pool.may_read_ahead();
                pool.answers_ahead(&thread.calls, nodes, request);
            }
        }
        let settled = thread.settle(nodes, is_believed.then_some(request));
        self.settled(actor.tgid, settled);
        // Threads come and go; what is kept of most is that there is nothing to keep.
        if self.pruning.is_due(self.threads.len(), THREADS_MAX / 2) {
            self.threads.retain(|_, thread| !thread.is_idle());
        }
    }

    fn settled(&mut self, tgid: u32, calls: usize) {
        if calls > 0
            && let Some(pool) = self.pools.get_mut(&tgid)
        {
            pool.settled(calls);
        }
        if self.pools.len() >= POOLS_MAX {
            self.pools.clear();
        }
    }

    fn touch(&mut self, actor: Actor) -> Option<&mut Thread> {
        let key = (actor.tgid, actor.tid);
        if self.threads.len() >= THREADS_MAX && !self.threads.contains_key(&key) {
            return None;
        }
        Some(self.threads.entry(key).or_default())
    }

    /// Bytes of memory that they take.
    pub fn memory_bytes(&self) -> usize {
        heap::table::<((u32, u32), Thread)>(self.threads.capacity())
            + heap::table::<(u32, u32)>(self.unanswered.capacity())
            + heap::table::<(u32, Pool)>(self.pools.capacity())
            + self.threads.len() * (heap::vec::<NodeId>(4) + heap::vec::<ThreadCall>(4))
    }
}

impl Thread {
    /// It was not seen to do several things at a time, or not often.
    fn is_serial(&self) -> bool {
        self.tangles < TANGLES_MAX
    }

    fn calls_max(&self) -> usize {
        if self.serves {
            CALLS_MAX
        } else {
            CALLS_OF_NEW_MAX
        }
    }

    fn is_idle(&self) -> bool {
        self.is_serial() && self.calls.is_empty() && self.requests.is_empty()
    }

    /// Whether it waits for the answer to a call.
    fn waits(&self, nodes: &Nodes) -> bool {
        let is_pending = |call: &ThreadCall| !call.is_heard && is_open(nodes, call.node);
        self.calls.iter().any(is_pending)
    }

    /// It was seen to do several things at once.
    fn tangle(&mut self) {
        (self.tangles, self.waited) = (self.tangles + 1, 0);
    }

    /// Whether it has other requests on its hands than the one that it answers. One that is over
    /// was not answered; of a connection without streams, the second is not looked at before the
    /// first is answered.
    fn has_others(&self, nodes: &Nodes, request: NodeId) -> bool {
        let connection = |request: NodeId| {
            let node = nodes.get(request)?;
            node.stream.is_none().then_some(node.connection)
        };
        let own = connection(request);
        let others = self.requests.iter().filter(|known| **known != request);
        let mut others = others.filter(|known| is_open(nodes, **known));
        others.any(|other| own.is_none() || connection(*other) != own)
    }

    /// What it called for was for `request`, or for nobody that is known.
    /// Returns how many that were.
    fn settle(&mut self, nodes: &mut Nodes, request: Option<NodeId>) -> usize {
        let count = self.calls.len();
        let request = request.filter(|_| self.is_serial());
        if request.is_some() && count > 0 {
            self.waited += 1;
            if self.waited >= TANGLE_FORGOTTEN {
                (self.waited, self.tangles) = (0, self.tangles.saturating_sub(1));
            }
        }
        for ThreadCall { node, is_heard } in self.calls.drain(..) {
            match request.filter(|request| is_heard && is_within(nodes, node, *request)) {
                Some(request) => nodes.link(node, request, Mechanism::Thread),
                None => nodes.abstain(node, Abstained::SharedThread),
            }
        }
        count
    }
}

fn is_open(nodes: &Nodes, node: NodeId) -> bool {
    nodes.get(node).is_some_and(|node| !node.has_ended())
}

/// Whether the request had been read when the call was made.
fn is_within(nodes: &Nodes, call: NodeId, request: NodeId) -> bool {
    let begun = |node| nodes.get(node).map(|node| node.begun_ns);
    begun(request).is_some_and(|request| begun(call).is_some_and(|call| request <= call))
}

/// Whether threads of this process may be told apart.
fn is_followed(actor: Actor) -> bool {
    actor.task.is_some_and(|task| task.kind == TaskKind::Thread)
}

/// Whether a thread waits for what comes on the socket itself.
fn waits_itself(actor: Actor) -> bool {
    is_followed(actor)
        && actor
            .task
            .is_some_and(|task| task.part == Polled::No as u32)
}
