//! Exchanges as a tree: each has a place from its beginning until a little after its end, and
//! stands in a trace as soon as whoever asked for it does. It knows nothing of how that is found
//! out.

use std::collections::VecDeque;
use std::num::NonZero;

use hashbrown::HashMap;
use wirespan_common::record::ConnectionId;
use wirespan_protocols::exchange::{Role, Ticket};
use wirespan_protocols::heap;

use super::gone::Gone;
use super::questions::tcp_key;
use super::{
    AWAITED_NS, Abstained, Begun, CallerContext, Ends, JoinKey, LinkTally, Mechanism, Meeting,
    OVERTAKEN_NS, QuestionFate, REMEMBERED_NS,
};
use crate::trace_context::{Named, Parent, SpanContext};

/// Room for more than this is given back once most of it is empty.
const ROOM_KEPT: usize = 1024;

/// Those that are over and still remembered.
pub(super) const REMEMBERED_MAX: usize = 8 * 1024;

/// Calls that were settled and wait to be told elsewhere; of more nobody is told.
const CALLS_MAX: usize = 64 * 1024;

/// So many exchanges asked for one another in a row: what seems to be deeper is a circle.
const DEPTH_MAX: usize = 64;

/// A call, by what others know it, and where it stands, if they are told.
pub type ToldCall = (JoinKey, Option<CallerContext>);

/// An exchange, open or lately over. No two have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NodeId {
    place: u32,
    serial: u32,
}

impl NodeId {
    /// The one that a listener calls so.
    #[must_use]
    pub fn of(ticket: Ticket) -> Self {
        Self {
            place: ticket.0 as u32,
            serial: (ticket.0 >> 32) as u32,
        }
    }

    /// What a listener calls it.
    #[must_use]
    pub fn ticket(self) -> Ticket {
        Ticket(u64::from(self.serial) << 32 | u64::from(self.place))
    }
}

/// What is known of an exchange.
#[derive(Debug)]
pub struct Node {
    /// Which side of it is watched.
    pub role: Role,
    /// Whose it is.
    pub owner: u32,
    /// On which connection.
    pub connection: ConnectionId,
    /// On which stream of it, where it has streams.
    pub stream: Option<u64>,
    /// Where it may be seen at the other end of its connection.
    pub ends: Option<Ends>,
    /// When the head of its request ended, in nanoseconds of record time.
    pub begun_ns: u64,
    /// The thread that read it, until that is asked for when it is answered.
    pub read_by: Option<NonZero<u32>>,
    /// A call of a process that had no request to answer.
    pub is_of_nobody: bool,
    /// When somebody began to serve it, if that was seen, in nanoseconds of record time.
    pub served_ns: Option<u64>,
    /// What its request said of the trace that it belongs to.
    pub named: Named,
    /// Its span is left out: what comes of it stands below what it stands below.
    pub is_left_to_sdk: bool,
    /// A task was made that serves it, which may outlive it.
    pub may_be_outlived: bool,
    /// Who asked for it if nothing better becomes known.
    hint: Option<NodeId>,
    /// Its own ids and what its request said; once it is settled, where it stands.
    context: SpanContext,
    link: Link,
    is_settled: bool,
    /// Somebody waits to hear that it is.
    is_waited_for: bool,
    ended_ns: Option<u64>,
    /// Of those that it asked for and that are not settled.
    first_child: Option<NodeId>,
    next_sibling: Option<NodeId>,
}

/// Who asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// Not known yet.
    Open,
    /// Nobody that is known here.
    None,
    /// An exchange.
    To(NodeId, Mechanism),
    /// A call of another node, as that told.
    Elsewhere(Mechanism),
}

impl Node {
    /// One that begins, with ids of its own.
    #[must_use]
    pub fn new(context: SpanContext, named: Named, begun: &Begun) -> Self {
        Self {
            role: begun.role,
            owner: begun.owner,
            connection: begun.connection,
            stream: begun.stream,
            ends: begun.ends,
            begun_ns: begun.time_ns,
            read_by: None,
            is_of_nobody: false,
            named,
            served_ns: None,
            is_left_to_sdk: begun.is_left_to_sdk,
            may_be_outlived: false,
            hint: None,
            context,
            link: Link::Open,
            is_settled: false,
            is_waited_for: false,
            ended_ns: None,
            first_child: None,
            next_sibling: None,
        }
    }

    /// Whether it is over.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended_ns.is_some()
    }

    /// Whether it stays where it stands.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.is_settled
    }
}

