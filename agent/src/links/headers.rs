//! Requests that name the trace they belong to, and calls that name the same: a program passed the
//! header on, as proxies do. An SDK would have put a span of its own in between.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use wirespan_protocols::exchange::Role;
use wirespan_protocols::heap;
use wirespan_protocols::trace_parent::TraceParent;

use super::{Node, NodeId};

/// Requests that are being served, by process and what they name.
#[derive(Debug, Default)]
pub struct Headers {
    /// `None` where there are several.
    requests: HashMap<(u32, TraceParent), Option<NodeId>>,
}

impl Headers {
    /// A request begins at a server.
    pub fn serves(&mut self, id: NodeId, owner: u32, named: TraceParent) {
        match self.requests.entry((owner, named)) {
            Entry::Occupied(mut several) => drop(several.insert(None)),
            Entry::Vacant(first) => drop(first.insert(Some(id))),
        }
    }

    /// The request that a process serves whose header a call of its passes on.
    pub fn passes_on(&self, owner: u32, named: TraceParent) -> Option<NodeId> {
        *self.requests.get(&(owner, named))?
    }

    /// One is remembered no longer.
    pub fn forget(&mut self, node: &Node) {
        if node.role == Role::Server
            && let Some(named) = node.named
        {
            self.requests.remove(&(node.owner, named));
        }
    }

    /// Bytes of memory that they take.
    pub fn memory_bytes(&self) -> usize {
        heap::table::<((u32, TraceParent), Option<NodeId>)>(self.requests.capacity())
    }
}
