//! Which connections are enrolled. It looks at no byte of them.

use aya_ebpf::bindings::{BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_TCP_CONNECT_CB};
use wirespan_common::carriers::{Carried, MODE_HEADERS};

use crate::maps;
use crate::memory::{SocketEvent, current_task, kernel_value, offset};

const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;
/// Where TLS is spoken: of what is encrypted nothing can be read.
const PORT_HTTPS: u32 = 443;

/// Something happened to a socket of the control group.
#[inline(always)]
pub fn socket_event(event: SocketEvent) {
    if maps::carrier_mode() & MODE_HEADERS == 0 {
        return;
    }
    let op = event.operation();
    if op == BPF_SOCK_OPS_TCP_CONNECT_CB {
        connects(event);
    } else if op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB {
        established(event);
    }
}

/// Marks the socket, if the process that connects it is watched: only here is it known who that is.
#[inline(always)]
fn connects(event: SocketEvent) {
    if !is_watched() {
        return;
    }
    if event.peer_port() == PORT_HTTPS {
        return;
    }
    if !is_private(event) {
        maps::count_carried(Carried::PublicPeer);
        return;
    }
    if maps::talk_or_new(event.sk()).is_none() {
        maps::count_carried(Carried::NoMemory);
    }
}

/// Whether the current process is watched.
#[inline(always)]
fn is_watched() -> bool {
    // VERIFIER(6.1): here the helper that tells it is not known.
    let tgid = kernel_value(current_task() + offset(|o| &o.task_struct_tgid));
    tgid.is_ok_and(|tgid| !maps::is_own(tgid) && maps::watch_of(tgid).is_some())
}

#[inline(always)]
fn established(event: SocketEvent) {
    if maps::talk(event.sk()).is_none() {
        return;
    }
    maps::count_carried(if maps::enrol(event) {
        Carried::Enrolled
    } else {
        Carried::Full
    });
}

/// Whether the peer is within a network of somebody's own (RFC 1918, 6598, 4193), this machine, or
/// the same link: a trace id tells nobody else of what is done here.
#[inline(always)]
fn is_private(event: SocketEvent) -> bool {
    let family = event.family();
    if family == AF_INET {
        return is_private_v4(event.peer_v4());
    }
    if family != AF_INET6 {
        return false;
    }
    let [a, b, c, d] = event.peer_v6();
    if a == 0 && b == 0 {
        // One of IPv4, or the machine itself.
        return c == 0xffff && is_private_v4(d) || c == 0 && d == 1;
    }
    a >> 25 == 0xfc >> 1 || a >> 22 == 0xfe80 >> 6
}

#[inline(always)]
fn is_private_v4(address: u32) -> bool {
    address >> 24 == 10
        || address >> 24 == 127
        || address >> 20 == 0xac1
        || address >> 16 == 0xc0a8
        || address >> 16 == 0xa9fe
        || address >> 22 == 0x6440 >> 6
}
