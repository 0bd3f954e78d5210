//! The raw tracepoints `sock_send_length` and `sock_recv_length` (kernel 6.3): they fire for socket
//! calls only and bring the socket. Where the bytes lie is told by the registers that the task
//! entered the kernel with.

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use wirespan_common::connection::Connection;
use wirespan_common::record::Direction;

use super::{Calls, Family, Types, ends_connection, message_ended, run, serving};
use crate::arch::{CallRegisters, number};
use crate::capture;
use crate::left_alone;
use crate::maps::{self, Scratch};
use crate::memory::{
    Delivered, Typed, current_task_typed, offset, process_of, registers_of, tcp_sock,
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
    let direction = direction::<IS_EGRESS>();
    let task = current_task_typed();
    let current = process_of(task);
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
    let mut known = maps::connection(socket.id);
    if let Some(connection) = known.as_deref_mut()
        && left_alone::passes_early(watch, connection, socket.id, direction, i64::from(result))
    {
        return 0;
    }
    run(maps::with_scratch(|scratch| {
        look_at_call::<IS_EGRESS>(scratch, task, sk, socket);
        let transfer = &mut scratch.transfer;
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
        message_ended::<SocketTracepoints>(scratch, known, i64::from(result))
    }))
}

/// Notes for the transfer in the scratch buffer which call moved it, by the registers that the task
/// entered the kernel with, and how far its socket has been read.
#[inline(always)]
fn look_at_call<const IS_EGRESS: bool>(
    scratch: &mut Scratch,
    task: Typed,
    sk: Typed,
    socket: Socket,
) {
    let direction = direction::<IS_EGRESS>();
    let registers = registers_of(task);
    scratch.registers_at = registers.address();
    scratch.goroutine = 0;
    scratch.registers.load(registers);
    let transfer = &mut scratch.transfer;
    transfer.sequence_is_known = false;
    if let Some(tcp) = tcp_sock(sk) {
        transfer.copied_sequence = tcp.value(offset(|o| &o.tcp_sock_copied_seq));
        transfer.sequence_is_known = true;
    }
    let is_decoded = decode::<IS_EGRESS>(&scratch.registers, &mut transfer.call);
    let is_it = is_decoded && transfer.call.direction as u8 == direction as u8;
    if !is_it || (uses_io_uring(task) && !is_call_on(transfer.call.fd, socket)) {
        // Not a call that we know (io_uring), or made by the kernel itself: only counted.
        transfer.call.buffers = Buffers::Unmapped;
    }
    transfer.call.direction = direction;
}

/// Whether the thread ever submitted anything to io_uring. What it submitted is done in its name
/// whenever it enters or leaves the kernel, and the registers are then those of another call.
#[inline(always)]
fn uses_io_uring(task: Typed) -> bool {
    let at = offset(|o| &o.task_struct_io_uring);
    at != 0 && task.value::<u64>(at) != 0
}

/// [`syscall::decode`] but for flags, with the calls that move nearly all bytes in their place: a
/// call of a function costs more than they do.
#[inline(always)]
fn decode<const IS_EGRESS: bool>(registers: &CallRegisters, call: &mut Call) -> bool {
    use number::{READ, RECVFROM, SENDTO, WRITE, WRITEV};
    let buffers = match (IS_EGRESS, registers.number) {
        (true, WRITE | SENDTO) | (false, READ | RECVFROM) => Buffers::One,
        (true, WRITEV) => Buffers::Vector,
        _ => return syscall::decode(registers, call),
    };
    call.fd = registers.first as u32;
    call.direction = direction::<IS_EGRESS>();
    call.buffers = buffers;
    call.address = registers.second;
    call.count = registers.third;
    true
}

#[inline(always)]
fn direction<const IS_EGRESS: bool>() -> Direction {
    if IS_EGRESS {
        Direction::Egress
    } else {
        Direction::Ingress
    }
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

    // In its place, as these are the hooks of nearly all kernels.
    #[inline(always)]
    fn transferred(scratch: &mut Scratch, known: Option<&'static mut Connection>) -> Delivered<()> {
        capture::take_note::<true, false>(scratch, known)
    }
}
