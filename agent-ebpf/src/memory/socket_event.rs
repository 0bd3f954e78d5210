//! What a program is told of a socket of its control group (`struct bpf_sock_ops`).

use core::mem::size_of;

use aya_ebpf::bindings::{bpf_sock, bpf_sock_ops};
use aya_ebpf::helpers::generated;

/// Where a TCP header has its sequence number, in bytes, and how much of it is looked at.
const SEQUENCE_AT: usize = 4;
const LOOKED_AT: usize = 8;

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

    /// The first argument of what happened.
    #[inline(always)]
    pub fn argument(self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.0).__bindgen_anon_1.args[0] }
    }

    /// The socket; null if there is none.
    #[inline(always)]
    pub fn sk(self) -> *mut bpf_sock {
        // SAFETY: as above.
        unsafe { (*self.0).__bindgen_anon_2.sk }
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

    /// Bytes of the segment that are payload.
    #[inline(always)]
    pub fn len(self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.0).skb_len }
    }

    /// The first sequence number that the peer has not acknowledged.
    #[inline(always)]
    pub fn acknowledged(self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.0).snd_una }
    }

    /// The segment's sequence number, where its header is there.
    #[inline(always)]
    pub fn sequence(self) -> Option<u32> {
        // SAFETY: as above; what lies between both is the segment, as the comparison tells the
        // verifier.
        unsafe {
            let data = (*self.0).__bindgen_anon_3.skb_data as *const u8;
            let end = (*self.0).__bindgen_anon_4.skb_data_end as *const u8;
            if data.wrapping_add(LOOKED_AT) > end {
                return None;
            }
            let bytes = data.wrapping_add(SEQUENCE_AT).cast::<u32>();
            Some(u32::from_be(core::ptr::read_volatile(bytes)))
        }
    }

    /// Has the program told of these (`BPF_SOCK_OPS_*_FLAG`) from now on, too.
    #[inline(always)]
    pub fn ask_for(self, flags: u32) {
        // SAFETY: as above; the helper takes the context.
        unsafe {
            let before = (*self.0).bpf_sock_ops_cb_flags;
            generated::bpf_sock_ops_cb_flags_set(self.0, (before | flags) as i32);
        }
    }

    /// Takes room for an option, if there is any.
    #[inline(always)]
    pub fn reserve(self, len: u32) {
        // SAFETY: as above.
        unsafe { generated::bpf_reserve_hdr_opt(self.0, len, 0) };
    }

    /// Writes an option. Returns whether there was room.
    #[inline(always)]
    pub fn store<T>(self, option: &T) -> bool {
        let len = size_of::<T>() as u32;
        let from = core::ptr::from_ref(option).cast();
        // SAFETY: as above; the helper reads the option.
        unsafe { generated::bpf_store_hdr_opt(self.0, from, len, 0) == 0 }
    }

    /// Finds the option that begins as this one does, and reads it. Returns whether it is there and
    /// as long.
    #[inline(always)]
    pub fn load<T>(self, option: &mut T) -> bool {
        let len = size_of::<T>() as u32;
        let to = core::ptr::from_mut(option).cast();
        // SAFETY: as above; the helper writes at most the option's length.
        unsafe { generated::bpf_load_hdr_opt(self.0, to, len, 0) == i64::from(len) }
    }
}
