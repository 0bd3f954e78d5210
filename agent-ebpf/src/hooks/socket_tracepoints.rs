//! The raw tracepoints `sock_send_length` and `sock_recv_length` (kernel 6.3): they fire for socket
//! calls only and bring the socket. Where the bytes lie is told by the registers that the task
//! entered the kernel with.

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use wirespan_common::record::Direction;

use super::{Calls, Family, Types, ends_connection, message_ended, run, serving};
use crate::left_alone;
use crate::maps;
use crate::memory::{
    Typed, current_process, current_registers, current_task_typed, offset, tcp_sock,
};
use crate::sockets::{self, Socket};
use crate::syscall::{self, Buffers, Call, is_beside_stream};

/// `TP_PROTO(struct sock *sk, int ret, int flags)` (include/trace/events/sock.h).
#[btf_tracepoint(function = "sock_send_length")]
pub fn sock_send_length(ctx: BtfTracePointContext) -> i32 {
    moved::<true>(&ctx)
}

/// `TP_PROTO(struct sock *sk, int ret, int flags)` (include/trace/events/sock.h).
#[btf_tracepoint(function = "sock_recv_length")]
pub fn sock_recv_length(ctx: BtfTracePointContext) -> i32 {
    moved::<false>(&ctx)
}

// One instance for each direction, so that each is a program without calls of its own functions.
#[inline(always)]
fn moved<const IS_EGRESS: bool>(ctx: &BtfTracePointContext) -> i32 {
    let direction = if IS_EGRESS {
        Direction::Egress
    } else {
        Direction::Ingress
    };
    let current = current_process();
    let result: i32 = ctx.arg(1);
    let sk = Typed::new(ctx.arg(0));
    let of_watched = if maps::may_be_watched(current.tgid) {
        sockets::of_typed(sk)
    } else {
        None
    };
    if let Some(socket) = of_watched
        && left_alone::passes_unseen(socket, i64::from(result))
    {
        return 0;
    }
    let watch = if result > 0 {
        serving::watch_of_mover(current, sk)
    } else {
        maps::watch_of(current.tgid)
    };
    let Some(watch) = watch else {
        return 0;
    };
    let flags: u32 = ctx.arg::<i32>(2) as u32;
    if result > 0 && is_beside_stream(direction, flags) {
        return 0;
    }
    if result < 0 {
        maps::end_messages(current.tid);
        if !ends_connection(result.into()) {
            return 0;
        }
    }
    // A process that is watched since a moment ago was not looked at before.
    let Some(socket) = of_watched.or_else(|| sockets::of_typed(sk)) else {
        return 0;
    };
    if left_alone::passes_early(watch, socket.id, direction, i64::from(result)) {
        return 0;
    }
    run(maps::with_scratch(|scratch| {
        let registers = current_registers();
        scratch.registers_at = registers.address();
        scratch.goroutine = 0;
        scratch.registers.load(registers);
        let transfer = &mut scratch.transfer;
        transfer.sequence_is_known = false;
        if let Some(tcp) = tcp_sock(sk) {
            transfer.copied_sequence = tcp.value(offset(|o| &o.tcp_sock_copied_seq));
            transfer.sequence_is_known = true;
        }
        let known = syscall::decode(&scratch.registers, &mut transfer.call);
        let is_it = known && transfer.call.direction as u8 == direction as u8;
        if !is_it || (uses_io_uring() && !is_call_on(transfer.call.fd, socket)) {
            // Not a call that we know (io_uring), or made by the kernel itself: only counted.
            transfer.call.buffers = Buffers::Unmapped;
        }
        transfer.call.direction = direction;
        // The tracepoint knows better than the call which flags hold: recvmmsg adds some.
        transfer.call.flags = flags;
        transfer.socket = socket;
        transfer.current = current;
        transfer.watch = watch;
        transfer.sees_all = false;
        transfer.is_whole_call = false;
        let Call {
            address,
            count,
            buffers,
            ..
        } = transfer.call;
        transfer.message = match buffers {
            Buffers::Messages if result >= 0 => maps::next_message(current.tid, address, count),
            _ => 0,
        };
        message_ended::<SocketTracepoints>(scratch, i64::from(result))
    }))
}

/// Whether the thread ever submitted anything to io_uring. What it submitted is done in its name
/// whenever it enters or leaves the kernel, and the registers are then those of another call.
#[inline(always)]
fn uses_io_uring() -> bool {
    let at = offset(|o| &o.task_struct_io_uring);
    at != 0 && current_task_typed().value::<u64>(at) != 0
}

/// Whether the call is one on this socket.
#[inline(always)]
fn is_call_on(fd: u32, socket: Socket) -> bool {
    sockets::descriptors_typed()
        .and_then(|descriptors| sockets::of_descriptor(descriptors, fd))
        .is_some_and(|of_call| of_call.sk == socket.sk)
}

struct SocketTracepoints;

impl Family for SocketTracepoints {
    const CALLS: Calls = Calls::All;
    const TYPES: Types = Types::Known;
    const WALKS: bool = true;
}
