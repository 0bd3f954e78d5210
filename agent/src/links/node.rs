//! Which request a call of Node's belongs to, where the user's own script says it: what a server
//! reads names the number that its request gets, and what a client writes names the number of the
//! request that it is written for. A number that two connections claim is nobody's; exchanges on
//! streams of HTTP/2 are told of by nobody.
//!
//! What a request starts goes on with its number: a worker that serves whoever comes has it for
//! good. So what is asked after a request's end is asked for nobody.

use hashbrown::HashMap;
use wirespan_common::node::NodeSlot;
use wirespan_protocols::heap;

use super::{Begun, Node, NodeId, Task, nodes::Nodes};

/// Requests that are remembered; what later ones ask for is not known to belong to anything.
const REQUESTS_MAX: usize = 128 * 1024;
/// So many are not worth looking through for those that are over.
const REQUESTS_FEW: usize = 1024;

/// A process, and the number of a task.
type NodeNumber = (u32, u64);

/// Requests by their numbers.
#[derive(Debug)]
pub struct NodeRequests {
    requests: HashMap<NodeNumber, NodeClaim>,
    /// When there are so many, those are looked for that are over.
    tidy_at: usize,
}

/// Whose a number is.
#[derive(Clone, Copy, Debug)]
struct NodeClaim {
    request: NodeId,
    /// Another connection claimed it, too.
    is_disputed: bool,
}

impl Default for NodeRequests {
    fn default() -> Self {
        Self {
            requests: HashMap::new(),
            tidy_at: REQUESTS_FEW,
        }
    }
}

impl NodeRequests {
    /// A request was read, and this stood at its socket.
    pub fn reads(&mut self, nodes: &Nodes, request: NodeId, begun: &Begun, tgid: u32, task: Task) {
        if begun.stream.is_some() || task.part != NodeSlot::Next as u32 {
            return;
        }
        if self.requests.len() >= self.tidy_at {
            self.tidy(nodes);
        }
        let number = (tgid, task.id);
        let new = NodeClaim {
            request,
            is_disputed: false,
        };
        if let Some(claim) = self.requests.get_mut(&number) {
            match nodes.get(claim.request) {
                // Sent ahead: the first of them took it.
                Some(known) if known.connection == begun.connection => {}
                Some(_) => claim.is_disputed = true,
                None => *claim = new,
            }
        } else if self.requests.len() < REQUESTS_MAX {
            self.requests.insert(number, new);
        }
    }

    /// The request that a call is made for, at whose socket this stands.
    #[must_use]
    pub fn asks(&self, nodes: &Nodes, begun: &Begun, tgid: u32, task: Task) -> Option<NodeId> {
        if begun.stream.is_some() || task.part != NodeSlot::Call as u32 {
            return None;
        }
        let claim = self.requests.get(&(tgid, task.id))?;
        let is_over = nodes.get(claim.request).is_none_or(Node::has_ended);
        (!claim.is_disputed && !is_over).then_some(claim.request)
    }

    fn tidy(&mut self, nodes: &Nodes) {
        self.requests
            .retain(|_, claim| nodes.get(claim.request).is_some());
        self.tidy_at = REQUESTS_FEW.max(2 * self.requests.len()).min(REQUESTS_MAX);
    }

    /// Bytes of memory that they take.
    pub fn memory_bytes(&self) -> usize {
        heap::table::<(NodeNumber, NodeClaim)>(self.requests.capacity())
    }
}
