//! What is done with a message of an enrolled connection: a request gets the field `traceparent`
//! before the empty line of its head, which is the only place where all of the head is known. What
//! begins as HTTP/2 does goes to [`http2`].
//!
//! Everything is left as it is where anything is not as expected; the connection is then left alone
//! for good, because nobody knows where its next request begins.

use wirespan_common::carriers::{
    Carried, FIELD_LEN, HEAD_MAX, HeadPhase, MODE_TRIAL, NOWHERE, TRIAL_TRACE_ID, Talk,
    client_span_id,
};

use super::{field, http1, http2, may_send_uncopied, room, tcp_of};
use crate::context::{self, TraceContext};
use crate::maps::{self, count_carried};
use crate::memory::{NotDone, SentMessage, offset};

/// What `bpf_msg_apply_bytes` takes.
const BYTES_MAX: u64 = i32::MAX as u64;

/// A message is about to be sent. Returns whether it may be.
#[inline(always)]
pub fn message_sent(message: SentMessage) -> bool {
    message.applies_to(0);
    let Some(talk) = maps::talk_or_new(message.sk()) else {
        count_carried(Carried::NoMemory);
        return true;
    };
    let size = message.size();
    if talk.phase == HeadPhase::Blind as u8 || size == 0 {
        return true;
    }
    if maps::carrier_mode() & MODE_TRIAL == 0 && tcp_of(message.sk()).is_some_and(may_send_uncopied)
    {
        // It may since then.
        maps::leaves(talk.cookie);
        return leave(talk, Carried::ZeroCopy);
    }
    if talk.phase == HeadPhase::Body as u8 {
        body_sent(message, talk, size);
        return true;
    }
    if talk.phase >= HeadPhase::Frame as u8 {
        return http2::frames_sent(message, talk, size);
    }
    head_sent(message, talk, size)
}

/// A piece of a body goes by; what follows it is looked at apart.
#[inline(always)]
fn body_sent(message: SentMessage, talk: &mut Talk, size: u32) {
    if talk.body_left > size.into() {
        talk.body_left -= u64::from(size);
        return;
    }
    if talk.body_left < size.into() {
        message.applies_to(talk.body_left as u32);
    }
    talk.body_left = 0;
    talk.phase = HeadPhase::Start as u8;
}

#[inline(always)]
fn head_sent(message: SentMessage, talk: &mut Talk, size: u32) -> bool {
    let window = if size < HEAD_MAX { size } else { HEAD_MAX };
    if message.show(window).is_err() {
        return leave(talk, Carried::NoMemory);
    }
    if talk.phase == HeadPhase::Start as u8 {
        if http2::begins(message) && talk.has_starts == 0 {
            if !knows_position(message, talk) {
                return leave(talk, Carried::EarlyBytes);
            }
            return http2::begin(message, talk, size);
        }
        if !http1::begins(message) {
            return leave(talk, Carried::Unknown);
        }
        if !knows_position(message, talk) {
            return leave(talk, Carried::EarlyBytes);
        }
        http1::begin(talk);
    }
    http1::read(message, talk);
    if talk.phase == HeadPhase::Blind as u8 {
        return leave(talk, Carried::Unknown);
    }
    talk.head_len += talk.cursor;
    if talk.head_len >= HEAD_MAX {
        return leave(talk, Carried::HeadTooLong);
    }
    if talk.is_over == 0 {
        return true;
    }
    let head_end = talk.cursor;
    let added = match insert(message, talk, size) {
        Ok(added) => added,
        Err(NotDone) => {
            let _ = leave(talk, Carried::Refused);
            return false;
        }
    };
    what_follows(message, talk, size - head_end, head_end + added);
    true
}

/// The head is over; `rest` bytes of the message follow, from `begins` on.
#[inline(always)]
fn what_follows(message: SentMessage, talk: &mut Talk, rest: u32, begins: u32) {
    if talk.is_last != 0 {
        let _ = leave(talk, Carried::Unbounded);
        return;
    }
    talk.phase = HeadPhase::Start as u8;
    if talk.length > rest.into() {
        talk.body_left = talk.length - u64::from(rest);
        talk.phase = HeadPhase::Body as u8;
    } else if talk.length < rest.into() {
        // Another request follows.
        let own = u64::from(begins) + talk.length;
        message.applies_to(if own < BYTES_MAX { own as u32 } else { 0 });
    }
}

/// Inserts the field, if it may be. Returns by how much the message is longer now.
#[inline(always)]
fn insert(message: SentMessage, talk: &mut Talk, size: u32) -> Result<u32, NotDone> {
    let declined = |reason| {
        count_carried(reason);
        Ok(0)
    };
    if talk.has_context != 0 {
        return declined(Carried::HasContext);
    }
    if talk.empty_line == NOWHERE {
        return declined(Carried::SplitEnd);
    }
    let known = || context::of_call(talk.starts, talk.position);
    let Some(context) = context_by(known) else {
        return declined(Carried::NoContext);
    };
    let at = talk.empty_line;
    if !room::make(message, at, FIELD_LEN, EMPTY_LINE, size)? {
        return declined(Carried::NoMemory);
    }
    let span_id = client_span_id(talk.starts, talk.position.into());
    field::write(message, at, &context, span_id)?;
    if message.byte(at + FIELD_LEN) != Some(b'\r') {
        return Err(NotDone);
    }
    room::was_filled(message, FIELD_LEN);
    count_carried(Carried::Inserted);
    Ok(FIELD_LEN)
}

/// Length of the line that a field stands before.
const EMPTY_LINE: u32 = 2;

/// Of the request that is sent now, as `known` has it.
#[inline(always)]
pub fn context_by(known: impl FnOnce() -> Option<TraceContext>) -> Option<TraceContext> {
    if maps::carrier_mode() & MODE_TRIAL != 0 {
        return Some(TraceContext {
            trace_id: TRIAL_TRACE_ID,
            flags: 1,
        });
    }
    known()
}

/// Notes where the request begins. Returns whether that is known. The socket's lock is held: no
/// number changes while they are read.
#[inline(always)]
pub fn knows_position(message: SentMessage, talk: &mut Talk) -> bool {
    let Some(tcp) = tcp_of(message.sk()) else {
        return false;
    };
    let written: u32 = tcp.value(offset(|o| &o.tcp_sock_write_seq));
    if talk.has_starts == 0 {
        if tcp.value::<u64>(offset(|o| &o.tcp_sock_bytes_sent)) != 0 {
            return false;
        }
        let received: u64 = tcp.value(offset(|o| &o.tcp_sock_bytes_received));
        let next: u32 = tcp.value(offset(|o| &o.tcp_sock_rcv_nxt));
        talk.starts = [written, next.wrapping_sub(received as u32)];
        talk.has_starts = 1;
    }
    talk.position = written.wrapping_sub(talk.starts[0]);
    true
}

/// Leaves the connection alone from now on, and lets this message pass.
#[inline(always)]
pub fn leave(talk: &mut Talk, reason: Carried) -> bool {
    talk.phase = HeadPhase::Blind as u8;
    count_carried(reason);
    true
}
