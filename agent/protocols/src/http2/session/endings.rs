//! What becomes of the streams of a connection: answered, ended on one side, reset, refused, or
//! left open by its end. It reads no bytes.

use super::super::part::What;
use super::streams::OpenStream;
use super::{Multiplex, RESET_MAX};
use crate::exchange::{Outcome, Role};
use crate::family::http::Completeness;
use crate::listener::{Discard, Listener};
use crate::stream::Moved;
use crate::transport::{Direction, End};

impl Multiplex {
    pub(super) fn end_all(&mut self, end: End, time_ns: u64, listener: &mut dyn Listener) {
        for reader in [Direction::Ingress, Direction::Egress] {
            if let Some(gap) = self.readers[reader as usize].stream.take_ahead(u64::MAX) {
                self.cross(reader, gap, listener);
            }
        }
        match (end, self.role) {
            // The client has asked all that it will.
            (End::Ingress, Some(Role::Server)) | (End::Egress, Some(Role::Client)) => return,
            (End::Ingress | End::Egress, None) => return,
            _ => {}
        }
        let outcome = Outcome::of_unanswered(end);
        for stream in self.streams.filtered(|_, _| true) {
            let is_uncertain = self
                .streams
                .get(stream)
                .is_some_and(|open| open.is_uncertain);
            let outcome = match outcome {
                Outcome::Closed if is_uncertain => Outcome::NotObserved,
                outcome => outcome,
            };
            self.tell(stream, outcome, time_ns, listener);
        }
    }

    pub(super) fn response(
        &mut self,
        stream: u64,
        what: What,
        (first, last): (Moved, Moved),
        listener: &mut dyn Listener,
    ) {
        if self.streams.get(stream).is_none() {
            // On a client, the record of a response may overtake that of its request, if two
            // threads share the connection. A server can't answer what it has not read.
            let may_be_early = self.role == Some(Role::Client)
                && stream > self.highest
                && !self.streams.is_full()
                && matches!(what, What::Response(_) | What::Trailers { .. });
            if !may_be_early {
                // The sender had not yet heard of the reset. What became of the stream was told.
                if matches!(what, What::Response(_)) && !self.reset.contains(&stream) {
                    listener.discard(Discard::UnmatchedResponse);
                }
                return;
            }
            self.streams.touch(stream, first);
        }
        let Some(open) = self.streams.get(stream) else {
            return;
        };
        open.is_uncertain = false;
        match what {
            What::Response(response) if open.response.is_none() => {
                open.answer(response, first, last);
                if open.request.is_some() {
                    listener.answer(open.ticket, last);
                }
            }
            What::Response(again) => {
                open.close_with(again.call_status, again.completeness, first, last);
            }
            What::Trailers {
                call_status,
                completeness,
            } => open.close_with(call_status, completeness, first, last),
            What::Unclear => {
                open.close_with(None, Completeness::Incomplete, first, last);
            }
            _ => {}
        }
    }

    /// One side has said all on this stream.
    pub(super) fn half_end(
        &mut self,
        stream: u64,
        is_request: bool,
        last: Moved,
        listener: &mut dyn Listener,
    ) {
        let Some(open) = self.streams.get(stream) else {
            return;
        };
        open.end(is_request);
        if !is_request && open.request.is_some() {
            let outcome = if open.response.is_some() {
                Outcome::Complete
            } else {
                // Its head was missed.
                Outcome::NotObserved
            };
            self.tell(stream, outcome, last.time_ns, listener);
        }
    }

    pub(super) fn abort(
        &mut self,
        stream: u64,
        code: u32,
        time_ns: u64,
        listener: &mut dyn Listener,
    ) {
        if let Some(open) = self.streams.get(stream) {
            self.reset[self.next_reset] = stream;
            self.next_reset = (self.next_reset + 1) % RESET_MAX;
            if open.request.is_some() {
                self.tell(stream, Outcome::Aborted(code), time_ns, listener);
            } else if !open.is_answered() {
                self.streams.take(stream);
            }
        }
    }

    pub(super) fn refuse_above(
        &mut self,
        last_served: u64,
        time_ns: u64,
        listener: &mut dyn Listener,
    ) {
        let refused =
            |stream: u64, open: &OpenStream| stream > last_served && open.response.is_none();
        for stream in self.streams.filtered(refused) {
            self.tell(stream, Outcome::Refused, time_ns, listener);
        }
    }

    /// Requests come in the order of their numbers: those of smaller ones will not come any more.
    pub(super) fn drop_unasked_below(&mut self, stream: u64, listener: &mut dyn Listener) {
        if self.streams.has_unasked() {
            let unasked =
                |number: u64, open: &OpenStream| number < stream && open.request.is_none();
            for number in self.streams.filtered(unasked) {
                self.streams.take(number);
                listener.discard(Discard::UnmatchedResponse);
            }
        }
    }

    pub(super) fn forget_uncertain(&mut self, now_ns: u64, listener: &mut dyn Listener) {
        self.uncertain_until_ns = None;
        for stream in self.streams.filtered(|_, open| open.is_uncertain) {
            self.tell(stream, Outcome::NotObserved, now_ns, listener);
        }
    }

    pub(super) fn tell(
        &mut self,
        stream: u64,
        outcome: Outcome,
        end_ns: u64,
        listener: &mut dyn Listener,
    ) {
        let (Some(open), Some(role)) = (self.streams.take(stream), self.role) else {
            return;
        };
        if !open.tell(role, outcome, end_ns, listener) {
            listener.discard(Discard::UnmatchedResponse);
        }
    }
}
