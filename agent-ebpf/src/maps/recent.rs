//! Watched processes that moved bytes on this processor lately, so that a busy one is not looked up
//! in a hash table for each transfer: looks into arrays are compiled into the program, and a call
//! costs more than what it does.

use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, PerCpuArray};
use wirespan_common::watch::Watch;

use crate::memory::now_ns;

/// When anything about any watched process changed last, in nanoseconds of `CLOCK_MONOTONIC`,
/// written behind the change: what was looked up before may be something else by now.
#[map]
static WATCHED_CHANGED: Array<u64> = Array::with_max_entries(1, 0);

/// By [`slot`].
#[map]
static RECENT: PerCpuArray<RecentWatch> = PerCpuArray::with_max_entries(SLOTS, 0);
const SLOTS: u32 = 64;

/// A watched process as it was at that time.
#[derive(Clone, Copy)]
#[repr(C)]
struct RecentWatch {
    changed: u64,
    watch: Watch,
    tgid: u32,
    reserved: u32,
}

#[inline(always)]
const fn slot(tgid: u32) -> u32 {
    tgid % SLOTS
}

/// How the process is watched: as is known here, or as `look` finds it.
///
/// Only for programs that nothing preempts (raw tracepoints), because two of them would write into
/// the same slot; what interrupts one of them has the same process.
#[inline(always)]
pub fn recent(tgid: u32, look: impl FnOnce() -> Option<Watch>) -> Option<Watch> {
    // Before the process is looked up: a change meanwhile makes what is found old at once.
    let changed = *WATCHED_CHANGED.get(0)?;
    let recent = RECENT.get_ptr_mut(slot(tgid))?;
    // SAFETY: a per-processor slot that is never freed, and that nobody else uses meanwhile.
    let recent = unsafe { &mut *recent };
    if recent.tgid == tgid && recent.changed == changed {
        return Some(recent.watch);
    }
    let watch = look()?;
    recent.changed = changed;
    recent.watch = watch;
    recent.tgid = tgid;
    Some(watch)
}

/// Something about a watched process changed.
#[inline(always)]
pub fn changed() {
    let now = now_ns();
    // The only element is always there.
    let _: Result<(), i32> = WATCHED_CHANGED.set(0, now, 0);
}
