//! From a descriptor or a `struct sock` to the connection's identity and addresses, by the kernel's
//! own structures. It remembers nothing.

#[cfg(not(legacy))]
pub mod polled;

use wirespan_common::record::{ConnectionId, Open};

use crate::maps;
use crate::memory::{
    Delivered, Typed, copy_kernel, current_task, current_task_typed, kernel_value, offset,
    read_kernel_part, tcp_sock,
};

/// Address family of Unix sockets (include/linux/socket.h).
pub const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const SOCK_STREAM: u16 = 1;
const S_IFMT: u16 = 0o170_000;
const S_IFSOCK: u16 = 0o140_000;
/// `RCV_SHUTDOWN` (include/net/sock.h): nothing comes any more.
const RCV_SHUTDOWN: u8 = 1;
/// `SEND_SHUTDOWN` (include/net/sock.h): nothing is written any more.
const SEND_SHUTDOWN: u8 = 2;
/// `SHUTDOWN_MASK` (include/net/sock.h): neither reading nor writing any more.
const SHUTDOWN_MASK: u8 = 3;
const IPPROTO_TCP: u16 = 6;
/// `sun_path` (include/uapi/linux/un.h).
pub const PATH_MAX: usize = 108;

/// A socket that somebody holds open.
#[derive(Clone, Copy)]
pub struct Socket {
    /// Its inode number.
    pub id: ConnectionId,
    /// Address of its `struct sock`.
    pub sk: u64,
}

/// The socket of a `struct sock`; `None` if no file holds it any longer.
#[inline(always)]
pub fn of_sk(sk: u64) -> Option<Socket> {
    let socket: u64 = kernel_value(sk + offset(|o| &o.sock_sk_socket)).ok()?;
    if socket == 0 {
        return None;
    }
    let inode = socket + offset(|o| &o.socket_to_inode);
    let id = kernel_value(inode + offset(|o| &o.inode_i_ino)).ok()?;
    Some(Socket { id, sk })
}

/// [`of_sk`] for a socket whose type the verifier knows.
#[inline(always)]
pub fn of_typed(sk: Typed) -> Option<Socket> {
    let file = sk
        .follow(offset(|o| &o.sock_sk_socket))
        .follow(offset(|o| &o.socket_file));
    let inode = file.follow(offset(|o| &o.file_f_inode));
    let id = inode.value(offset(|o| &o.inode_i_ino));
    if id == 0 {
        // Not open in any table of descriptors, at this moment.
        return of_sk(sk.address());
    }
    Some(Socket {
        id,
        sk: sk.address(),
    })
}

/// Descriptors of a process.
#[derive(Clone, Copy)]
pub struct Descriptors {
    /// Address of an array of `struct file *`.
    array: u64,
    /// Its length.
    fd_max: u32,
}

/// The current process's descriptors, where the verifier knows no types.
#[inline(always)]
pub fn descriptors() -> Option<Descriptors> {
    let files: u64 = kernel_value(current_task() + offset(|o| &o.task_struct_files)).ok()?;
    let table: u64 = kernel_value(files + offset(|o| &o.files_struct_fdt)).ok()?;
    Some(Descriptors {
        array: kernel_value(table + offset(|o| &o.fdtable_fd)).ok()?,
        fd_max: kernel_value(table + offset(|o| &o.fdtable_max_fds)).ok()?,
    })
}

/// The current process's descriptors.
#[inline(always)]
pub fn descriptors_typed() -> Option<Descriptors> {
    let table = current_task_typed()
        .follow(offset(|o| &o.task_struct_files))
        .follow(offset(|o| &o.files_struct_fdt));
    Some(Descriptors {
        array: table.value(offset(|o| &o.fdtable_fd)),
        fd_max: table.value(offset(|o| &o.fdtable_max_fds)),
    })
}

/// The socket behind a descriptor; `None` if it is something else.
#[inline(always)]
pub fn of_descriptor(descriptors: Descriptors, fd: u32) -> Option<Socket> {
    let Descriptors { array, fd_max } = descriptors;
    if fd >= fd_max {
        return None;
    }
    let file: u64 = kernel_value(array + u64::from(fd) * 8).ok()?;
    if file == 0 {
        return None;
    }
    let inode: u64 = kernel_value(file + offset(|o| &o.file_f_inode)).ok()?;
    let mode: u16 = kernel_value(inode + offset(|o| &o.inode_i_mode)).ok()?;
    if mode & S_IFMT != S_IFSOCK {
        return None;
    }
    let id = kernel_value(inode + offset(|o| &o.inode_i_ino)).ok()?;
    let socket: u64 = kernel_value(file + offset(|o| &o.file_private_data)).ok()?;
    let sk = kernel_value(socket + offset(|o| &o.socket_sk)).ok()?;
    Some(Socket { id, sk })
}

