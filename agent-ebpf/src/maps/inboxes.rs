//! The channels that tasks of tokio take from. What falls out is a task of which that is not known
//! any more.

use aya_ebpf::macros::map;
use aya_ebpf::maps::LruHashMap;

use super::tls::ObjectKey;

/// By thread group and number of the task.
#[map]
static TOKIO_INBOXES: LruHashMap<ObjectKey, TaskInbox> = LruHashMap::with_max_entries(8 * 1024, 0);

/// Where a task takes from.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct TaskInbox {
    /// Address of the channel, 0 while it is not known.
    pub channel: u64,
    /// 1 if what it takes is a request that it passes on before it takes the next.
    pub passes_on: u64,
}

/// Lends what is known of a task.
#[inline(always)]
pub fn inbox(tgid: u32, task: u64) -> Option<&'static mut TaskInbox> {
    let found = TOKIO_INBOXES.get_ptr_mut(ObjectKey::new(tgid, task))?;
    // SAFETY: elements of a preallocated map stay mapped; what is read from a channel that is
    // another task's is compared in user space with what was put there.
    Some(unsafe { &mut *found })
}

/// Notes what is known of a task of which nothing was.
#[inline(always)]
pub fn remember_inbox(tgid: u32, task: u64, inbox: &TaskInbox) {
    // Without room it is told again.
    let _: Result<(), i32> = TOKIO_INBOXES.insert(ObjectKey::new(tgid, task), inbox, 0);
}
