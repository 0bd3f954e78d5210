//! Which connections are enrolled. It looks at no byte of them.

use aya_ebpf::bindings::{BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_TCP_CONNECT_CB};
use wirespan_common::carriers::{Carried, MODE_CHOSEN, MODE_HEADERS, MODE_PUBLIC};
use wirespan_common::watch::Watch;

use super::{may_send_uncopied, tcp_of};
use crate::maps;
use crate::memory::{SocketEvent, Typed, current_task, kernel_value, offset};

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
    let Some(watch) = watch() else {
        return;
    };
    if event.peer_port() == PORT_HTTPS {
        return;
    }
    if let Some(reason) = declines(event, watch) {
        maps::count_carried(reason);
        return;
    }
    if maps::talk_or_new(event.sk()).is_none() {
        maps::count_carried(Carried::NoMemory);
    }
}

/// How the current process is watched, if it is.
#[inline(always)]
pub fn watch() -> Option<Watch> {
    // VERIFIER(6.1): here the helper that tells it is not known.
    let tgid = kernel_value(current_task() + offset(|o| &o.task_struct_tgid)).ok()?;
    if maps::is_own(tgid) {
        return None;
    }
    maps::watch_of(tgid)
}

/// Why a connection that a watched process opens is not to be enrolled, as far as that is known.
#[inline(always)]
fn declines(event: SocketEvent, watch: Watch) -> Option<Carried> {
    if let Some(reason) = is_not_chosen(event, watch) {
        return Some(reason);
    }
    if uses_rings() {
        return Some(Carried::ZeroCopy);
    }
    None
}

/// Why a connection that a watched process opens carries nothing in any way.
#[inline(always)]
pub fn is_not_chosen(event: SocketEvent, watch: Watch) -> Option<Carried> {
    let mode = maps::carrier_mode();
    if mode & MODE_CHOSEN != 0 && watch.carries == 0 {
        return Some(Carried::NotChosen);
    }
    if mode & MODE_PUBLIC == 0 && !is_private(event) {
        return Some(Carried::PublicPeer);
    }
    None
}

/// Whether the current task uses io_uring, which sends without copying if it is asked to, and is
/// refused that on an enrolled socket.
#[inline(always)]
fn uses_rings() -> bool {
    let at = offset(|o| &o.task_struct_io_uring);
    at != 0 && kernel_value::<u64>(current_task() + at).is_ok_and(|rings| rings != 0)
}

#[inline(always)]
fn established(event: SocketEvent) {
    let sk = event.sk();
    let Some(talk) = maps::talk(sk) else {
        return;
    };
    let Some(tcp) = tcp_of(sk) else {
        return;
    };
    if let Some(reason) = is_unfit(tcp) {
        maps::count_carried(reason);
        return;
    }
    talk.cookie = event.cookie();
    maps::count_carried(if maps::enrol(event, talk.cookie) {
        Carried::Enrolled
    } else {
        Carried::Full
    });
}

/// What a socket says of itself that keeps it from being enrolled.
#[inline(always)]
fn is_unfit(tcp: Typed) -> Option<Carried> {
    if let Some(reason) = is_multipath(tcp) {
        return Some(reason);
    }
    if may_send_uncopied(tcp) {
        return Some(Carried::ZeroCopy);
    }
    None
}

/// Whether it is a part of a connection of Multipath TCP.
#[inline(always)]
pub fn is_multipath(tcp: Typed) -> Option<Carried> {
    let multipath = maps::unfit(|places| &places.multipath);
    (multipath != 0 && tcp.value::<u8>(multipath) != 0).then_some(Carried::Multipath)
}

/// Whether the peer is within a network of somebody's own (RFC 1918, 6598, 4193), this machine, or
/// the same link: a trace id tells nobody else of what is done here.
#[inline(always)]
pub fn is_private(event: SocketEvent) -> bool {
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
