//! Which request a proxy passes on: its tasks have the number of the socket that the request came
//! on, and the stream. Of requests that a client sent ahead on a connection without streams a proxy
//! passes on the first that it has not answered.

use hashbrown::HashMap;
use wirespan_common::record::ConnectionId;
use wirespan_protocols::heap;

use super::{NodeId, Task, nodes::Nodes};

/// Places that are remembered; requests at more of them are passed on by nobody that is known.
const PLACES_MAX: usize = 128 * 1024;
/// So many are not worth looking through for those that are over.
const PLACES_FEW: usize = 1024;

/// A socket, and the stream on it; 0 where there are none.
type ProxyPlace = (ConnectionId, u64);

/// Requests that proxies have read.
#[derive(Debug)]
pub struct Proxies {
    requests: HashMap<ProxyPlace, ProxyRequests>,
    /// When there are so many places, those are looked for at which nothing is left.
    tidy_at: usize,
}

/// Requests of one place.
#[derive(Debug)]
struct ProxyRequests {
    newest: NodeId,
    /// Those before that were not over when the next came, oldest first.
    before: Vec<NodeId>,
}

impl Default for Proxies {
    fn default() -> Self {
        Self {
            requests: HashMap::new(),
            tidy_at: PLACES_FEW,
        }
    }
}

impl Proxies {
    /// A proxy read a request on a socket, which is the number of `task`.
    pub fn reads(&mut self, nodes: &Nodes, request: NodeId, task: Task, stream: Option<u64>) {
        if self.requests.len() >= self.tidy_at {
            self.tidy(nodes);
        }
        let place = (task.id, stream.unwrap_or(0));
        if let Some(known) = self.requests.get_mut(&place) {
            known.before.push(known.newest);
            known.before.retain(|before| is_open(nodes, *before));
            known.newest = request;
        } else if self.requests.len() < PLACES_MAX {
            let (newest, before) = (request, Vec::new());
            self.requests
                .insert(place, ProxyRequests { newest, before });
        }
    }

    /// The request for which a proxy asks. One that is over is told as long as no other came: it
    /// may have been answered from a cache which then is renewed.
    pub fn asks(&self, nodes: &Nodes, task: Task) -> Option<NodeId> {
        let ProxyRequests { newest, before } = self.requests.get(&(task.id, task.part.into()))?;
        let mut before = before.iter().copied();
        Some(before.find(|it| is_open(nodes, *it)).unwrap_or(*newest))
    }

    fn tidy(&mut self, nodes: &Nodes) {
        self.requests.retain(|_, it| nodes.get(it.newest).is_some());
        self.tidy_at = PLACES_FEW.max(2 * self.requests.len()).min(PLACES_MAX);
    }

    /// Bytes of memory that they take.
    pub fn memory_bytes(&self) -> usize {
        heap::table::<(ProxyPlace, ProxyRequests)>(self.requests.capacity())
    }
}

fn is_open(nodes: &Nodes, node: NodeId) -> bool {
    nodes.get(node).is_some_and(|node| !node.has_ended())
}
