//! ServedRequests that a process is serving, and those that it served lately: by what answered
//! them.

use std::collections::VecDeque;

use hashbrown::HashMap;
use wirespan_common::record::ConnectionId;
use wirespan_protocols::heap;

use super::super::NodeId;
use super::{CurrentContext, RequestRead};

/// How long a request that is over still owns what its own context does, in nanoseconds: what is to
/// be done after a response is done at once.
const OWNS_AFTER_NS: u64 = 100_000_000;
/// Contexts of which it is remembered whom they answered on which connection.
const SERIAL_MAX: usize = 16 * 1024;

/// A request.
#[derive(Debug)]
pub(super) struct ServedRequest {
    pub read_ns: u64,
    pub connection: ConnectionId,
    pub has_streams: bool,
    /// The thread that read it, and the context of its own that this had.
    pub tid: u32,
    pub own: Option<u64>,
    pub answer: Option<Answering>,
    ended_ns: Option<u64>,
}

/// How it was answered.
#[derive(Debug)]
pub(super) struct Answering {
    /// The context that did, and those that it comes from which are younger than the request.
    pub contexts: Vec<u64>,
}

/// Of a process.
#[derive(Debug, Default)]
pub(super) struct ServedRequests {
    known: HashMap<NodeId, ServedRequest>,
    /// Not answered yet, in the order in which they were read; and some that were.
    waiting: VecDeque<(u64, NodeId)>,
    /// Answered ones, by the contexts that are theirs.
    by_context: HashMap<u64, Vec<NodeId>>,
    over: VecDeque<(u64, NodeId)>,
    /// On which connection a context that is older than the requests answers them; 0 if on several.
    serial: HashMap<u64, ConnectionId>,
}

impl ServedRequests {
    pub fn read(&mut self, read: &RequestRead, tid: u32, current: CurrentContext) {
        let own = match current {
            CurrentContext::Own(address) => Some(address),
            _ => None,
        };
        let request = ServedRequest {
            read_ns: read.time_ns,
            connection: read.connection,
            has_streams: read.has_streams,
            tid,
            own,
            answer: None,
            ended_ns: None,
        };
        self.waiting.push_back((read.time_ns, read.node));
        self.known.insert(read.node, request);
    }

    pub fn get(&self, node: NodeId) -> Option<&ServedRequest> {
        self.known.get(&node)
    }

    /// One that is not answered yet.
    pub fn unanswered(&self, node: NodeId) -> Option<&ServedRequest> {
        self.get(node).filter(|request| request.is_open())
    }

    /// When the oldest of those that are not answered was read.
    pub fn oldest_ns(&mut self) -> Option<u64> {
        while let Some((read_ns, node)) = self.waiting.front() {
            if self.unanswered(*node).is_some() {
                return Some(*read_ns);
            }
            self.waiting.pop_front();
        }
        None
    }

    /// It is answered, by a context whose `line` this is.
    pub fn answered(&mut self, node: NodeId, line: &[u64]) {
        let Some(request) = self.known.get_mut(&node) else {
            return;
        };
        let is_younger = |context: &&u64| **context >= request.read_ns;
        let contexts: Vec<u64> = line.iter().take_while(is_younger).copied().collect();
        for context in &contexts {
            self.by_context.entry(*context).or_default().push(node);
        }
        request.answer = Some(Answering { contexts });
    }

    /// Whether the context answers on one connection only, as far as is known.
    pub fn is_serial(&mut self, context: u64, connection: ConnectionId) -> bool {
        if self.serial.len() >= SERIAL_MAX {
            self.serial.clear();
        }
        let known = self.serial.entry(context).or_insert(connection);
        if *known != connection {
            *known = 0;
        }
        *known == connection
    }

    /// The answered request that what has this line belongs to, if it is the only one.
    pub fn owner(&self, line: &[u64], now_ns: u64) -> Option<NodeId> {
        for (distance, context) in line.iter().enumerate() {
            let Some(found) = self.by_context.get(context) else {
                continue;
            };
            let mut owners = found.iter().filter(|node| {
                self.get(**node)
                    .is_some_and(|request| request.owns(line, distance, now_ns))
            });
            let owner = owners.next()?;
            return owners.next().is_none().then_some(*owner);
        }
        None
    }