/// All of them.
#[derive(Debug, Default)]
pub struct Nodes {
    /// Each node apart, so that those which are gone take nothing.
    places: Vec<Option<(u32, Box<Node>)>>,
    free: Vec<u32>,
    serial: u32,
    open: usize,
    /// The latest record's time.
    now_ns: u64,
    /// Those that were to wait, by how long; the last ones for answers of other nodes.
    awaited: [VecDeque<(u64, NodeId)>; 4],
    /// Calls are noted of which it became known where they stand.
    pub notes_calls: bool,
    /// Those: by what others know them, and what these are told.
    calls: Vec<ToldCall>,
    /// Those that are over and settled, with the time until which they are remembered.
    over: VecDeque<(u64, NodeId)>,
    settled: VecDeque<NodeId>,
    gone: Gone,
    /// Of calls that came too late to be part of it, the request that they come of, and how that is
    /// known.
    follows: HashMap<NodeId, (SpanContext, Mechanism)>,
    /// The same of requests of which it is not known yet where they stand.
    followed: HashMap<NodeId, Vec<(NodeId, Mechanism)>>,
    /// How long after its end what a task makes is still part of the request that it was made for,
    /// in nanoseconds of record time.
    late_ns: u64,
    /// What became of them.
    pub tally: LinkTally,
}

impl Nodes {
    /// Calls of tasks that outlive their request are part of it for so long after its end, in
    /// nanoseconds.
    pub fn allow_late(&mut self, late_ns: u64) {
        self.late_ns = late_ns;
    }

    /// Whether it is known where one stands.
    pub fn knows(&self, id: NodeId) -> bool {
        self.get(id).is_some() || self.gone.get(id, self.now_ns).is_some()
    }

    /// A task that serves `request` made this call: it is part of it, or points at it if that was
    /// over for too long.
    pub fn serve(&mut self, call: NodeId, request: NodeId, mechanism: Mechanism) {
        let begun_ns = self.get(call).map_or(0, |node| node.begun_ns);
        let late_ns = self.late_ns;
        let is_late = |ended_ns: u64| begun_ns > ended_ns.saturating_add(late_ns);
        match self.get(request) {
            Some(node) if !node.ended_ns.is_some_and(is_late) => {
                self.link(call, request, mechanism);
            }
            _ => self.comes_after(call, request, mechanism),
        }
    }

    /// This call comes of a request that is over, and is no part of it: it points at it.
    pub fn comes_after(&mut self, call: NodeId, request: NodeId, mechanism: Mechanism) {
        match self.get(request) {
            Some(node) if !node.is_settled => {
                let calls = self.followed.entry(request).or_default();
                calls.push((call, mechanism));
                self.await_for(call, AWAITED_NS);
            }
            // Of one that an SDK tells, nobody else knows the span.
            Some(node) => {
                let context = (!node.is_left_to_sdk).then_some(node.context);
                self.follow(call, context, mechanism);
            }
            None => self.follow(call, self.gone.get(request, self.now_ns), mechanism),
        }
    }

    /// A call points at a request that stands there, if that is known.
    fn follow(&mut self, call: NodeId, context: Option<SpanContext>, mechanism: Mechanism) {
        let is_apart = |node: &Node| node.link == Link::Open && node.hint.is_none();
        if let Some(context) = context
            && self.get(call).is_some_and(is_apart)
        {
            self.follows.insert(call, (context, mechanism));
        }
        self.abstain(call, Abstained::OutlivingTask);
    }

    /// The request that a call points at, and how that is known.
    pub fn follows(&self, call: NodeId) -> Option<(SpanContext, Mechanism)> {
        match self.follows.is_empty() {
            true => None,
            false => self.follows.get(&call).copied(),
        }
    }

    /// Time passed; `now_ns` is time as records tell it.
    #[inline]
    pub fn pass(&mut self, now_ns: u64) {
        self.now_ns = self.now_ns.max(now_ns);
    }

    /// Time as records told it last, in nanoseconds.
    pub fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// One begins.
    pub fn begin(&mut self, node: Node) -> NodeId {
        self.open += 1;
        self.now_ns = self.now_ns.max(node.begun_ns);
        self.serial = self.serial.wrapping_add(1);
        let serial = self.serial;
        let entry = Some((serial, Box::new(node)));
        let place = match self.free.pop() {
            Some(place) => {
                self.places[place as usize] = entry;
                place
            }
            None => {
                self.places.push(entry);
                // There is less memory than would make more of them.
                (self.places.len() - 1) as u32
            }
        };
        NodeId { place, serial }
    }

