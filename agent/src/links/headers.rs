//! Requests that name the trace they belong to, and calls that name the same: a program passed the
//! header on, as proxies do. An SDK would have put a span of its own in between. The id of a
//! request is passed on alike, but says less.

use hashbrown::HashMap;
use wirespan_protocols::exchange::Role;
use wirespan_protocols::heap;
use wirespan_protocols::trace_parent::TraceParent;

use super::{Node, NodeId};
use crate::trace_context::Named;

/// What is passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Token {
    Parent(TraceParent),
    RequestId(u64),
}

/// Requests that are being served, by process and what they name.
#[derive(Debug, Default)]
pub struct Headers {
    requests: HashMap<(u32, Token), Bearers>,
}

/// Those that name the same.
#[derive(Debug)]
struct Bearers {
    count: u32,
    /// `None` once there were several.
    only: Option<NodeId>,
}

/// Whose header a call passes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassedOn {
    /// Nobody's.
    No,
    /// That of this request.
    Of(NodeId),
    /// That of several.
    OfSome,
}

impl Headers {
    /// A request begins at a server.
    pub fn serves(&mut self, id: NodeId, owner: u32, named: Named) {
        for token in tokens(named) {
            let requests = self.requests.entry((owner, token)).or_insert(Bearers {
                count: 0,
                only: Some(id),
            });
            requests.count = requests.count.saturating_add(1);
            requests.only = requests.only.filter(|only| *only == id);
        }
    }

    /// The request that a process serves whose header a call of its passes on.
    pub fn passes_on(&self, owner: u32, named: Named) -> PassedOn {
        match named.parent {
            Some(parent) => self.find(owner, Token::Parent(parent)),
            None => PassedOn::No,
        }
    }

    /// The only request that a process serves with the same id.
    pub fn hint(&self, owner: u32, named: Named) -> Option<NodeId> {
        match self.find(owner, Token::RequestId(named.request_id?)) {
            PassedOn::Of(request) => Some(request),
            PassedOn::No | PassedOn::OfSome => None,
        }
    }

    fn find(&self, owner: u32, token: Token) -> PassedOn {
        match self.requests.get(&(owner, token)) {
            None => PassedOn::No,
            Some(Bearers { only, .. }) => only.map_or(PassedOn::OfSome, PassedOn::Of),
        }
    }

    /// One is remembered no longer.
    pub fn forget(&mut self, node: &Node) {
        if node.role != Role::Server {
            return;
        }
        for token in tokens(node.named) {
            let key = (node.owner, token);
            if let Some(requests) = self.requests.get_mut(&key) {
                requests.count -= 1;
                if requests.count == 0 {
                    self.requests.remove(&key);
                }
            }
        }
    }

    /// Bytes of memory that they take.
    pub fn memory_bytes(&self) -> usize {
        heap::table::<((u32, Token), Bearers)>(self.requests.capacity())
    }
}

fn tokens(named: Named) -> impl Iterator<Item = Token> {
    let parent = named.parent.map(Token::Parent);
    parent
        .into_iter()
        .chain(named.request_id.map(Token::RequestId))
}
