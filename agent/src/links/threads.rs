//! Calls of threads that do one thing at a time: what a thread asked for since it last answered,
//! and heard, belongs to the request that it answers next, whoever read that.
//!
//! Nothing says that a thread does one thing at a time, so it is believed until it is seen to do
//! otherwise. It has to call on sockets that no event loop looks after, hear each answer itself,
//! and have no other request on its hands than the one that it answers. What it calls meanwhile
//! belongs to nobody that is known, and who is seen with several things at once too often is left
//! alone for good. Of a pool, whose threads answer what others read, it is not believed before some
//! answers, and no longer once one of its threads was seen to call for something else than what it
//! answered next.

use hashbrown::HashMap;
use wirespan_common::record::{Polled, TaskKind};
use wirespan_protocols::heap;

use super::pruning::Pruning;
use super::{Abstained, Actor, Mechanism, NodeId, nodes::Nodes};

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
/// Answers of a pool before its calls are linked: one that makes calls for others is likely to show
/// that within so many.
const DOUBT_AT_FIRST: u32 = 16;
/// The same once it has shown that.
const DOUBT_SHOWN: u32 = 16 * 1024;
/// How often a thread may be seen with several things at once before it is left alone: one that is
/// not may be, where records were lost.
const TANGLES_MAX: u8 = 4;

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

/// Threads that answer what others read.
#[derive(Clone, Copy, Debug)]
struct Pool {
    /// Answers until it is believed that a thread makes calls only for what it answers next.
    doubt: u32,
    /// Calls of its threads that nobody has answered for yet.
    pending: usize,
}

#[derive(Debug, Default)]
struct Thread {
    /// Requests that it read and has not answered.
    requests: Vec<NodeId>,
    /// Calls that it made since it answered.
    calls: Vec<ThreadCall>,
    tangles: u8,
    /// It read or answered a request.
    serves: bool,
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
        let is_pending = |call: &ThreadCall| !call.is_heard && is_open(nodes, call.node);
        if thread.has_several(nodes) || thread.calls.iter().any(is_pending) {
            thread.tangles += 1;
            return false;
        }
        let is_heard = false;
        thread.calls.push(ThreadCall { node, is_heard });
        self.pools.entry(actor.tgid).or_default().pending += 1;
        true
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
        if thread.requests.len() < REQUESTS_MAX {
            thread.requests.push(request);
        }
        if thread.has_several(nodes) {
            thread.tangles += 1;
        }
        let settled = thread.settle(nodes, None);
        self.settled(actor.tgid, settled);
    }

    /// A thread begins to answer a request.
    pub fn answers(&mut self, nodes: &mut Nodes, request: NodeId, actor: Actor) {
        if !is_followed(actor) {
            return;
        }
        let key = (actor.tgid, actor.tid);
        let Some(thread) = self.threads.get_mut(&key) else {
            // What it answers may have been called for by others.
            return self
                .pools
                .entry(actor.tgid)
                .or_default()
                .answers(&[], nodes, request);
        };
        thread.serves = true;
        let has_others = thread.has_several(nodes) || !thread.may_answer(nodes, request);
        let is_own = thread.requests.contains(&request);
        thread.requests.retain(|known| *known != request);
        let mut is_believed = !has_others;
        if !is_own && thread.is_serial() {
            let pool = self.pools.entry(actor.tgid).or_default();
            is_believed &= pool.doubt == 0;
            pool.answers(&thread.calls, nodes, request);
            is_believed &= pool.doubt == 0;
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
            pool.pending = pool.pending.saturating_sub(calls);
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

impl Default for Pool {
    fn default() -> Self {
        Self {
            doubt: DOUBT_AT_FIRST,
            pending: 0,
        }
    }
}

impl Pool {
    /// A thread answers a request which another one read, after it made these calls. Where one of
    /// them is older than the request, or there are none and others have made some, calls are made
    /// by other threads than those that answer.
    fn answers(&mut self, calls: &[ThreadCall], nodes: &Nodes, request: NodeId) {
        let is_proper = match calls {
            [] => self.pending == 0,
            calls => calls
                .iter()
                .all(|call| is_within(nodes, call.node, request)),
        };
        self.doubt = match is_proper {
            true if calls.is_empty() => self.doubt,
            true => self.doubt.saturating_sub(1),
            false => DOUBT_SHOWN,
        };
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

    /// Whether it has several requests on its hands. One that is over was not answered.
    fn has_several(&mut self, nodes: &Nodes) -> bool {
        self.requests.retain(|request| is_open(nodes, *request));
        let connection = |request: &NodeId| {
            let node = nodes.get(*request)?;
            // Of a connection without streams, the second is not looked at before the first is
            // answered.
            node.stream.is_none().then_some(node.connection)
        };
        match self.requests.split_first() {
            Some((first, rest)) => {
                let first = connection(first);
                rest.iter()
                    .any(|other| first.is_none() || connection(other) != first)
            }
            None => false,
        }
    }

    /// Whether what it answers may be what it did things for: what it read itself, if it read
    /// anything.
    fn may_answer(&self, nodes: &Nodes, request: NodeId) -> bool {
        self.requests.is_empty()
            || self.requests.contains(&request)
            || !self.requests.iter().any(|known| is_open(nodes, *known))
    }

    /// What it called for was for `request`, or for nobody that is known.
    /// Returns how many that were.
    fn settle(&mut self, nodes: &mut Nodes, request: Option<NodeId>) -> usize {
        let count = self.calls.len();
        let request = request.filter(|_| self.is_serial());
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
