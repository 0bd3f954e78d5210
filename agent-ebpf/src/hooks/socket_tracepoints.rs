//! The raw tracepoints `sock_send_length` and `sock_recv_length` (kernel 6.3): they fire for socket
//! calls only and bring the socket. Where the bytes lie is told by the registers that the task
//! entered the kernel with.

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use wirespan_common::record::Direction;

use super::{ends_connection, message_ended, run};
use crate::maps;
use crate::memory::{current_process, current_registers};
use crate::sockets;
use crate::syscall::{self, Buffers, Call, is_beside_stream};

/// `TP_PROTO(struct sock *sk, int ret, int flags)` (include/trace/events/sock.h).
#[raw_tracepoint(tracepoint = "sock_send_length")]
pub fn sock_send_length(ctx: RawTracePointContext) -> i32 {
    moved(&ctx, Direction::Egress)
}

/// `TP_PROTO(struct sock *sk, int ret, int flags)` (include/trace/events/sock.h).
#[raw_tracepoint(tracepoint = "sock_recv_length")]
pub fn sock_recv_length(ctx: RawTracePointContext) -> i32 {
    moved(&ctx, Direction::Ingress)
}

#[inline(always)]
fn moved(ctx: &RawTracePointContext, direction: Direction) -> i32 {
    let current = current_process();
    let Some(watch) = maps::watch_of(current.tgid) else {
        return 0;
    };
    let result: i32 = ctx.arg(1);
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
    let Some(socket) = sockets::of_sk(ctx.arg(0)) else {
        return 0;
    };
    run(maps::with_scratch(|scratch| {
        let transfer = &mut scratch.transfer;
        let known = syscall::decode(current_registers(), &mut transfer.call);
        if !known || transfer.call.direction as u8 != direction as u8 {
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
        message_ended(scratch, i64::from(result))
    }))
}
