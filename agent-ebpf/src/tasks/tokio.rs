//! tokio: the task that runs on a thread, and who hands something to whom through channels
//! (`tokio::sync::mpsc`), which is how requests reach the tasks that send them. Names are those of
//! tokio's sources.
//!
//! Numbers of tasks are never used again, those of channels (their addresses) are: user space
//! compares what is taken from one with what was put there.

use wirespan_common::record::{TaskEvent, TaskKind, TaskNote};
use wirespan_common::runtime::Runtime;
use wirespan_common::tokio::{NOTED, Put, TokioLayout};

use super::Task;
use crate::maps::{self, Scratch, TaskInbox};
use crate::memory::{Current, Delivered, current_task, kernel_value, offset, user_value};
use crate::records;

mod cell;

/// In a channel (`mpsc::chan::Chan`), from its sending half (`list::Tx`) on, each of which has its
/// own lines of the processor's cache: the waker of who takes from it, a table of functions and a
/// task's header in either order.
const WAKER: u64 = 0x80;
/// Where its receiving half is, where nothing but its use is counted (`unbounded`): two blocks and
/// the place that is taken next.
const RECEIVING: u64 = 0x120;
/// Places between the one that is taken next and the one that is given out next.
const WAITING_MAX: u64 = 1 << 20;
/// Addresses of a process are below.
const ADDRESS_END: u64 = 1 << 47;
/// An id lies so close behind its task's header.
const ID_OFFSET_MAX: u64 = 4096;

/// The task that made the call in the scratch buffer.
#[inline(always)]
pub fn current(scratch: &Scratch) -> Option<Task> {
    let runtime = maps::runtime_of(scratch.transfer.current.tgid)?;
    match running(runtime) {
        // A thread of something else.
        Ok(0) | Err(_) => None,
        Ok(id) => Some(Task { id, part: 0 }),
    }
}

/// The task that runs on this thread, 0 if none does.
#[inline(always)]
fn running(runtime: &Runtime) -> Delivered<u64> {
    let thread = kernel_value::<u64>(current_task() + offset(|o| &o.task_struct_fsbase))?;
    user_value(thread.wrapping_add(TokioLayout::of(runtime).current_id))
}

/// The number of the task with this header.
#[inline(always)]
fn number(runtime: &Runtime, header: u64) -> Delivered<(u64, u64)> {
    let layout = TokioLayout::of(runtime);
    let table: u64 = user_value(header.wrapping_add(layout.vtable.into()))?;
    let id_offset: u64 = user_value(table.wrapping_add(layout.id_offset.into()))?;
    if id_offset > ID_OFFSET_MAX {
        return Ok((0, table));
    }
    Ok((user_value(header.wrapping_add(id_offset))?, table))
}

/// A task is bound to its runtime, by the one that makes it.
#[inline(always)]
pub fn born(current: Current, runtime: &Runtime, header: u64) -> Delivered<()> {
    let (task, table) = number(runtime, header)?;
    let other = running(runtime)?;
    maps::remember_task_header(current.tgid, task, header);
    records::task(current, note(TaskEvent::Born, task, other, table as u32))
}

/// Something is put into the channel whose sending half is `channel`, at a place.
#[inline(always)]
pub fn put(current: Current, runtime: &Runtime, channel: u64, place: u64) -> Delivered<()> {
    let own = running(runtime)?;
    let taker = taker(runtime, channel).unwrap_or(0);
    if taker != 0 {
        takes_from(current, taker, channel);
    }
    let mut numbers = [0; NOTED];
    numbers[Put::Taker as usize] = taker;
    numbers[Put::Next as usize] = next(channel, place).unwrap_or(0);
    if let Some(inbox) = maps::inbox(current.tgid, own)
        && inbox.passes_on != 0
    {
        if inbox.channel == 0 {
            cell::look(runtime, inbox, (current.tgid, own), channel);
        }
        if inbox.channel != 0 && inbox.channel != channel {
            numbers[Put::From as usize] = inbox.channel;
            numbers[Put::Took as usize] = took(inbox.channel)?;
        }
    }
    records::task_with(
        current,
        note(TaskEvent::Put, own, channel, place as u32),
        NOTED as u8,
        numbers,
    )
}

