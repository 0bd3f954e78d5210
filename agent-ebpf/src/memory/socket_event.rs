//! What a program is told of a socket of its control group (`struct bpf_sock_ops`).

use aya_ebpf::bindings::{bpf_sock, bpf_sock_ops};
use aya_ebpf::helpers::generated;

/// The context of such a program.
#[derive(Clone, Copy)]
pub struct SocketEvent(*mut bpf_sock_ops);

impl SocketEvent {
    /// As the program was given it.
    #[inline(always)]
    pub fn new(ops: *mut bpf_sock_ops) -> Self {
        Self(ops)
    }

    /// As helpers take it.
    #[inline(always)]
    pub fn context(self) -> *mut bpf_sock_ops {
        self.0
    }

    /// What happened: `BPF_SOCK_OPS_*`.
    #[inline(always)]
    pub fn operation(self) -> u32 {
        // SAFETY: the context, which the verifier lets the program read.
        unsafe { (*self.0).op }
    }

    /// The socket; null if there is none.
    #[inline(always)]
    pub fn sk(self) -> *mut bpf_sock {
        // SAFETY: as above.
        unsafe { (*self.0).__bindgen_anon_2.sk }
    }

    /// What no other socket of this machine is known by.
    #[inline(always)]
    pub fn cookie(self) -> u64 {
        // SAFETY: the context.
        unsafe { generated::bpf_get_socket_cookie(self.0.cast()) }
    }

    /// `AF_*`.
    #[inline(always)]
    pub fn family(self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.0).family }
    }

    /// The peer's port, host byte order.
    #[inline(always)]
    pub fn peer_port(self) -> u32 {
        // SAFETY: as above.
        u32::from_be(unsafe { (*self.0).remote_port })
    }

    /// The peer's address, if it is one of IPv4, host byte order.
    #[inline(always)]
    pub fn peer_v4(self) -> u32 {
        // SAFETY: as above.
        u32::from_be(unsafe { (*self.0).remote_ip4 })
    }

    /// The peer's address, if it is one of IPv6, each part in host byte order.
    #[inline(always)]
    pub fn peer_v6(self) -> [u32; 4] {
        // SAFETY: as above.
        let parts = unsafe {
            [
                (*self.0).remote_ip6[0],
                (*self.0).remote_ip6[1],
                (*self.0).remote_ip6[2],
                (*self.0).remote_ip6[3],
            ]
        };
        parts.map(u32::from_be)
    }
}
