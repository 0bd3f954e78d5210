//! Which request a call of Node's belongs to, where the user's own script says it: what a server
//! reads names the number that its request gets, and what a client writes names the number of the
//! request that it is written for. A number that two connections claim is nobody's. Of streams of
//! HTTP/2 the script says the same in notes of their own, which come before the bytes of calls, and
//! after those of requests.
//!
//! What a request starts goes on with its number: a worker that serves whoever comes has it for
//! good. So what is asked after a request's end is asked for nobody. Where that happens again and
//! again with one number, numbers of this process get to who serves others, as they do in libraries
//! that lose the context; from then on its calls wait until their request is over, and belong to it
//! if nothing is asked with its number for a while after.

use std::collections::VecDeque;

use hashbrown::{HashMap, HashSet};
use wirespan_common::node::NodeSlot;
use wirespan_common::record::ConnectionId;
use wirespan_protocols::heap;

use super::pruning::Pruning;
use super::{Begun, Node, NodeId, Task, nodes::Nodes};

/// Requests that are remembered; what later ones ask for is not known to belong to anything.
const REQUESTS_MAX: usize = 128 * 1024;
/// So many are not worth looking through for those that are over.
const REQUESTS_FEW: usize = 1024;

/// Calls with the number of a request that is over, until no number of the process is believed at
/// once. What a request leaves to be done after it is less.
const LATE_MAX: u32 = 8;
/// How long after a request's end a call may show that its number is used by others, in nanoseconds
/// of record time. It is remembered longer.
const GRACE_NS: u64 = 50_000_000;
const _: () = assert!(GRACE_NS < super::REMEMBERED_NS);
/// Processes that are remembered for that, before remembering starts again.
const CARELESS_MAX: usize = 4096;

/// A process, and the number of a task.
pub type NodeNumber = (u32, u64);

/// Requests by their numbers.
#[derive(Debug, Default)]
pub struct NodeRequests {
    requests: HashMap<NodeNumber, NodeClaim>,
    /// Processes where numbers get to who serves others.
    careless: HashSet<u32>,
    /// Requests whose calls wait for its end.
    awaited: HashMap<NodeId, NodeNumber>,
    /// When those that are over have been waited for long enough.
    due: VecDeque<(u64, NodeId)>,
    pruning: Pruning,
}

/// Whose a number is.
#[derive(Clone, Copy, Debug)]
struct NodeClaim {
    request: NodeId,
    /// Another connection claimed it, too.
    is_disputed: bool,
    /// Calls with it after the request's end.
    late: u32,
}

impl NodeRequests {
    /// A request was read, and this stood at its socket.
    pub fn reads(&mut self, nodes: &Nodes, request: NodeId, begun: &Begun, tgid: u32, task: Task) {
        if begun.stream.is_none() && task.part == NodeSlot::Next as u32 {
            self.claims(nodes, request, begun.connection, (tgid, task.id));
        }
    }

    /// A request has a number.
    pub fn claims(
        &mut self,
        nodes: &Nodes,
        request: NodeId,
        connection: ConnectionId,
        number: NodeNumber,
    ) {
        if self.pruning.is_due(self.requests.len(), REQUESTS_FEW) {
            self.prune(nodes);
        }
        let new = NodeClaim {
            request,
            is_disputed: false,
            late: 0,
        };
        if let Some(claim) = self.requests.get_mut(&number) {
            match nodes.get(claim.request) {
                // Sent ahead: the first of them took it.
                Some(known) if known.connection == connection => {}
                Some(_) => claim.is_disputed = true,
                None => *claim = new,
            }
        } else if self.requests.len() < REQUESTS_MAX {
            self.requests.insert(number, new);
        }
    }

    /// The request that a call is made for, at whose socket this stands; and its number, if that is
    /// certain only when the request is over.
    pub fn asks(
        &mut self,
        nodes: &Nodes,
        begun: &Begun,
        tgid: u32,
        task: Task,
    ) -> Option<(NodeId, Option<NodeNumber>)> {
        if begun.stream.is_some() || task.part != NodeSlot::Call as u32 {
            return None;
        }
        self.request_with(nodes, (tgid, task.id))
    }

    /// The request for which something is asked with this number; and the number, as above.
    pub fn request_with(
        &mut self,
        nodes: &Nodes,
        number: NodeNumber,
    ) -> Option<(NodeId, Option<NodeNumber>)> {
        let tgid = number.0;
        let claim = self.requests.get_mut(&number)?;
        if nodes.get(claim.request).is_none_or(Node::has_ended) {
            claim.late += 1;
            if claim.late == LATE_MAX {
                if self.careless.len() >= CARELESS_MAX {
                    self.careless.clear();
                }
                self.careless.insert(tgid);
            }
            return None;
        }
        let request = claim.request;
        if claim.is_disputed {
            return None;
        }
        let is_certain = !self.careless.contains(&tgid);
        if !is_certain && self.awaited.len() < REQUESTS_MAX {
            self.awaited.insert(request, number);
        }
        Some((request, (!is_certain).then_some(number)))
    }

    /// A request is over.
    pub fn ends(&mut self, request: NodeId, now_ns: u64) {
        if !self.awaited.is_empty() && self.awaited.contains_key(&request) {
            self.due.push_back((now_ns + GRACE_NS, request));
        }
    }

    /// A number whose calls have waited long enough, and whether they belong to its request.
    pub fn next_due(&mut self, now_ns: u64) -> Option<(NodeNumber, bool)> {
        let (_, request) = self.due.pop_front_if(|(until_ns, _)| *until_ns <= now_ns)?;
        let number = self.awaited.remove(&request)?;
        let claim = self.requests.get(&number);
        let is_own =
            claim.is_some_and(|it| it.request == request && it.late == 0 && !it.is_disputed);
        Some((number, is_own))
    }

    /// When that is so for the first of them, in nanoseconds of record time.
    pub fn until_ns(&self) -> Option<u64> {
        Some(self.due.front()?.0)
    }

    fn prune(&mut self, nodes: &Nodes) {
        self.requests
            .retain(|_, claim| nodes.get(claim.request).is_some());
        self.awaited
            .retain(|request, _| nodes.get(*request).is_some());
    }

    /// Bytes of memory that they take.
    pub fn memory_bytes(&self) -> usize {
        heap::table::<(NodeNumber, NodeClaim)>(self.requests.capacity())
            + heap::table::<u32>(self.careless.capacity())
            + heap::table::<(NodeId, NodeNumber)>(self.awaited.capacity())
            + heap::vec::<(u64, NodeId)>(self.due.capacity())
    }
}
