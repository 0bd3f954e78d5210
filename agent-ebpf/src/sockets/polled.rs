//! What a program has the kernel keep for it beside a socket: the word that it gave to epoll(7)
//! with the descriptor, in which event loops have the address or the number of a connection. It is
//! read where the kernel keeps it, so nothing need have been seen of the program before.

use super::Descriptors;
use crate::arch::EPOLL_DATA_OFFSET;
use crate::memory::{kernel_value, offset};

/// Address of the `struct file` that holds the socket of a `struct sock`.
#[inline(always)]
pub fn file_of(sk: u64) -> Option<u64> {
    let socket: u64 = kernel_value(sk + offset(|o| &o.sock_sk_socket)).ok()?;
    if socket == 0 {
        return None;
    }
    let file: u64 = kernel_value(socket + offset(|o| &o.socket_file)).ok()?;
    (file != 0).then_some(file)
}

/// Address of the `struct file` behind a descriptor.
#[inline(always)]
pub fn file_at(descriptors: Descriptors, fd: u32) -> Option<u64> {
    if fd >= descriptors.fd_max {
        return None;
    }
    let file: u64 = kernel_value(descriptors.array + u64::from(fd) * 8).ok()?;
    (file != 0).then_some(file)
}

/// Whether this is the file's descriptor.
#[inline(always)]
pub fn is_descriptor_of(file: u64, descriptors: Descriptors, fd: u32) -> bool {
    file_at(descriptors, fd) == Some(file)
}

/// Whether a file is in a set of epoll(7).
#[inline(always)]
pub fn is_polled(file: u64) -> bool {
    first_place(file).is_some()
}

/// `epoll_data` (epoll_ctl(2)) of a file; of one that is in several sets, in the one that it was
/// added to last. `None` if it is in none.
#[inline(always)]
pub fn registered_data(file: u64) -> Option<u64> {
    let item = first_place(file)? - offset(|o| &o.epitem_fllink);
    kernel_value(item + offset(|o| &o.epitem_event) + EPOLL_DATA_OFFSET).ok()
}

/// The link by which a file's place in a set is in the list of all its places.
///
/// Since 5.11 a file points to that list, before that it has it in itself; and then an empty one
/// points to itself (fs/eventpoll.c, include/linux/fs.h).
#[inline(always)]
fn first_place(file: u64) -> Option<u64> {
    let listed = offset(|o| &o.file_f_ep_links);
    let head = if listed != 0 {
        file + listed
    } else {
        let at = offset(|o| &o.file_f_ep);
        if at == 0 {
            return None;
        }
        kernel_value(file + at).ok()?
    };
    if head == 0 {
        return None;
    }
    let first: u64 = kernel_value(head).ok()?;
    (first != 0 && first != head).then_some(first)
}
