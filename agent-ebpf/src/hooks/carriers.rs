//! Programs that carry trace context. They are loaded only where that was asked for, into a control
//! group and onto connections that were enrolled.

use aya_ebpf::macros::{sk_msg, sock_ops};
use aya_ebpf::programs::{SkMsgContext, SockOpsContext};

use crate::carriers;
use crate::memory::{Message, SocketEvent};

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
