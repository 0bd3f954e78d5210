//! The request that HAProxy makes a call for, by HAProxy's own structures: its table of descriptors
//! has the connection of each, and from a connection to a server a few pointers lead to that of the
//! client whose request is sent. Where these stand differs by version; user space says it.
//!
//! Each step is checked: both connections have the descriptors that the table has them by.

use wirespan_common::record::is_object;
use wirespan_common::runtime::{HAPROXY_STEPS, HaproxyLayout, Runtime};

use super::{ANSWERS, Task};
use crate::memory::user_value;
use crate::sockets;
use crate::sockets::polled::{file_at, file_of, is_descriptor_of, registered_data, socket_of};
use crate::transfer::Transfer;

/// The client's request that something is written to a server for.
#[inline(never)]
pub fn request(transfer: &Transfer, runtime: &Runtime) -> Option<Task> {
    if transfer.socket.sk == 0 {
        return None;
    }
    let file = file_of(transfer.socket.sk)?;
    let descriptors = sockets::descriptors()?;
    // What is written over TLS is not written by a call on the descriptor; it is what HAProxy gives
    // epoll(7) (`_update_fd`, src/ev_epoll.c).
    let fd = if is_object(transfer.socket.id) {
        registered_data(file)? as u32
    } else {
        transfer.call.fd
    };
    if !is_descriptor_of(file, descriptors, fd) {
        return None;
    }
    let [_, table_at, entry_size, owner, descriptor, path, ..] = runtime.places;
    let table: u64 = user_value(table_at).ok()?;
    let connection_of =
        |fd: u32| -> Option<u64> { user_value(table + u64::from(fd) * entry_size + owner).ok() };
    let server = connection_of(fd)?;
    if user_value::<u32>(server + descriptor) != Ok(fd) {
        return None;
    }
    let mut client = server;
    let mut step = 0;
    while step < HAPROXY_STEPS {
        client = user_value(client + HaproxyLayout::step(path, step)).ok()?;
        step += 1;
    }
    if client == server {
        return Some(ANSWERS);
    }
    let client_fd: u32 = user_value(client + descriptor).ok()?;
    if connection_of(client_fd)? != client {
        return None;
    }
    let id = socket_of(file_at(descriptors, client_fd)?)?;
    Some(Task { id, part: 0 })
}
