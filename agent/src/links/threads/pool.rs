//! What is known of a process by how its threads work together: whether they answer what others
//! read, whether one calls for what it answers next, and whether one may have a request on its
//! hands that it does not work at. It decides about no call.

use super::{ThreadCall, is_within};
use crate::links::{NodeId, nodes::Nodes};

/// Answers to what others read, before calls are linked to them: where threads make calls for each
/// other, that is likely to show within so many.
const DOUBT_AT_FIRST: u32 = 16;
/// The same once it has shown.
const DOUBT_SHOWN: u32 = 16 * 1024;
/// The same for threads that have more than one request on their hands, which one that waits for
/// what it calls for may have read ahead for others.
const AHEAD_AT_FIRST: u32 = 64;

/// Answers with calls by who read the request, for one that somebody else read who answers others,
/// where all are likely to answer what they read.
const OWN_FOR_OTHERS: u32 = 64;

/// The threads of a process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pool {
    /// Answers until it is believed that a thread makes calls only for what it answers next.
    doubt: u32,
    /// Answers until it is believed of one that has read more than that.
    ahead: u32,
    /// Calls of its threads that nobody has answered for yet.
    pending: usize,
    /// Answers by who read the request and made calls for it.
    own: u32,
    /// Answers to what was read by another one who answers requests.
    others: u32,
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            doubt: DOUBT_AT_FIRST,
            ahead: AHEAD_AT_FIRST,
            pending: 0,
            own: 0,
            others: 0,
        }
    }
}

/// Who read a request, as its answer shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadBy {
    /// The thread that answers it.
    Own,
    /// One that answers requests, too.
    Worker,
    /// One that answers none, or nobody knows.
    Other,
}

impl Pool {
    /// Whether calls are for what is answered next, of who answers what others read.
    pub fn is_believed(&self) -> bool {
        self.doubt == 0
    }

    /// The same of who has read more than that.
    pub fn may_read_ahead(&self) -> bool {
        self.ahead == 0
    }

    pub fn called(&mut self) {
        self.pending += 1;
    }

    pub fn settled(&mut self, calls: usize) {
        self.pending = self.pending.saturating_sub(calls);
    }

    /// A thread did something while it waited for the answer to a call: it is none that waits.
    pub fn did_not_wait(&mut self) {
        self.ahead = DOUBT_SHOWN;
    }

    /// A thread that had read more than one request answers this one, after these calls.
    pub fn answers_ahead(&mut self, calls: &[ThreadCall], nodes: &Nodes, request: NodeId) {
        let is_waited_for =
            |call: &ThreadCall| call.is_heard && is_within(nodes, call.node, request);
        if !calls.is_empty() && calls.iter().all(is_waited_for) {
            self.ahead = self.ahead.saturating_sub(1);
        }
    }

    /// A thread answers a request. Where it made calls before that was read, or none and others
    /// have made some, calls are made by other threads than those that answer; but not so where
    /// threads answer what they read themselves, and only who answers nothing reads for them.
    pub fn answers(
        &mut self,
        reader: ReadBy,
        calls: &[ThreadCall],
        nodes: &Nodes,
        request: NodeId,
    ) {
        match reader {
            ReadBy::Own => {
                self.own = self.own.saturating_add(u32::from(!calls.is_empty()));
                return;
            }
            ReadBy::Worker => self.others = self.others.saturating_add(1),
            ReadBy::Other => {}
        }
        let answer_their_own = self.own > OWN_FOR_OTHERS.saturating_mul(self.others + 1);
        let is_proper = match calls {
            [] => answer_their_own || self.pending == 0,
            calls => calls
                .iter()
                .all(|call| is_within(nodes, call.node, request)),
        };
        self.doubt = match is_proper {
            true if calls.is_empty() => self.doubt,
            true => self.doubt.saturating_sub(1),
            false => DOUBT_SHOWN,
        };
    }
}
