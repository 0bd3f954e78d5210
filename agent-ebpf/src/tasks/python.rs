//! Python: the `contextvars.Context` that is current on a thread, and where contexts come from.
//!
//! A thread's state is found as `PyGILState_GetThisThreadState` finds it, by a key of the C
//! library or in a variable of the thread, because around a system call no thread is Python's
//! current one. Every look checks that what is there names itself a context. A context is known by
//! the time of its birth, which a probe in what `PyContext_CopyCurrent` calls tells; whatever is
//! entered and was not seen to be born is nobody's. Threads that have no such context work for who
//! gave them something: an item of a queue, or, as long as they took none, who made the thread.

use wirespan_common::python::{NOTE_IS_THREAD, PythonLayout, PythonPart};
use wirespan_common::record::{TaskEvent, TaskKind, TaskNote};
use wirespan_common::runtime::Runtime;

use super::Task;
use crate::maps::{self, Lineage, Scratch};
use crate::memory::{Current, Delivered, current_task, kernel_value, now_ns, offset, user_value};
use crate::records;

/// Keys whose values the C library keeps within a thread (`PTHREAD_KEY_2NDLEVEL_SIZE`, glibc's
/// nptl/descr.h); Python makes its own before others can.
const KEYS_MAX: u32 = 32;

/// What is current on a thread.
#[derive(Clone, Copy)]
enum CurrentState {
    /// No thread of Python's, or one that has needed none.
    Nothing,
    /// Something that is no context: the layout is not what it was taken for.
    Foreign,
    /// A context that was entered, at this address.
    Entered(u64),
    /// A context that nobody entered.
    Own(u64),
}

/// What makes the call in the scratch buffer, told to user space before it is named first.
#[inline(always)]
pub fn current(scratch: &Scratch, runtime: &Runtime) -> Task {
    let current = scratch.transfer.current;
    let found = find(&PythonLayout::of(runtime));
    if let CurrentState::Entered(address) = found
        && let Some(lineage) = maps::context(current.tgid, address)
    {
        tell(current, lineage);
        return task(lineage.record.note.task, PythonPart::Context);
    }
    if let Some(lineage) = maps::work(current.tid) {
        tell(current, lineage);
        return task(lineage.record.note.task, PythonPart::Work);
    }
    match found {
        CurrentState::Nothing => task(0, PythonPart::Thread),
        CurrentState::Foreign => task(0, PythonPart::Unknown),
        CurrentState::Entered(address) => task(address, PythonPart::Unknown),
        CurrentState::Own(address) => task(address, PythonPart::Own),
    }
}

#[inline(always)]
fn task(id: u64, part: PythonPart) -> Task {
    Task {
        id,
        part: part as u32,
    }
}

/// The context that is current on this thread.
#[inline(always)]
fn find(layout: &PythonLayout) -> CurrentState {
    look(layout).unwrap_or(CurrentState::Nothing)
}

#[inline(always)]
fn look(layout: &PythonLayout) -> Delivered<CurrentState> {
    let fs = kernel_value::<u64>(current_task() + offset(|o| &o.task_struct_fsbase))?;
    let mut value = fs.wrapping_add(layout.keyed_values);
    if layout.key_at != 0 {
        let [is_created, key] = user_value::<[u32; 2]>(layout.key_at)?;
        if is_created == 0 || key >= KEYS_MAX {
            return Ok(CurrentState::Nothing);
        }
        value = value.wrapping_add(16 * u64::from(key) + 8);
    }
    let state = user_value::<u64>(value)?;
    if state == 0 {
        return Ok(CurrentState::Nothing);
    }
    let context = match user_value::<u64>(state.wrapping_add(layout.context)) {
        Ok(0) => return Ok(CurrentState::Nothing),
        Ok(context) => context,
        Err(_) => return Ok(CurrentState::Foreign),
    };
    // `ob_type` (Include/object.h) and, a few words behind it, how often it is entered.
    match user_value::<u64>(context.wrapping_add(8)) {
        Ok(kind) if kind == layout.type_at => {}
        _ => return Ok(CurrentState::Foreign),
    }
    Ok(
        match user_value::<u32>(context.wrapping_add(layout.entered)) {
            Ok(0) => CurrentState::Own(context),
            Ok(_) => CurrentState::Entered(context),
            Err(_) => CurrentState::Foreign,
        },
    )
}

/// A context was made, as a copy of the thread's current one. 0 is none.
#[inline(always)]
pub fn copied(current: Current, runtime: &Runtime, new: u64) -> Delivered<()> {
    if new == 0 {
        return Ok(());
    }
    let parent = lineage(current, runtime);
    maps::remember_context(current.tgid, new, &Lineage::born(now_ns(), parent, 0))
}

/// What the thread works for.
#[inline(always)]
fn lineage(current: Current, runtime: &Runtime) -> Option<&'static Lineage> {
    if let CurrentState::Entered(address) = find(&PythonLayout::of(runtime))
        && let Some(lineage) = maps::context(current.tgid, address)
    {
        return Some(lineage);
    }
    match maps::work(current.tid) {
        Some(work) => Some(work),
        None => None,
    }
}

/// An item is put into a queue.
#[inline(always)]
pub fn put(current: Current, runtime: &Runtime, item: u64) -> Delivered<()> {
    match lineage(current, runtime) {
        Some(lineage) => maps::remember_item(current.tgid, item, lineage),
        None => {
            let new = Lineage::born(now_ns(), None, current.tid);
            maps::remember_item(current.tgid, item, &new)
        }
    }
}

/// An item was taken from a queue. 0 is none.
#[inline(always)]
pub fn got(current: Current, item: u64) -> Delivered<()> {
    if item == 0 {
        maps::forget_work(current.tid);
        return Ok(());
    }
    maps::take_item(current.tgid, item, current.tid)
}

/// A thread is made.
#[inline(always)]
pub fn thread_began(current: Current, runtime: &Runtime, tid: u32) -> Delivered<()> {
    let parent = lineage(current, runtime);
    let mut new = Lineage::born(now_ns(), parent, current.tid);
    new.record.note.part = NOTE_IS_THREAD;
    maps::remember_work(tid, &new)
}

/// The thread ends.
#[inline(always)]
pub fn thread_ended(current: Current) -> Delivered<()> {
    let Some(work) = maps::work(current.tid) else {
        return Ok(());
    };
    let note = &work.record.note;
    let (task, tells) = (note.task, work.told != 0 && note.part == NOTE_IS_THREAD);
    maps::forget_work(current.tid);
    if !tells {
        return Ok(());
    }
    let note = TaskNote {
        task,
        other: 0,
        part: NOTE_IS_THREAD,
        event: TaskEvent::Ended as u8,
        kind: TaskKind::PythonContext as u8,
        ancestors: 0,
        after_loss: 0,
    };
    records::task(current, note)
}

/// Tells user space where a task comes from, once.
#[inline(always)]
fn tell(current: Current, lineage: &mut Lineage) {
    if lineage.told != 0 {
        return;
    }
    let record = &mut lineage.record;
    record.header.time_ns = now_ns();
    record.header.tgid = current.tgid;
    record.header.shard = maps::shard_of(current.tgid);
    record.header.tid = current.tid;
    lineage.told = u64::from(maps::send_task(record, record.note.ancestors).is_ok());
}