    /// What is known of one, if it is remembered.
    pub fn get(&self, id: NodeId) -> Option<&Node> {
        match self.places.get(id.place as usize)? {
            Some((serial, node)) if *serial == id.serial => Some(node),
            _ => None,
        }
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        match self.places.get_mut(id.place as usize)? {
            Some((serial, node)) if *serial == id.serial => Some(node),
            _ => None,
        }
    }

    /// One is over; `false` if that was told before.
    pub fn end(&mut self, id: NodeId, now_ns: u64) -> bool {
        let Some(node) = self.get_mut(id).filter(|node| !node.has_ended()) else {
            return false;
        };
        node.ended_ns = Some(now_ns);
        let is_settled = node.is_settled;
        self.open -= 1;
        if is_settled {
            self.remember(id);
        }
        true
    }

    /// Where one stands in its trace, how that is known, and whether it is settled.
    pub fn place(&self, id: NodeId) -> Option<(SpanContext, Option<Mechanism>, bool)> {
        let node = self.get(id)?;
        let mechanism = match node.link {
            Link::To(_, mechanism) | Link::Elsewhere(mechanism) => Some(mechanism),
            Link::Open | Link::None => None,
        };
        Some((node.context, mechanism, node.is_settled))
    }

    /// Nobody asked for it that is known here, but for whom a hint says.
    pub fn stand_alone(&mut self, id: NodeId) {
        self.abstain(id, Abstained::Unaccounted);
    }

    /// The same, if it was not linked before, and why. A request that came in has no reason: it may
    /// have come from elsewhere.
    pub fn abstain(&mut self, id: NodeId, why: Abstained) {
        let Some(node) = self.get_mut(id).filter(|node| node.link == Link::Open) else {
            return;
        };
        if let Some(hint) = node.hint.take() {
            return self.link(id, hint, Mechanism::RequestId);
        }
        node.link = Link::None;
        if node.role == Role::Client {
            let why = if node.is_of_nobody && node.named.parent.is_none() {
                Abstained::NoRequest
            } else {
                why
            };
            self.tally.abstain(why);
        }
        self.settle(id);
    }

    /// Somebody begins to serve it now.
    pub fn served(&mut self, id: NodeId) {
        let now_ns = self.now_ns;
        if let Some(node) = self.get_mut(id) {
            node.served_ns.get_or_insert(now_ns);
        }
    }

    /// Who asked for it if nothing better becomes known.
    pub fn hint(&mut self, id: NodeId, hint: Option<NodeId>) {
        if let Some(node) = self.get_mut(id) {
            node.hint = hint;
        }
    }

    /// Who asked for it may become known for so long, in nanoseconds of record time.
    pub fn await_for(&mut self, id: NodeId, span_ns: u64) {
        let queue = usize::from(span_ns <= REMEMBERED_NS) + usize::from(span_ns <= OVERTAKEN_NS);
        let until_ns = self.now_ns.saturating_add(span_ns);
        self.awaited[queue].push_back((until_ns, id));
    }

    /// The same for an answer of another node, which is waited for by all alike.
    pub fn await_answer(&mut self, id: NodeId, span_ns: u64) {
        let until_ns = self.now_ns.saturating_add(span_ns);
        self.awaited[self.awaited.len() - 1].push_back((until_ns, id));
    }

    /// `id` was asked for by a call of another node, which stands there; whether that was news.
    pub fn link_elsewhere(
        &mut self,
        id: NodeId,
        caller: &CallerContext,
        mechanism: Mechanism,
    ) -> bool {
        let is_open = |node: &&mut Node| node.link == Link::Open && node.named.parent.is_none();
        let Some(node) = self.get_mut(id).filter(is_open) else {
            return false;
        };
        node.link = Link::Elsewhere(mechanism);
        node.context = SpanContext {
            trace_id: caller.trace_id,
            span_id: node.context.span_id,
            parent: Some(Parent {
                span_id: caller.span_id,
                is_remote: true,
            }),
            flags: caller.flags,
            decided: caller.decided,
            randomness: caller.randomness,
        };
        self.tally.link(mechanism);
        self.settle(id);
        true
    }

