//! Which connections are enrolled. It looks at no byte of them.

use aya_ebpf::bindings::{
    BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_TCP_CONNECT_CB, bpf_sock_ops,
};
use wirespan_common::carriers::{Carried, MODE_HEADERS, MODE_OPTION};

use super::option;
use crate::maps;
use crate::memory::current_process;

const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;
/// Where TLS is spoken: of what is encrypted nothing can be read.
const PORT_HTTPS: u32 = 443;

/// Something happened to a socket of the control group.
#[inline(always)]
pub fn socket_event(ops: *mut bpf_sock_ops) {
    let mode = maps::carrier_mode();
    if mode & MODE_OPTION != 0 {
        option::socket_event(ops);
    }
    if mode & MODE_HEADERS == 0 {
        return;
    }
    // SAFETY: the context, which the verifier lets the program read.
    let op = unsafe { (*ops).op };
    if op == BPF_SOCK_OPS_TCP_CONNECT_CB {
        connects(ops);
    } else if op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB {
        established(ops);
    }
}

/// Marks the socket, if the process that connects it is watched: only here is it known who that is.
#[inline(always)]
fn connects(ops: *mut bpf_sock_ops) {
    if !is_watched() {
        return;
    }
    // SAFETY: as above.
    let (port, sk) = unsafe { ((*ops).remote_port, (*ops).__bindgen_anon_2.sk) };
    if u32::from_be(port) == PORT_HTTPS {
        return;
    }
    if !is_private(ops) {
        maps::count_carried(Carried::PublicPeer);
        return;
    }
    if maps::talk_or_new(sk).is_none() {
        maps::count_carried(Carried::NoMemory);
    }
}

/// Whether the current process is watched.
#[inline(always)]
pub(super) fn is_watched() -> bool {
    let current = current_process();
    !maps::is_own(current.tgid) && maps::watch_of(current.tgid).is_some()
}

#[inline(always)]
fn established(ops: *mut bpf_sock_ops) {
    // SAFETY: as above.
    let sk = unsafe { (*ops).__bindgen_anon_2.sk };
    if maps::talk(sk).is_none() {
        return;
    }
    maps::count_carried(if maps::enrol(ops) {
        Carried::Enrolled
    } else {
        Carried::Full
    });
}

/// Whether the peer is within a network of somebody's own (RFC 1918, 6598, 4193), this machine, or
/// the same link: a trace id tells nobody else of what is done here.
#[inline(always)]
pub(super) fn is_private(ops: *mut bpf_sock_ops) -> bool {
    // SAFETY: as above.
    let family = unsafe { (*ops).family };
    if family == AF_INET {
        // SAFETY: as above.
        return is_private_v4(u32::from_be(unsafe { (*ops).remote_ip4 }));
    }
    if family != AF_INET6 {
        return false;
    }
    // SAFETY: as above.
    let address = unsafe {
        [
            (*ops).remote_ip6[0],
            (*ops).remote_ip6[1],
            (*ops).remote_ip6[2],
            (*ops).remote_ip6[3],
        ]
    };
    let [a, b, c, d] = address.map(u32::from_be);
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
