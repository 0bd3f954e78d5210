//! Programs that carry trace context. They are loaded only where that was asked for, into a control
//! group and onto connections that were enrolled.

use aya_ebpf::macros::{btf_tracepoint, sk_msg, sock_ops};
use aya_ebpf::programs::{BtfTracePointContext, SkMsgContext, SockOpsContext};

use crate::carriers;
use crate::context;
use crate::memory::{SentMessage, SocketEvent, Typed};
use crate::syscall;

/// `SK_PASS` (include/uapi/linux/bpf.h).
const PASS: u32 = 1;
/// `SK_DROP`: the call that sends fails with `EACCES`.
const DROP: u32 = 0;

/// Something happened to a socket of the control group.
#[sock_ops]
pub fn carry_sockets(ctx: SockOpsContext) -> u32 {
    carriers::socket_event(SocketEvent::new(ctx.ops));
    1
}

/// The same, and the headers of what such sockets send and receive.
#[sock_ops]
pub fn carry_options(ctx: SockOpsContext) -> u32 {
    carriers::option_event(SocketEvent::new(ctx.ops));
    1
}

/// An enrolled connection sends.
#[sk_msg]
pub fn carry_headers(ctx: SkMsgContext) -> u32 {
    if carriers::message_sent(SentMessage::new(ctx.msg)) {
        PASS
    } else {
        DROP
    }
}

/// `TP_PROTO(struct pt_regs *regs, long id)` (include/trace/events/syscalls.h): a system call
/// begins. There is no other place before anything is sent that every kernel has, whatever else it
/// was built without; most calls of a machine end here with the first question.
#[btf_tracepoint(function = "sys_enter")]
pub fn context_sends(ctx: BtfTracePointContext) -> i32 {
    if syscall::may_send(ctx.arg(1)) {
        let registers = Typed::new(ctx.arg(0));
        context::about_to_send(syscall::descriptor(registers));
    }
    0
}

/// `TP_PROTO(struct pt_regs *regs, long ret)`: a system call ends. It runs behind all that takes
/// note of what the call moved.
#[btf_tracepoint(function = "sys_exit")]
pub fn context_reads(ctx: BtfTracePointContext) -> i32 {
    context::has_read(Typed::new(ctx.arg(0)), ctx.arg(1));
    0
}
