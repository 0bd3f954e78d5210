//! Node: the request that the user's own script (`wirespan-node.cjs`) says bytes are moved for. It
//! keeps a table by descriptor in the process's memory, one for each thread with an event loop, and
//! tells where that is by writing it to `/proc/thread-self/comm`; it begins with the name that
//! stands there. What it says is the process's own word, about its own requests only.

use wirespan_common::node::{
    NODE_HEADER, NODE_MAGIC, NODE_MAGIC_AT, NODE_MARK, NODE_NOTE_SIZE, NODE_NOTED_AT, NODE_NOTES,
    NODE_NOTES_AT, NODE_SLOT_SIZE, NODE_SLOTS, NODE_TABLE_SIZE, NodeSlot, node_task,
};
use wirespan_common::record::{TaskEvent, TaskKind, TaskNote, is_object};

use super::Task;
use crate::arch::{CallRegisters, number};
use crate::maps;
use crate::memory::{Current, user_value};
use crate::records;
use crate::sockets::polled::{file_of, is_descriptor_of, registered_data};
use crate::sockets::{self, Descriptors};
use crate::transfer::Transfer;

/// The request that bytes were moved for, as the slot of their descriptor says.
#[inline(never)]
pub fn request(transfer: &Transfer) -> Option<Task> {
    let table = maps::node_table(transfer.current)?;
    let fd = descriptor(transfer)?;
    if fd >= NODE_SLOTS {
        return None;
    }
    let slot = table + NODE_HEADER + NODE_SLOT_SIZE * u64::from(fd);
    let [what, request] = user_value::<[u32; 2]>(slot).ok()?;
    let part = what ^ NODE_MARK;
    // What is no slot is in memory that has become something else's.
    if part == 0 || part > 3 {
        return None;
    }
    Some(Task {
        id: node_task(transfer.current.tid, request),
        part,
    })
}

/// Notes on streams that are told before the bytes of one call.
const NOTES_TOLD_MAX: u32 = 128;

/// Tells user space what the script noted of streams since that was looked at: before bytes that
/// may be theirs.
#[inline(never)]
pub fn tell_streams(current: Current) -> u32 {
    let Some(table) = maps::node_table(current) else {
        return 0;
    };
    let Ok(noted) = user_value::<u32>(table.wrapping_add(NODE_NOTED_AT)) else {
        return 0;
    };
    let Some(told) = maps::told_of_node(current) else {
        return 0;
    };
    if *told == noted {
        return 0;
    }
    // What was overwritten is not known.
    if noted.wrapping_sub(*told) > NODE_NOTES {
        *told = noted.wrapping_sub(NODE_NOTES);
    }
    let Some(descriptors) = sockets::descriptors() else {
        return 0;
    };
    let mut round = 0;
    while round < NOTES_TOLD_MAX {
        if *told == noted {
            break;
        }
        let place = NODE_NOTE_SIZE * u64::from(*told % NODE_NOTES);
        *told = told.wrapping_add(1);
        tell_stream(
            current,
            descriptors,
            table.wrapping_add(NODE_NOTES_AT) + place,
        );
        round += 1;
    }
    round
}

/// Tells of the note at this address.
#[inline(always)]
fn tell_stream(current: Current, descriptors: Descriptors, address: u64) {
    let Ok([what, fd, stream, request]) = user_value::<[u32; 4]>(address) else {
        return;
    };
    let event = match what ^ NODE_MARK {
        part if part == NodeSlot::Taken as u32 => TaskEvent::Serves,
        part if part == NodeSlot::Call as u32 => TaskEvent::Asks,
        _ => return,
    };
    let Some(socket) = sockets::of_descriptor(descriptors, fd) else {
        return;
    };
    let note = TaskNote {
        task: node_task(current.tid, request),
        other: maps::carried_by(socket.id).unwrap_or(socket.id),
        part: stream,
        event: event as u8,
        kind: TaskKind::NodeStore as u8,
        ancestors: 0,
        after_loss: 0,
    };
    // What can't be told is nobody's.
    let _ = records::task(current, note);
}

/// The descriptor of the socket that bytes moved on. What moves over TLS is not moved by a call on
/// it; it is what libuv gives epoll(7) (`uv__io_poll`, src/unix/linux.c).
#[inline(always)]
fn descriptor(transfer: &Transfer) -> Option<u32> {
    if !is_object(transfer.socket.id) {
        return Some(transfer.call.fd);
    }
    if transfer.socket.sk == 0 {
        return None;
    }
    let file = file_of(transfer.socket.sk)?;
    let fd = registered_data(file)? as u32;
    is_descriptor_of(file, sockets::descriptors()?, fd).then_some(fd)
}

/// A thread of a watched process sets a name, by this call. It tells where its table is if that is
/// what the call writes.
#[inline(always)]
pub fn tells(current: Current, call: &CallRegisters) {
    if call.number != number::WRITE || call.third != NODE_TABLE_SIZE {
        return;
    }
    let address = call.second;
    let magic = user_value::<[u8; 16]>(address.wrapping_add(NODE_MAGIC_AT));
    if magic.is_ok_and(|magic| magic == NODE_MAGIC) {
        let noted = user_value(address.wrapping_add(NODE_NOTED_AT)).unwrap_or(0);
        maps::remember_node_table(current, address, noted);
        maps::set_tasks(current.tgid, TaskKind::NodeStore);
    }
}
