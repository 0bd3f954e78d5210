//! Which request a proxy passes on: its tasks have the address at which the proxy keeps the
//! connection that the request came on, and the stream. Of requests that a client sent ahead on a
//! connection without streams a proxy passes on the first that it has not answered. One that was
//! answered is passed on no more: by then the address may be of another connection.

use hashbrown::HashMap;
use wirespan_protocols::heap;

use super::pruning::Pruning;
use super::{NodeId, Task, nodes::Nodes};

/// Places that are remembered; requests at more of them are passed on by nobody that is known.
const PLACES_MAX: usize = 128 * 1024;
/// So many are not worth looking through for those that are over.
const PLACES_FEW: usize = 1024;

/// Of a process, where it keeps a connection, and the stream on that; 0 where there are none.
type ProxyPlace = (u32, u64, u64);

/// Requests that proxies have read.
#[derive(Debug, Default)]
pub struct Proxies {
    requests: HashMap<ProxyPlace, ProxyRequests>,
    pruning: Pruning,
}

/// Requests of one place.
#[derive(Debug)]
struct ProxyRequests {
    newest: NodeId,
    /// Those before that were not over when the next came, oldest first.
    before: Vec<NodeId>,
}

impl Proxies {
    /// A proxy read a request on a connection, which is the number of its task.
    pub fn reads(
        &mut self,
        nodes: &Nodes,
        request: NodeId,
        (tgid, task): (u32, Task),
        stream: Option<u64>,
    ) {
        if self.pruning.is_due(self.requests.len(), PLACES_FEW) {
            self.requests.retain(|_, it| nodes.get(it.newest).is_some());
        }
        let place = (tgid, task.id, stream.unwrap_or(0));
        if let Some(known) = self.requests.get_mut(&place) {
            let connection = |request| nodes.get(request).map(|node| node.connection);
            let of_now = connection(request);
            known.before.push(known.newest);
            known
                .before
                .retain(|before| is_open(nodes, *before) && connection(*before) == of_now);
            known.newest = request;
        } else if self.requests.len() < PLACES_MAX {
            let (newest, before) = (request, Vec::new());
            self.requests
                .insert(place, ProxyRequests { newest, before });
        }
    }

    /// The request for which a proxy asks.
    pub fn asks(&self, nodes: &Nodes, (tgid, task): (u32, Task)) -> Option<NodeId> {
        let place = (tgid, task.id, task.part.into());
        let ProxyRequests { newest, before } = self.requests.get(&place)?;
        let mut all = before.iter().chain([newest]).copied();
        all.find(|request| is_open(nodes, *request))
    }

    /// Bytes of memory that they take.
    pub fn memory_bytes(&self) -> usize {
        heap::table::<(ProxyPlace, ProxyRequests)>(self.requests.capacity())
    }
}

fn is_open(nodes: &Nodes, node: NodeId) -> bool {
    nodes.get(node).is_some_and(|node| !node.has_ended())
}
