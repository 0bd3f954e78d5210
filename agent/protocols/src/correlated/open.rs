//! The requests of one connection that have not met their fate, by the numbers that their responses
//! will name. It moves no bytes.

use super::{Correlated, CorrelatedRequest as _, CorrelatedResponse as _};
use crate::exchange::{Exchange, Outcome, Role, Ticket};
use crate::heap;
use crate::listener::{Beginning, Discard, Listener};
use crate::stream::Moved;

/// Requests that are remembered while their responses have not ended.
const OPEN_MAX: usize = 1024;

/// Memory that they hold, in bytes.
const OPEN_BYTES_MAX: usize = 1 << 20;

/// Room for more than this is not kept for later.
const OPEN_KEPT: usize = 16;

/// A request whose fate is not known.
#[derive(Debug)]
pub(super) struct RequestOpen<P: Correlated> {
    ticket: Ticket,
    /// It may have been answered without anybody seeing it.
    is_doubted: bool,
    start: Moved,
    request: P::Request,
    /// What that counts for.
    request_bytes: usize,
    response: Option<P::Response>,
    first_response_ns: Option<u64>,
}

/// All of them.
#[derive(Debug)]
pub(super) struct RequestsOpen<P: Correlated> {
    role: Role,
    /// In the order of their beginning. As a rule there are few.
    open: Vec<RequestOpen<P>>,
    /// What the requests count for.
    bytes: usize,
}

impl<P: Correlated> RequestsOpen<P> {
    /// Nothing is open.
    pub fn new(role: Role) -> Self {
        Self {
            role,
            open: Vec::new(),
            bytes: 0,
        }
    }

    /// A request begins that nobody will answer. Who calls tells when it is over.
    pub fn one_way(
        &mut self,
        request: P::Request,
        head: [Moved; 2],
        listener: &mut dyn Listener,
    ) -> RequestOpen<P> {
        self.begin(request, head, listener)
    }

    /// A request begins. Another one with its number will not be answered any more, and where there
    /// is no room the oldest one is given up.
    pub fn ask(&mut self, request: P::Request, head: [Moved; 2], listener: &mut dyn Listener) {
        let now_ns = head[0].time_ns;
        let id = request.id();
        let new = self.begin(request, head, listener);
        if let Some(old) = self.take(id) {
            self.tell(old, now_ns, Outcome::NotObserved, listener);
        }
        if self.open.len() >= OPEN_MAX || self.bytes >= OPEN_BYTES_MAX {
            let oldest = self.take_at(0);
            listener.discard(Discard::PipelineFull);
            self.tell(oldest, now_ns, Outcome::Evicted, listener);
        }
        self.bytes += new.request_bytes;
        self.open.push(new);
    }

    fn begin(
        &mut self,
        request: P::Request,
        [start, head_end]: [Moved; 2],
        listener: &mut dyn Listener,
    ) -> RequestOpen<P> {
        let ticket = listener.begin(Beginning {
            role: self.role,
            start,
            head_end,
            stream: None,
            traces: None,
            target: "",
        });
        RequestOpen {
            ticket,
            is_doubted: false,
            start,
            request_bytes: request.heap_bytes(),
            request,
            response: None,
            first_response_ns: None,
        }
    }

    /// A response begins; whether somebody asked for it.
    pub fn answer(
        &mut self,
        response: P::Response,
        [begin, head_end]: [Moved; 2],
        listener: &mut dyn Listener,
    ) -> bool {
        let Some(at) = self.find(response.answers()) else {
            return false;
        };
        let open = &mut self.open[at];
        listener.answer(open.ticket, head_end);
        open.first_response_ns = Some(begin.time_ns);
        open.response = Some(response);
        self.give_up_doubted(at, begin.time_ns, listener);
        true
    }

    /// The response to this request was seen to its end.
    pub fn answered(&mut self, id: u64, end_ns: u64, listener: &mut dyn Listener) {
        self.end(id, end_ns, Outcome::Complete, listener);
    }

    /// The response to this request began, and nobody will see its end.
    pub fn cut(&mut self, id: u64, end_ns: u64, listener: &mut dyn Listener) {
        self.end(id, end_ns, Outcome::EndInferred, listener);
    }

    fn end(&mut self, id: u64, end_ns: u64, outcome: Outcome, listener: &mut dyn Listener) {
        if let Some(open) = self.take(id) {
            self.tell(open, end_ns, outcome, listener);
        }
    }

    /// Bytes of responses were missed: what is open may have been answered in them.
    pub fn doubt(&mut self) {
        for open in &mut self.open {
            open.is_doubted = true;
        }
    }

    /// The request there is answered, so those before it that were doubted have been, as a rule.
    fn give_up_doubted(&mut self, answered: usize, now_ns: u64, listener: &mut dyn Listener) {
        for at in (0..answered).rev() {
            if self.open[at].is_doubted && self.open[at].response.is_none() {
                let open = self.take_at(at);
                self.tell(open, now_ns, Outcome::NotObserved, listener);
            }
        }
    }

    /// Nothing that is open will be answered any more.
    pub fn flush(&mut self, outcome: Outcome, end_ns: u64, listener: &mut dyn Listener) {
        self.bytes = 0;
        for open in std::mem::take(&mut self.open) {
            self.tell(open, end_ns, outcome, listener);
        }
    }

    /// Whether nothing is open.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Bytes of heap that it takes.
    pub fn heap_bytes(&self) -> usize {
        heap::vec::<RequestOpen<P>>(self.open.capacity()) + self.bytes
    }

    /// Bytes of what is open.
    pub fn growing_bytes(&self) -> usize {
        self.heap_bytes()
    }

    fn find(&self, id: u64) -> Option<usize> {
        self.open.iter().position(|open| open.request.id() == id)
    }

    fn take(&mut self, id: u64) -> Option<RequestOpen<P>> {
        self.find(id).map(|at| self.take_at(at))
    }

    fn take_at(&mut self, at: usize) -> RequestOpen<P> {
        let taken = self.open.remove(at);
        self.bytes -= taken.request_bytes;
        if self.open.is_empty() && self.open.capacity() > OPEN_KEPT {
            self.open = Vec::new();
        }
        taken
    }

    /// A request met its fate.
    pub fn tell(
        &self,
        open: RequestOpen<P>,
        end_ns: u64,
        outcome: Outcome,
        listener: &mut dyn Listener,
    ) {
        // Two threads may report a response before its request: time does not run backward for it.
        let start_ns = open
            .first_response_ns
            .map_or(open.start.time_ns, |first| first.min(open.start.time_ns));
        listener.end(Exchange {
            ticket: open.ticket,
            role: self.role,
            tid: open.start.tid,
            start_ns,
            first_response_ns: open.first_response_ns,
            end_ns: end_ns.max(open.first_response_ns.unwrap_or(start_ns)),
            outcome,
            family: P::family(open.request, open.response),
        });
    }
}
