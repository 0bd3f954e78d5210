//! TLS records that move, on a socket or as the plaintext of an object: whose they are by what
//! their task does, and did last.

use wirespan_common::record::Direction;
use wirespan_common::watch::PROBES_ON_GOROUTINES;

use super::carriers::bind_first;
use super::thread;
use crate::arch::GOROUTINE_OFFSET;
use crate::maps::{self, ObjectKey, Scratch, Task, TaskKey};
use crate::memory::{Delivered, kernel_value, user_value};
use crate::sockets::Socket;
use crate::syscall::{Buffers, Iovec};

/// Bytes moved on a socket in a process with probes; they are in the scratch buffer.
#[inline(never)]
pub fn socket_moved(scratch: &mut Scratch) -> Delivered<()> {
    let transfer = &scratch.transfer;
    let current = transfer.current;
    let is_ingress = matches!(transfer.call.direction, Direction::Ingress);
    if transfer.watch.probes & PROBES_ON_GOROUTINES != 0 {
        let goroutine = TaskKey {
            task: kernel_value(scratch.registers_at + GOROUTINE_OFFSET)?,
            tgid: current.tgid.into(),
        };
        if let Some(task) = maps::task(goroutine)
            && task.frame.object != 0
        {
            return within_call(task, scratch);
        }
    }
    let Some(task) = maps::task(thread(current)) else {
        // Before the task's first call of a library it may read what that call will decrypt.
        return if is_ingress && record_type(scratch) != 0 {
            let task = maps::touch_task(thread(current))?;
            records_moved(task, scratch)
        } else {
            Ok(())
        };
    };
    if task.frame.object != 0 {
        return within_call(task, scratch);
    }
    if !is_ingress {
        // What was read before has been acted upon.
        task.fresh = 0;
        task.fresh_is_doubtful = 0;
        if task.pending == 0 {
            return Ok(());
        }
    }
    if record_type(scratch) != 0 {
        records_moved(task, scratch)
    } else {
        Ok(())
    }
}

/// Bytes moved on a socket within a call of a library.
#[inline(always)]
fn within_call(task: &mut Task, scratch: &mut Scratch) -> Delivered<()> {
    if task.frame.nested != scratch.transfer.socket.id && record_type(scratch) != 0 {
        return records_moved(task, scratch);
    }
    Ok(())
}

/// TLS records moved on the socket in the scratch buffer, or as plaintext of that object.
#[inline(always)]
pub fn records_moved(task: &mut Task, scratch: &mut Scratch) -> Delivered<()> {
    let socket = scratch.transfer.socket;
    if task.frame.object != 0 {
        task.frame.nested = socket.id;
        task.frame.nested_sk = socket.sk;
        return Ok(());
    }
    if matches!(scratch.transfer.call.direction, Direction::Ingress) {
        note_fresh(task, socket, record_type(scratch));
        return Ok(());
    }
    task.fresh = 0;
    task.fresh_is_doubtful = 0;
    if task.pending == 0 {
        return Ok(());
    }
    let address = task.pending;
    task.pending = 0;
    if task.pending_is_doubtful != 0 {
        task.pending_is_doubtful = 0;
        return Ok(());
    }
    send_pending(address, scratch)
}

/// The one object that had something to send is on the socket that something was sent on.
#[inline(always)]
fn send_pending(address: u64, scratch: &mut Scratch) -> Delivered<()> {
    let Socket { id, sk } = scratch.transfer.socket;
    let key = ObjectKey::new(scratch.transfer.current.tgid, address);
    match maps::object(key) {
        Some(object)
            if object.carrier == 0 && object.id != id && maps::carried_by(id).is_none() =>
        {
            bind_first(object, scratch, id, sk)
        }
        _ => Ok(()),
    }
}

/// TLS records were read from this socket, and nobody has made anything of them yet.
#[inline(always)]
fn note_fresh(task: &mut Task, socket: Socket, record_type: u8) {
    if maps::carried_by(socket.id).is_some() {
        // Nobody needs to find that out again.
        return;
    }
    if task.fresh != 0 && task.fresh != socket.id && maps::carried_by(task.fresh).is_none() {
        task.fresh_is_doubtful = 1;
    }
    task.fresh = socket.id;
    task.fresh_sk = socket.sk;
    task.fresh_type = record_type;
}

/// Type of the TLS record that begins where the transfer begins, or 0 if none does (RFC 8446, 5.1:
/// type, major version 3, minor version, length).
#[inline(never)]
pub fn record_type(scratch: &mut Scratch) -> u8 {
    let call = scratch.transfer.call;
    let start = match call.buffers {
        Buffers::Unmapped | Buffers::Spliced => return 0,
        Buffers::One => call.address,
        Buffers::Vector | Buffers::Message | Buffers::Messages => {
            let Ok(parts) = call.parts(scratch.transfer.message) else {
                return 0;
            };
            match user_value::<Iovec>(parts) {
                Ok(part) => part.address,
                Err(_) => return 0,
            }
        }
    };
    if scratch.transfer.len < 3 {
        return 0;
    }
    match user_value::<[u8; 3]>(start) {
        Ok([kind @ 20..=24, 3, 0..=4]) => kind,
        _ => 0,
    }
}