/// Whether the socket carries a byte stream of a family that is watched.
#[inline(always)]
pub fn is_stream(sk: u64) -> bool {
    let Ok(family) = family(sk) else { return false };
    let Ok(kind) = kernel_value::<u16>(sk + offset(|o| &o.sock_sk_type)) else {
        return false;
    };
    kind == SOCK_STREAM && matches!(family, AF_INET | AF_INET6 | AF_UNIX)
}

/// Whether neither side of the socket will be used by its process any more.
#[inline(always)]
pub fn is_shut_down(sk: u64) -> bool {
    kernel_value::<u8>(sk + offset(|o| &o.sock_sk_shutdown))
        .is_ok_and(|shutdown| shutdown & SHUTDOWN_MASK == SHUTDOWN_MASK)
}

/// Whether the own stream has ended.
#[inline(always)]
fn is_egress_over(sk: u64) -> bool {
    kernel_value::<u8>(sk + offset(|o| &o.sock_sk_shutdown))
        .is_ok_and(|shutdown| shutdown & SEND_SHUTDOWN != 0)
}

/// Whether the peer's stream has ended, read or not.
#[inline(always)]
pub fn is_ingress_over(sk: u64) -> bool {
    kernel_value::<u8>(sk + offset(|o| &o.sock_sk_shutdown))
        .is_ok_and(|shutdown| shutdown & RCV_SHUTDOWN != 0)
}

/// Whether bytes came that the process has not read. Of a TCP stream whose end came too, a single
/// one is not told from that end.
#[inline(always)]
pub fn has_unread(sk: u64) -> bool {
    if is_tcp(sk) {
        let next = kernel_value::<u32>(sk + offset(|o| &o.tcp_sock_rcv_nxt));
        let (Ok(next), Ok(copied)) = (next, copied_sequence(sk)) else {
            return false;
        };
        return next.wrapping_sub(copied) > u32::from(is_ingress_over(sk));
    }
    let queue = sk + offset(|o| &o.sock_sk_receive_queue);
    kernel_value::<u32>(queue + offset(|o| &o.sk_buff_head_qlen)).is_ok_and(|packets| packets != 0)
}

/// Whether it is a plain TCP socket.
#[inline(always)]
pub fn is_tcp(sk: u64) -> bool {
    kernel_value::<u16>(sk + offset(|o| &o.sock_sk_protocol)).is_ok_and(|protocol| {
        u64::from(protocol) & offset(|o| &o.sock_sk_protocol_mask) == u64::from(IPPROTO_TCP)
    })
}

/// Sequence number of the next byte of a TCP socket that is to be read.
#[inline(always)]
pub fn copied_sequence(sk: u64) -> Delivered<u32> {
    kernel_value(sk + offset(|o| &o.tcp_sock_copied_seq))
}

/// Sequence number that the next byte gets which is written to a TCP socket.
#[inline(always)]
pub fn written_sequence(sk: u64) -> Delivered<u32> {
    kernel_value(sk + offset(|o| &o.tcp_sock_write_seq))
}

/// Sequence numbers of the next bytes that are read from and written to a TCP socket; `None` if it
/// is none.
#[inline(always)]
pub fn sequences(sk: u64) -> Option<[u32; 2]> {
    if sk == 0 || !is_tcp(sk) {
        return None;
    }
    Some([copied_sequence(sk).ok()?, written_sequence(sk).ok()?])
}

/// How far the streams of a TCP connection have come since its beginning, as TCP itself counts.
#[derive(Clone, Copy, Default)]
pub struct TcpPositions {
    /// Bytes that the process has read.
    pub read: u64,
    /// Bytes that the process has written.
    pub written: u64,
}

