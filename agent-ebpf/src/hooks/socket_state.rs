//! The raw tracepoint `inet_sock_set_state`: listeners that open, connections that end. It fires a
//! few times per connection. A reset arrives in interrupt context, so the connection itself tells
//! whose it is, not the current task.

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use wirespan_common::connection::Sequence;
use wirespan_common::own::Ends;
use wirespan_common::record::{LifeEvent, Stage};
use wirespan_common::switch::Switch;
use wirespan_common::watch::Watch;

use super::{process, run, stage_reached};
use crate::capture;
use crate::logging::debug;
use crate::maps;
use crate::memory::{Delivered, current_process};
use crate::sockets::{self, Socket};

/// TCP states (include/net/tcp_states.h).
const ESTABLISHED: i32 = 1;
const SYN_SENT: i32 = 2;
const FIN_WAIT1: i32 = 4;
const FIN_WAIT2: i32 = 5;
const CLOSE: i32 = 7;
const CLOSE_WAIT: i32 = 8;
const LAST_ACK: i32 = 9;
const LISTEN: i32 = 10;
const CLOSING: i32 = 11;

/// Whether where it comes from decides how it is told; a ring takes records from anywhere.
const IN_INTERRUPT: bool = cfg!(legacy);

/// `TP_PROTO(const struct sock *sk, const int oldstate, const int newstate)`
/// (include/trace/events/sock.h).
#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
pub fn inet_sock_set_state(ctx: RawTracePointContext) -> i32 {
    let sk = ctx.arg(0);
    if ctx.arg::<i32>(2) == CLOSE {
        maps::own_closed(sk);
        maps::forget_widened(sk);
    }
    run(match (ctx.arg::<i32>(1), ctx.arg::<i32>(2)) {
        (_, LISTEN) => listening(sk),
        (_, SYN_SENT) => connecting(sk),
        (SYN_SENT, ESTABLISHED) => connected(sk),
        (ESTABLISHED, FIN_WAIT1) | (CLOSE_WAIT, LAST_ACK) => leaving(sk, Stage::EgressEnded),
        (ESTABLISHED | CLOSE_WAIT, CLOSE) => leaving(sk, Stage::Reset),
        (FIN_WAIT1 | FIN_WAIT2 | CLOSING | LAST_ACK, CLOSE) => at_rest(sk),
        _ => Ok(()),
    })
}

#[inline(always)]
fn listening(sk: u64) -> Delivered<()> {
    let port = sockets::local_port(sk)?;
    let current = current_process();
    let mut watched = maps::watch_of(current.tgid).is_some();
    if !watched {
        if !maps::port_is_selected(port) {
            return Ok(());
        }
        if !maps::is_on(Switch::AsksFirst) {
            let watch = Watch {
                shard: maps::next_shard(),
                ..Watch::default()
            };
            maps::watch(current.tgid, &watch)?;
            watched = true;
        }
    }
    debug!((), "process {} listens on port {}", current.tgid, port);
    process::tell_from::<IN_INTERRUPT>(current, LifeEvent::Listen, port, 0, watched)
}

/// Somebody connects: in the context of its call, and before it has a port.
#[inline(always)]
fn connecting(sk: u64) -> Delivered<()> {
    if maps::is_own(current_process().tgid) {
        maps::own_connects(sk, &Ends::default());
    }
    Ok(())
}

/// A connection is made that somebody asked for. On one machine this comes before its other end
/// can be used, because that waits for the answer.
#[inline(always)]
fn connected(sk: u64) -> Delivered<()> {
    if !maps::is_own_socket(sk) {
        return Ok(());
    }
    maps::with_scratch(|scratch| {
        sockets::addresses(Socket { id: 0, sk }, &mut scratch.open.open)?;
        scratch.ends = Ends::of_peer(&scratch.open.open);
        maps::own_connected(sk, &scratch.ends);
        Ok(())
    })
}

/// The connection goes out of use; `stage` says how, unless its process closed it.
#[inline(always)]
fn leaving(sk: u64, stage: Stage) -> Delivered<()> {
    let Some(socket) = sockets::of_sk(sk) else {
        return Ok(());
    };
    let Some(connection) = maps::connection(socket.id) else {
        return Ok(());
    };
    let current = current_process();
    debug!((), "connection {} ends, stage {}", socket.id, stage as u8);
    if connection.sequence != Sequence::Ignored as u8 && capture::catch_up(connection, sk, 0) {
        // Its end was read by a call that no hook saw, perhaps.
        stage_reached::<IN_INTERRUPT>(socket.id, Stage::IngressEnded, current)?;
    }
    if sockets::is_shut_down(sk) {
        let told = stage_reached::<IN_INTERRUPT>(socket.id, Stage::Closed, current);
        maps::forget_connection(socket.id);
        told
    } else if matches!(stage, Stage::Reset) && sockets::has_unread(sk) {
        // The process can still read what came before; it will hear of the rest, or close.
        Ok(())
    } else {
        if matches!(stage, Stage::EgressEnded) {
            maps::half_closes(sk, socket.id);
        }
        stage_reached::<IN_INTERRUPT>(socket.id, stage, current)
    }
}

/// A connection comes to rest that its own side ended before. Its process may not have read all of
/// it yet, unless it has closed it: that changes the state only once the peer has acknowledged the
/// end, which on one machine is at once (`__tcp_close`, net/ipv4/tcp.c, by way of `tcp_time_wait`).
#[inline(always)]
fn at_rest(sk: u64) -> Delivered<()> {
    let Some(id) = maps::half_closed(sk) else {
        return Ok(());
    };
    // Its number may be another one's by now.
    if sockets::of_sk(sk).is_some() || maps::connection(id).is_none_or(|it| it.sk != sk) {
        return Ok(());
    }
    let told = stage_reached::<IN_INTERRUPT>(id, Stage::Closed, current_process());
    maps::forget_connection(id);
    told
}
