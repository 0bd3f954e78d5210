//! Trace context, carried to other nodes: where user space asked for it, and on connections that
//! watched processes open. Two programs do it, which are attached to a control group and to the
//! connections that were enrolled, by links that end with the daemon.
//!
//! A socket is marked when a watched process connects it ([`enrolment`]), and enrolled once the
//! connection stands. Its messages are looked at from then on ([`headers`], [`http1`], [`http2`]).
//! One that existed before is never enrolled. The other way is an option of TCP ([`option`]), which
//! needs neither.

mod enrolment;
mod field;
mod headers;
mod http1;
mod http2;
mod option;
mod room;

use aya_ebpf::bindings::bpf_sock;

use crate::maps;
use crate::memory::{Typed, tcp_sock};

pub use enrolment::socket_event;
pub use headers::message_sent;
pub use option::option_event;

/// The same socket, with members that can be read.
#[inline(always)]
fn tcp_of(sk: *mut bpf_sock) -> Option<Typed> {
    if sk.is_null() {
        return None;
    }
    tcp_sock(Typed::new(sk.cast()))
}

/// Whether the socket may send without copying (`SO_ZEROCOPY`), or nobody knows where that stands:
/// who sends so is told by the kernel when its memory is free again, on an enrolled socket wrongly.
#[inline(always)]
fn may_send_uncopied(tcp: Typed) -> bool {
    let bit = maps::unfit(|places| &places.zero_copy);
    bit == 0 || tcp.value::<u64>(maps::unfit(|places| &places.flags)) >> (bit & 63) & 1 != 0
}
