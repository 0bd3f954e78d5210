//! What a program is told of a socket of its control group (`struct bpf_sock_ops`).

use aya_ebpf::bindings::{bpf_sock, bpf_sock_ops};
use aya_ebpf::helpers::generated;
use wirespan_common::carriers::{OPTION_LEN, OptionForm};

/// Length of an option.
const LEN: usize = OPTION_LEN as usize;
/// Where in a TCP header the sequence number is, and where that ends (RFC 9293, 3.1).
const SEQUENCE: usize = 4;
const SEQUENCE_END: usize = 8;

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

    /// The own port, host byte order.
    #[inline(always)]
    pub fn own_port(self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.0).local_port }
    }

    /// The sequence number that is sent next.
    #[inline(always)]
    pub fn sends_next(self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.0).snd_nxt }
    }

    /// The first that was not acknowledged.
    #[inline(always)]
    pub fn unacknowledged(self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.0).snd_una }
    }

    /// The one that is received next.
    #[inline(always)]
    pub fn receives_next(self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.0).rcv_nxt }
    }

    /// Bytes that were received.
    #[inline(always)]
    pub fn received(self) -> u64 {
        // SAFETY: as above.
        unsafe { (*self.0).bytes_received }
    }

    /// Bytes that the peer has acknowledged; one more where this end opened the connection.
    #[inline(always)]
    pub fn acknowledged(self) -> u64 {
        // SAFETY: as above.
        unsafe { (*self.0).bytes_acked }
    }

    /// Bytes of what is sent now, without its header.
    #[inline(always)]
    pub fn segment_len(self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.0).skb_len }
    }

    /// What came with the operation.
    #[inline(always)]
    pub fn argument(self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.0).__bindgen_anon_1.args[0] }
    }

    /// Has the program asked about more from now on: `BPF_SOCK_OPS_*_CB_FLAG`.
    #[inline(always)]
    pub fn wants(self, flag: u32) {
        // SAFETY: as above.
        unsafe {
            let flags = (*self.0).bpf_sock_ops_cb_flags | flag;
            generated::bpf_sock_ops_cb_flags_set(self.0, flags as i32);
        }
    }

    /// Keeps room for an option in the segment that is made next. Returns whether there is any.
    #[inline(always)]
    pub fn reserves_option(self) -> bool {
        // SAFETY: the context.
        unsafe { generated::bpf_reserve_hdr_opt(self.0, OPTION_LEN, 0) == 0 }
    }

    /// Puts an option into a segment. Returns whether it is there.
    #[inline(always)]
    pub fn stores_option(self, option: &[u8; LEN]) -> bool {
        // SAFETY: the context, and as many bytes as are said.
        unsafe { generated::bpf_store_hdr_opt(self.0, option.as_ptr().cast(), OPTION_LEN, 0) == 0 }
    }

    /// The option of this form in a segment that came, if its length is right.
    #[inline(always)]
    pub fn option(self, form: OptionForm) -> Option<[u8; LEN]> {
        // What is looked for: kind, how much of it is said here, and the magic.
        const SOUGHT: u8 = 4;
        let [first, second] = form.magic.to_be_bytes();
        let mut option = [0; LEN];
        option[0] = form.kind;
        option[1] = SOUGHT;
        option[2] = first;
        option[3] = second;
        // SAFETY: as above.
        let found = unsafe {
            generated::bpf_load_hdr_opt(self.0, option.as_mut_ptr().cast(), OPTION_LEN, 0)
        };
        (found == i64::from(OPTION_LEN)).then_some(option)
    }

    /// The sequence number in the segment's header.
    #[inline(always)]
    pub fn segment_sequence(self) -> Option<u32> {
        // SAFETY: the context, which has the header's place and its end.
        let (header, end) = unsafe {
            (
                (*self.0).__bindgen_anon_3.skb_data.cast::<u8>(),
                (*self.0).__bindgen_anon_4.skb_data_end.cast::<u8>(),
            )
        };
        if header.wrapping_add(SEQUENCE_END) > end {
            return None;
        }
        // SAFETY: it was compared with the end; a header is aligned to four bytes.
        Some(u32::from_be(unsafe {
            core::ptr::read(header.wrapping_add(SEQUENCE).cast::<u32>())
        }))
    }
}
