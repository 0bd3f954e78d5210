//! Where the running kernel keeps what the kernel side reads: byte offsets out of its own type
//! information. It holds no offsets of its own, so no kernel version is assumed.

mod btf;

use std::fmt;

use wirespan_common::config::Offsets;

use crate::arch::THREAD_POINTER;
use btf::{Btf, MalformedBtf};

/// Where the kernel describes its types (5.2 and later, with `CONFIG_DEBUG_INFO_BTF`).
const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// Why the layout is not known.
#[derive(Debug)]
pub enum LayoutError {
    /// No type information, or unreadable.
    NoBtf(String),
    /// A structure has no such member.
    Missing {
        /// Name of the structure.
        structure: &'static str,
        /// Name of the member.
        member: &'static str,
    },
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBtf(reason) => write!(
                f,
                "the kernel's type information ({VMLINUX}) is not readable: {reason}; wirespan \
                 needs a kernel built with CONFIG_DEBUG_INFO_BTF"
            ),
            Self::Missing { structure, member } => {
                write!(f, "this kernel's struct {structure} has no member {member}")
            }
        }
    }
}

impl std::error::Error for LayoutError {}

/// Reads the running kernel's layout.
///
/// # Errors
/// See [`LayoutError`].
pub fn read() -> Result<Offsets, LayoutError> {
    let bytes = std::fs::read(VMLINUX).map_err(|error| LayoutError::NoBtf(error.to_string()))?;
    let types = Btf::parse(&bytes)
        .map_err(|MalformedBtf| LayoutError::NoBtf("it is malformed".to_owned()))?;
    let at = |structure, member| {
        types
            .offset_of(structure, member)
            .ok_or(LayoutError::Missing { structure, member })
    };
    Ok(Offsets {
        task_struct_files: at("task_struct", "files")?,
        task_struct_tgid: at("task_struct", "tgid")?,
        task_struct_signal: at("task_struct", "signal")?,
        task_struct_stack: at("task_struct", "stack")?,
        task_struct_exit_code: at("task_struct", "exit_code")?,
        task_struct_pid: at("task_struct", "pid")?,
        task_struct_fsbase: at("task_struct", "thread")? + at("thread_struct", THREAD_POINTER)?,
        task_struct_io_uring: types.offset_of("task_struct", "io_uring").unwrap_or(0),
        signal_struct_live: at("signal_struct", "live")?,
        files_struct_fdt: at("files_struct", "fdt")?,
        fdtable_fd: at("fdtable", "fd")?,
        fdtable_max_fds: at("fdtable", "max_fds")?,
        file_f_inode: at("file", "f_inode")?,
        file_private_data: at("file", "private_data")?,
        file_f_ep: types.offset_of("file", "f_ep").unwrap_or(0),
        file_f_ep_links: types.offset_of("file", "f_ep_links").unwrap_or(0),
        epitem_fllink: types.offset_of("epitem", "fllink").unwrap_or(0),
        epitem_event: types.offset_of("epitem", "event").unwrap_or(0),
        inode_i_mode: at("inode", "i_mode")?,
        inode_i_ino: at("inode", "i_ino")?,
        socket_sk: at("socket", "sk")?,
        socket_file: at("socket", "file")?,
        socket_to_inode: at("socket_alloc", "vfs_inode")? - at("socket_alloc", "socket")?,
        sock_sk_socket: at("sock", "sk_socket")?,
        sock_sk_type: at("sock", "sk_type")?,
        sock_sk_shutdown: at("sock", "sk_shutdown")?,
        sock_sk_protocol: at("sock", "sk_protocol")?,
        sock_sk_receive_queue: at("sock", "sk_receive_queue")?,
        sk_buff_head_qlen: at("sk_buff_head", "qlen")?,
        tcp_sock_copied_seq: at("tcp_sock", "copied_seq")?,
        tcp_sock_rcv_nxt: at("tcp_sock", "rcv_nxt")?,
        tcp_sock_write_seq: at("tcp_sock", "write_seq")?,
        tcp_sock_snd_nxt: at("tcp_sock", "snd_nxt")?,
        tcp_sock_bytes_received: at("tcp_sock", "bytes_received")?,
        tcp_sock_bytes_sent: types.offset_of("tcp_sock", "bytes_sent").unwrap_or(0),
        tcp_sock_bytes_retrans: types.offset_of("tcp_sock", "bytes_retrans").unwrap_or(0),
        inet_connection_sock_icsk_ulp_ops: at("inet_connection_sock", "icsk_ulp_ops")?,
        inet_connection_sock_icsk_bind_hash: at("inet_connection_sock", "icsk_bind_hash")?,
        inet_bind_bucket_port: at("inet_bind_bucket", "port")?,
        inet_bind_bucket_fastreuse: at("inet_bind_bucket", "fastreuse")?,
        sock_common_skc_family: at("sock_common", "skc_family")?,
        sock_common_skc_num: at("sock_common", "skc_num")?,
        sock_common_skc_dport: at("sock_common", "skc_dport")?,
        sock_common_skc_daddr: at("sock_common", "skc_daddr")?,
        sock_common_skc_rcv_saddr: at("sock_common", "skc_rcv_saddr")?,
        sock_common_skc_v6_daddr: at("sock_common", "skc_v6_daddr")?,
        sock_common_skc_v6_rcv_saddr: at("sock_common", "skc_v6_rcv_saddr")?,
        unix_sock_addr: at("unix_sock", "addr")?,
        unix_sock_peer: at("unix_sock", "peer")?,
        unix_address_len: at("unix_address", "len")?,
        unix_address_name: at("unix_address", "name")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_anonymous_parts_are_found() {
        let layout = read().expect("this machine's kernel describes itself");
        // Both stand in unions of struct sock_common, at its very start (include/net/sock.h).
        assert_eq!(layout.sock_common_skc_daddr, 0);
        assert_eq!(layout.sock_common_skc_rcv_saddr, 4);
        assert!(layout.socket_to_inode > 0);
    }
}