    /// It became known by what the other end knows a call, of which nothing came yet: its ids are
    /// those that this end computes, too.
    pub fn know_by(&mut self, call: NodeId, key: Meeting) {
        let Some(node) = self.get_mut(call) else {
            return;
        };
        if let Some(span_id) = key.span_id() {
            node.context.span_id = span_id;
        }
        let begins_trace =
            matches!(node.link, Link::Open | Link::None) && node.context.parent.is_none();
        if begins_trace && let Some(trace_id) = key.trace_id() {
            node.context.trace_id = trace_id;
        }
    }

    /// It is known where a call stands.
    pub fn call_stands(&mut self, id: NodeId) {
        let Some(node) = self.get(id) else { return };
        let Some(key) = tcp_key(node) else { return };
        // Of one that an SDK tells nobody else knows the span, and a header is honoured.
        let is_told = !node.is_left_to_sdk && node.named.parent.is_none();
        let context = is_told.then(|| CallerContext::from(&node.context));
        if self.calls.len() < CALLS_MAX {
            self.calls.push((key, context));
        } else {
            self.tally.question(QuestionFate::Overrun);
        }
    }

    /// Calls of which that became known since the last time.
    pub fn take_calls(&mut self) -> Vec<ToldCall> {
        std::mem::take(&mut self.calls)
    }

    /// `id` was asked for by `parent`. What is known already stays, and so does the trace that a
    /// request named, unless `parent` is that request at its other end, or passed its own on.
    pub fn link(&mut self, id: NodeId, parent: NodeId, mechanism: Mechanism) {
        let (Some(child), Some(above)) = (self.get(id), self.get(parent)) else {
            return self.abstain(id, Abstained::Contradicted);
        };
        if child.link != Link::Open {
            return;
        }
        let named = child.named.parent;
        let is_elsewhere = named.is_some() && named != above.named.parent;
        if is_elsewhere || self.is_above(id, parent) {
            return self.abstain(id, Abstained::Contradicted);
        }
        let is_settled = above.is_settled;
        let next_sibling = above.first_child;
        self.tally.link(mechanism);
        if let Some(child) = self.get_mut(id) {
            child.link = Link::To(parent, mechanism);
            child.next_sibling = if is_settled { None } else { next_sibling };
        }
        if is_settled {
            self.settle(id);
        } else if let Some(above) = self.get_mut(parent) {
            above.first_child = Some(id);
        }
    }

    /// Whether `id` asked for `below`, or for what asked for it, or the like; also if that is too
    /// far to see.
    fn is_above(&self, id: NodeId, below: NodeId) -> bool {
        let mut at = below;
        for _ in 0..DEPTH_MAX {
            if at == id {
                return true;
            }
            match self.get(at).map(|node| node.link) {
                Some(Link::To(parent, _)) => at = parent,
                _ => return false,
            }
        }
        true
    }

    /// Where it stands is known, and so it is of those that it asked for.
    fn settle(&mut self, id: NodeId) {
        let mut next = Vec::new();
        let mut at = Some(id);
        while let Some(id) = at {
            at = next.pop();
            let above = match self.get(id).map(|node| node.link) {
                Some(Link::To(parent, mechanism)) => self
                    .get(parent)
                    .map(|parent| (parent.context, parent.is_left_to_sdk, mechanism)),
                _ => None,
            };
            let Some(node) = self.get_mut(id).filter(|node| !node.is_settled) else {
                continue;
            };
            if let Some((above, is_left_out, mechanism)) = above {
                let is_remote = mechanism == Mechanism::Connection;
                let parent = if is_left_out {
                    node.link = Link::None;
                    above.parent
                } else {
                    let span_id = above.span_id;
                    Some(Parent { span_id, is_remote })
                };
                node.context = SpanContext {
                    span_id: node.context.span_id,
                    parent: parent.map(|parent| Parent {
                        is_remote: parent.is_remote || is_remote,
                        ..parent
                    }),
                    ..above
                };
            }
            node.is_settled = true;
            let followed = (!node.is_left_to_sdk).then_some(node.context);
            let (is_waited_for, has_ended) = (node.is_waited_for, node.has_ended());
            let is_call = node.role == Role::Client && node.ends.is_some();
            let mut child = node.first_child.take();
            while let Some(at) = child {
                next.push(at);
                child = self.get_mut(at).and_then(|node| node.next_sibling.take());
            }
            if is_waited_for {
                self.settled.push_back(id);
            }
            if is_call && self.notes_calls {
                self.call_stands(id);
            }
            if has_ended {
                self.remember(id);
            }
            let calls = match self.followed.is_empty() {
                true => None,
                false => self.followed.remove(&id),
            };
            for (call, mechanism) in calls.into_iter().flatten() {
                self.follow(call, followed, mechanism);
            }
            at = at.or_else(|| next.pop());
        }
    }