    pub fn ended(&mut self, node: NodeId, now_ns: u64) {
        if let Some(request) = self.known.get_mut(&node)
            && request.ended_ns.is_none()
        {
            request.ended_ns = Some(now_ns);
            let until_ns = now_ns.saturating_add(OWNS_AFTER_NS);
            self.over.push_back((until_ns, node));
        }
    }

    /// The request that is over to which a context of this line belonged, the nearest, if it is the
    /// only one.
    pub fn over_before(&self, line: &[u64]) -> Option<NodeId> {
        let found = line.iter().find_map(|it| self.by_context.get(it))?;
        match found[..] {
            [node] if self.is_over(node) => Some(node),
            _ => None,
        }
    }

    /// Forgets those that are over for long enough; `last` is told of each context that was the
    /// request's alone.
    pub fn forget(&mut self, now_ns: u64, mut last: impl FnMut(u64, NodeId)) {
        while let Some(&(until_ns, node)) = self.over.front()
            && until_ns <= now_ns
        {
            self.over.pop_front();
            let Some(request) = self.known.remove(&node) else {
                continue;
            };
            for context in request.answer.iter().flat_map(|it| &it.contexts) {
                if let Some(owners) = self.by_context.get_mut(context) {
                    if owners[..] == [node] {
                        last(*context, node);
                    }
                    owners.retain(|owner| *owner != node);
                    if owners.is_empty() {
                        self.by_context.remove(context);
                    }
                }
            }
        }
    }

    /// Whether another request came on the same connection before `time_ns` and is not answered.
    pub fn has_another(&self, node: NodeId, time_ns: u64) -> bool {
        let connection = self.get(node).map(|request| request.connection);
        self.waiting.iter().any(|(read_ns, other)| {
            *read_ns <= time_ns
                && *other != node
                && self
                    .unanswered(*other)
                    .is_some_and(|it| Some(it.connection) == connection)
        })
    }

    /// Whether it is over, or forgotten.
    pub fn is_over(&self, node: NodeId) -> bool {
        self.get(node).is_none_or(|it| it.ended_ns.is_some())
    }

    /// Of a line, the contexts that were made for an answered request and are not its own: those
    /// below the ones that answered it.
    pub fn made_for<'a>(&self, node: NodeId, line: &'a [u64]) -> &'a [u64] {
        let Some(answer) = self.get(node).and_then(|it| it.answer.as_ref()) else {
            return &[];
        };
        let made = line.iter().take_while(|it| !answer.contexts.contains(it));
        let count = made.count();
        // None of them is the request's: it was linked by something else.
        if count == line.len() {
            &[]
        } else {
            &line[..count]
        }
    }

    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    pub fn memory_bytes(&self) -> usize {
        let queued = self.waiting.capacity() + self.over.capacity();
        heap::table::<(NodeId, ServedRequest)>(self.known.capacity())
            + heap::vec::<(u64, NodeId)>(queued)
            + heap::table::<(u64, Vec<NodeId>)>(self.by_context.capacity())
            + heap::table::<(u64, ConnectionId)>(self.serial.capacity())
    }
}

impl ServedRequest {
    fn is_open(&self) -> bool {
        self.answer.is_none() && self.ended_ns.is_none()
    }

    /// Whether what has this line, in which one of its contexts stands at `distance`, is its. Once
    /// it is over, only what its own context does: others that it made may serve anybody.
    fn owns(&self, line: &[u64], distance: usize, now_ns: u64) -> bool {
        let Some(ended_ns) = self.ended_ns else {
            return true;
        };
        let answer = self.answer.as_ref();
        let is_own = answer.and_then(|it| it.contexts.first()) == line.first();
        distance == 0 && is_own && now_ns <= ended_ns.saturating_add(OWNS_AFTER_NS)
    }
}
