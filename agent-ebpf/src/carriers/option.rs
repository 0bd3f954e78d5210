//! The id of a request's trace in a TCP option, on the segment with the request's first byte: of a
//! kind for experiments (RFC 6994), with a magic number. The span's id follows from the connection
//! at both ends.
//!
//! Room for it is taken from every segment of the connection, because one that was made as long as
//! may be without it would be too long with it, for good. It is sent again with the byte that it
//! stands at, until that is acknowledged.

use aya_ebpf::bindings::{
    BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_HDR_OPT_LEN_CB, BPF_SOCK_OPS_PARSE_HDR_OPT_CB,
    BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB, BPF_SOCK_OPS_TCP_CONNECT_CB,
    BPF_SOCK_OPS_WRITE_HDR_OPT_CB,
};
use wirespan_common::carriers::{Carried, MODE_TRIAL, OPTION_LEN, TRIAL_TRACE_ID};

use super::enrolment::{is_private, is_watched};
use crate::maps::{self, CallKey, Pending, Trace, count_carried};
use crate::memory::{SocketEvent, Typed, offset, tcp_sock};

/// `BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG` (include/uapi/linux/bpf.h).
const WRITES: u32 = 1 << 6;
/// `BPF_SOCK_OPS_PARSE_UNKNOWN_HDR_OPT_CB_FLAG`.
const PARSES: u32 = 1 << 5;
/// `BPF_WRITE_HDR_TCP_CURRENT_MSS`: it is asked how much room segments have.
const CURRENT_MSS: u32 = 1;
/// In the flags of a trace: its id came by an option.
pub const CAME: u64 = 1 << 8;
/// In the flags of a trace, and the lowest bit of the magic number: it is sampled.
const SAMPLED: u64 = 1;

/// The option as it stands in a segment.
#[derive(Clone, Copy)]
#[repr(C)]
struct TraceOption {
    kind: u8,
    len: u8,
    /// Network byte order.
    magic: [u8; 2],
    trace_id: [u8; 16],
}
const _: () = assert!(size_of::<TraceOption>() == OPTION_LEN as usize);

/// A request of this trace is about to be written to a socket.
#[inline(always)]
pub fn pend(sk: u64, key: CallKey, trace: &Trace) {
    let Some((kind, _)) = maps::option_kind() else {
        return;
    };
    if kind == 0 || !maps::has_room_for_options(sk) {
        return;
    }
    maps::pend_option(
        sk,
        &Pending {
            trace: *trace,
            sequence: key.starts[0].wrapping_add(key.position),
            is_set: 1,
        },
    );
}

/// Something happened to a socket of the control group.
#[inline(always)]
pub fn socket_event(event: SocketEvent) {
    match event.operation() {
        BPF_SOCK_OPS_TCP_CONNECT_CB => connects(event),
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB => {}
        BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB => event.ask_for(PARSES),
        BPF_SOCK_OPS_HDR_OPT_LEN_CB => reserve(event),
        BPF_SOCK_OPS_WRITE_HDR_OPT_CB => write(event),
        BPF_SOCK_OPS_PARSE_HDR_OPT_CB => parse(event),
        _ => {}
    }
}

#[inline(always)]
fn is_trial() -> bool {
    maps::carrier_mode() & MODE_TRIAL != 0
}

/// Only here is it known whose the socket is; what is asked for is asked for from the beginning, so
/// that no segment is made without room.
#[inline(always)]
fn connects(event: SocketEvent) {
    if !is_trial() && !(is_watched() && is_private(event)) {
        return;
    }
    let Some(tcp) = tcp_of(event) else { return };
    let none = Pending {
        trace: Trace::UNKNOWN,
        sequence: 0,
        is_set: 0,
    };
    maps::pend_option(tcp.address(), &none);
    event.ask_for(WRITES);
}

