//! Stands in for `layout.rs` where the kernel knows no global data: what user space found out about
//! the kernel is written into the instructions that need it, before they are loaded.

use core::mem::offset_of;

use wirespan_common::config::Offsets;
use wirespan_common::legacy::{CONSTANT_MARK, OWN_PROCESS};

/// The place of a constant, by its number.
pub struct ConstantPlace<const NUMBER: u32>;

/// Offsets are numbered as they lie.
const fn number_at(offset: usize) -> u32 {
    (offset / size_of::<u32>()) as u32
}

macro_rules! places {
    ($($field:ident)*) => {
        /// A place for each of [`Offsets`] that is read, of the same name.
        #[allow(missing_docs, reason = "each name is the kernel's own")]
        pub struct ConstantPlaces {
            $(pub $field: ConstantPlace<{ number_at(offset_of!(Offsets, $field)) }>,)*
        }
    };
}

places! {
    task_struct_files task_struct_tgid task_struct_signal task_struct_stack task_struct_exit_code
    task_struct_pid
    signal_struct_live files_struct_fdt fdtable_fd fdtable_max_fds
    file_f_inode file_private_data inode_i_mode inode_i_ino socket_sk socket_file socket_to_inode
    sock_sk_socket sock_sk_type sock_sk_shutdown sock_sk_protocol sock_sk_protocol_mask
    sock_sk_receive_queue sk_buff_head_qlen
    tcp_sock_copied_seq tcp_sock_rcv_nxt tcp_sock_write_seq tcp_sock_snd_nxt
    tcp_sock_bytes_received tcp_sock_bytes_sent tcp_sock_bytes_retrans
    inet_connection_sock_icsk_ulp_ops inet_connection_sock_icsk_bind_hash
    inet_bind_bucket_port inet_bind_bucket_fastreuse
    sock_common_skc_family sock_common_skc_num sock_common_skc_dport sock_common_skc_daddr
    sock_common_skc_rcv_saddr sock_common_skc_v6_daddr sock_common_skc_v6_rcv_saddr
    unix_sock_addr unix_sock_peer unix_address_len unix_address_name
}

/// One offset of the kernel's layout, in bytes.
#[inline(always)]
pub fn offset<const NUMBER: u32>(
    _field: impl FnOnce(&ConstantPlaces) -> &ConstantPlace<NUMBER>,
) -> u64 {
    constant::<NUMBER>()
}

/// wirespan's own process.
#[inline(always)]
pub fn own_process() -> u32 {
    constant::<OWN_PROCESS>() as u32
}

#[inline(always)]
fn constant<const NUMBER: u32>() -> u64 {
    let value: u64;
    // SAFETY: one instruction on one register, no memory.
    unsafe {
        core::arch::asm!(
            "{value} = {mark} ll",
            value = out(reg) value,
            mark = const ((CONSTANT_MARK as u64) << 32 | NUMBER as u64),
            options(nomem, nostack, pure),
        );
    }
    value
}