/// Reads both positions, `copied` and `written` being the sequence numbers that belong to them;
/// `None` where the kernel does not count, or counts on while it is looked at.
///
/// What TCP received is what the process has read and what waits for it, and the peer's end, which
/// has a sequence number and counts as a byte (`tcp_rcv_nxt_update`, net/ipv4/tcp_input.c). What it
/// sent, apart from what it sent again, ends at `snd_nxt`; an end of the own stream would count
/// there too, but who has shut it down writes no more.
#[inline(always)]
pub fn tcp_positions(sk: u64, copied: u32, written: u32) -> Option<TcpPositions> {
    if offset(|o| &o.tcp_sock_bytes_sent) == 0 || is_egress_over(sk) {
        return None;
    }
    // Segments come and go while it is read: what is read twice alike belongs together.
    let mut before = counts(sk)?;
    let mut round = 0;
    while round < COUNT_ROUNDS {
        let now = counts(sk)?;
        if now == before {
            let end = u32::from(is_ingress_over(sk));
            let unread = now.received_end.wrapping_sub(copied).wrapping_sub(end);
            let unsent = written.wrapping_sub(now.sent_end);
            return Some(TcpPositions {
                read: now
                    .received
                    .wrapping_sub(u64::from(end) + u64::from(unread)),
                written: now.sent.wrapping_add(unsent.into()),
            });
        }
        before = now;
        round += 1;
    }
    None
}
/// How often TCP's counts are read again before they are given up.
const COUNT_ROUNDS: u32 = if cfg!(legacy) { 1 } else { 3 };

/// TCP's own counts, with the sequence numbers up to which they count.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Counts {
    received: u64,
    sent: u64,
    received_end: u32,
    sent_end: u32,
}

#[inline(always)]
fn counts(sk: u64) -> Option<Counts> {
    let sent: u64 = kernel_value(sk + offset(|o| &o.tcp_sock_bytes_sent)).ok()?;
    let again: u64 = kernel_value(sk + offset(|o| &o.tcp_sock_bytes_retrans)).ok()?;
    Some(Counts {
        received: kernel_value(sk + offset(|o| &o.tcp_sock_bytes_received)).ok()?,
        sent: sent.wrapping_sub(again),
        received_end: kernel_value(sk + offset(|o| &o.tcp_sock_rcv_nxt)).ok()?,
        sent_end: kernel_value(sk + offset(|o| &o.tcp_sock_snd_nxt)).ok()?,
    })
}

/// Bits that differ between sockets which are there at the same time, and from which nobody learns
/// where the kernel keeps them. Never 0.
#[inline(always)]
pub fn fingerprint(sk: u64) -> u16 {
    /// 2^64 divided by the golden ratio.
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    (sk.wrapping_mul(SPREAD) >> 48) as u16 | 1
}

/// Whether the end of a TCP stream was read, which counts as one in its sequence.
#[inline(always)]
pub fn end_was_read(sk: u64, copied_sequence: u32) -> bool {
    is_ingress_over(sk)
        && kernel_value::<u32>(sk + offset(|o| &o.tcp_sock_rcv_nxt))
            .is_ok_and(|next| next == copied_sequence)
}

/// Whether another protocol of the kernel (TLS) sits between a TCP socket and its process, so that
/// bytes read and sequence numbers differ.
#[inline(always)]
pub fn has_upper_protocol(sk: u64) -> bool {
    kernel_value::<u64>(sk + offset(|o| &o.inet_connection_sock_icsk_ulp_ops))
        .is_ok_and(|operations| operations != 0)
}

/// The port on whose account a peer may have made the connection of a socket: the local one of a
/// TCP socket, host byte order, where it is selected; else `None`.
#[inline(always)]
pub fn selected_port(sk: Typed) -> Option<u16> {
    let port = sk.value(offset(|o| &o.sock_common_skc_num));
    maps::port_is_selected(port).then_some(port)
}

/// Whether a peer made the connection of a socket on this local port: it is no client that was
/// given the port because it was free.
///
/// Both share the bucket of their port (`struct inet_bind_bucket`) with whom they have it from: an
/// accepted socket with its listener, whoever that was. A port that `connect` chose by itself has a
/// bucket whose `fastreuse` is negative, and it chooses no port that somebody was bound to
/// (`__inet_hash_connect`, net/ipv4/inet_hashtables.c).
#[inline(always)]
pub fn is_passive(sk: Typed, port: u16) -> bool {
    let Some(tcp) = tcp_sock(sk) else {
        return false;
    };
    let bucket = tcp.follow(offset(|o| &o.inet_connection_sock_icsk_bind_hash));
    // A socket that is out of use has none, and then this is 0.
    bucket.value::<u16>(offset(|o| &o.inet_bind_bucket_port)) == port
        && bucket.value::<i8>(offset(|o| &o.inet_bind_bucket_fastreuse)) >= 0
}

/// [`selected_port`] where the verifier knows no types.
#[inline(always)]
pub fn selected_port_untyped(sk: u64) -> Option<u16> {
    let port = local_port(sk).ok()?;
    maps::port_is_selected(port).then_some(port)
}

