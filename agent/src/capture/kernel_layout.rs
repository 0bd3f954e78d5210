//! Where the running kernel keeps what the kernel side reads: byte offsets out of its own type
//! information. It holds no offsets of its own, so no kernel version is assumed.

use std::fmt;
use std::os::fd::AsRawFd;

use btf_rs::{Backend, Btf, BtfType, Type};
use wirespan_common::config::Offsets;

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
    let types = Types {
        btf: open().map_err(|reason| LayoutError::NoBtf(reason.to_string()))?,
    };
    let at = |structure, member| types.offset(structure, member);
    Ok(Offsets {
        task_struct_files: at("task_struct", "files")?,
        task_struct_pid: at("task_struct", "pid")?,
        task_struct_tgid: at("task_struct", "tgid")?,
        task_struct_signal: at("task_struct", "signal")?,
        task_struct_stack: at("task_struct", "stack")?,
        signal_struct_live: at("signal_struct", "live")?,
        files_struct_fdt: at("files_struct", "fdt")?,
        fdtable_fd: at("fdtable", "fd")?,
        fdtable_max_fds: at("fdtable", "max_fds")?,
        file_f_inode: at("file", "f_inode")?,
        file_private_data: at("file", "private_data")?,
        inode_i_mode: at("inode", "i_mode")?,
        inode_i_ino: at("inode", "i_ino")?,
        socket_sk: at("socket", "sk")?,
        socket_to_inode: at("socket_alloc", "vfs_inode")? - at("socket_alloc", "socket")?,
        sock_sk_socket: at("sock", "sk_socket")?,
        sock_sk_type: at("sock", "sk_type")?,
        sock_sk_shutdown: at("sock", "sk_shutdown")?,
        sock_sk_protocol: at("sock", "sk_protocol")?,
        sock_sk_receive_queue: at("sock", "sk_receive_queue")?,
        sk_buff_head_qlen: at("sk_buff_head", "qlen")?,
        tcp_sock_copied_seq: at("tcp_sock", "copied_seq")?,
        tcp_sock_rcv_nxt: at("tcp_sock", "rcv_nxt")?,
        inet_connection_sock_icsk_ulp_ops: at("inet_connection_sock", "icsk_ulp_ops")?,
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

/// Opens the type information without parsing all of it: it has some six million bytes, of which a
/// few structures matter. The file in sysfs can't be mapped by older kernels, a copy of it can.
fn open() -> Result<Btf, Box<dyn std::error::Error>> {
    let copy = rustix::fs::memfd_create(c"btf", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut copy = std::fs::File::from(copy);
    std::io::copy(&mut std::fs::File::open(VMLINUX)?, &mut copy)?;
    let path = format!("/proc/self/fd/{}", copy.as_raw_fd());
    Ok(Btf::from_file_with_backend(path, Backend::Mmap)?)
}

struct Types {
    btf: Btf,
}

impl Types {
    /// Bytes from the start of `structure` to `member`, which may stand in an anonymous part of it.
    fn offset(&self, structure: &'static str, member: &'static str) -> Result<u32, LayoutError> {
        let candidates = self
            .btf
            .resolve_types_by_name(structure)
            .map_err(|error| LayoutError::NoBtf(error.to_string()))?;
        candidates
            .iter()
            .find_map(|candidate| match candidate {
                Type::Struct(found) => self.bits_to(found, member, 0),
                _ => None,
            })
            .map(|bits| bits / 8)
            .ok_or(LayoutError::Missing { structure, member })
    }

    fn bits_to(&self, structure: &btf_rs::Struct, name: &str, depth: u32) -> Option<u32> {
        /// Deeper than any structure of the kernel nests its anonymous parts.
        const DEPTH_MAX: u32 = 8;
        for member in &structure.members {
            let found = self.btf.resolve_name(member).unwrap_or_default();
            if found == name {
                return Some(member.bit_offset());
            }
            if !found.is_empty() || depth == DEPTH_MAX {
                continue;
            }
            let inner = self.btf.resolve_type_by_id(member.get_type_id()?).ok()?;
            if let Type::Struct(inner) | Type::Union(inner) = inner
                && let Some(bits) = self.bits_to(&inner, name, depth + 1)
            {
                return Some(member.bit_offset() + bits);
            }
        }
        None
    }
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

    #[test]
    fn a_member_that_does_not_exist_is_named() {
        let types = Types {
            btf: open().expect("this machine's kernel describes itself"),
        };
        let error = types
            .offset("task_struct", "no_such_member")
            .expect_err("no such member");
        assert_eq!(
            error.to_string(),
            "this kernel's struct task_struct has no member no_such_member"
        );
    }
}
