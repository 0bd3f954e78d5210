//! The request that HAProxy makes a call for, by HAProxy's own structures: its table of descriptors
//! has the connection of each, and from a connection to a server a few pointers lead to that of the
//! client whose request is sent. Where these stand differs by version; user space says it.
//!
//! A connection has to have the descriptor that the table has it by. A client's is told as the
//! address that the path leads to, which means something in user space only if a request was read
//! on a connection that has it.

use wirespan_common::record::is_object;
use wirespan_common::runtime::{HAPROXY_STEPS, HaproxyLayout, Runtime};

use super::{ANSWERS, Task};
use crate::memory::user_value;
use crate::sockets;
use crate::sockets::polled::{file_of, is_descriptor_of, registered_data};
use crate::transfer::Transfer;

/// Address of the connection of the socket that bytes moved on.
#[inline(never)]
pub fn connection_of(transfer: &Transfer, runtime: &Runtime) -> Option<u64> {
    if transfer.socket.sk == 0 {
        return None;
    }
    let file = file_of(transfer.socket.sk)?;
    let descriptors = sockets::descriptors()?;
    // What moves over TLS is not moved by a call on the descriptor; it is what HAProxy gives
    // epoll(7) (`_update_fd`, src/ev_epoll.c).
    let fd = if is_object(transfer.socket.id) {
        registered_data(file)? as u32
    } else {
        transfer.call.fd
    };
    if !is_descriptor_of(file, descriptors, fd) {
        return None;
    }
    let [_, table_at, entry_size, owner, descriptor, ..] = runtime.places;
    let table: u64 = user_value(table_at).ok()?;
    let at: u64 = user_value(table + u64::from(fd) * entry_size + owner).ok()?;
    (user_value(at + descriptor) == Ok(fd)).then_some(at)
}

/// The client's request for which something is written to a server, whose connection is at `at`.
#[inline(never)]
pub fn request(at: u64, runtime: &Runtime) -> Option<Task> {
    let path = runtime.places[5];
    let mut client = at;
    let mut step = 0;
    while step < HAPROXY_STEPS {
        client = user_value(client + HaproxyLayout::step(path, step)).ok()?;
        step += 1;
    }
    if client == at {
        return Some(ANSWERS);
    }
    Some(Task {
        id: client,
        part: 0,
    })
}
