//! Requests of which it is asked on other nodes who made them, because nobody on this one did, and
//! what this node has to tell when it is asked. Both ends of a connection know a request by the
//! same key, so the key is all that a question says. It sends nothing: what has to leave is kept,
//! within a bound, until somebody fetches it.

use std::collections::VecDeque;
use std::net::IpAddr;

use hashbrown::HashMap;
use wirespan_common::record::{
    CALLER_DECIDED, CALLER_KNOWN, CALLER_RANDOM, CALLER_SAMPLED, Caller,
};
use wirespan_protocols::heap;

use super::{JoinKey, Meeting, Node, NodeId, QuestionFate};
use crate::trace_context::SpanContext;

/// Questions that wait for an answer at a time; of more requests nobody is asked.
const OPEN_MAX: usize = 16 * 1024;
/// What waits to be fetched; of more, the oldest is forgotten: a link is missed.
const LEAVING_MAX: usize = 64 * 1024;

/// Where the span of a client stands, as far as a server's has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallerContext {
    /// Not all zero.
    pub trace_id: [u8; 16],
    /// Of the client's span; not all zero.
    pub span_id: [u8; 8],
    /// W3C trace flags.
    pub flags: u8,
    /// Whether it is sampled, if whoever began the trace said so.
    pub decided: Option<bool>,
    /// By which all who sample the trace decide, if it is not the end of its id: 56 bits.
    pub randomness: Option<u64>,
}

impl From<&SpanContext> for CallerContext {
    fn from(context: &SpanContext) -> Self {
        Self {
            trace_id: context.trace_id,
            span_id: context.span_id,
            flags: context.flags,
            decided: context.decided,
            randomness: context.randomness,
        }
    }
}

impl CallerContext {
    /// What a record says of the client, if that is known.
    #[must_use]
    pub fn of(caller: &Caller) -> Option<Self> {
        let has = |bit| caller.bits & bit != 0;
        let is_one = caller.trace_id != [0; 16] && caller.span_id != [0; 8];
        (has(CALLER_KNOWN) && is_one).then(|| Self {
            trace_id: caller.trace_id,
            span_id: caller.span_id,
            flags: caller.flags,
            decided: has(CALLER_DECIDED).then_some(has(CALLER_SAMPLED)),
            randomness: has(CALLER_RANDOM).then_some(caller.randomness),
        })
    }

    /// The record that says this of who made a request, or that nobody knows.
    #[must_use]
    pub fn tell(caller: Option<&Self>, key: &JoinKey) -> Caller {
        let about = Caller {
            starts: key.starts,
            at: key.at,
            ..Caller::default()
        };
        let Some(context) = caller else { return about };
        let decided = match context.decided {
            None => 0,
            Some(false) => CALLER_DECIDED,
            Some(true) => CALLER_DECIDED | CALLER_SAMPLED,
        };
        let random = if context.randomness.is_some() {
            CALLER_RANDOM
        } else {
            0
        };
        Caller {
            trace_id: context.trace_id,
            span_id: context.span_id,
            randomness: context.randomness.unwrap_or_default(),
            flags: context.flags,
            bits: CALLER_KNOWN | decided | random,
            ..about
        }
    }
}

/// What the agents of other nodes are to be told, or asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForPeers {
    /// Who made this request? It came from that address, as far as this end sees.
    Asks(JoinKey, Option<IpAddr>),
    /// A call was made whose place in its trace is not known yet.
    Begins(JoinKey),
    /// It is: there; `None` if nobody will be told.
    Stands(JoinKey, Option<CallerContext>),
    /// This is an address of this node.
    Has(IpAddr),
}

/// All questions that are open, and what has to leave.
#[derive(Debug, Default)]
pub struct Questions {
    /// How long an answer is waited for after the end of an exchange, in nanoseconds of record
    /// time; 0: nobody is asked, and nobody is told.
    within_ns: u64,
    open: HashMap<JoinKey, NodeId>,
    leaving: VecDeque<ForPeers>,
    /// What did not leave, because more did not than is kept.
    forgotten: u32,
}

