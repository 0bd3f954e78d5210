//! Which task of its runtime made a call. It reads what the process itself keeps, within bounds;
//! what is not there, or is not what it should be, is no task. Which request a task serves is
//! decided in user space.

pub mod go;

use wirespan_common::record::TaskKind;

use crate::maps::{self, Scratch};

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
    let _runtime = maps::runtime_of(scratch.transfer.current.tgid)?;
    match TaskKind::try_from(kind as u8) {
        Ok(TaskKind::Goroutine) => go::current(scratch),
        _ => None,
    }
}