/// [`is_passive`] where the verifier knows no types.
#[inline(always)]
pub fn is_passive_untyped(sk: u64, port: u16) -> bool {
    let bucket = sk + offset(|o| &o.inet_connection_sock_icsk_bind_hash);
    let Ok(bucket) = kernel_value::<u64>(bucket) else {
        return false;
    };
    is_tcp(sk)
        && bucket != 0
        && kernel_value(bucket + offset(|o| &o.inet_bind_bucket_port)) == Ok(port)
        && kernel_value::<i8>(bucket + offset(|o| &o.inet_bind_bucket_fastreuse))
            .is_ok_and(|reuse| reuse >= 0)
}

/// The local port of an IP socket, host byte order.
#[inline(always)]
pub fn local_port(sk: u64) -> Delivered<u16> {
    kernel_value(sk + offset(|o| &o.sock_common_skc_num))
}

/// Fills in the addresses of a socket. Those of a Unix socket are empty: see [`unix_path`].
#[inline(always)]
pub fn addresses(socket: Socket, open: &mut Open) -> Delivered<()> {
    let sk = socket.sk;
    open.connection = socket.id;
    open.family = family(sk)?;
    open.local_port = 0;
    open.peer_port = 0;
    open.socket = fingerprint(sk);
    open.peer = 0;
    match open.family {
        AF_INET => {
            open.local_address =
                widened(kernel_value(sk + offset(|o| &o.sock_common_skc_rcv_saddr))?);
            open.peer_address = widened(kernel_value(sk + offset(|o| &o.sock_common_skc_daddr))?);
        }
        AF_INET6 => {
            let (local, peer) = (&mut open.local_address, &mut open.peer_address);
            read_kernel_part(local, sk + offset(|o| &o.sock_common_skc_v6_rcv_saddr))?;
            read_kernel_part(peer, sk + offset(|o| &o.sock_common_skc_v6_daddr))?;
        }
        _ => {
            open.local_address = [0; 16];
            open.peer_address = [0; 16];
            open.peer = unix_peer(sk);
            return Ok(());
        }
    }
    open.local_port = local_port(sk)?;
    open.peer_port = u16::from_be(kernel_value(sk + offset(|o| &o.sock_common_skc_dport))?);
    Ok(())
}

/// An IPv4 address in the room for an IPv6 one.
#[inline(always)]
fn widened(address: [u8; 4]) -> [u8; 16] {
    let mut wide = [0; 16];
    wide[..4].copy_from_slice(&address);
    wide
}

/// The path that a Unix connection was made through: the listener's, which its accepted sockets
/// inherit and its clients have as their peer's. Returns the path's length, 0 if there is none.
#[inline(always)]
pub fn unix_path(sk: u64, path: &mut [u8; PATH_MAX]) -> u32 {
    let own = path_at(sk, path);
    if own != 0 {
        return own;
    }
    match kernel_value::<u64>(sk + offset(|o| &o.unix_sock_peer)) {
        Ok(peer) if peer != 0 => path_at(peer, path),
        _ => 0,
    }
}

/// The socket at the other end of a Unix socket; 0 if there is none, or no file holds it.
#[inline(never)]
fn unix_peer(sk: u64) -> ConnectionId {
    match kernel_value::<u64>(sk + offset(|o| &o.unix_sock_peer)) {
        Ok(peer) if peer != 0 => of_sk(peer).map_or(0, |socket| socket.id),
        _ => 0,
    }
}

#[cfg_attr(legacy, inline(never))]
#[cfg_attr(not(legacy), inline(always))]
fn path_at(sk: u64, path: &mut [u8; PATH_MAX]) -> u32 {
    /// `sizeof(sa_family_t)`: `unix_address.len` counts it.
    const FAMILY_LEN: i32 = 2;
    let Ok(address) = kernel_value::<u64>(sk + offset(|o| &o.unix_sock_addr)) else {
        return 0;
    };
    if address == 0 {
        return 0;
    }
    let Ok(len) = kernel_value::<i32>(address + offset(|o| &o.unix_address_len)) else {
        return 0;
    };
    if len <= FAMILY_LEN || len > FAMILY_LEN + PATH_MAX as i32 {
        return 0;
    }
    let name = address + offset(|o| &o.unix_address_name) + FAMILY_LEN as u64;
    let len = (len - FAMILY_LEN) as u32;
    if copy_kernel(path, name, len).is_ok() {
        len
    } else {
        0
    }
}

#[inline(always)]
fn family(sk: u64) -> Delivered<u16> {
    kernel_value(sk + offset(|o| &o.sock_common_skc_family))
}
