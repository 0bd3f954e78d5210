//! The channels that tasks of tokio take from, and where tasks are. What falls out is a task of
//! which that is not known any more.

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
    pub passes_on: u32,
    /// How often the channel was looked for in the task itself.
    pub looks: u32,
}

/// Addresses of the headers of tasks that were made lately.
#[map]
static TOKIO_HEADERS: LruHashMap<ObjectKey, u64> = LruHashMap::with_max_entries(8 * 1024, 0);

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

/// The header of a task that was made lately.
#[inline(always)]
pub fn task_header(tgid: u32, task: u64) -> Option<u64> {
    // SAFETY: elements of a preallocated map stay mapped; what a header says of its number is
    // compared.
    unsafe { TOKIO_HEADERS.get(ObjectKey::new(tgid, task)) }.copied()
}

/// Notes where the header of a new task is.
#[inline(always)]
pub fn remember_task_header(tgid: u32, task: u64, header: u64) {
    // Without room its channel is known once it waits for something.
    let _: Result<(), i32> = TOKIO_HEADERS.insert(ObjectKey::new(tgid, task), header, 0);
}
