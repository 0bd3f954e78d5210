//! What is known of requests from elsewhere: an option of TCP said of which trace one is, or an
//! agent of another node is asked who made it, and told in turn what this one knows.

use std::net::IpAddr;

use wirespan_common::record::{CALLER_BY_OPTION, Caller};

use super::options::ToldTrace;
use super::questions::tcp_key;
use super::{
    AWAITED_NS, Begun, CallerContext, Ends, ForPeers, JoinKey, Links, Mechanism, Meeting, Node,
    NodeId, OVERTAKEN_NS, QuestionFate,
};

impl Links {
    /// Requests wait for what TCP options say of them, or don't.
    pub fn heed_options(&mut self, heeds: bool) {
        self.options.heed(heeds);
    }

    /// Whether they do.
    #[inline]
    #[must_use]
    pub fn heeds_options(&self) -> bool {
        self.options.is_on()
    }

    /// Whether an option said of which trace a request is that names nobody. If it may still do so,
    /// it is waited for.
    pub(super) fn heed(&mut self, node: NodeId, begun: &Begun) -> bool {
        let Some(place) = begun.place.filter(|_| self.names_nobody(node)) else {
            return false;
        };
        match self.options.take(&place, begun.time_ns) {
            Some(told) => self.told_by_option(node, told),
            None => {
                self.options.await_for(node, place, begun.time_ns);
                false
            }
        }
    }

    /// An option said of which trace a request is. The client's span is known with the key of the
    /// request, which in TLS comes with its answer. Whether that is news.
    pub(super) fn told_by_option(&mut self, node: NodeId, told: ToldTrace) -> bool {
        let Some(known) = self.nodes.get(node) else {
            return false;
        };
        match tcp_key(known) {
            Some(key) => {
                let context = told.context(key);
                self.nodes
                    .link_elsewhere(node, &context, Mechanism::TcpOption)
            }
            None => {
                self.options.hold(node, told);
                self.nodes.await_for(node, AWAITED_NS);
                true
            }
        }
    }

    pub(super) fn names_nobody(&self, node: NodeId) -> bool {
        let names_nobody = |it: &Node| it.named.parent.is_none() && !it.is_left_to_sdk;
        self.nodes.get(node).is_some_and(names_nobody)
    }

    /// Asks other nodes who made a request that names nobody, if they may know. An exchange that
    /// goes on for long is told of without: what comes of it waits for it.
    pub(super) fn ask(&mut self, node: NodeId, ends: Option<Ends>, from: Option<IpAddr>) -> bool {
        let Some(Ends {
            key: Meeting::Tcp(key),
            may_be_local: false,
            ..
        }) = ends.filter(|_| self.questions.are_asked())
        else {
            return false;
        };
        if !self.names_nobody(node) {
            return false;
        }
        if let Err(fate) = self.questions.ask(node, key, from) {
            self.nodes.tally.question(fate);
            return false;
        }
        self.nodes.tally.question(QuestionFate::Asked);
        self.nodes.await_for(node, AWAITED_NS);
        true
    }

    /// A call has a key; if it is not known where it stands, whoever asks has to wait.
    pub(super) fn tell_begun(&mut self, node: NodeId) {
        if !self.questions.are_asked() {
            return;
        }
        let Some((known, key)) = self.nodes.get(node).and_then(|it| Some((it, tcp_key(it)?)))
        else {
            return;
        };
        match known.is_settled() {
            true => self.nodes.call_stands(node),
            false => self.questions.leave(ForPeers::Begins(key)),
        }
    }

    /// Another node answered who made a request, or that nobody knows: then who is only slower may
    /// still turn up on this one. Or an option told it, or a part of that.
    pub fn hear_of_caller(&mut self, caller: &Caller) {
        if caller.bits & CALLER_BY_OPTION != 0 {
            let now_ns = self.nodes.now_ns();
            for (node, told) in self.options.hear(caller, now_ns) {
                self.told_by_option(node, told);
            }
            return;
        }
        let key = JoinKey {
            starts: caller.starts,
            at: caller.at,
        };
        let fate = match (self.questions.close(&key), CallerContext::of(caller)) {
            (None, _) => QuestionFate::Late,
            (Some(node), None) => {
                self.nodes.await_for(node, OVERTAKEN_NS);
                QuestionFate::Unknown
            }
            (Some(node), Some(context)) => {
                match self.nodes.link_elsewhere(node, &context, Mechanism::Asked) {
                    true => QuestionFate::Answered,
                    false => QuestionFate::Late,
                }
            }
        };
        self.nodes.tally.question(fate);
    }

    /// Answers of other nodes are waited for so long after the end of an exchange, in nanoseconds
    /// of record time; 0: nobody is asked, and nobody is told.
    pub fn wait_for_answers(&mut self, within_ns: u64) {
        self.questions.wait_for(within_ns);
        self.nodes.notes_calls = within_ns != 0;
    }

    /// Whether other nodes are asked.
    #[inline]
    #[must_use]
    pub fn asks_peers(&self) -> bool {
        self.questions.are_asked()
    }

    /// What the agents of other nodes are to be told, or asked, since the last call.
    pub fn drain_for_peers(&mut self) -> impl Iterator<Item = ForPeers> + '_ {
        let Self {
            nodes,
            joins,
            questions,
            ..
        } = self;
        for (key, context) in nodes.take_calls() {
            // Whose other end is here is known here.
            if !joins.has_both(key.starts) {
                questions.leave(ForPeers::Stands(key, context));
            }
        }
        let forgotten = questions.take_forgotten();
        nodes.tally.questions(QuestionFate::Overrun, forgotten);
        questions.drain()
    }
}