impl Questions {
    /// Answers are waited for so long from now on, in nanoseconds; 0: none are.
    pub fn wait_for(&mut self, within_ns: u64) {
        self.within_ns = within_ns;
        if within_ns == 0 {
            self.leaving = VecDeque::new();
        }
    }

    /// How long an answer is waited for, in nanoseconds.
    pub fn within_ns(&self) -> u64 {
        self.within_ns
    }

    /// Whether anybody is asked or told at all.
    #[inline]
    pub fn are_asked(&self) -> bool {
        self.within_ns != 0
    }

    /// Asks who made this request.
    ///
    /// # Errors
    /// There is no room, or it is asked already.
    pub fn ask(
        &mut self,
        node: NodeId,
        key: JoinKey,
        from: Option<IpAddr>,
    ) -> Result<(), QuestionFate> {
        if self.open.len() >= OPEN_MAX || self.open.contains_key(&key) {
            return Err(QuestionFate::NoRoom);
        }
        self.open.insert(key, node);
        self.leave(ForPeers::Asks(key, from));
        Ok(())
    }

    /// Whether it was asked about this exchange, and not answered.
    pub fn is_open(&self, id: NodeId, node: &Node) -> bool {
        !self.open.is_empty() && tcp_key(node).is_some_and(|key| self.open.get(&key) == Some(&id))
    }

    /// Takes a question as answered; the exchange that it was about.
    pub fn close(&mut self, key: &JoinKey) -> Option<NodeId> {
        self.open.remove(key)
    }

    /// An exchange is remembered no longer; whether it was still asked about it.
    pub fn forget(&mut self, id: NodeId, node: &Node) -> bool {
        let is_open = self.is_open(id, node);
        if is_open && let Some(key) = tcp_key(node) {
            self.open.remove(&key);
        }
        is_open
    }

    /// Something has to leave.
    pub fn leave(&mut self, what: ForPeers) {
        if self.leaving.len() >= LEAVING_MAX {
            self.leaving.pop_front();
            self.forgotten += 1;
        }
        self.leaving.push_back(what);
    }

    /// How often something was forgotten since the last call.
    pub fn take_forgotten(&mut self) -> u32 {
        std::mem::take(&mut self.forgotten)
    }

    /// What has to leave by now.
    pub fn drain(&mut self) -> std::collections::vec_deque::Drain<'_, ForPeers> {
        self.leaving.drain(..)
    }

    /// Bytes of memory that they take.
    pub fn memory_bytes(&self) -> usize {
        heap::table::<(JoinKey, NodeId)>(self.open.capacity())
            + heap::vec::<ForPeers>(self.leaving.capacity())
    }
}

/// By which the other end of its connection knows an exchange, wherever that is.
pub fn tcp_key(node: &Node) -> Option<JoinKey> {
    match node.ends?.key {
        Meeting::Tcp(key) => Some(key),
        Meeting::Unix(..) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_a_caller_is_read_back_from_its_record() {
        let key = JoinKey {
            starts: [1, 2],
            at: 3,
        };
        for decided in [None, Some(false), Some(true)] {
            for randomness in [None, Some(5)] {
                let context = CallerContext {
                    trace_id: [7; 16],
                    span_id: [8; 8],
                    flags: 1,
                    decided,
                    randomness,
                };
                let caller = CallerContext::tell(Some(&context), &key);
                assert_eq!((caller.starts, caller.at), (key.starts, key.at));
                assert_eq!(CallerContext::of(&caller), Some(context));
            }
        }
        let nobody = CallerContext::tell(None, &key);
        assert_eq!(CallerContext::of(&nobody), None);
        let no_trace = Caller {
            bits: CALLER_KNOWN,
            ..nobody
        };
        assert_eq!(CallerContext::of(&no_trace), None);
    }
}