#[inline(always)]
fn tcp_of(event: SocketEvent) -> Option<Typed> {
    let sk = event.sk();
    if sk.is_null() {
        return None;
    }
    tcp_sock(Typed::new(sk.cast()))
}

#[inline(always)]
fn reserve(event: SocketEvent) {
    let is_for_all = event.argument() == CURRENT_MSS;
    if is_for_all || event.len() != 0 && (is_trial() || pending(event).is_some()) {
        event.reserve(OPTION_LEN);
    }
}

/// What is to be sent, and not acknowledged.
#[inline(always)]
fn pending(event: SocketEvent) -> Option<Pending> {
    let tcp = tcp_of(event)?;
    let pending = maps::pending_option(tcp.address())?;
    let acknowledged = event.acknowledged().wrapping_sub(pending.sequence) as i32;
    (pending.is_set != 0 && acknowledged <= 0).then_some(pending)
}

#[inline(always)]
fn write(event: SocketEvent) {
    let Some(sequence) = event.sequence() else {
        return;
    };
    let (trace_id, flags) = if is_trial() {
        (TRIAL_TRACE_ID, SAMPLED)
    } else {
        let Some(pending) = pending(event) else {
            return;
        };
        if pending.sequence.wrapping_sub(sequence) >= event.len() {
            return;
        }
        (pending.trace.id, pending.trace.flags)
    };
    let Some((kind, magic)) = maps::option_kind() else {
        return;
    };
    let option = TraceOption {
        kind,
        len: OPTION_LEN as u8,
        magic: (magic | (flags & SAMPLED) as u16).to_be_bytes(),
        trace_id,
    };
    if event.store(&option) {
        count_carried(Carried::OptionSent);
    }
}

/// A segment has an option of a kind that the kernel does not know. The connection's own numbers
/// decide what it is about: whoever forges one says what he could say in a header.
#[inline(always)]
fn parse(event: SocketEvent) {
    let Some((kind, magic)) = maps::option_kind() else {
        return;
    };
    let Some((trace_id, flags)) = find(event, kind, magic) else {
        return;
    };
    if is_trial() {
        if trace_id == TRIAL_TRACE_ID {
            maps::tell_trial();
        }
        return;
    }
    let (Some(sequence), Some(tcp)) = (event.sequence(), tcp_of(event)) else {
        return;
    };
    let next: u32 = tcp.value(offset(|o| &o.tcp_sock_rcv_nxt));
    let received: u64 = tcp.value(offset(|o| &o.tcp_sock_bytes_received));
    let sent_next: u32 = tcp.value(offset(|o| &o.tcp_sock_snd_nxt));
    let sent: u64 = tcp.value(offset(|o| &o.tcp_sock_bytes_sent));
    let again: u64 = tcp.value(offset(|o| &o.tcp_sock_bytes_retrans));
    let starts = [
        next.wrapping_sub(received as u32),
        sent_next.wrapping_sub(sent.wrapping_sub(again) as u32),
    ];
    let trace = Trace {
        id: trace_id,
        flags: flags | CAME,
    };
    if !trace.is_known() {
        return;
    }
    let key = CallKey {
        starts,
        position: sequence.wrapping_sub(starts[0]),
        reserved: 0,
    };
    maps::calls(&key, &trace);
    count_carried(Carried::OptionTaken);
}

/// The option, with either magic number.
#[inline(always)]
fn find(event: SocketEvent, kind: u8, magic: u16) -> Option<([u8; 16], u64)> {
    let mut option = TraceOption {
        kind,
        len: 4,
        magic: (magic | 1).to_be_bytes(),
        trace_id: [0; 16],
    };
    if event.load(&mut option) && option.len == OPTION_LEN as u8 {
        return Some((option.trace_id, SAMPLED));
    }
    option.kind = kind;
    option.len = 4;
    option.magic = magic.to_be_bytes();
    (event.load(&mut option) && option.len == OPTION_LEN as u8).then_some((option.trace_id, 0))
}
