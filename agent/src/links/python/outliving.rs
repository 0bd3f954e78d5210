//! Contexts that make calls though the request is over that they come from: these point at it. One
//! that goes on and on is a worker, which serves anybody; its calls point at nothing.

use std::collections::VecDeque;

use wirespan_protocols::heap;

use super::super::NodeId;
use super::super::recent::Recent;
use super::Decision;
use super::requests::ServedRequests;

/// Half of the contexts of requests that are remembered, and of those that make calls after them.
const REMEMBERED: usize = 4 * 1024;
/// Calls of a context after its request, until it is taken for a worker.
const LATE_MAX: u32 = 8;
/// How long it is waited for others of its calls before one points at the request, in nanoseconds.
const FEW_WITHIN_NS: u64 = 1_000_000_000;
/// Calls that wait; of more nothing is known.
const WAITING_MAX: usize = 16 * 1024;

/// Of a process.
#[derive(Debug, Default)]
pub(super) struct OutlivingContexts {
    /// Requests that are over, by the contexts that were theirs.
    over: Recent<u64, NodeId, REMEMBERED>,
    /// How many calls a context made after the request that it comes from.
    late: Recent<u64, LateCalls, REMEMBERED>,
    waiting: VecDeque<(u64, CallAfterRequest)>,
}

#[derive(Clone, Copy, Debug)]
struct LateCalls {
    count: u32,
    request: NodeId,
}

#[derive(Clone, Copy, Debug)]
struct CallAfterRequest {
    call: NodeId,
    request: NodeId,
    context: u64,
}

impl OutlivingContexts {
    /// A request is forgotten to which a context belonged.
    pub fn over(&mut self, context: u64, request: NodeId) {
        self.over.insert(context, request);
    }

    /// Something with this line makes a call, which may be one after its request.
    pub fn calls(&mut self, line: &[u64], requests: &ServedRequests) {
        let Some(context) = line.first() else { return };
        let known = requests.over_before(line);
        let known = known.or_else(|| line.iter().find_map(|it| self.over.get(*it).copied()));
        let Some(request) = known else { return };
        match self.late.get(*context) {
            Some(late) if late.request == request => late.count += 1,
            _ => self.late.insert(*context, LateCalls { count: 1, request }),
        }
    }

    /// Nothing that is answered accounts for a call that something with this line made. Whether it
    /// waits to point at the request that it came after.
    pub fn waits(&mut self, line: &[u64], call: NodeId, time_ns: u64) -> bool {
        let Some(context) = line.first().copied() else {
            return false;
        };
        let Some(LateCalls { count, request }) = self.late.get(context).copied() else {
            return false;
        };
        if count >= LATE_MAX || self.waiting.len() >= WAITING_MAX {
            return false;
        }
        let until_ns = time_ns.saturating_add(FEW_WITHIN_NS);
        let waits = CallAfterRequest {
            call,
            request,
            context,
        };
        self.waiting.push_back((until_ns, waits));
        true
    }

    /// Time passed.
    pub fn tick(&mut self, now_ns: u64, decisions: &mut Vec<Decision>) {
        while let Some((_, after)) = self.waiting.pop_front_if(|it| it.0 <= now_ns) {
            let late = self.late.get(after.context);
            let is_one_of_few =
                late.is_some_and(|it| it.request == after.request && it.count < LATE_MAX);
            decisions.push(Decision {
                call: after.call,
                request: is_one_of_few.then_some(after.request),
                is_after: true,
            });
        }
    }

    /// When something is decided by the time alone.
    pub fn until_ns(&self) -> Option<u64> {
        Some(self.waiting.front()?.0)
    }

    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    pub fn memory_bytes(&self) -> usize {
        self.over.memory_bytes()
            + self.late.memory_bytes()
            + heap::vec::<(u64, CallAfterRequest)>(self.waiting.capacity())
    }
}
