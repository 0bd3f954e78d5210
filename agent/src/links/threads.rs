//! Calls of threads that do one thing at a time: what a thread asked for since it last answered,
//! and heard, belongs to the request that it answers next, whoever read that.
//!
//! Nothing says that a thread does one thing at a time, so it is believed until it is seen to do
//! otherwise. It has to call on sockets that no event loop looks after, hear each answer itself,
//! and have no other request on its hands than the one that it answers. What it calls meanwhile
//! belongs to nobody that is known, and who is seen with several things at once too often is left
//! alone for good.

use hashbrown::HashMap;
use wirespan_common::record::{Polled, TaskKind};
use wirespan_protocols::heap;

use super::{Actor, Mechanism, NodeId, nodes::Nodes};

/// Threads that are remembered; those of more make no calls that are known to belong to anything.
const THREADS_MAX: usize = 64 * 1024;
/// Calls of one thread that wait for an answer of its.
const CALLS_MAX: usize = 1024;
/// The same of a thread that never read or answered a request, and may be one that never will.
const CALLS_OF_NEW_MAX: usize = 8;
/// Requests that a thread may be seen to have on its hands.
const REQUESTS_MAX: usize = 8;
/// How often a thread may be seen with several things at once before it is left alone: one that is
/// not may be, where records were lost.
const TANGLES_MAX: u8 = 4;

/// What is known of threads, by process and thread.
#[derive(Debug, Default)]
pub struct Threads {
    threads: HashMap<(u32, u32), Thread>,
    /// How many requests each process has to answer.
    unanswered: HashMap<u32, u32>,
}

#[derive(Debug, Default)]
struct Thread {
    /// Requests that it read and has not answered.
    requests: Vec<NodeId>,
    /// Calls that it made since it answered.
    calls: Vec<Call>,
    tangles: u8,
    /// It read or answered a request.
    serves: bool,
}

#[derive(Clone, Copy, Debug)]
struct Call {
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
        let is_pending = |call: &Call| !call.is_heard && is_open(nodes, call.node);
        if thread.has_several(nodes) || thread.calls.iter().any(is_pending) {
            thread.tangles += 1;
            return false;
        }
        let is_heard = false;
        thread.calls.push(Call { node, is_heard });
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
        thread.settle(nodes, None);
    }

    /// A thread begins to answer a request.
    pub fn answers(&mut self, nodes: &mut Nodes, request: NodeId, actor: Actor) {
        let Some(thread) = self.threads.get_mut(&(actor.tgid, actor.tid)) else {
            return;
        };
        thread.serves = true;
        let has_others = thread.has_several(nodes) || !thread.may_answer(nodes, request);
        thread.requests.retain(|known| *known != request);
        thread.settle(nodes, (!has_others).then_some(request));
        // Threads come and go; what is kept of most is that there is nothing to keep.
        if self.threads.len() >= THREADS_MAX / 2 {
            self.threads.retain(|_, thread| !thread.is_idle());
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
            + self.threads.len() * (heap::vec::<NodeId>(4) + heap::vec::<Call>(4))
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
    fn settle(&mut self, nodes: &mut Nodes, request: Option<NodeId>) {
        let request = request.filter(|_| self.is_serial());
        for Call { node, is_heard } in self.calls.drain(..) {
            match request.filter(|request| is_heard && is_within(nodes, node, *request)) {
                Some(request) => nodes.link(node, request, Mechanism::Thread),
                None => nodes.stand_alone(node),
            }
        }
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
