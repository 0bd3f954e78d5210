//! Calls of threads that do one thing at a time: they belong to the request that the thread answers
//! next, whoever read it. A thread that waits for events in between does many things at a time, and
//! what it asks for belongs to nobody that is known.

use hashbrown::HashMap;
use wirespan_common::record::TaskKind;
use wirespan_protocols::heap;

use super::{Actor, Mechanism, NodeId, nodes::Nodes};

/// Threads that are remembered; those of more make no calls that are known to belong to anything.
const THREADS_MAX: usize = 64 * 1024;
/// Calls of one thread that wait for an answer of its.
const CALLS_MAX: usize = 1024;

/// Calls that nobody has answered for yet, by process and thread.
#[derive(Debug, Default)]
pub struct Threads {
    threads: HashMap<(u32, u32), Thread>,
}

#[derive(Debug, Default)]
struct Thread {
    /// How often it had waited for events when it made them.
    turn: u64,
    calls: Vec<NodeId>,
}

impl Threads {
    /// A thread makes a call. Whether that is to wait for what it answers.
    pub fn calls(&mut self, nodes: &mut Nodes, node: NodeId, actor: Actor) -> bool {
        let Some(turn) = turn_of(actor) else {
            return false;
        };
        let key = (actor.tgid, actor.tid);
        if self.threads.len() >= THREADS_MAX && !self.threads.contains_key(&key) {
            return false;
        }
        let thread = self.threads.entry(key).or_default();
        thread.begin(nodes, turn);
        if thread.calls.len() >= CALLS_MAX {
            return false;
        }
        thread.calls.push(node);
        true
    }

    /// A thread reads a request: what it did before is over, or not for this one.
    pub fn reads(&mut self, nodes: &mut Nodes, actor: Actor, _time_ns: u64) {
        self.take(nodes, actor, None);
    }

    /// A thread begins to answer a request.
    pub fn answers(&mut self, nodes: &mut Nodes, request: NodeId, actor: Actor) {
        self.take(nodes, actor, Some(request));
    }

    fn take(&mut self, nodes: &mut Nodes, actor: Actor, request: Option<NodeId>) {
        if self.threads.is_empty() {
            return;
        }
        let Some(thread) = self.threads.get_mut(&(actor.tgid, actor.tid)) else {
            return;
        };
        let is_same_turn = turn_of(actor) == Some(thread.turn);
        for call in std::mem::take(&mut thread.calls) {
            match request.filter(|request| is_same_turn && is_within(nodes, call, *request)) {
                Some(request) => nodes.link(call, request, Mechanism::Thread),
                None => nodes.stand_alone(call),
            }
        }
        // A thread that makes calls often goes on to make them; those that ended are few.
        if self.threads.len() >= THREADS_MAX / 2 {
            self.threads.retain(|_, thread| !thread.calls.is_empty());
        }
    }

    /// Bytes of memory that they take.
    pub fn memory_bytes(&self) -> usize {
        heap::table::<((u32, u32), Thread)>(self.threads.capacity())
            + self.threads.len() * heap::vec::<NodeId>(4)
    }
}

impl Thread {
    /// What was called in another turn is not answered for in this one.
    fn begin(&mut self, nodes: &mut Nodes, turn: u64) {
        if self.turn != turn {
            self.turn = turn;
            for call in self.calls.drain(..) {
                nodes.stand_alone(call);
            }
        }
    }
}

/// Whether the request had been read when the call was made.
fn is_within(nodes: &Nodes, call: NodeId, request: NodeId) -> bool {
    let begun = |node| nodes.get(node).map(|node| node.begun_ns);
    begun(request).is_some_and(|request| begun(call).is_some_and(|call| request <= call))
}

fn turn_of(actor: Actor) -> Option<u64> {
    let task = actor.task?;
    (task.kind == TaskKind::ThreadTurn).then_some(task.id)
}
