//! The option of TCP that carries a trace: on the first segment of a request that is sent, and
//! again whenever that segment is sent anew, because it was lost or is not acknowledged yet.
//! Nothing of the stream is looked at, nor changed, so that it is the same with TLS.
//!
//! What a segment may carry shrinks by the option's length on connections that carry, always: the
//! kernel asks how long a segment may be at other times than it makes one, and a segment that turns
//! out to be longer than was said never arrives.

use aya_ebpf::bindings::{
    BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_HDR_OPT_LEN_CB, BPF_SOCK_OPS_PARSE_HDR_OPT_CB,
    BPF_SOCK_OPS_PARSE_UNKNOWN_HDR_OPT_CB_FLAG, BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB,
    BPF_SOCK_OPS_TCP_CONNECT_CB, BPF_SOCK_OPS_WRITE_HDR_OPT_CB, BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG,
};
use wirespan_common::carriers::{
    Carried, MODE_PUBLIC, MODE_TRIAL, OptionEnd, TRIAL_TRACE_ID, option_bytes, option_position,
};

use super::enrolment;
use crate::context::TraceContext;
use crate::maps::{self, CallKey, Trace, count_carried};
use crate::memory::{SocketEvent, current_task, kernel_value, offset};

/// `BPF_WRITE_HDR_TCP_CURRENT_MSS` (include/uapi/linux/bpf.h): nothing is sent, and it is asked how
/// long a segment may be.
const CURRENT_MSS: u32 = 1;
/// What is acknowledged on a connection that its opener has sent nothing on: the SYN.
const SYN_ALONE: u64 = 1;

/// Something happened to a socket of the control group.
#[inline(always)]
pub fn option_event(event: SocketEvent) {
    let op = event.operation();
    if op == BPF_SOCK_OPS_HDR_OPT_LEN_CB {
        is_made(event);
    } else if op == BPF_SOCK_OPS_WRITE_HDR_OPT_CB {
        is_written(event);
    } else if op == BPF_SOCK_OPS_PARSE_HDR_OPT_CB {
        has_come(event);
    } else if op == BPF_SOCK_OPS_TCP_CONNECT_CB {
        connects(event);
    } else if op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB {
        connected(event);
    } else if op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB && is_heard(event) {
        event.wants(BPF_SOCK_OPS_PARSE_UNKNOWN_HDR_OPT_CB_FLAG);
    }
}

#[inline(always)]
fn is_trial() -> bool {
    maps::carrier_mode() & MODE_TRIAL != 0
}

/// Whether options are looked for in what comes on a connection that a peer opened.
#[inline(always)]
fn is_heard(event: SocketEvent) -> bool {
    if is_trial() {
        return event.own_port() == maps::option_form().trial_port;
    }
    maps::carrier_mode() & MODE_PUBLIC != 0 || enrolment::is_private(event)
}

/// Marks the socket, if the process that connects it is watched.
#[inline(always)]
fn connects(event: SocketEvent) {
    let is_marked = if is_trial() {
        // VERIFIER(6.1): as of those that are enrolled.
        let tgid = kernel_value(current_task() + offset(|o| &o.task_struct_tgid)).ok();
        tgid.is_some_and(maps::is_own) && event.peer_port() == maps::option_form().trial_port
    } else {
        let Some(watch) = enrolment::watch() else {
            return;
        };
        if let Some(reason) = enrolment::is_not_chosen(event, watch) {
            return count_carried(reason);
        }
        true
    };
    if is_marked && maps::option_end_or_new(event.sk()).is_none() {
        count_carried(Carried::NoMemory);
    }
}

