//! Which request a call of Node's belongs to, where the user's own script says it: what a server
//! reads names the number that its request gets, and what a client writes names the number of the
//! request that it is written for. A number that two connections claim is nobody's. Of streams of
//! HTTP/2 the script says the same in notes of their own, which come before the bytes of calls, and
//! after those of requests.
//!
//! What a request starts goes on with its number: a worker that serves whoever comes has it for
//! good. So what is asked after a request's end is no part of it; it points at the request if it is
//! not one of many with that number, for which it is waited. Where that happens again and again,
//! numbers of this process get to who serves others, as they do in libraries that lose the context;
//! from then on its calls wait until their request is over, and belong to it if nothing is asked
//! with its number for a while after.

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
/// How long it is waited for others after such a call before it points at its request, in
/// nanoseconds of record time.
const FEW_WITHIN_NS: u64 = 1_000_000_000;
/// Such calls that wait; of more nothing is known.
const AFTER_MAX: usize = 16 * 1024;
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
    /// Calls that came after their request, and until when it is waited for others.
    after: VecDeque<(u64, CallAfter)>,
    pruning: Pruning,
}

/// A call with the number of a request that is over.
#[derive(Clone, Copy, Debug)]
struct CallAfter {
    call: NodeId,
    request: NodeId,
    number: NodeNumber,
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
    pub fn reads(
        &mut self,
        nodes: &mut Nodes,
        request: NodeId,
        begun: &Begun,
        tgid: u32,
        task: Task,
    ) {
        if begun.stream.is_none() && task.part == NodeSlot::Next as u32 {
            self.claims(nodes, request, begun.connection, (tgid, task.id));
        }
    }

    /// A request has a number.
    pub fn claims(
        &mut self,
        nodes: &mut Nodes,
        request: NodeId,
        connection: ConnectionId,
        number: NodeNumber,
    ) {
        if self.pruning.is_due(self.requests.len(), REQUESTS_FEW) {
            self.prune(nodes);
        }
        if let Some(known) = nodes.get_mut(request) {
            known.may_be_outlived = true;
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
    /// certain only when the request is over. One that comes after its request waits.
    pub fn asks(
        &mut self,
        nodes: &Nodes,
        call: NodeId,
        begun: &Begun,
        tgid: u32,
        task: Task,
    ) -> Option<(NodeId, Option<NodeNumber>)> {
        if begun.stream.is_some() || task.part != NodeSlot::Call as u32 {
            return None;
        }
        self.request_with(nodes, Some(call), (tgid, task.id))
    }

    /// The request for which something is asked with this number, and the number, as above; by
    /// `call`, if that is known.
    pub fn request_with(
        &mut self,
        nodes: &Nodes,
        call: Option<NodeId>,
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
            let is_one_of_few = claim.late < LATE_MAX && !claim.is_disputed;
            if let Some(call) = call.filter(|_| is_one_of_few)
                && self.after.len() < AFTER_MAX
            {
                let request = claim.request;
                let until_ns = nodes.now_ns().saturating_add(FEW_WITHIN_NS);
                let waits = CallAfter {
                    call,
                    request,
                    number,
                };
                self.after.push_back((until_ns, waits));
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

    /// Whether this call, the latest, came after its request and waits.
    pub fn waits(&self, call: NodeId) -> bool {
        self.after.back().is_some_and(|(_, it)| it.call == call)
    }

    /// A call after its request that has waited long enough, and the request if it is to point at
    /// that: few others came with the number.
    pub fn next_after(&mut self, now_ns: u64) -> Option<(NodeId, Option<NodeId>)> {
        let (_, after) = self
            .after
            .pop_front_if(|(until_ns, _)| *until_ns <= now_ns)?;
        let is_one_of_few = self
            .requests
            .get(&after.number)
            .is_some_and(|it| it.request == after.request && it.late < LATE_MAX);
        Some((after.call, is_one_of_few.then_some(after.request)))
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
        let due = self.due.front().map(|(until_ns, _)| *until_ns);
        let after = self.after.front().map(|(until_ns, _)| *until_ns);
        due.into_iter().chain(after).min()
    }

    fn prune(&mut self, nodes: &Nodes) {
        self.requests.retain(|_, claim| nodes.knows(claim.request));
        self.awaited
            .retain(|request, _| nodes.get(*request).is_some());
    }

    /// Bytes of memory that they take.
    pub fn memory_bytes(&self) -> usize {
        heap::table::<(NodeNumber, NodeClaim)>(self.requests.capacity())
            + heap::table::<u32>(self.careless.capacity())
            + heap::table::<(NodeId, NodeNumber)>(self.awaited.capacity())
            + heap::vec::<(u64, NodeId)>(self.due.capacity())
            + heap::vec::<(u64, CallAfter)>(self.after.capacity())
    }
}
