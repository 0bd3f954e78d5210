//! Constants that the loader writes into the kernel side before it is loaded. No defaults that
//! would work: a kernel's layout is read from its BTF, or found out by looking.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Byte offsets of fields in the running kernel's structures, named `<struct>_<field>`. One that
/// could not be found out is 0 where a run can do without it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
#[allow(missing_docs, reason = "each name is the kernel's own")]
pub struct Offsets {
    pub task_struct_files: u32,
    pub task_struct_tgid: u32,
    pub task_struct_signal: u32,
    pub task_struct_stack: u32,
    pub task_struct_exit_code: u32,
    pub task_struct_pid: u32,
    /// Base address of the segment `fs`, where a thread's own memory is; of other processors, what
    /// they have in its place.
    pub task_struct_fsbase: u32,
    /// 0 where the kernel has no io_uring.
    pub task_struct_io_uring: u32,
    pub signal_struct_live: u32,
    pub files_struct_fdt: u32,
    pub fdtable_fd: u32,
    pub fdtable_max_fds: u32,
    pub file_f_inode: u32,
    pub file_private_data: u32,
    /// 0 where the kernel keeps a file's places in sets of epoll(7) in a list (before 5.11), or
    /// has none.
    pub file_f_ep: u32,
    /// That list; 0 where there is none.
    pub file_f_ep_links: u32,
    /// 0 where the kernel has no epoll(7).
    pub epitem_fllink: u32,
    pub epitem_event: u32,
    pub inode_i_mode: u32,
    pub inode_i_ino: u32,
    pub socket_sk: u32,
    pub socket_file: u32,
    /// From the start of `struct socket` to the `struct inode` that `struct socket_alloc` puts
    /// behind it.
    pub socket_to_inode: u32,
    pub sock_sk_socket: u32,
    pub sock_sk_type: u32,
    pub sock_sk_shutdown: u32,
    pub sock_sk_protocol: u32,
    /// Which bits of the 16 that are read there are the protocol: no offset. Kernels before 5.6
    /// have something else in the upper eight.
    pub sock_sk_protocol_mask: u32,
    pub sock_sk_receive_queue: u32,
    pub sk_buff_head_qlen: u32,
    pub tcp_sock_copied_seq: u32,
    pub tcp_sock_rcv_nxt: u32,
    pub tcp_sock_write_seq: u32,
    pub tcp_sock_snd_nxt: u32,
    pub tcp_sock_bytes_received: u32,
    /// 0 where the kernel does not count them (before 4.19).
    pub tcp_sock_bytes_sent: u32,
    /// 0 where the kernel does not count them (before 4.19).
    pub tcp_sock_bytes_retrans: u32,
    pub inet_connection_sock_icsk_ulp_ops: u32,
    pub inet_connection_sock_icsk_bind_hash: u32,
    pub inet_bind_bucket_port: u32,
    pub inet_bind_bucket_fastreuse: u32,
    pub sock_common_skc_family: u32,
    pub sock_common_skc_num: u32,
    pub sock_common_skc_dport: u32,
    pub sock_common_skc_daddr: u32,
    pub sock_common_skc_rcv_saddr: u32,
    pub sock_common_skc_v6_daddr: u32,
    pub sock_common_skc_v6_rcv_saddr: u32,
    pub unix_sock_addr: u32,
    pub unix_sock_peer: u32,
    pub unix_address_len: u32,
    pub unix_address_name: u32,
}
const _: () = assert!(size_of::<Offsets>() == 52 * 4);