/// The connection stands, and nothing was sent on it.
#[inline(always)]
fn connected(event: SocketEvent) {
    let Some(end) = maps::option_end(event.sk()) else {
        return;
    };
    if let Some(tcp) = super::tcp_of(event.sk())
        && let Some(reason) = enrolment::is_multipath(tcp)
    {
        return count_carried(reason);
    }
    if event.acknowledged() > SYN_ALONE || event.received() != 0 {
        return count_carried(Carried::FastOpen);
    }
    end.starts = [event.sends_next(), event.receives_next()];
    end.is_on = 1;
    event.wants(BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
    count_carried(Carried::OptionConnection);
}

/// A segment is made, or it is asked how long one may be.
#[inline(always)]
fn is_made(event: SocketEvent) {
    if event.argument() == CURRENT_MSS {
        event.reserves_option();
        return;
    }
    if event.segment_len() == 0 {
        return;
    }
    let Some(end) = maps::option_end(event.sk()) else {
        return;
    };
    if end.is_on == 0 {
        return;
    }
    let next = event.sends_next().wrapping_sub(end.starts[0]);
    let unacknowledged = event.unacknowledged().wrapping_sub(end.starts[0]);
    if begins_request(end, next) {
        end.carried = next;
        end.is_pending = 1;
    } else if end.is_pending != 0 && unacknowledged.wrapping_sub(end.carried) as i32 > 0 {
        end.is_pending = 0;
    }
    // Which segment it is that is sent anew is not told here: room that is not used is filled.
    if end.is_pending != 0 && !event.reserves_option() {
        count_carried(Carried::NoOptionRoom);
    }
}

/// Whether a request that carries begins at a position.
#[inline(always)]
fn begins_request(end: &mut OptionEnd, position: u32) -> bool {
    if is_trial() {
        return !is_counted(end, position);
    }
    let Some(trace) = maps::call(&key(end, position)) else {
        return false;
    };
    if !trace.is_known() {
        count_once(end, position, Carried::NoContext);
    }
    trace.is_known()
}

/// Whether what became of the request that begins at a position was counted last.
#[inline(always)]
fn is_counted(end: &OptionEnd, position: u32) -> bool {
    end.has_counted != 0 && end.counted == position
}

/// Counts what became of a request, however often its segment is made.
#[inline(always)]
fn count_once(end: &mut OptionEnd, position: u32, what: Carried) {
    if !is_counted(end, position) {
        end.counted = position;
        end.has_counted = 1;
        count_carried(what);
    }
}

#[inline(always)]
fn key(end: &OptionEnd, position: u32) -> CallKey {
    CallKey {
        starts: end.starts,
        position,
        reserved: 0,
    }
}

/// A segment with room for the option has its header.
#[inline(always)]
fn is_written(event: SocketEvent) {
    let Some(end) = maps::option_end(event.sk()) else {
        return;
    };
    let Some(sequence) = event.segment_sequence() else {
        return;
    };
    let position = sequence.wrapping_sub(end.starts[0]);
    let Some(context) = context_of(end, position) else {
        return;
    };
    let form = maps::option_form();
    let option = option_bytes(form, context.trace_id, position, context.flags);
    if !event.stores_option(&option) {
        return count_carried(Carried::NoOptionRoom);
    }
    count_once(end, position, Carried::Optioned);
}

#[inline(always)]
fn context_of(end: &OptionEnd, position: u32) -> Option<TraceContext> {
    if is_trial() {
        return (position == end.carried).then_some(TraceContext {
            trace_id: TRIAL_TRACE_ID,
            flags: 1,
        });
    }
    let trace = maps::call(&key(end, position))?;
    trace.is_known().then_some(TraceContext {
        trace_id: trace.id,
        flags: trace.flags as u8,
    })
}

/// A segment has come with an option that the kernel does not know, on a connection that a peer
/// opened.
#[inline(always)]
fn has_come(event: SocketEvent) {
    let Some(option) = event.option(maps::option_form()) else {
        return;
    };
    let Some(sequence) = event.segment_sequence() else {
        return;
    };
    // A peer's FIN counts among what was received by nobody, and comes with no request.
    let peer = event.receives_next().wrapping_sub(event.received() as u32);
    let own = event
        .unacknowledged()
        .wrapping_sub(event.acknowledged() as u32);
    let Some(position) = option_position(&option, sequence.wrapping_sub(peer)) else {
        return count_carried(Carried::OptionIgnored);
    };
    let key = CallKey {
        starts: [peer, own],
        position,
        reserved: 0,
    };
    let [_, _, _, _, id @ .., _, _, _, flags] = option;
    let trace = Trace {
        id,
        flags: flags.into(),
    };
    if !trace.is_known() {
        return count_carried(Carried::OptionIgnored);
    }
    if maps::was_told(&key, &trace) {
        count_carried(Carried::OptionRead);
    }
}
