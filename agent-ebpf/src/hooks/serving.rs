//! Who serves a selected port: whoever moves bytes on the passive end of a connection to it,
//! however it came by that socket.
//!
//! A listener is watched from when it listens; but who accepts may pass the connection on
//! (`SCM_RIGHTS`, a child, another program), or have the listener from somebody else (a reload, a
//! supervisor, `pidfd_getfd`).
//!
//! The socket tracepoints bring the socket, and ask here. The other strategies see descriptors,
//! and to find the socket of each call of each process would cost all of them. They attach a
//! tracepoint to what every read of TCP passes through (`tcp_rcv_space_adjust`), which brings the
//! socket too and fires within the call, so that its end is seen already. Who only writes is not
//! found that way: no tracepoint in TCP's way out brings the socket, and an fentry or a kprobe on
//! `tcp_sendmsg` would run for each send of each process of the machine. No server of a protocol
//! that is understood only writes; but who is handed a connection between a request and its answer
//! is not seen to answer.

use aya_ebpf::macros::{btf_tracepoint, raw_tracepoint};
use aya_ebpf::programs::{BtfTracePointContext, RawTracePointContext};
use wirespan_common::loss::KernelLoss;
use wirespan_common::record::LifeEvent;
use wirespan_common::switch::Switch;
use wirespan_common::watch::Watch;

use super::{end, process, run};
use crate::maps;
use crate::memory::{Current, Delivered, Typed, current_process};
use crate::sockets;

/// `TP_PROTO(struct sock *sk)` (include/trace/events/tcp.h): bytes were copied to the reader.
#[cfg(not(legacy))]
#[btf_tracepoint(function = "tcp_rcv_space_adjust")]
pub fn tcp_rcv_space_adjust(ctx: BtfTracePointContext) -> i32 {
    reads(Typed::new(ctx.arg(0)))
}

/// The same for kernels that can't follow types from here.
#[raw_tracepoint(tracepoint = "tcp_rcv_space_adjust")]
pub fn tcp_rcv_space_adjust_untyped(ctx: RawTracePointContext) -> i32 {
    let sk = ctx.arg(0);
    let Some(port) = sockets::selected_port_untyped(sk) else {
        return 0;
    };
    let current = current_process();
    if !is_told(current) && sockets::is_passive_untyped(sk, port) {
        return end(&ctx, reader_serves(current, sk, port));
    }
    0
}

#[inline(always)]
fn reads(sk: Typed) -> i32 {
    let Some(port) = sockets::selected_port(sk) else {
        return 0;
    };
    let current = current_process();
    if !is_told(current) && sockets::is_passive(sk, port) {
        return run(reader_serves(current, sk.address(), port));
    }
    0
}

/// Where the kernel itself reads ahead of the process (kTLS), it may do so on anybody's time.
#[inline(always)]
fn reader_serves(current: Current, sk: u64, port: u16) -> Delivered<()> {
    if sockets::has_upper_protocol(sk) {
        return Ok(());
    }
    serves(current, port)
}

#[inline(always)]
fn is_told(current: Current) -> bool {
    maps::watch_of(current.tgid).is_some_and(|watch| watch.serves != 0)
}

/// How the process that moved bytes on this socket is watched, if it is: if not before, then from
/// now on, should it serve.
#[inline(always)]
pub fn watch_of_mover(current: Current, sk: Typed) -> Option<Watch> {
    let known = maps::watch_of_busy(current.tgid);
    if known.is_some_and(|watch| watch.serves != 0) {
        return known;
    }
    let Some(port) = sockets::selected_port(sk) else {
        return known;
    };
    if !sockets::is_passive(sk, port) {
        return known;
    }
    run(serves(current, port));
    maps::watch_of(current.tgid)
}

/// Watches a process that serves, and tells user space, which confirms it or refuses it; or only
/// tells, where user space is asked first.
#[inline(never)]
fn serves(current: Current, port: u16) -> Delivered<()> {
    if maps::is_own(current.tgid) {
        return Ok(());
    }
    let before = maps::watch_of(current.tgid);
    if before.is_none() {
        if maps::is_refused(current.tgid) {
            return Ok(());
        }
        if maps::is_on(Switch::AsksFirst) {
            // It is told again until it is watched or refused, which takes a moment.
            return process::tell(current, LifeEvent::Serve, port, 0, false);
        }
    }
    let mut watch = match before {
        Some(watch) => watch,
        None => Watch {
            shard: maps::next_shard(),
            ..Watch::default()
        },
    };
    watch.serves = 1;
    maps::watch(current.tgid, &watch)?;
    let told = process::tell(current, LifeEvent::Serve, port, 0, true);
    if told.is_err() {
        // Nobody knows of it, then: the next bytes try again.
        match before {
            Some(_) => maps::forget_service(current.tgid),
            None => maps::unwatch(current.tgid),
        }
        return Err(KernelLoss::RingFull);
    }
    Ok(())
}
