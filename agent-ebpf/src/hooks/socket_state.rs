//! The raw tracepoint `inet_sock_set_state`: listeners that open, connections that end. It fires a
//! few times per connection. A reset arrives in interrupt context, so the connection itself tells
//! whose it is, not the current task.

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use wirespan_common::connection::Sequence;
use wirespan_common::record::{LifeEvent, Stage};
use wirespan_common::watch::Watch;

use super::{process, run, stage_reached};
use crate::capture;
use crate::maps;
use crate::memory::{Delivered, current_process};
use crate::sockets;

/// TCP states (include/net/tcp_states.h).
const ESTABLISHED: i32 = 1;
const FIN_WAIT1: i32 = 4;
const CLOSE: i32 = 7;
const CLOSE_WAIT: i32 = 8;
const LAST_ACK: i32 = 9;
const LISTEN: i32 = 10;

/// `TP_PROTO(const struct sock *sk, const int oldstate, const int newstate)`
/// (include/trace/events/sock.h).
#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
pub fn inet_sock_set_state(ctx: RawTracePointContext) -> i32 {
    let sk = ctx.arg(0);
    run(match (ctx.arg::<i32>(1), ctx.arg::<i32>(2)) {
        (_, LISTEN) => listening(sk),
        (ESTABLISHED, FIN_WAIT1) | (CLOSE_WAIT, LAST_ACK) => leaving(sk, Stage::EgressEnded),
        // From other states CLOSE is where a connection that both sides ended comes to rest; the
        // process may not have read all of it yet.
        (ESTABLISHED | CLOSE_WAIT, CLOSE) => leaving(sk, Stage::Reset),
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
        maps::watch(current.tgid, &Watch::default())?;
        watched = true;
    }
    process::tell(current, LifeEvent::Listen, port, 0, watched)
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
    if connection.sequence != Sequence::Ignored as u8 && capture::catch_up(connection, sk, 0) {
        // Its end was read by a call that no hook saw, perhaps.
        stage_reached(socket.id, Stage::IngressEnded, current)?;
    }
    if sockets::is_shut_down(sk) {
        let told = stage_reached(socket.id, Stage::Closed, current);
        maps::forget_connection(socket.id);
        told
    } else if matches!(stage, Stage::Reset) && sockets::has_unread(sk) {
        // The process can still read what came before; it will hear of the rest, or close.
        Ok(())
    } else {
        stage_reached(socket.id, stage, current)
    }
}
