//! Threads, where a program has one for each request: the thread itself is the task. What is found
//! out beside its number is whether the socket is one that an event loop looks after.

use wirespan_common::record::Polled;

use super::Task;
use crate::sockets::polled::{file_of, is_polled};
use crate::transfer::Transfer;

/// The thread that moved bytes.
#[inline(never)]
pub fn thread(transfer: &Transfer) -> Option<Task> {
    // The socket of a TLS object may not be known yet.
    let file = match transfer.socket.sk {
        0 => None,
        sk => file_of(sk),
    };
    let polled = match file {
        Some(file) if is_polled(file) => Polled::Yes,
        Some(_) => Polled::No,
        None => Polled::Unknown,
    };
    Some(Task {
        id: transfer.current.tid.into(),
        part: polled as u32,
    })
}
