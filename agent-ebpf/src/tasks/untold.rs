//! Stands in for `tasks.rs` where no task of a runtime is told apart: looking for one takes more
//! instructions than kernels before 5.2 let a program have.

use wirespan_common::connection::Connection;
use wirespan_common::watch::Watch;

use crate::maps::Scratch;
use crate::memory::{Current, Delivered};

/// No task made the call of the chunk in the scratch buffer.
#[inline(always)]
pub fn note(scratch: &mut Scratch, _connection: &mut Connection) {
    scratch.head.chunk.task_kind = 0;
    scratch.head.chunk.task_part = 0;
    scratch.head.chunk.task = 0;
}

/// A watched process makes a thread.
#[inline(always)]
pub fn thread_began(_current: Current, _watch: Watch, _task: u64) -> Delivered<()> {
    Ok(())
}

/// A thread of a watched process ends.
#[inline(always)]
pub fn thread_ended(_current: Current, _watch: Watch) -> Delivered<()> {
    Ok(())
}
