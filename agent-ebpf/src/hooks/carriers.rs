//! Programs that carry trace context. They are loaded only where that was asked for, into a control
//! group and onto connections that were enrolled.

use aya_ebpf::macros::{fentry, sk_msg, sock_ops};
use aya_ebpf::programs::{FEntryContext, SkMsgContext, SockOpsContext};

use crate::carriers;
use crate::context;
use crate::memory::{Message, SocketEvent, Typed};

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

/// An enrolled connection sends.
#[sk_msg]
pub fn carry_headers(ctx: SkMsgContext) -> u32 {
    if carriers::message_sent(Message::new(ctx.msg)) {
        PASS
    } else {
        DROP
    }
}

/// `int inet_sendmsg(struct socket *sock, struct msghdr *msg, size_t size)`, before it sends.
#[fentry]
pub fn inet_sendmsg(ctx: FEntryContext) -> i32 {
    context::about_to_send(Typed::new(ctx.arg(0)));
    0
}

/// `inet6_sendmsg`, with the same arguments.
#[fentry]
pub fn inet6_sendmsg(ctx: FEntryContext) -> i32 {
    context::about_to_send(Typed::new(ctx.arg(0)));
    0
}