    fn remember(&mut self, id: NodeId) {
        let span_ns = REMEMBERED_NS.max(self.late_ns);
        let until_ns = self.now_ns.saturating_add(span_ns);
        self.over.push_back((until_ns, id));
    }

    /// Those that have waited long enough stand alone; `now_ns` is time as records tell it.
    #[inline]
    pub fn give_up(&mut self, now_ns: u64) {
        if !self.awaited.iter().all(VecDeque::is_empty) {
            self.look_at_awaited(now_ns);
        }
    }

    fn look_at_awaited(&mut self, now_ns: u64) {
        // Those that wait longest may wait for others.
        for queue in (0..self.awaited.len()).rev() {
            while let Some(&(until_ns, id)) = self.awaited[queue].front() {
                let is_open = self.get(id).is_some_and(|node| node.link == Link::Open);
                if is_open && until_ns > now_ns {
                    break;
                }
                self.awaited[queue].pop_front();
                self.abstain(id, Abstained::Late);
            }
        }
    }

    /// Forgets those that are over for long enough, and of the others all but so many, each after
    /// `last` has seen it.
    #[inline]
    pub fn forget(&mut self, kept_max: usize, mut last: impl FnMut(NodeId, &Node)) {
        while let Some(&(until_ns, id)) = self.over.front()
            && (until_ns <= self.now_ns || self.over.len() > kept_max)
        {
            self.over.pop_front();
            if let Some((_, node)) = self.places[id.place as usize].as_ref() {
                last(id, node);
                if node.may_be_outlived && !node.is_left_to_sdk {
                    let ended_ns = node.ended_ns.unwrap_or(self.now_ns);
                    self.gone.add(id, node.context, ended_ns);
                }
            }
            if !self.follows.is_empty() {
                self.follows.remove(&id);
            }
            self.places[id.place as usize] = None;
            self.free.push(id.place);
        }
        // Those that are over may still wait.
        if self.free.len() == self.places.len() && self.places.len() > ROOM_KEPT {
            (self.places, self.free, self.over) = (Vec::new(), Vec::new(), VecDeque::new());
        }
    }

    /// Memory is scarce.
    pub fn shed(&mut self) {
        self.gone.clear();
    }

    /// Somebody waits to hear where it stands.
    pub fn tell_when_settled(&mut self, id: NodeId) {
        if let Some(node) = self.get_mut(id) {
            node.is_waited_for = true;
        }
    }

    /// One that somebody waited for and that is settled now.
    pub fn next_settled(&mut self) -> Option<NodeId> {
        self.settled.pop_front()
    }

    /// When the first of those that wait has waited long enough.
    pub fn until_ns(&self) -> Option<u64> {
        let firsts = self.awaited.iter().filter_map(VecDeque::front);
        firsts.map(|(until_ns, _)| *until_ns).min()
    }

    /// How many are over and remembered.
    #[inline]
    pub fn remembered(&self) -> usize {
        self.over.len()
    }

    /// How many have begun and not ended.
    pub fn open(&self) -> usize {
        self.open
    }

    /// Bytes of the nodes themselves.
    pub fn growing_bytes(&self) -> usize {
        (self.places.len() - self.free.len()) * heap::boxed::<Node>()
    }

    /// Bytes of memory that they take.
    pub fn memory_bytes(&self) -> usize {
        let queues = self.awaited.iter().chain([&self.over]);
        self.growing_bytes()
            + self.gone.memory_bytes()
            + heap::table::<(NodeId, (SpanContext, Mechanism))>(self.follows.capacity())
            + heap::table::<(NodeId, Vec<(NodeId, Mechanism)>)>(self.followed.capacity())
            + self.followed.len() * heap::vec::<(NodeId, Mechanism)>(4)
            + heap::vec::<Option<(u32, Box<Node>)>>(self.places.capacity())
            + heap::vec::<u32>(self.free.capacity())
            + queues
                .map(|queue| heap::vec::<(u64, NodeId)>(queue.capacity()))
                .sum::<usize>()
            + heap::vec::<NodeId>(self.settled.capacity())
            + heap::vec::<ToldCall>(self.calls.capacity())
    }
}
