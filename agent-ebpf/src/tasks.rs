//! Which task of its runtime made a call. It reads what the process itself keeps, within bounds;
//! what is not there, or is not what it should be, is no task. Which request a task serves is
//! decided in user space.

pub mod go;
pub mod python;

use wirespan_common::record::TaskKind;
use wirespan_common::watch::Watch;

use crate::maps::{self, Scratch};
use crate::memory::{Current, Delivered, kernel_value, offset};

/// A task, as a chunk names it.
#[derive(Clone, Copy)]
pub struct Task {
    /// A number that its kind has.
    pub id: u64,
    /// Which part of it; 0 where there are none.
    pub part: u32,
}

/// Notes for the chunk in the scratch buffer which task made the call.
#[inline(always)]
pub fn note(scratch: &mut Scratch) {
    let kind = scratch.transfer.watch.tasks;
    scratch.head.chunk.task_kind = 0;
    scratch.head.chunk.task_part = 0;
    scratch.head.chunk.task = 0;
    if kind != 0 {
        look(scratch, kind);
    }
}

#[inline(never)]
fn look(scratch: &mut Scratch, kind: u16) {
    let Some(task) = current(scratch, kind) else {
        return;
    };
    let chunk = &mut scratch.head.chunk;
    chunk.task_kind = kind as u8;
    chunk.task_part = task.part;
    chunk.task = task.id;
}

/// The task of this kind that runs on the current thread.
#[inline(always)]
fn current(scratch: &Scratch, kind: u16) -> Option<Task> {
    let runtime = maps::runtime_of(scratch.transfer.current.tgid)?;
    match TaskKind::try_from(kind as u8) {
        Ok(TaskKind::Goroutine) => go::current(scratch),
        Ok(TaskKind::PythonContext) => Some(python::current(scratch, runtime)),
        _ => None,
    }
}

/// A watched process makes a thread, whose `struct task_struct` is at `task`.
#[inline(always)]
pub fn thread_began(current: Current, watch: Watch, task: u64) -> Delivered<()> {
    if watch.tasks != TaskKind::PythonContext as u16 {
        return Ok(());
    }
    let tid = kernel_value::<u32>(task + offset(|o| &o.task_struct_pid))?;
    match maps::runtime_of(current.tgid) {
        Some(runtime) => python::thread_began(current, runtime, tid),
        None => Ok(()),
    }
}

/// A thread of a watched process ends.
#[inline(always)]
pub fn thread_ended(current: Current, watch: Watch) -> Delivered<()> {
    if watch.tasks != TaskKind::PythonContext as u16 {
        return Ok(());
    }
    python::thread_ended(current)
}