/// The task that waits to take something from a channel, 0 if none does.
#[inline(always)]
fn taker(runtime: &Runtime, channel: u64) -> Delivered<u64> {
    let [a, b] = user_value::<[u64; 2]>(channel.wrapping_add(WAKER))?;
    let table = TokioLayout::of(runtime).waker_table;
    let header = if a == table {
        b
    } else if b == table {
        a
    } else {
        return Ok(0);
    };
    Ok(number(runtime, header)?.0)
}

#[inline(always)]
fn takes_from(current: Current, task: u64, channel: u64) {
    match maps::inbox(current.tgid, task) {
        Some(inbox) => inbox.channel = channel,
        None => maps::remember_inbox(current.tgid, task, &inbox_of(channel)),
    }
}

#[inline(always)]
fn inbox_of(channel: u64) -> TaskInbox {
    TaskInbox {
        channel,
        passes_on: 0,
        looks: 0,
    }
}

/// One more than the place of a channel that is taken next, if all that is read looks like it; at
/// most `end` is taken.
#[inline(always)]
fn next(channel: u64, end: u64) -> Delivered<u64> {
    let [head, free, index] = user_value::<[u64; 3]>(channel.wrapping_add(RECEIVING))?;
    let is_block = |address: u64| address != 0 && address & 7 == 0 && address < ADDRESS_END;
    let is_it = is_block(head) && is_block(free) && end.wrapping_sub(index) < WAITING_MAX;
    Ok(if is_it { index + 1 } else { 0 })
}

/// One more than the place that was taken last, 0 if that is not known.
#[inline(always)]
fn took(channel: u64) -> Delivered<u64> {
    let end = user_value::<u64>(channel.wrapping_add(8))?;
    Ok(next(channel, end)?.saturating_sub(1))
}

/// This task passes on what it takes.
#[inline(always)]
pub fn passes_on(current: Current, runtime: &Runtime) -> Delivered<()> {
    let task = running(runtime)?;
    if task == 0 {
        return Ok(());
    }
    match maps::inbox(current.tgid, task) {
        Some(inbox) => inbox.passes_on = 1,
        None => {
            let passes_on = 1;
            let inbox = TaskInbox {
                passes_on,
                ..inbox_of(0)
            };
            maps::remember_inbox(current.tgid, task, &inbox);
        }
    }
    Ok(())
}

/// This task sends what it took last as a stream.
#[inline(always)]
pub fn sends(current: Current, runtime: &Runtime, stream: u32) -> Delivered<()> {
    let task = running(runtime)?;
    if task == 0 {
        return Ok(());
    }
    if maps::inbox(current.tgid, task).is_none() {
        maps::remember_inbox(current.tgid, task, &inbox_of(0));
    }
    let Some(inbox) = maps::inbox(current.tgid, task) else {
        return Ok(());
    };
    if inbox.channel == 0 {
        cell::look(runtime, inbox, (current.tgid, task), 0);
    }
    if inbox.channel == 0 {
        return Ok(());
    }
    let mut numbers = [0; NOTED];
    numbers[0] = took(inbox.channel)?;
    let note = note(TaskEvent::Sends, task, inbox.channel, stream);
    records::task_with(current, note, 1, numbers)
}

/// This task answers on the stream that a `StreamRef` of h2 is for, whose second word says which
/// (h2/src/proto/streams/store.rs, `Key`).
#[inline(always)]
pub fn answers(current: Current, runtime: &Runtime, stream: u64) -> Delivered<()> {
    let task = running(runtime)?;
    let mut numbers = [0; NOTED];
    numbers[0] = user_value(stream.wrapping_add(8))?;
    records::task_with(current, note(TaskEvent::Answers, task, 0, 0), 1, numbers)
}

#[inline(always)]
fn note(event: TaskEvent, task: u64, other: u64, part: u32) -> TaskNote {
    TaskNote {
        task,
        other,
        part,
        event: event as u8,
        kind: TaskKind::Tokio as u8,
        ancestors: 0,
        after_loss: 0,
    }
}
